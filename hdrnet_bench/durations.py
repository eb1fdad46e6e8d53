"""How long something takes, in words."""

from __future__ import annotations

from itertools import pairwise

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """As "45 s", "2 min 06 s", "1 h 05 min", "2 d 03 h"; never 60 of a unit."""
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        whole = round(seconds / part) * part
        if whole >= size:
            count, rest = divmod(whole, size)
            return f"{count} {unit}" + (f" {rest // part:02d} {smaller}" if rest else "")
    return f"{round(seconds)} s"


def about(seconds: float) -> str:
    """A duration that is estimated: to the minute from one minute on."""
    return duration(round(seconds / 60) * 60 if round(seconds) >= 60 else seconds)


def pace(rate: float) -> str:
    """Of `rate` steps a second: "3.2 a second"; below one, how long each takes."""
    if rate >= 1:
        return f"{rate:.1f} a second" if rate < 9.95 else f"{rate:.0f} a second"
    seconds = 1 / rate
    return f"{seconds:.1f} s each" if seconds < 9.95 else f"{duration(seconds)} each"
