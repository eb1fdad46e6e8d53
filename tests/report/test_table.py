"""One table as Markdown, CSV and LaTeX."""

import csv
import io

import pytest

from hdrnet_bench.cleaning import clean
from hdrnet_bench.report.table import (
    Cell,
    Column,
    Table,
    columns,
    csv_text,
    latex_text,
    markdown,
    number,
    plain,
)

ODD = 'a|b <script>*c* [d](http://e) & 50% "x_y" \\ #1 $2 {f} ~g^h\nsecond line'


def table(*rows: list[Cell], notes: list[str] | None = None) -> Table:
    head = [*columns("method"), Column("PSNR (dB) ↑", ("psnr", "psnr_low", "psnr_high"))]
    return Table("made-up", "Made up", head, list(rows), notes or [])


def test_markdown_keeps_odd_text_in_its_cell() -> None:
    text = markdown(table([plain(ODD), Cell("1.00", (1.0, 0.5, 1.5))], notes=[ODD]))
    lines = text.splitlines()
    assert lines[:2] == ["| method | PSNR (dB) ↑ |", "|---|---|"]
    assert lines[2].replace(r"\|", "").count("|") == 3
    assert "<script>" not in text
    assert "](http" not in text
    assert lines[2].endswith("| 1.00 |")
    assert lines[4].startswith("- a")
    assert len(lines) == 5


def test_csv_holds_unrounded_values_and_gives_odd_text_back() -> None:
    third = 1 / 3
    text = csv_text(table([plain(ODD), Cell("0.33", (third, None, 1.5))]))
    assert "\r" not in text
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["method"] == " ".join(ODD.split())
    assert float(row["psnr"]) == third
    assert (row["psnr_low"], row["psnr_high"]) == ("", "1.5")


def test_a_cell_that_does_not_fit_its_column_is_refused() -> None:
    with pytest.raises(ValueError, match="made-up"):
        csv_text(table([plain("a"), number(1.0, "{:.2f}")]))


def test_latex_escapes_and_aligns() -> None:
    text = latex_text(table([plain(ODD), Cell("1.00 [0.50, 1.50]", (1.0, 0.5, 1.5))], notes=[ODD]))
    lines = text.splitlines()
    assert lines[0] == "% Made up"
    assert lines[1].startswith("% ")
    assert lines[2] == r"% Needs \usepackage{booktabs}."
    assert lines[3] == r"\begin{tabular}{lr}"
    assert lines[5] == r"method & PSNR (dB) $\uparrow$ \\"
    body = lines[7]
    assert body.endswith(r"1.00 {[}0.50, 1.50] \\")
    for mark in "&%$#_{}":
        assert f"\\{mark}" in body
    assert body.count("&") - body.count(r"\&") == 1
    assert lines[-1] == r"\end{tabular}"


def test_latex_escapes_a_backslash_once() -> None:
    assert clean("\\_{x}", "latex") == r"\textbackslash{}\_\{x\}"


def test_latex_tells_a_minus_from_a_hyphen() -> None:
    minus = r"$-$0.12 {[}$-$1, +2], 1e-06, seed-0, l8-16, a -- b"
    assert clean("-0.12 [-1, +2], 1e-06, seed-0, l8-16, a -- b", "latex") == minus


def test_missing_values_are_a_dash_and_nothing() -> None:
    empty = number(None, "{:.2f}")
    assert (empty.text, empty.values) == ("–", (None,))
    assert clean(empty.text, "latex") == "--"
    assert clean(empty.text, "markdown") == "–"
