"""The report: tables, figures and pages, a pure function of a results directory (no torch).

`build_report` is below; open contents.py next: it decides what there is to show.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..errors import DataError
from ..files import write_text
from . import contents, page, pictures, plots, readme, table

BEGIN, END = "<!-- results -->", "<!-- /results -->"
PAGE, PRIVATE_PAGE, README = "report.html", "report-private.html", "README.md"
FIGURES, TABLES = "figures", "tables"


def build_report(
    root: Path,
    insert: Path | None = None,
    *,
    dry_run: bool = False,
    private: bool = False,
    out: Path | None = None,
) -> list[Path]:
    """Write README.md, report.html, tables/ and figures/ of a results directory; returns the paths.

    Args:
        root: a results directory.
        insert: a Markdown file whose part between the results marks becomes the quality tables.
        dry_run: write nothing, and return the paths that would be written.
        private: also write report-private.html, with the pictures that may not be passed on.
        out: write there instead of into `root`.

    Raises:
        DataError: the directory is missing, a result is broken, or `insert` has no marks.
    """
    out = out or root
    report = contents.read(root)
    figures, tables = out / FIGURES, out / TABLES
    paths = []
    # Before anything is written: it fails where the file has no marks.
    if insert is not None:
        text = with_insertion(insert, readme.quality(report))
        paths.append(insert)
    sheets = {
        part.group.slug: figures / f"comparison-{part.group.slug}.jpg" for part in report.groups
    }
    paths += [*sheets.values(), *plots.files(figures, report.plots)]
    paths += [path for content in report.tables for path in table.table_files(tables, content)]
    paths += [out / README, out / PAGE, *([out / PRIVATE_PAGE] if private else [])]
    if dry_run:
        return paths

    if insert is not None:
        write_text(insert, text)
    comparisons = {
        part.group.slug: path
        for part in report.groups
        if pictures.write_comparison(path := sheets[part.group.slug], part.group)
    }
    plots.write(figures, report.plots)
    for content in report.tables:
        table.write(tables, content)
    for old in (*figures.glob("*.*"), *tables.glob("*.*")):
        if old.suffix in {".svg", ".png", ".jpg", ".csv", ".tex"} and old not in paths:
            old.unlink()  # of a result that is gone
    write_text(out / README, readme.page(report, comparisons))
    write_text(out / PAGE, page.render(report, figures))
    if private:
        write_text(out / PRIVATE_PAGE, page.render(report, figures, private=True))
    return [path for path in paths if path.exists()]


def outdated(root: Path, insert: Path | None = None) -> list[str]:
    """The files of a report that differ from what its results give now, or that they do not give.

    Figures count only where they were drawn with the installed version of matplotlib.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        fresh = {str(path.relative_to(out)): path for path in build_report(root, out=out)}
        existing = {
            str(path.relative_to(root))
            for name in (FIGURES, TABLES)
            for path in (root / name).glob("*.*")
        }
        names = [name for name in fresh if _differs(root / name, fresh[name])]
        names += sorted(existing - set(fresh))
    if insert is not None and insert.read_text(encoding="utf-8") != with_insertion(
        insert, readme.quality(contents.read(root))
    ):
        names.append(str(insert))
    return names


def _differs(old: Path, new: Path) -> bool:
    if not old.exists():
        return True
    # They show what the SVG and the thumbnails do, and depend on the version of Pillow besides.
    if old.suffix in {".jpg", ".png"}:
        return False
    before, after = old.read_text(encoding="utf-8", errors="replace"), new.read_text("utf-8")
    if old.suffix == ".svg":
        versions = plots.matplotlib_version(before), plots.matplotlib_version(after)
        return versions[0] == versions[1] and before != after
    if old.name == PAGE:
        before, after = page.without_figures(before), page.without_figures(after)
    return before != after


def with_insertion(path: Path, text: str) -> str:
    """A Markdown file's content with `text` between its results marks. Raises DataError where it
    cannot be read, or has no marks."""
    try:
        content = path.read_text(encoding="utf-8")
        before, rest = content.split(BEGIN, 1)
        _, after = rest.split(END, 1)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except ValueError:
        raise DataError(f"{path} has no {BEGIN} … {END} to put the tables between") from None
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
