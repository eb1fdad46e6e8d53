"""Repeats in turns: of backends and of a copy of the same picture, so that a drift of the machine's
speed meets all of them alike. Plain torch, which takes seconds on a CPU, has every fifth turn only.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy import special
from torch import Tensor

from .clock import WARM_UP_S, Clock
from .state import Watch

MIN_REPEATS = 6  # of fewer no two order statistics hold the median with 95 %
SELDOM = 5
LOOK_EVERY = 10  # turns
NARROW = 0.02  # of the median
NO_MEMORY = "out of memory"


class TimedRun:
    """One part under one backend, and what was measured of it. `note`: why it is run no more."""

    def __init__(self, run: Callable[[], Tensor], moved: int, often: bool = True) -> None:
        self.run, self.moved, self.often = run, moved, often
        self.times: list[float] = []
        self.peak: float | None = None
        self.error: float | None = None
        self.note: str | None = None

    @property
    def gigabytes_per_s(self) -> float:
        return self.moved / float(np.median(self.times)) / 1e6

    def narrow(self) -> bool:
        interval = median_interval(self.times)
        median = float(np.median(self.times))
        return interval is not None and interval[1] - interval[0] < NARROW * median


def in_turns(runs: list[TimedRun], clock: Clock, budget_s: float, watch: Watch) -> None:
    """Repeat all of them until each median's interval is narrow or the budget is spent, and at
    least MIN_REPEATS times."""

    def once(timed: TimedRun, keep: bool = True) -> None:
        try:
            milliseconds = clock.once(timed.run)
            if keep:
                timed.times.append(milliseconds)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            timed.note = NO_MEMORY

    live = [timed for timed in runs if timed.note is None]
    often = [timed for timed in live if timed.often]
    warm = time.perf_counter() + WARM_UP_S
    rounds = 0
    while rounds < 2 or time.perf_counter() < warm:
        for timed in often:
            once(timed, keep=False)
        rounds += 1
    watch.look()
    start, turn = time.perf_counter(), 0
    while live := [timed for timed in live if timed.note is None]:
        over = time.perf_counter() - start >= budget_s
        for timed in live:
            if timed.often:
                once(timed)
            elif over or turn % SELDOM == SELDOM // 2:
                once(timed)
                # What it left in the caches, and pages it gave back, are not the next run's.
                once(often[0], keep=False)
        watch.look()
        turn += 1
        if min(len(timed.times) for timed in live) < MIN_REPEATS:
            continue
        if over or (turn % LOOK_EVERY == 0 and all(timed.narrow() for timed in live)):
            break
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


def is_out_of_memory(error: Exception) -> bool:
    """Whether this is want of memory, in one of the ways in which torch and Python say so."""
    said = re.search(r"can't allocate memory|not enough memory|bad_alloc|out of memory", str(error))
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and said is not None
    )
