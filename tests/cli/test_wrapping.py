import itertools
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hdrnet_bench.cli import console as console_module
from hdrnet_bench.cli.wrapping import wrapped
from tests.cli.terminal import console, shown_on_a_terminal

WORDS = st.sampled_from(
    ["a", "word", "日本語", "e\u0301", "👩‍👩‍👧", "path/to/some/file.png", "it`s"]
)
COMMANDS = st.sampled_from(["`hdrbench train demo`", "(`make x  y`),", "`日本 語`."])


@given(st.lists(WORDS | COMMANDS, max_size=12), st.integers(1, 60), st.integers(0, 9))
def test_lines_fit_and_hold_every_word_once(pieces: list[str], width: int, hang: int) -> None:
    text = " ".join(pieces)
    lines = wrapped(text, width, hang)
    assert " ".join(line.strip() for line in lines) == text.strip()
    assert not lines[0].startswith(" ")
    for line in lines[1:]:
        assert len(line) - len(line.lstrip()) == min(hang, width // 2)
    for line in lines:
        assert cell_len(line) <= width or not _has_a_break(line.strip())
    for line, after in itertools.pairwise(lines):
        first = wrapped(after.strip(), 1)[0]
        assert cell_len(f"{line} {first}") > width, "broken no earlier than it must be"


def _has_a_break(line: str) -> bool:
    return len(wrapped(line, 1)) > 1


@given(st.lists(st.sampled_from(["a", "word"]), max_size=5), COMMANDS, st.integers(1, 40))
def test_a_command_is_never_broken(before: list[str], command: str, width: int) -> None:
    assert command in "\n".join(wrapped(" ".join([*before, command, "and on"]), width))


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 5, [""]),
        ("abc de", 6, ["abc de"]),
        ("abc de", 5, ["abc", "  de"]),
        ("日本 語", 7, ["日本 語"]),
        ("日本 語", 6, ["日本", "  語"]),
        ("  abc  d", 8, ["  abc  d"]),
        ("  abc  d", 7, ["  abc", "   d"]),
        ("longer than that", 4, ["longer", "  than", "  that"]),
        ("a `b c", 4, ["a `b", "  c"]),
        ("it`s a`b c", 7, ["it`s", "  a`b c"]),
    ],
)
def test_both_sides_of_the_width(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width, 2) == lines


TEXT = "there is no recipe x: `hdrbench recipes` lists those that are there"


def test_texts_are_broken_on_a_terminal_alone() -> None:
    for terminal, expected in (
        (True, "there is no recipe x:\n`hdrbench recipes`\nlists those that are\nthere\n"),
        (False, f"{TEXT}\n"),
    ):
        shown, written = console(21, terminal)
        shown.print(TEXT, style="bold red")
        assert written.getvalue() == expected
        shown.print(TEXT, soft_wrap=True)
        assert written.getvalue() == f"{expected}{TEXT}\n", "left to the terminal"


def test_values_hang_below_their_names() -> None:
    shown, written = console(16)
    with mock.patch.object(console_module, "out", shown):
        console_module.report_values({"written": ["one.png", "two.png"], "done": True}, False)
    assert written.getvalue() == "written:\n    one.png,\n    two.png\ndone: yes\n"


def test_a_name_is_shown_as_it_is() -> None:
    for shown in (console_module.out, console_module.err):
        with shown.capture() as captured:
            shown.print(":cat: [red]x.png")
        assert captured.get() == ":cat: [red]x.png\n"


def test_an_error_on_a_real_terminal(tmp_path: Path) -> None:
    name = "no-such-run"
    code, lines = shown_on_a_terminal(40, tmp_path, "compare", name, "identity")
    assert code in (2, 3), lines
    assert len(lines) > 1
    assert max(map(cell_len, lines)) <= 40
    assert " ".join(line.strip() for line in lines).startswith("hdrbench: ")
