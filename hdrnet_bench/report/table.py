"""A table, and how it is written as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from ..cleaning import clean
from ..results import NONE

Value = float | int | str | None


class Column(NamedTuple):
    """A heading, and in `keys` the CSV columns that its cells' values go to.

    better: 1 where a higher value is better, -1 where a lower one is, 0 where it has no direction.
    Rows of different data or sizes are not to be compared for all that.
    priority: 1 is always shown, on a phone too; 2 from a width of 1280 pixels on; 3 only where a
    reader asks for it.
    """

    heading: str
    keys: tuple[str, ...]
    better: int = 0
    priority: int = 1


class Cell(NamedTuple):
    """The text that is shown, and the unrounded values behind it; the first is the sort key."""

    text: str
    values: tuple[Value, ...]


class Narrow(NamedTuple):
    """What of a table fits a column of a two-column paper: texts without intervals, the first of a
    row its name. best: of which columns a row has the best value; rules: before which rows a line
    is drawn; note: what the texts are."""

    headings: list[str]
    rows: list[list[str]]
    best: list[set[int]]
    rules: set[int]
    note: str


class Table(NamedTuple):
    """slug: its file's name. row_header: the index of the column that names a row. narrow: for
    papers, where there is such."""

    slug: str
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str]
    row_header: int = 0
    narrow: Narrow | None = None


def plain(text: str | None) -> Cell:
    """A text; a dash where it is None."""
    return Cell(NONE if text is None else text, (text,))


def number(value: float | None, pattern: str) -> Cell:
    """A value written as `pattern` says, as in "{:.2f}"; a dash where it is None."""
    return Cell(NONE if value is None else pattern.format(value), (value,))


def columns(*names: str, better: int = 0, priority: int = 1) -> list[Column]:
    """One column a name: "heading=key", or a heading that is its own key; all of one direction and
    priority."""
    pairs = [name.partition("=") for name in names]
    return [
        Column(heading, (key or heading.replace(" ", "_"),), better, priority)
        for heading, _, key in pairs
    ]


def markdown(table: Table) -> str:
    """The table and its notes, without its title."""
    text = markdown_rows(
        [column.heading for column in table.columns],
        [[cell.text for cell in row] for row in table.rows],
    )
    notes = "\n".join(f"- {clean(note, 'markdown')}" for note in table.notes)
    return f"{text}\n\n{notes}" if notes else text


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    head, *body = ([clean(text, "markdown") for text in row] for row in (header, *rows))
    return markdown_table(head, body)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are Markdown already."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

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
    lines = [
        *_comments(table.title, *table.notes),
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_line([clean(column.heading, "latex") for column in table.columns]),
        r"\midrule",
        *(_latex_line([clean(cell.text, "latex") for cell in row]) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def narrow_latex_text(title: str, narrow: Narrow) -> str:
    """A tabular for the package booktabs that fits 8.4 cm at 8 points (\\footnotesize of a paper at
    10): of names longer than `NAME` characters the middle is left out, and they stand in full in
    comments. The best in bold."""

    def line(row: Sequence[str], best: set[int]) -> str:
        cells = [clean(cell, "latex") for cell in row]
        return _latex_line([rf"\textbf{{{c}}}" if i in best else c for i, c in enumerate(cells)])

    names = [" ".join(clean(row[0], "terminal").split()) for row in narrow.rows]
    shown = _distinct(names)
    body = []
    for number, (name, row, best) in enumerate(zip(shown, narrow.rows, narrow.best, strict=True)):
        body += [r"\midrule"] if number in narrow.rules else []
        body.append(line([name, *row[1:]], best))
    changed = [f"{a}: {b}" for a, b in zip(shown, names, strict=True) if a != b]
    lines = [
        *_comments(title, narrow.note, *changed),
        r"{\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * (len(narrow.headings) - 1)}@{{}}}}",
        r"\toprule",
        line(narrow.headings, set()),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
    ]
    return "\n".join(lines) + "\n"


NAME = 24


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of at most `NAME` characters, numbered where they would be alike."""
    short = [_short(name, NAME) for name in names]
    taken, distinct = set(short), []
    for name, shown in zip(names, short, strict=True):
        if short.count(shown) > 1:
            endings = (f" {number}" for number in itertools.count(1))
            numbered = (_short(name, NAME - len(ending)) + ending for ending in endings)
            shown = next(one for one in numbered if one not in taken)
            taken.add(shown)
        distinct.append(shown)
    return distinct


def _short(name: str, most: int) -> str:
    """The beginning and the end, which tell most names apart."""
    if len(name) <= most:
        return name
    end = (most - 3) // 2
    return f"{name[: most - 3 - end]}...{name[-end:]}"


def _comments(*texts: str) -> list[str]:
    # A comment ends with its line, and nothing in it needs an escape.
    lines = [" ".join(clean(text, "terminal").split()) for text in texts]
    return [*(f"% {line}" for line in lines), r"% Needs \usepackage{booktabs}."]


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _is_text(table: Table, index: int) -> bool:
    return any(isinstance(row[index].values[0], str) for row in table.rows)


def render(table: Table) -> dict[str, bytes]:
    """The table's files, <slug>.csv, <slug>.tex and, of one for papers, <slug>-column.tex."""
    texts = {".csv": csv_text(table), ".tex": latex_text(table)}
    if table.narrow:
        texts["-column.tex"] = narrow_latex_text(table.title, table.narrow)
    return {table.slug + ending: text.encode() for ending, text in texts.items()}
