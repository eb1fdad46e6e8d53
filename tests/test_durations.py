"""How long something takes, in words."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdrnet_bench import durations


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 01 s"),
        (156, "2 min 36 s"),
        (3569, "59 min 29 s"),
        (3571, "1 h"),
        (3600 + 5 * 60, "1 h 05 min"),
        (3600 + 29, "1 h"),
        (3600 + 31, "1 h 01 min"),
        (86400 - 1801, "23 h 30 min"),
        (86400 - 1799, "1 d"),
        (86400 * 2 + 3600 * 3, "2 d 03 h"),
    ],
)
def test_durations_are_in_two_units(seconds: float, text: str) -> None:
    assert durations.duration(seconds) == text


@given(st.floats(0, 1e7))
def test_durations_are_right_and_never_have_sixty_of_a_unit(seconds: float) -> None:
    size = {"d": 86400, "h": 3600, "min": 60, "s": 1}
    parts = re.findall(r"(\d+) (\w+)", durations.duration(seconds))
    finest = size[parts[-1][1]]
    said = sum(int(count) * size[unit] for count, unit in parts)
    assert abs(said - seconds) <= {86400: 1800, 3600: 1800, 60: 30, 1: 0.5}[finest]
    assert all(int(n) < {"h": 24, "min": 60, "s": 60}.get(unit, math.inf) for n, unit in parts)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45, "45 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (89, "1 min"),
        (91, "2 min"),
        (3569, "59 min"),
        (3571, "1 h"),
        (3900, "1 h 05 min"),
    ],
)
def test_estimates_are_to_the_minute(seconds: float, text: str) -> None:
    assert durations.about(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (123.4, "123 a second"),
        (9.96, "10 a second"),
        (9.94, "9.9 a second"),
        (1, "1.0 a second"),
        (0.99, "1.0 s each"),
        (1 / 9.94, "9.9 s each"),
        (1 / 9.96, "10 s each"),
        (1 / 75, "1 min 15 s each"),
    ],
)
def test_what_is_slow_is_said_by_the_step(rate: float, text: str) -> None:
    assert durations.pace(rate) == text
