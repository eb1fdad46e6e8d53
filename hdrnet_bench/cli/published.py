"""Published figures as commands show them: alone, and beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .console import err, out
from .tables import print_report_table

if TYPE_CHECKING:
    from ..report.published import PublishedRow
    from ..report.table import Table
    from ..results import Evaluation

# A figure says nothing without its source, and the heading says the size.
_PRIORITIES = {"source": 1.5, "SSIM ↑": 1.6, "ΔE76 ↓": 1.7, "resolution": 9.0}


def published_rows() -> list[PublishedRow]:
    """All published figures; none, and a line that says why, where their file is broken: what else
    there is to show is to be shown all the same."""
    from ..paths import results_dir
    from ..report.published import read_published

    try:
        return read_published(results_dir())
    except DataError as error:
        err.print(f"published figures are not shown: {error}")
        return []


def print_published_on(protocol: str, rows: Sequence[PublishedRow], wide: bool) -> None:
    """A table for each size: two sizes compare as little as two protocols do."""
    from ..report.tables_published import published_figures, published_note

    for size in dict.fromkeys(row.resolution for row in rows):
        table = published_figures("", "", [row for row in rows if row.resolution == size])
        _print_table(f"published, {size}:", table, wide)
    if rows:
        out.print(f"{published_note(protocol)} Here: {_checked(rows)}.", hang=2)


def print_beside_published(
    results: list[Evaluation], wide: bool, published: Sequence[PublishedRow]
) -> None:
    """What was measured beside HDRNet's figures on the same protocol and size, as a table each."""
    from ..report.groups import group_results
    from ..report.published import is_hdrnet, rows_of_group
    from ..report.tables_published import measured_notes, published_table

    for group in group_results([(Path(), result) for result in results]):
        rows = rows_of_group(group, published)
        if not rows:
            continue
        shown = [row for row in rows if is_hdrnet(row.method)] or rows
        protocol = group.first.dataset.protocol
        heading = f"published on {protocol}, {shown[0].resolution}:"
        _print_table(heading, published_table(group, shown), wide)
        for note in (*measured_notes(group, shown), f"Published figures: {_checked(shown)}."):
            out.print(f"  {note}", hang=2)
        if others := len(rows) - len(shown):
            out.print(f"  {others} more of other methods: `hdrbench protocols {protocol}`", hang=2)


def values_beside(result: Evaluation, published: Sequence[PublishedRow]) -> dict[str, Any]:
    """For JSON: the figures that stand beside a result, the metrics that compare with them, and of
    how many pictures either is; nothing where there are no figures."""
    from ..report.groups import group_results
    from ..report.published import metrics_as_published, rows_of_group, whole_split

    rows = rows_of_group(group_results([(Path(), result)])[0], published)
    if not rows:
        return {}
    there, whole = len(result.rows), whole_split(result)
    values = {
        "metrics": metrics_as_published(rows[0].protocol),
        "pictures": there,
        "pictures_of_protocol": whole,
        "is_whole_split": there == whole,
        "figures": [row.model_dump() for row in rows],
    }
    return {"published": values}


def _print_table(heading: str, table: Table, wide: bool) -> None:
    out.print(heading)
    print_report_table(table.columns, table.rows, wide, _PRIORITIES)


def _checked(rows: Sequence[PublishedRow]) -> str:
    return ", ".join(sorted({row.checked for row in rows}))
