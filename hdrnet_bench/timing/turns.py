"""Repeats in turns: of backends and of a copy of the same picture, so that a drift of the machine's
speed meets all of them alike. Plain torch, which takes seconds on a CPU, has every fifth turn only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy import special

from ..memory import lack_of_memory
from .clock import WARM_UP_S, Clock
from .state import Watch

MIN_REPEATS = 6  # of fewer no two order statistics hold the median with 95 %
SELDOM = 5
LOOK_EVERY = 10  # turns
NARROW = 0.02  # of the median
NO_MEMORY = "out of memory"


class TimedRun:
    """Something that is run again and again, and what was measured of it. `moved`: the bytes that
    it must at least read and write. `often`: whether it has every turn. `note`: why it is run no
    more."""

    def __init__(self, run: Callable[[], Any], moved: int, often: bool = True) -> None:
        self.run, self.moved, self.often = run, moved, often
        self.times: list[float] = []  # milliseconds
        self.peak: float | None = None  # MiB
        self.error: float | None = None
        self.note: str | None = None

    @property
    def median(self) -> float:
        """Milliseconds."""
        return float(np.median(self.times))

    @property
    def gigabytes_per_s(self) -> float:
        return self.moved / self.median / 1e6

    def narrow(self) -> bool:
        interval = median_interval(self.times)
        return interval is not None and interval[1] - interval[0] < NARROW * self.median

    def attempt(self, clock: Clock, keep: bool) -> None:
        """Run it once; without enough memory it is run no more."""
        try:
            milliseconds = clock.once(self.run)
            if keep:
                self.times.append(milliseconds)
        except Exception as error:
            if not lack_of_memory(error):
                raise
            self.note = NO_MEMORY


def in_turns(
    runs: Sequence[TimedRun],
    clock: Clock,
    *,
    budget_s: float = math.inf,
    turns: int | None = None,
    watch: Watch | None = None,
) -> None:
    """Time all of them, each once a turn.

    Args:
        runs: those with a note are left out.
        turns: how many; by default as many as make each median's interval narrow, or as the budget
            allows, and at least MIN_REPEATS of each run.
        budget_s: seconds.
        watch: looks at the machine meanwhile.
    """
    live = [run for run in runs if run.note is None]
    often = [run for run in live if run.often]
    warm, rounds = time.perf_counter() + WARM_UP_S, 0
    while rounds < 2 or time.perf_counter() < warm:
        for run in often:
            run.attempt(clock, keep=False)
        rounds += 1
    start, turn = time.perf_counter(), 0
    while turn != turns and (live := [run for run in live if run.note is None]):
        if watch is not None:
            watch.look()
        over = time.perf_counter() - start >= budget_s
        for run in live:
            if run.often:
                run.attempt(clock, keep=True)
            elif over or turn % SELDOM == SELDOM // 2:
                run.attempt(clock, keep=True)
                # What it left in the caches, and pages it gave back, are not the next run's.
                often[0].attempt(clock, keep=False)
        turn += 1
        if turns is not None or min(len(run.times) for run in live) < MIN_REPEATS:
            continue
        if over or (turn % LOOK_EVERY == 0 and all(run.narrow() for run in live)):
            break
    if watch is not None:
        watch.look(at_once=True)


def median_interval(values: Iterable[float]) -> tuple[float, float] | None:
    """The two values that hold the median between them with 95 %, were repeats independent: by
    order statistics, whatever the distribution. None of under six values."""
    ordered = sorted(values)
    n = len(ordered)
    rank = 0  # the largest k with P(Binomial(n, 1/2) < k) <= 2.5 %
    if n >= MIN_REPEATS:
        rank = max(1, int(n / 2 - math.sqrt(n)))  # about two standard deviations: not too large
        while special.bdtr(rank, n, 0.5) <= 0.025:
            rank += 1
    return (ordered[rank - 1], ordered[n - rank]) if rank else None
