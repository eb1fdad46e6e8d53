"""When a training will end, said once its steps have a pace: in the log of a job that runs without
a terminal it is what one looks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from ..durations import about
from ..recipe import TrainingSpec

# Steps and seconds before the pace is believed; of steps that are very slow, a minute of them.
# Where a validation comes first, no seconds are waited for.
_STEPS, _SECONDS, _LONG = 20, 10.0, 60.0
_WORTH_SAYING = 60.0  # seconds that are left
_MUCH = 1.2  # an estimate that changed by this factor is said again


class Forecast:
    """The end of a training, estimated from the steps and validations of this process.

    log: told the estimate, where more than a minute is left; once more where the first validation
        changes it much.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        steps: int,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec, self.steps, self._log, self._clock = spec, steps, log, clock
        self._first: tuple[int, float] | None = None  # a step, and when it was done
        self._validations, self._validating = 0, 0.0
        self._outside = 0.0  # of the seconds since the first step, those of validations
        self._said: float | None = None
        self._final = False

    def passed(self, step: int, validating: float | None = None) -> None:
        """A step is done, and with it its validation, where there was one that took so many
        seconds."""
        if self._final:
            return
        now = self._clock()
        if validating is not None:
            self._validations += 1
            self._validating += validating
        if self._first is None:
            # The first step starts what all others have: workers, kernels, what compiles.
            self._first = step, now
            return
        if validating is not None:
            self._outside += validating
        done, spent = step - self._first[0], now - self._first[1] - self._outside
        many = done >= _STEPS and (spent >= _SECONDS or self._validations > 0)
        if many or (done > 0 and spent >= _LONG):
            self._estimate(step, spent / done)

    def _estimate(self, step: int, pace: float) -> None:
        left = (self.steps - step) * pace
        validations = self.steps // self.spec.validate_every - step // self.spec.validate_every
        validations += self.steps % self.spec.validate_every != 0
        cost = self._validating / self._validations if self._validations else None
        left += validations * (cost or 0.0)
        if left <= _WORTH_SAYING:
            return
        self._final = cost is not None
        said, self._said = self._said, left
        if said is not None and (not self._final or 1 / _MUCH < left / said < _MUCH):
            self._said = said
            return
        paces = f"{pace_text(pace)} a step"
        paces += "" if cost is None else f", {pace_text(cost)} a validation"
        least = "about" if self.spec.patience is None else "at most about"
        without = ", not counting validations" if cost is None else ""
        self._log(f"{paces}: {least} {about(left)} to the end, {_when(left)}{without}")


def pace_text(seconds: float) -> str:
    """Two digits or more: 6.2 ms, 350 ms, 1.3 s, 210 s."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.{1 if seconds < 0.00995 else 0}f} ms"
    return f"{seconds:.{1 if seconds < 9.95 else 0}f} s"


def _when(seconds: float) -> str:
    """The time of the day, with the date where it is another day."""
    now = datetime.now()
    try:
        end = now + timedelta(seconds=seconds)
    except OverflowError:
        return "beyond the calendar"
    return f"at {end:%H:%M}" if end.date() == now.date() else f"on {end:%Y-%m-%d at %H:%M}"
