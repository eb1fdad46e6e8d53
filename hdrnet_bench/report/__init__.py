"""The report: tables, figures and a page, a pure function of a results directory (no torch)."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from ..files import write_text
from ..results import Evaluation, KernelTiming, Timing, read_all
from . import page, pictures, plots, tables

BEGIN, END = "<!-- results -->", "<!-- /results -->"


def build_report(root: Path, insert: Path | None = None, *, dry_run: bool = False) -> list[Path]:
    """Write root/README.md, figures/ and report.html; the paths written.

    Args:
        root: a results directory, with at least one result file.
        insert: a Markdown file whose part between the results marks gets the quality tables too.
        dry_run: only say what would be written.

    Raises:
        DataError: no result is there, one is broken, or `insert` has no marks.
    """
    found = read_all(root)
    if not found:
        raise DataError(f"{root} holds no result: `hdrbench eval` and `hdrbench time` make them")
    evaluations = [(path, r) for path, r in found if isinstance(r, Evaluation)]
    timings = tables.timed([(p, r) for p, r in found if isinstance(r, Timing)], evaluations)
    kernels = [r for _, r in found if isinstance(r, KernelTiming)]
    groups = tables.group(evaluations)
    figures = root / "figures"

    written = []
    if insert is not None:
        text = _inserted(insert, "\n\n".join(tables.quality(group) for group in groups))
        written.append(insert)
    comparisons = {g.slug: figures / f"comparison-{g.slug}.jpg" for g in groups}
    plot_files = plots.files(figures, timings)
    written += [*comparisons.values(), *plot_files, root / "README.md", root / "report.html"]
    if dry_run:
        return written

    if insert is not None:
        write_text(insert, text)
    shown = {
        g.slug: path for g in groups if pictures.write_comparison(path := comparisons[g.slug], g)
    }
    plots.write(figures, timings)
    for old in figures.glob("*"):
        if old.name.startswith(("comparison-", "time-")) and old not in written:
            old.unlink()  # of a result that is gone
    write_text(root / "README.md", tables.markdown(groups, timings, kernels, shown))
    write_text(root / "report.html", page.render(groups, timings, kernels, figures))
    return [path for path in written if path.exists()]


def _inserted(path: Path, table: str) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN, 1)
        _, after = rest.split(END, 1)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except ValueError:
        raise DataError(f"{path} has no {BEGIN} … {END} to put the tables between") from None
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
