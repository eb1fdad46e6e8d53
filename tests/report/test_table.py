"""One table as Markdown, CSV and LaTeX."""

import csv
import io
import re
from pathlib import Path

import matplotlib
import pytest
from matplotlib.ft2font import FT2Font

from hdrnet_bench.cleaning import clean
from hdrnet_bench.report import contents
from hdrnet_bench.report.table import (
    NAME,
    Cell,
    Column,
    Narrow,
    Table,
    columns,
    csv_text,
    latex_text,
    markdown,
    narrow_latex_text,
    number,
    plain,
    render,
)
from tests.conftest import ROOT
from tests.report.fixtures import made_up

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


def narrow(*rows: list[str], best: list[set[int]] | None = None) -> Narrow:
    head = ["method", "PSNR (dB) ↑", "SSIM ↑", "LPIPS ↓"]
    return Narrow(head, list(rows), best or [set() for _ in rows], {1}, "A note")


def well_formed(text: str) -> list[str]:
    """The lines of a tabular's body; fails where LaTeX would."""
    code = [line for line in text.splitlines() if not line.startswith("%")]
    joined = re.sub(r"\\\\|\\[&%$#_{}]", "", "\n".join(code))
    depth = 0
    for mark in joined:
        depth += {"{": 1, "}": -1}.get(mark, 0)
        assert depth >= 0
    assert depth == 0
    assert joined.count("$") % 2 == 0
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [("begin", "tabular"), ("end", "tabular")]
    (alignment,) = re.findall(r"\\begin\{tabular\}\{(?:@\{\})?(\w+)", text)
    body = [line for line in code if line.endswith(r" \\")]
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == len(alignment) - 1, line
    assert not re.search(r"(?<!\\)[#^~]", joined)
    return body


POINT = 72.27 / 2.54  # a centimetre has so many of TeX's points


# In cmr10, what is as wide as these of the symbol fonts, or wider.
SYMBOLS = {r"$\uparrow$": "0", r"$\downarrow$": "0"} | dict.fromkeys(
    (r"$\Delta$", r"$\times$", "$-$"), "m"
)


def width_cm(body: list[str]) -> float:
    """Of a narrow table's lines, set in Computer Modern of 8 points."""
    font = FT2Font(f"{matplotlib.get_data_path()}/fonts/ttf/cmr10.ttf")
    font.set_size(8, 72)

    def width(cell: str) -> float:
        bold = r"\textbf{" in cell
        text = cell.removesuffix(r"\\").strip().replace(r"\textbf{", "")
        plain_text = re.sub(r"\\text\w+\{?", "m", text)
        for symbol, as_wide in SYMBOLS.items():
            plain_text = plain_text.replace(symbol, as_wide)
        font.set_text(re.sub(r"[{}\\$]", "", plain_text))
        return font.get_width_height()[0] / 64 * (1.17 if bold else 1)

    cells = [re.split(r"(?<!\\)&", line) for line in body]
    gaps = 2 * 4 * (len(cells[0]) - 1)  # \tabcolsep on both sides, none outside
    return (sum(max(map(width, column)) for column in zip(*cells, strict=True)) + gaps) / POINT


def test_a_narrow_table_is_well_formed_and_fits_a_column() -> None:
    row = ["m" * NAME, "-29.36", "0.9553", "0.1234"]
    text = narrow_latex_text("Made up", narrow(row, row, best=[set(), {1, 3}]))
    body = well_formed(text)
    assert r"\textbf{$-$29.36} & 0.9553 & \textbf{0.1234} \\" in body[2]
    assert r"\textbf" not in body[1]
    assert r"{\footnotesize\setlength{\tabcolsep}{4pt}" in text
    assert text.startswith("% Made up\n% A note\n")
    lines = text.splitlines()
    assert lines.index(r"\midrule", lines.index(r"\midrule") + 1) == lines.index(body[1]) + 1
    usual = narrow(["hdrnet-pointwise, seed-0", *row[1:]], best=[{1, 2, 3}])
    assert 7 < width_cm(well_formed(narrow_latex_text("Made up", usual))) <= 8.4
    assert width_cm(["a & b", f"{'m' * 60} & b"]) > 10


def test_the_projects_own_narrow_tables_fit_a_column() -> None:
    tables = [t for t in contents.read(ROOT / "results").tables if t.narrow]
    assert len(tables) > 3
    for one in tables:
        body = well_formed(narrow_latex_text(one.title, one.narrow))
        assert width_cm(body) <= 8.4, one.slug


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("m" * NAME, "m" * NAME),
        ("a" + "m" * (NAME - 1) + "z", "a" + "m" * 10 + "..." + "m" * 9 + "z"),
        ("first " * 9 + "last one", "first first...t last one"),
    ],
)
def test_long_names_keep_their_beginning_and_end(name: str, shown: str) -> None:
    body = well_formed(narrow_latex_text("Made up", narrow([name, "1", "2", "3"])))
    assert body[1].split(" & ")[0] == shown


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a", "b"], ["a", "b"]),
        (
            ["hdrnet-curves, look-one-final-version", "hdrnet-curves, look-two-final-version"],
            ["hdrnet-cur...l-version 1", "hdrnet-cur...l-version 2"],
        ),
        (
            ["the theirs of look-1, final version", "b", "the theirs of look-2, final version"],
            ["the theirs...l version 1", "b", "the theirs...l version 2"],
        ),
        (["a", "a 1", "a"], ["a 2", "a 1", "a 3"]),
        (["m" * 24, "m" * 25], ["m" * 24, "m" * 11 + "..." + "m" * 10]),
    ],
)
def test_no_two_rows_have_one_name_and_comments_say_all_of_it(
    names: list[str], shown: list[str]
) -> None:
    text = narrow_latex_text("Made up", narrow(*([name, "1", "2", "3"] for name in names)))
    assert [line.split(" & ")[0] for line in well_formed(text)[1:]] == shown
    comments = [line for line in text.splitlines() if line.startswith("%")]
    changed = [f"% {a}: {b}" for a, b in zip(shown, names, strict=True) if a != b]
    assert comments == ["% Made up", "% A note", *changed, r"% Needs \usepackage{booktabs}."]


def test_many_names_that_are_shortened_alike_fit_and_differ() -> None:
    names = [f"hdrnet-curves, recipe-{i:03}-of-a-long-name" for i in range(120)]
    text = narrow_latex_text("Made up", narrow(*([name, "1", "2", "3"] for name in names)))
    shown = [line.split(" & ")[0] for line in well_formed(text)[1:]]
    assert len(set(shown)) == len(names)
    assert max(map(len, shown)) == NAME


def test_oracles_alone_have_no_line_above_them(tmp_path: Path) -> None:
    """It would be the second below the head."""

    def rules() -> list[int]:
        (one,) = [table.narrow for table in contents.read(tmp_path).tables if table.narrow]
        lines = narrow_latex_text("Made up", one).splitlines()
        return [number for number, line in enumerate(lines) if line == r"\midrule"]

    for gain, method in ((6, "oracle-affine"), (9, "oracle-grid-16x16x8-luma")):
        made_up.evaluation(tmp_path, method, "baseline", gain=gain, seed=None, pictures=False)
    (head,) = rules()
    made_up.evaluation(tmp_path, pictures=False)
    assert rules() == [head, head + 2]


def test_a_narrow_table_keeps_odd_text_in_its_cell() -> None:
    text = narrow_latex_text(ODD, narrow([ODD, "1", "2", "3"], ["\\" * 30, "1", "2", "3"]))
    assert len(well_formed(text)) == 3


def test_a_narrow_table_is_a_file_of_its_own() -> None:
    one = table([plain("a"), Cell("1.00", (1.0, 0.5, 1.5))])
    assert sorted(render(one)) == ["made-up.csv", "made-up.tex"]
    both = render(one._replace(narrow=narrow(["a", "1.00", "2", "3"])))
    assert sorted(both) == ["made-up-column.tex", "made-up.csv", "made-up.tex"]
    assert both["made-up-column.tex"].decode() == narrow_latex_text(
        "Made up", narrow(["a", "1.00", "2", "3"])
    )
    well_formed(both["made-up.tex"].decode())


def test_columns_share_what_is_said_of_them() -> None:
    first, second = columns("ms=median_ms", "of a copy", better=-1, priority=2)
    assert first == Column("ms", ("median_ms",), -1, 2)
    assert second == Column("of a copy", ("of_a_copy",), -1, 2)
    assert columns("method") == [Column("method", ("method",), 0, 1)]


def test_missing_values_are_a_dash_and_nothing() -> None:
    empty = number(None, "{:.2f}")
    assert (empty.text, empty.values) == ("–", (None,))
    assert clean(empty.text, "latex") == "--"
    assert clean(empty.text, "markdown") == "–"
