"""Tables and lists on the terminal."""

from __future__ import annotations

from typing import Any

from ..cleaning import clean
from .console import out, print_json


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Aligned columns, never shortened or wrapped, whatever the terminal's width."""
    lines = [[clean(cell, "line") for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, row in enumerate(lines):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print(line.rstrip(), style="bold" if number == 0 else None)


def report_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A line for each row: its first values, then, indented, the last one."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        *first, last = row.values()
        out.print("  ".join(str(value) for value in first), style="bold")
        out.print(f"    {last}")
