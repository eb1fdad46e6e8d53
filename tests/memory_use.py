"""How far this process grows while it does something.

getrusage's ru_maxrss does not tell: it is the most that there ever was, in this process or in the
one that started it, so what is done afterwards grows unseen up to there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MARK = Path("/proc/self/clear_refs")


def memory_taken(work: Callable[[], object]) -> float | None:
    """How far it grew meanwhile, at most, in MiB; None where /proc does not say."""
    if not MARK.exists():
        return None
    before = _from_here()
    work()
    return _status("VmHWM") - before


@contextlib.contextmanager
def takes_at_most(mib: float) -> Iterator[None]:
    """Fails where what is done in it makes the process grow by more, at any moment."""
    if not MARK.exists():
        yield
        pytest.skip(f"no {MARK} to measure the memory with")
    before = _from_here()
    yield
    grown = _status("VmHWM") - before
    assert grown < mib, f"grew by {grown:.0f} MiB"


def _from_here() -> float:
    """Let the peak be counted from here; what is held here."""
    MARK.write_text("5")
    return _status("VmRSS")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024
