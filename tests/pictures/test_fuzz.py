"""Mutated files: pixels that the decoder stands by, or an error of one line. Bounded here; `make
fuzz` goes on for as long as one wants (fuzz.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.pictures.fuzz import BASES, run

EXAMPLES = 80  # of each
SEED = 1


@pytest.mark.fault("mutated pictures")
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by Linux's means")
@pytest.mark.parametrize("name", BASES)
def test_a_changed_file_is_read_right_noted_or_refused(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("faults", EXAMPLES)
    assert run(name, SEED, EXAMPLES, minutes=0) is None
