import io
import json
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hdrnet_bench.cli import tables
from hdrnet_bench.cli.console import CleanConsole
from hdrnet_bench.cli.tables import Column, LeftOut
from tests.cli.terminal import console, shown_on_a_terminal
from tests.conftest import ROOT

# A cell is a narrow or wide character, one with a mark on it, or a picture of several codes.
LETTERS = ["a", "é", "e\u0301", "日", "本", "ﾊ", "👩‍👩‍👧", "❤\ufe0f", "1", "|", "…"]
WORD = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=9).map("".join)
NUMBER = st.floats(-1e4, 1e4).map("{:.2f}".format)
INTERVAL = st.tuples(NUMBER, NUMBER, NUMBER).map("{0[0]} [{0[1]}, {0[2]}]".format)
TEXTS = st.lists(WORD, min_size=1, max_size=3).map(" ".join)


@st.composite
def a_table(draw: st.DrawFn) -> tuple[list[Column], list[list[str]]]:
    columns, cells = [], []
    height = draw(st.integers(1, 4))
    for index in range(draw(st.integers(1, 7))):
        number = draw(st.booleans())
        interval = draw(st.sampled_from([None, 2, 3]))
        priority = draw(st.sampled_from([1, 1.5, 2, 3]))
        heading = f"{draw(WORD)}{index}"
        columns.append(Column(heading, priority, interval, number=number))
        kind = st.one_of(NUMBER, INTERVAL, st.just("–")) if number else TEXTS
        cells.append(draw(st.lists(kind, min_size=height, max_size=height)))
    return columns, [list(row) for row in zip(*cells, strict=True)]


def printed(
    columns: list[Column],
    rows: list[list[str]],
    width: int,
    wide: bool = False,
    terminal: bool = True,
) -> tuple[LeftOut, list[str]]:
    shown, written = console(width, terminal)
    with mock.patch.object(tables, "out", shown):
        left_out = tables.print_table(columns, rows, wide)
    return left_out, written.getvalue().splitlines()


def without_interval(cell: str) -> str:
    return cell.split(" [")[0]


def needed_width(columns: list[Column], rows: list[list[str]]) -> int:
    """Of the columns that are always shown, without intervals."""
    widths = [
        max(cell_len(without_interval(cell)) for cell in (column.heading, *cells))
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True)
        if column.priority <= 1
    ]
    return sum(widths) + 2 * (len(widths) - 1)


def assert_in_order(line: str, cells: list[str]) -> None:
    """Whole, and set apart by spaces."""
    at = 0
    for cell in cells:
        found = f"  {line}  ".find(f"  {cell}  ", at)
        if found < 0:  # a cell that is aligned to the right begins after one space at least
            found = f"  {line}  ".find(f" {cell} ", at)
        assert found >= 0, (line, cells)
        at = found + len(cell)


@given(a_table(), st.integers(1, 160))
def test_no_line_is_longer_than_the_terminal_and_no_cell_is_cut(
    table: tuple[list[Column], list[list[str]]], width: int
) -> None:
    columns, rows = table
    left_out, lines = printed(columns, rows, width)
    if width < needed_width(columns, rows):
        assert left_out == LeftOut([], []), "a line for each cell"
        text = " ".join(" ".join(lines).split())
        for row in rows:
            for column, cell in zip(columns, row, strict=True):
                assert f"{column.heading}: {cell}" in text
        return
    assert all(cell_len(line) <= width for line in lines[: len(rows) + 1])
    for row, line in zip([[c.heading for c in columns], *rows], lines, strict=False):
        cells = [
            without_interval(cell) if column.heading in left_out.intervals else cell
            for column, cell in zip(columns, row, strict=True)
            if column.heading not in left_out.columns
        ]
        assert_in_order(line, cells)
    assert not any(c.priority <= 1 for c in columns if c.heading in left_out.columns)
    said = " ".join(" ".join(lines[len(rows) + 1 :]).split())
    if left_out == LeftOut([], []):
        assert not said
    else:
        assert said.startswith(f"left out for {width} columns: ")
        assert said.endswith("(--wide or --json)")
    for heading in left_out.columns + left_out.intervals:
        assert heading in said


@given(a_table(), st.integers(1, 160))
def test_a_wider_terminal_shows_no_less(
    table: tuple[list[Column], list[list[str]]], width: int
) -> None:
    if width < needed_width(*table):
        return
    narrow, wider = (printed(*table, w)[0] for w in (width, width + 1))
    assert set(wider.columns) <= set(narrow.columns)
    assert set(wider.intervals) <= set(narrow.intervals) | set(narrow.columns)


@given(a_table(), st.integers(1, 160), st.booleans())
def test_a_pipe_and_wide_get_everything(
    table: tuple[list[Column], list[list[str]]], width: int, terminal: bool
) -> None:
    columns, rows = table
    left_out, lines = printed(columns, rows, width, wide=terminal, terminal=terminal)
    assert left_out == LeftOut([], [])
    assert len(lines) == len(rows) + 1
    for row, line in zip([[c.heading for c in columns], *rows], lines, strict=True):
        assert_in_order(line, row)


def test_columns_go_one_by_one_intervals_between_them() -> None:
    columns = [
        Column("name"),
        Column("cost", 3, number=True),
        Column("PSNR", number=True),
        Column("SSIM", 2, 2, number=True),
    ]
    rows = [["a", "1,234", "30.25 [29.5, 31.0]", "0.91 [0.89, 0.93]"], ["日本", "–", "9.50", "–"]]
    everything = [
        "name   cost                PSNR               SSIM",
        "a     1,234  30.25 [29.5, 31.0]  0.91 [0.89, 0.93]",
        "日本      –                9.50                  –",
    ]
    assert printed(columns, rows, 50) == (LeftOut([], []), everything)
    left_out, lines = printed(columns, rows, 49)
    assert left_out == LeftOut(["cost"], [])
    assert lines == [
        "name                PSNR               SSIM",
        "a     30.25 [29.5, 31.0]  0.91 [0.89, 0.93]",
        "日本                9.50                  –",
        "left out for 49 columns: cost (--wide or --json)",
    ]
    assert printed(columns, rows, 43)[0] == LeftOut(["cost"], [])
    assert printed(columns, rows, 42)[0] == LeftOut(["cost"], ["SSIM"])
    assert printed(columns, rows, 30)[0] == LeftOut(["cost"], ["SSIM"])
    assert printed(columns, rows, 29)[0] == LeftOut(["cost", "SSIM"], [])
    assert printed(columns, rows, 24)[0] == LeftOut(["cost", "SSIM"], [])
    assert printed(columns, rows, 23)[0] == LeftOut(["cost", "SSIM"], ["PSNR"])
    left_out, lines = printed(columns, rows, 11)
    assert (left_out.columns, lines[:3]) == (
        ["cost", "SSIM"],
        ["name   PSNR", "a     30.25", "日本   9.50"],
    )
    assert printed(columns, rows, 10)[1] == [
        *("name: a", "cost:", "    1,234", "PSNR:", "    30.25", "    [29.5,", "    31.0]"),
        *("SSIM: 0.91", "    [0.89,", "    0.93]", ""),
        *("name: 日本", "cost: –", "PSNR: 9.50", "SSIM: –"),
    ]


@pytest.mark.fault("names and texts")
def test_no_name_leaves_its_cell() -> None:
    """A line end in a name would begin a row of its own, and a name's brackets are no interval."""
    columns = [Column("method"), Column("PSNR", number=True)]
    for width in (60, 26):
        lines = printed(columns, [["a\n[x]\x1b[2J [b]", "1.00 [0.5, 1.5]"]], width)[1]
        assert lines[1].startswith("a\\x0a[x]\\x1b[2J [b]  1.00"), lines
    lines = printed(columns, [["a\n[x]\x1b[2J [b]", "1.00 [0.5, 1.5]"]], 24)[1]
    assert lines == ["method: a\\x0a[x]\\x1b[2J", "    [b]", "PSNR: 1.00 [0.5, 1.5]"]


ROWS = [
    {"recipe": "short", "model": "m", "summary": "one two three four five six"},
    {"recipe": "日本語", "model": "m", "summary": "seven `eight nine ten eleven`"},
]


@pytest.mark.parametrize(
    ("width", "terminal", "expected"),
    [
        (
            24,
            True,
            [
                *("Group", "  short   one two three", "          four five six", "", "Other"),
                *("  日本語  seven", "          `eight nine ten eleven`"),
            ],
        ),
        (
            14,
            True,
            [
                *("Group", "  short", "    one two", "    three four", "    five six", ""),
                *("Other", "  日本語", "    seven", "    `eight nine ten eleven`"),
            ],
        ),
        (
            14,
            False,
            [
                *("Group", "  short   one two three four five six", "", "Other"),
                "  日本語  seven `eight nine ten eleven`",
            ],
        ),
    ],
)
def test_lists_break_at_words_on_a_terminal_alone(
    width: int, terminal: bool, expected: list[str]
) -> None:
    shown, written = console(width, terminal)
    with mock.patch.object(tables, "out", shown):
        groups = {"Group": ROWS[:1], "Other": ROWS[1:]}
        tables.report_groups(groups, "recipe", "summary", as_json=False)
    assert written.getvalue().splitlines() == expected


def test_a_list_is_one_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    tables.report_groups({"a": ROWS[:1], "b": ROWS[1:]}, "recipe", "summary", as_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS


@pytest.mark.parametrize(("width", "environment"), [(80, {}), (140, {"COLUMNS": "80"})])
def test_compare_on_a_real_terminal(
    tmp_path: Path, width: int, environment: dict[str, str]
) -> None:
    command = ("compare", "demo-retouch/seed-0", "identity")
    environment |= {"HDRBENCH_RESULTS": str(ROOT / "results")}
    code, lines = shown_on_a_terminal(width, tmp_path, *command, env=environment)
    assert code == 0, lines
    assert max(map(cell_len, lines)) <= 80
    (head,) = [line for line in lines if line.startswith("metric ")]
    assert head.split() == ["metric", "n", "A", "B", "A", "-", "B", "[95", "%]", "verdict"]
    said = " ".join(line.strip() for line in lines)
    assert "left out for 80 columns: A wins, p, intervals of A, B (--wide or --json)" in said


def test_wide_on_a_real_terminal_is_as_in_a_pipe(tmp_path: Path) -> None:
    command = ("compare", "demo-retouch/seed-0", "identity", "--metric", "psnr")
    environment = {"HDRBENCH_RESULTS": str(ROOT / "results")}
    code, wide = shown_on_a_terminal(80, tmp_path, *command, "--wide", env=environment)
    assert code == 0, wide
    (head,) = [line for line in wide if line.startswith("metric ")]
    for heading in ("n", "A [95 %]", "B [95 %]", "A - B [95 %]", "A wins", "p", "verdict"):
        assert f" {heading}" in head
    assert not any("left out" in line for line in wide)


def test_forced_colours_make_no_terminal() -> None:
    """FORCE_COLOR is set in many a CI, whose logs are files."""
    written = io.StringIO()
    shown = CleanConsole(file=written, width=30, color_system=None, force_terminal=True)
    assert shown.is_terminal
    with mock.patch.object(tables, "out", shown):
        tables.print_table([Column("a"), Column("b", 2)], [["x" * 30, "y"]])
    assert written.getvalue().splitlines()[1] == "x" * 30 + "  y"
