"""A table, and how it is written as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..files import write_text
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
    notes = "\n".join(f"- {escape_markdown(note)}" for note in table.notes)
    return f"{text}\n\n{notes}" if notes else text


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(map(escape_markdown, header))} |", f"|{'---|' * len(header)}"]
    return "\n".join(
        lines + [f"| {' | '.join(escape_markdown(cell) for cell in row)} |" for row in rows]
    )


def escape_markdown(text: str) -> str:
    """Text without anything that Markdown takes for HTML, emphasis, a link or another cell. Code
    between backticks stays code."""
    text = html.escape(" ".join(text.split()), quote=False)
    for mark, replacement in (("|", r"\|"), ("*", r"\*"), ("](", r"]\(")):
        text = text.replace(mark, replacement)
    return text


def csv_text(table: Table) -> str:
    """The values, unrounded; empty where there is none."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(key for column in table.columns for key in column.keys)
    for row in table.rows:
        for column, cell in zip(table.columns, row, strict=True):
            if len(column.keys) != len(cell.values):
                raise ValueError(f"{table.slug}: {cell} does not fit {column}")
        writer.writerow("" if v is None else v for cell in row for v in cell.values)
    return stream.getvalue()


_LATEX = {
    "\\": r"\textbackslash{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "Δ": r"$\Delta$",
    "±": r"$\pm$",
    "×": r"$\times$",
    NONE: "--",
    "[": "{[}",  # after the \\ of the row before it would begin that one's optional argument
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escape_latex(text: str) -> str:
    text = "".join(_LATEX.get(mark, mark) for mark in " ".join(text.split()))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", text)  # a minus, not a hyphen


def latex_text(table: Table) -> str:
    """A tabular for the package booktabs; numbers to the right, the notes as comments."""
    alignment = "".join("l" if _is_text(table, i) else "r" for i in range(len(table.columns)))

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(escape_latex, cells)) + r" \\"

    comments = [" ".join(note.split()) for note in (table.title, *table.notes)]
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


def table_files(folder: Path, table: Table) -> list[Path]:
    return [folder / f"{table.slug}.{kind}" for kind in ("csv", "tex")]


def write(folder: Path, table: Table) -> None:
    for path, text in zip(
        table_files(folder, table), (csv_text(table), latex_text(table)), strict=True
    ):
        write_text(path, text)
