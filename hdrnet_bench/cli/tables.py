"""Tables and lists on the terminal, and where there is none.

In a pipe or a file a row is a line with all that there is, whatever its length. A terminal that is
too narrow for that gets what matters most, and is told of the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len

from ..cleaning import clean
from .console import out, print_json

if TYPE_CHECKING:
    from ..report import table as report_table

_GAP = "  "
_NAMES_SHARE = 0.4  # of the width, which names of a list may take beside their texts


class Column(NamedTuple):
    """priority: 1 is always shown, the others from low to high as far as there is room.
    interval: the priority of what stands in brackets behind a number, [low, high]; None: it comes
    after the columns that are as important as its own. number: to the right."""

    heading: str
    priority: float = 1
    interval: float | None = None
    number: bool = False


class LeftOut(NamedTuple):
    """The headings of columns that did not fit, and of those that stand without their intervals."""

    columns: list[str]
    intervals: list[str]


class _Part(NamedTuple):
    """What is left out as a whole: a column's cells, or the intervals in them."""

    priority: float
    column: int
    is_interval: bool
    width: int


def print_report_table(
    columns: Sequence[report_table.Column],
    rows: Sequence[Sequence[report_table.Cell]],
    wide: bool = False,
    priorities: Mapping[str, float] | None = None,
) -> LeftOut:
    """`print_table` of a table of the report. priorities: of headings that have another one here
    than on the page."""
    shown = [
        Column(
            column.heading,
            (priorities or {}).get(column.heading, column.priority),
            number=not any(isinstance(row[index].values[0], str) for row in rows),
        )
        for index, column in enumerate(columns)
    ]
    return print_table(shown, [[cell.text for cell in row] for row in rows], wide)


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], wide: bool = False
) -> LeftOut:
    """Aligned columns, never shortened or wrapped.

    On a terminal only those that fit, unless `wide`; where not even what is always shown fits, a
    line for each cell.
    """
    lines = [[clean(c, "line") for c in row] for row in ([c.heading for c in columns], *rows)]
    width = None if wide else out.terminal_width()
    if width is None:
        _print_lines(columns, lines)
        return LeftOut([], [])
    parts = _parts(columns, lines)
    fitting = _fitting(parts, width)
    if any(part.priority <= 1 for part in parts[len(fitting) :]):
        _print_cells(lines)
        return LeftOut([], [])
    shown = sorted(part.column for part in fitting if not part.is_interval)
    bare = {part.column for part in parts[len(fitting) :] if part.is_interval}
    _print_lines(
        [columns[i] for i in shown],
        [[_bare(row[i]) if i in bare else row[i] for i in shown] for row in lines],
    )
    left_out = LeftOut(
        [column.heading for i, column in enumerate(columns) if i not in shown],
        [_bare(columns[i].heading) for i in shown if i in bare],
    )
    names = [*left_out.columns]
    if left_out.intervals:
        names.append(f"intervals of {', '.join(left_out.intervals)}")
    if names:
        out.print(f"left out for {width} columns: {', '.join(names)} (--wide or --json)", hang=2)
    return left_out


def _parts(columns: Sequence[Column], lines: Sequence[Sequence[str]]) -> list[_Part]:
    """The most important first; a column always before its intervals."""
    parts = []
    for index, column in enumerate(columns):
        cells = [line[index] for line in lines]
        whole = bare = max(map(cell_len, cells))
        if column.number:
            bare = max(cell_len(_bare(cell)) for cell in cells)
        parts.append(_Part(column.priority, index, False, bare))
        if bare < whole:
            after = column.priority + 0.5 if column.interval is None else column.interval
            parts.append(_Part(after, index, True, whole - bare))
    return sorted(parts, key=lambda part: part[:3])


def _fitting(parts: Sequence[_Part], width: int) -> list[_Part]:
    """As many as fit, without skipping any: a wider terminal only ever shows more."""
    fitting: list[_Part] = []
    used = -len(_GAP)
    for part in parts:
        used += part.width + (0 if part.is_interval else len(_GAP))
        if used > width:
            break
        fitting.append(part)
    return fitting


def _print_cells(lines: Sequence[Sequence[str]]) -> None:
    headings, *rows = lines
    for number, row in enumerate(rows):
        if number:
            out.print("")
        for heading, cell in zip(headings, row, strict=True):
            out.print(f"{heading}: {cell}", hang=4)


def _bare(cell: str) -> str:
    return re.sub(r" \[[^]]*\]", "", cell)


def _print_lines(columns: Sequence[Column], lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    for number, row in enumerate(lines):
        cells = []
        for column, cell, width in zip(columns, row, widths, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if column.number else cell + space)
        line = _GAP.join(cells).rstrip()
        out.print(line, style="bold" if number == 0 else None, soft_wrap=True)


def report_groups(
    groups: Mapping[str, Sequence[Mapping[str, Any]]], name: str, text: str, as_json: bool
) -> None:
    """A heading for each group, and a line for each of its rows: what `name` and `text` are the
    keys of. As JSON one list of the rows of all groups, whole."""
    if as_json:
        print_json([row for rows in groups.values() for row in rows])
        return
    width = out.terminal_width()
    names = [clean(str(row[name]), "line") for rows in groups.values() for row in rows]
    longest = max(map(cell_len, names), default=0)
    beside = width is None or longest <= width * _NAMES_SHARE
    for number, (heading, rows) in enumerate(groups.items()):
        if number:
            out.print("")
        out.print(heading, style="bold")
        for row in rows:
            shown = clean(str(row[name]), "line")
            if beside:
                space = " " * (longest - cell_len(shown))
                out.print(f"  {shown}{space}{_GAP}{row[text]}", hang=longest + len(_GAP))
            else:
                out.print(f"  {shown}")
                out.print(f"    {row[text]}")
