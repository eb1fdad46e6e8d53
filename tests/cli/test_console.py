import io

import pytest

from hdrnet_bench.cli.console import CleanConsole


@pytest.mark.fault("names and texts")
def test_no_name_begins_a_line_of_its_own() -> None:
    written = io.StringIO()
    shown = CleanConsole(file=written, soft_wrap=True, markup=False)
    shown.print("a\nhdrbench: all fine.png", "b\tc")
    shown.print_text("name: a\nsummary: \x1b[2Jb\n")
    assert written.getvalue() == (
        "a\\x0ahdrbench: all fine.png b\\x09c\nname: a\nsummary: \\x1b[2Jb\n"
    )
