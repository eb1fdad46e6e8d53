"""The report: tables, figures and pages, a pure function of a results directory (no torch)."""

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
    """Write README.md, report.html, tables/ and figures/ into a results directory; the paths.

    Args:
        root: a results directory.
        insert: a Markdown file whose part between the results marks gets the quality tables too.
        dry_run: only say what would be written.
        private: also write report-private.html, with the pictures that may not be passed on.
        out: write there instead of into `root`.

    Raises:
        DataError: the directory is missing, a result is broken, or `insert` has no marks.
    """
    out = out or root
    found = contents.read(root)
    figures, tables = out / FIGURES, out / TABLES
    written = []
    if insert is not None:
        text = inserted(insert, readme.quality(found))
        written.append(insert)
    sheets = {
        part.group.slug: figures / f"comparison-{part.group.slug}.jpg" for part in found.groups
    }
    written += [*sheets.values(), *plots.files(figures, found.plots)]
    written += [path for one in found.tables for path in table.table_files(tables, one)]
    written += [out / README, out / PAGE, *([out / PRIVATE_PAGE] if private else [])]
    if dry_run:
        return written

    if insert is not None:
        write_text(insert, text)
    shown = {
        part.group.slug: path
        for part in found.groups
        if pictures.write_comparison(path := sheets[part.group.slug], part.group)
    }
    plots.write(figures, found.plots)
    for one in found.tables:
        table.write(tables, one)
    for old in (*figures.glob("*.*"), *tables.glob("*.*")):
        if old.suffix in {".svg", ".png", ".jpg", ".csv", ".tex"} and old not in written:
            old.unlink()  # of a result that is gone
    write_text(out / README, readme.page(found, shown))
    write_text(out / PAGE, page.render(found, figures))
    if private:
        write_text(out / PRIVATE_PAGE, page.render(found, figures, private=True))
    return [path for path in written if path.exists()]


def outdated(root: Path, insert: Path | None = None) -> list[str]:
    """The files of a report that are not what its results give, as it is written now.

    Figures count only where they were drawn with the version of matplotlib that is here.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        made = build_report(root, out=out)
        fresh = {str(path.relative_to(out)): path for path in made}
        there = {
            str(path.relative_to(root))
            for name in (FIGURES, TABLES)
            for path in (root / name).glob("*.*")
        }
        stale = [name for name in fresh if _differs(root / name, fresh[name])]
        stale += sorted(there - set(fresh))
    if insert is not None and insert.read_text(encoding="utf-8") != inserted(
        insert, readme.quality(contents.read(root))
    ):
        stale.append(str(insert))
    return stale


def _differs(old: Path, new: Path) -> bool:
    if not old.exists():
        return True
    if old.suffix in {".jpg", ".png"}:
        return False  # pictures of what the SVG and the thumbnails hold, by Pillow's encoders
    before, after = old.read_text(encoding="utf-8", errors="replace"), new.read_text("utf-8")
    if old.suffix == ".svg":
        return plots.drawn_with(before) == plots.drawn_with(after) and before != after
    if old.name == PAGE:
        before, after = page.without_figures(before), page.without_figures(after)
    return before != after


def inserted(path: Path, text: str) -> str:
    """A Markdown file with `text` between its results marks."""
    try:
        content = path.read_text(encoding="utf-8")
        before, rest = content.split(BEGIN, 1)
        _, after = rest.split(END, 1)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except ValueError:
        raise DataError(f"{path} has no {BEGIN} … {END} to put the tables between") from None
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
