"""The report: tables, figures and pages, a pure function of a results directory (no torch).

`build_report` is below; open contents.py next: it decides what there is to show.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, UsageError
from ..files import read_bytes, read_text, unreadable
from ..locks import locked
from ..stopping import says_when_stopped
from . import contents, page, pictures, plots, published_page, readme, table, written
from .published import FOLDER
from .written import FIGURES, MANIFEST, PRIVATE_MANIFEST, PRIVATE_PAGE, TABLES

PAGE, README = "report.html", "README.md"
LOCK = ".report.lock"


class Report(NamedTuple):
    """What a report did, or would do.

    files: of the report, and the page that tables are inserted into. replaced: those of them that
    no report wrote. removed: of the last report, not made any more. left: such that were changed
    since, and that are no report's any more.
    """

    files: list[Path]
    replaced: list[Path]
    removed: list[Path]
    left: list[Path]


def build_report(
    root: Path,
    insert: Path | None = None,
    *,
    dry_run: bool = False,
    private: bool = False,
    overwrite: bool = False,
    out: Path | None = None,
    log: Callable[[str], None] = lambda note: None,
) -> Report:
    """Write README.md, report.html, tables/ and figures/ of a results directory, and report.json,
    which lists them: only what it lists, and is as it was written, is ever replaced or removed. It
    does not depend on `private`.

    Args:
        root: a results directory.
        insert: a Markdown file whose parts between marks become the tables of `readme.blocks`.
        dry_run: write nothing.
        private: also write report-private.html, with every picture of every method and size, also
            those that may not be passed on, and report-private.json, which lists it.
        overwrite: replace what stands where the report is written, whoever wrote it.
        out: write there instead of into `root`.
        log: is told where another report is waited for.

    Raises:
        DataError: the directory is missing, a result is broken, or `insert` has no marks.
        UsageError: a file that no report wrote, or that was changed since, would be replaced.
    """
    if not root.is_dir():
        raise contents.no_results(root)
    folder = out or root
    if dry_run:
        return _made(root, insert, private, overwrite, folder).report
    busy = f"another process is writing the report in {folder}"
    state = "the report was not changed"

    def done() -> None:
        nonlocal state
        state = "the report is written"

    with (
        says_when_stopped(lambda: state),
        locked(folder / LOCK, busy, lambda text: log(f"{text}: waiting for its end")),
    ):
        made = _made(root, insert, private, overwrite, folder)
        written.write(folder, made.planned, made.files, made.others, done)
    return made.report


class _Made(NamedTuple):
    """A report before it is written; others: files elsewhere, with their new content."""

    files: dict[str, bytes]
    others: dict[Path, bytes]
    planned: written.Plan
    report: Report


def _made(root: Path, insert: Path | None, private: bool, overwrite: bool, folder: Path) -> _Made:
    read = contents.read(root)
    others: dict[Path, bytes] = {}
    if insert is not None:
        # Through a link: it stays one.
        others[insert.resolve()] = with_insertion(insert, readme.blocks(read)).encode()
    files = render(read, private)
    if clash := {(folder / name).resolve() for name in files} & set(others):
        raise UsageError(f"{clash.pop()} is a file of the report: --insert needs another")
    planned = written.plan(folder, files, overwrite=overwrite)
    named = [[folder / name for name in names] for names in planned[1:4]]
    inserted = [] if insert is None else [insert]
    lists = [MANIFEST, PRIVATE_MANIFEST] if private else [MANIFEST]
    report = Report([*inserted, *(folder / name for name in (*files, *lists))], *named)
    return _Made(files, others, planned, report)


def render(report: contents.Contents, private: bool = False) -> dict[str, bytes]:
    """The files of a report, by their paths in a results directory.

    Raises DataError where two would have one name.
    """
    files: dict[str, bytes] = {}

    def add(folder: str, some: dict[str, bytes]) -> None:
        for name, content in some.items():
            if (path := f"{folder}/{name}") in files:
                raise DataError(f"two results would be shown in {path}: rename one of them")
            files[path] = content

    groups = [part.group for part in report.groups]
    sheets = pictures.comparisons(groups)
    names = {slug: f"comparison-{slug}.webp" for slug in sheets}
    add(FIGURES, {names[slug]: sheet for slug, sheet in sheets.items()})
    figures: dict[str, bytes] = {}
    for plot, drawn in zip(report.plots, plots.render(report.plots), strict=True):
        add(FIGURES, drawn)
        figures[plot.stem] = drawn[f"{plot.stem}.svg"]
    for one in report.tables:
        add(TABLES, table.render(one))
    files[README] = readme.page(report, names).encode()
    if report.own_published:
        text = published_page.page(report.published, report.published_speed)
        files[f"{FOLDER}/{README}"] = text.encode()
    files[PAGE] = page.render(report, figures).encode()
    if private:
        files[PRIVATE_PAGE] = page.render(report, figures, private=True).encode()
    return files


def outdated(root: Path, insert: Path | None = None) -> list[str]:
    """The files of a report that differ from what its results give now, that they do not give, or
    that are not as report.json lists them.

    Figures count only where they were drawn with the installed version of matplotlib.
    """
    report = contents.read(root)
    fresh = render(report)
    known = written.read_manifests(root).shown.files
    names = [name for name, content in fresh.items() if _differs(root / name, content)]
    present = {name: written.digest_of(root / name) for name in {*fresh, *known}}
    names += sorted(
        name for name in set(known) - {*fresh, PRIVATE_PAGE} if present[name] is not None
    )
    same = set(fresh) - set(names)
    if {name: known.get(name) for name in same} != {name: present[name] for name in same}:
        names.append(MANIFEST)
    if insert is not None and _text(insert) != with_insertion(insert, readme.blocks(report)):
        names.append(str(insert))
    return names


def _differs(old: Path, content: bytes) -> bool:
    try:
        before = read_bytes(old)
    except (FileNotFoundError, IsADirectoryError, DataError):
        return True
    except OSError as error:
        raise unreadable(old, error) from None
    # A sheet shows what the thumbnails do, and depends on the version of Pillow besides.
    if before == content or old.suffix == ".webp":
        return False
    old_text, text = before.decode(errors="replace"), content.decode()
    if old.suffix == ".svg":
        versions = plots.matplotlib_version(old_text), plots.matplotlib_version(text)
        return versions[0] == versions[1]
    if old.name == PAGE:
        return page.without_figures(old_text) != page.without_figures(text)
    return True


def with_insertion(path: Path, blocks: Mapping[str, str]) -> str:
    """A Markdown file's content with each block between the marks that bear its name, as
    <!-- results --> and <!-- /results -->, as far as the file has them.

    Raises DataError where it cannot be read, or has no marks, or where they do not stand one after
    the other: what is between a mark and its end is replaced, and nothing else may be there.
    """
    text = _text(path)
    names = "|".join(map(re.escape, blocks))
    marks = list(re.finditer(rf"<!-- (/?)({names}) -->", text))
    if not marks:
        known = ", ".join(f"<!-- {name} --> … <!-- /{name} -->" for name in blocks)
        raise DataError(f"{path} has no marks to put tables between: {known}")
    parts, done = [], 0
    for begin, end in itertools.zip_longest(marks[::2], marks[1::2]):
        if begin[1]:
            raise DataError(f"{path}: {begin[0]} has no <!-- {begin[2]} --> before it")
        if end is None or end.groups() != ("/", begin[2]):
            other = f", but by {end[0]}" if end else ""
            raise DataError(f"{path}: {begin[0]} is not followed by <!-- /{begin[2]} -->{other}")
        parts += [text[done : begin.end()], f"\n{blocks[begin[2]]}\n"]
        done = end.start()
    return "".join([*parts, text[done:]])


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
