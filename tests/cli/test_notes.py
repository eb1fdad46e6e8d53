import io

import pytest
from rich.console import Console

from hdrnet_bench.cli import notes


def test_notes_are_counted_by_kind_and_a_line_has_six() -> None:
    listed = [f"kind {i}: of one picture" for i in range(8) for _ in range(8 - i)]
    counts = notes.note_counts([*listed, "kind 3"])
    assert counts == {f"kind {i}": 8 - i + (i == 3) for i in range(8)}
    assert list(counts)[:4] == ["kind 0", "kind 1", "kind 2", "kind 3"]


@pytest.mark.parametrize(("kinds", "ends"), [(6, "kind 5"), (7, "and 1 more kind"),
                                             (9, "and 3 more kinds")])  # fmt: skip
def test_a_line_of_notes(monkeypatch: pytest.MonkeyPatch, kinds: int, ends: str) -> None:
    written = io.StringIO()
    monkeypatch.setattr(notes, "err", Console(file=written, soft_wrap=True))
    notes.print_notes({f"kind {i}": 2 for i in range(kinds)}, "where they are")
    line = written.getvalue()
    assert line.startswith("notes: 2 x kind 0, 2 x kind 1, ")
    assert line.endswith(f"{ends}; where they are\n")
    notes.print_notes({}, "where they are")
    assert written.getvalue() == line


def test_rejections_in_words() -> None:
    rejections = [{"stage": "kind", "reason": f"a: b.x{i}: .x{i} is not read"} for i in range(8)]
    rejections += [{"stage": "size", "reason": "input 1x1, target 2x2"}] * 9
    assert notes.rejection_counts(rejections) == {"size": 9, "kind": 8}
    assert notes.rejections_text(rejections) == (
        "size 9; kind 8: 1 .x0, 1 .x1, 1 .x2, 1 .x3, 1 .x4, 1 .x5, 2 more suffixes"
    )
    assert notes.rejections_text([]) == ""
