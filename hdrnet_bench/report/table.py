"""A table, and how it is written as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from ..cleaning import clean
from ..results import NONE

Value = float | int | str | None


class Column(NamedTuple):
    """A heading, and in `keys` the CSV columns that its cells' values go to."""

    heading: str
    keys: tuple[str, ...]


class Cell(NamedTuple):
    """The text that is shown, and the unrounded values behind it; the first is the sort key."""

    text: str
    values: tuple[Value, ...]


class Table(NamedTuple):
    """slug: its file's name. row_header: the index of the column that names a row."""

    slug: str
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str]
    row_header: int = 0


def plain(text: str | None) -> Cell:
    """A text; a dash where it is None."""
    return Cell(NONE if text is None else text, (text,))


def number(value: float | None, pattern: str) -> Cell:
    """A value written as `pattern` says, as in "{:.2f}"; a dash where it is None."""
    return Cell(NONE if value is None else pattern.format(value), (value,))


def columns(*names: str) -> list[Column]:
    """One column a name: "heading=key", or a heading that is its own key."""
    pairs = [name.partition("=") for name in names]
    return [Column(heading, (key or heading.replace(" ", "_"),)) for heading, _, key in pairs]


def markdown(table: Table) -> str:
    """The table and its notes, without its title."""
    text = markdown_rows(
        [column.heading for column in table.columns],
        [[cell.text for cell in row] for row in table.rows],
    )
    notes = "\n".join(f"- {clean(note, 'markdown')}" for note in table.notes)
    return f"{text}\n\n{notes}" if notes else text


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(clean(cell, 'markdown') for cell in cells)} |"

    return "\n".join([line(header), f"|{'---|' * len(header)}", *map(line, rows)])


def csv_text(table: Table) -> str:
    """The values, unrounded; empty where there is none."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(key for column in table.columns for key in column.keys)
    for row in table.rows:
        for column, cell in zip(table.columns, row, strict=True):
            if len(column.keys) != len(cell.values):
                raise ValueError(f"{table.slug}: {cell} does not fit {column}")
        writer.writerow(_csv_value(value) for cell in row for value in cell.values)
    return stream.getvalue()


def _csv_value(value: Value) -> float | int | str:
    if isinstance(value, str):
        return clean(value, "csv")
    return "" if value is None else value


def latex_text(table: Table) -> str:
    """A tabular for the package booktabs; numbers to the right, the notes as comments."""
    alignment = "".join("l" if _is_text(table, i) else "r" for i in range(len(table.columns)))

    def line(cells: Sequence[str]) -> str:
        return " & ".join(clean(cell, "latex") for cell in cells) + r" \\"

    # A comment ends with its line, and nothing in it needs an escape.
    comments = [" ".join(clean(n, "terminal").split()) for n in (table.title, *table.notes)]
    lines = [
        *(f"% {comment}" for comment in comments),
        r"% Needs \usepackage{booktabs}.",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        line([column.heading for column in table.columns]),
        r"\midrule",
        *(line([cell.text for cell in row]) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _is_text(table: Table, index: int) -> bool:
    return any(isinstance(row[index].values[0], str) for row in table.rows)


def render(table: Table) -> dict[str, bytes]:
    """The table's files, <slug>.csv and <slug>.tex."""
    texts = {"csv": csv_text(table), "tex": latex_text(table)}
    return {f"{table.slug}.{kind}": text.encode() for kind, text in texts.items()}
