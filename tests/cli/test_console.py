import io
import time

import pytest
from rich.console import Console

from hdrnet_bench.cli import console


def test_a_transfer_shows_pictures_bytes_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=written, force_terminal=True, width=120))
    with console.transfer_progress("fivek", 3) as transfer:
        for _ in range(2):
            time.sleep(0.01)
            transfer.received(1_500_000)
            transfer.picture()
    last = [line for line in written.getvalue().splitlines() if "fivek" in line][-1]
    for part in ("2/3", "3.0 MB", " MB/s"):
        assert part in last


def test_notes_are_counted_by_kind_and_a_line_has_six() -> None:
    notes = [f"kind {i}: of one picture" for i in range(8) for _ in range(8 - i)]
    counts = console.note_counts([*notes, "kind 3"])
    assert counts == {f"kind {i}": 8 - i + (i == 3) for i in range(8)}
    assert list(counts)[:4] == ["kind 0", "kind 1", "kind 2", "kind 3"]


@pytest.mark.parametrize(("kinds", "ends"), [(6, "kind 5"), (7, "and 1 more kind"),
                                             (9, "and 3 more kinds")])  # fmt: skip
def test_a_line_of_notes(monkeypatch: pytest.MonkeyPatch, kinds: int, ends: str) -> None:
    written = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=written, soft_wrap=True))
    console.print_notes({f"kind {i}": 2 for i in range(kinds)}, "where they are")
    line = written.getvalue()
    assert line.startswith("notes: 2 x kind 0, 2 x kind 1, ")
    assert line.endswith(f"{ends}; where they are\n")
    console.print_notes({}, "where they are")
    assert written.getvalue() == line


def test_rejections_in_words() -> None:
    rejections = [{"stage": "kind", "reason": f"a: b.x{i}: .x{i} is not read"} for i in range(8)]
    rejections += [{"stage": "size", "reason": "input 1x1, target 2x2"}] * 9
    assert console.rejection_counts(rejections) == {"size": 9, "kind": 8}
    assert console.rejections_text(rejections) == (
        "size 9; kind 8: 1 .x0, 1 .x1, 1 .x2, 1 .x3, 1 .x4, 1 .x5, 2 more suffixes"
    )
    assert console.rejections_text([]) == ""


@pytest.mark.fault("names and texts")
def test_no_name_begins_a_line_of_its_own() -> None:
    written = io.StringIO()
    shown = console.CleanConsole(file=written, soft_wrap=True, markup=False)
    shown.print("a\nhdrbench: all fine.png", "b\tc")
    shown.print_text("name: a\nsummary: \x1b[2Jb\n")
    assert written.getvalue() == (
        "a\\x0ahdrbench: all fine.png b\\x09c\nname: a\nsummary: \\x1b[2Jb\n"
    )
