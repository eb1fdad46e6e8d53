"""training.png: how a run goes, for whoever looks into its directory.

It is for looking at: where it cannot be drawn or written, training goes on without it.
"""

from __future__ import annotations

import io
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cleaning import clean
from ..drawing import import_matplotlib
from ..files import write_bytes
from ..metric_specs import METRICS, metric_text

PICTURE = "training.png"
# In fewer steps there is nothing to be seen.
LEAST_STEPS = 10
# Seconds between two pictures, and how much longer than the last one took to draw: what is drawn
# while it trains takes less than a hundredth of the time.
EVERY_S, EVERY_DRAWN = 30.0, 100

_POINTS = 400
_DOTS_PER_INCH = 100
_INK, _GRID = "#1d2733", "#8b96a3"
_TRAINING, _VALIDATION = "#5a96e1", "#d20f78"
_STYLE = {
    "font.size": 9,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "grid.alpha": 0.35,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
}


class Series:
    """A value over the steps, as means over equally many neighbouring ones: two million steps take
    no more memory than some hundred. What is not finite is left out."""

    def __init__(self, points: int = _POINTS) -> None:
        self._most = 2 * points
        self._means: list[tuple[float, float]] = []
        self._each = 1  # so many values have gone into each mean
        self._open = (0, 0.0, 0.0)  # how many wait for the next mean, the sums of steps and values

    def add(self, step: int, value: float) -> None:
        if not math.isfinite(value):
            return
        count, steps, values = self._open
        self._open = (count + 1, steps + step, values + value)
        if self._open[0] < self._each:
            return
        self._means.append(_mean(self._open))
        self._open = (0, 0.0, 0.0)
        if len(self._means) == self._most:
            pairs = np.array(self._means).reshape(-1, 2, 2).mean(axis=1)
            self._means = [(step, value) for step, value in pairs.tolist()]
            self._each *= 2

    def points(self) -> NDArray[np.float64]:
        """Steps and values, (2, N)."""
        waiting = [_mean(self._open)] if self._open[0] else []
        return np.array([*self._means, *waiting], dtype=np.float64).reshape(-1, 2).T


def _mean(of: tuple[int, float, float]) -> tuple[float, float]:
    return of[1] / of[0], of[2] / of[0]


class RunPicture:
    """Keeps what is drawn of a run, and draws it into `directory`.

    best_metric: drawn too where it is not PSNR, and the best validation is by it.
    log: told once where the picture cannot be drawn.
    """

    def __init__(
        self,
        directory: Path,
        recipe: str,
        steps: int,
        best_metric: str,
        log: Callable[[str], None],
    ) -> None:
        self.directory, self.recipe, self.steps = directory, recipe, steps
        self.best_metric, self._log = best_metric, log
        self._step, self._drawn, self._said = 0, 0, False
        self._best: tuple[int, float] | None = None
        self._training = {key: Series() for key in ("psnr", "loss", "learning_rate")}
        self._validation = {name: Series() for name in dict.fromkeys(("psnr", best_metric))}
        self._next = time.monotonic() + EVERY_S

    def add(self, entry: Mapping[str, Any]) -> None:
        """A step, as a line of the log has it."""
        self._step = int(entry["step"])
        for key, series in self._training.items():
            series.add(self._step, _number(entry.get(key)))
        for name, series in self._validation.items():
            value = _number(entry.get(f"validation_{name}"))
            series.add(self._step, value)
            if name == self.best_metric and not math.isnan(value):
                sign = METRICS[name].sign
                if self._best is None or sign * value > sign * self._best[1]:
                    self._best = self._step, value

    def is_due(self) -> bool:
        return time.monotonic() >= self._next and self._step >= LEAST_STEPS

    def draw(self) -> None:
        """Draw it anew, where there is something new to see."""
        if self._step < LEAST_STEPS or self._step == self._drawn:
            return
        began = time.monotonic()
        try:
            write_bytes(self.directory / PICTURE, self._png())
            self._drawn = self._step
        except Exception as error:  # whatever another package raises, no step may be lost for it
            if not self._said:
                reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
                self._log(f"no {PICTURE} ({reason or type(error).__name__}): training goes on")
                self._said = True
        ended = time.monotonic()
        self._next = ended + max(EVERY_S, EVERY_DRAWN * (ended - began))

    def _png(self) -> bytes:
        matplotlib = import_matplotlib()
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        names = list(self._validation)
        heights = [3.0, *[2.0] * (len(names) - 1), 1.6, 1.2]  # inches
        stream = io.BytesIO()
        with (
            matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # as of a name's letters that the font has not
            figure = Figure(figsize=(8, sum(heights) + 1.1), dpi=_DOTS_PER_INCH)
            FigureCanvasAgg(figure)
            axes = figure.subplots(
                len(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
            )[:, 0]
            for place, name in zip(axes, names, strict=False):
                self._draw_metric(place, name)
            _draw_loss(axes[-2], self._training["loss"].points())
            _draw_rate(axes[-1], self._training["learning_rate"].points())
            axes[-1].set(xlabel="step", xlim=(0, self._step * 1.02))
            axes[-1].xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(8, integer=True))
            axes[-1].xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
            height = figure.get_figheight()
            figure.subplots_adjust(
                left=0.11, right=0.98, top=1 - 0.6 / height, bottom=0.5 / height, hspace=0.12
            )
            figure.align_ylabels(axes)
            run = clean(f"{self.recipe}, {self.directory.resolve().name}", "line")
            figure.text(0.11, 1 - 0.25 / height, run, weight="bold", size=11)
            figure.text(0.11, 1 - 0.45 / height, self._standing(), size=9)
            figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH)
        return stream.getvalue()

    def _standing(self) -> str:
        text = f"step {self._step:,} of {self.steps:,}"
        if self._best is None:
            return f"{text}, not validated yet"
        step, value = self._best
        return f"{text}; best validation {metric_text(self.best_metric, value)} at step {step:,}"

    def _draw_metric(self, axes: Any, name: str) -> None:
        spec = METRICS[name]
        shown: list[NDArray[np.float64]] = []
        if name == "psnr":
            steps, values = self._training["psnr"].points()
            shown.append(_draw_smoothed(axes, steps, values))
        steps, values = self._validation[name].points()
        if len(steps):
            style = "-o" if len(steps) <= 60 else "-"
            axes.plot(steps, values, style, color=_VALIDATION, markersize=4, label="validation")
            shown.append(values)
        if name == self.best_metric and self._best is not None:
            ring = {"markersize": 10, "markeredgewidth": 1.4, "fillstyle": "none"}
            axes.plot(*self._best, "o", color=_INK, label="best", **ring)
            shown.append(np.array([self._best[1]]))
        # By what is smooth: a single batch that went badly does not press all others together.
        _set_limits(axes, np.concatenate(shown) if shown else np.empty(0))
        axes.set_ylabel(f"{spec.label} ({spec.unit})" if spec.unit else spec.label)
        axes.legend(loc="best", ncols=3)


def _draw_loss(axes: Any, points: NDArray[np.float64]) -> None:
    _draw_smoothed(axes, *points)
    low, high = points[1].min(initial=math.inf), points[1].max(initial=0)
    if 0 < low < high:
        from matplotlib.ticker import LogLocator, NullLocator

        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1,) if high > 100 * low else (1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(_plain)
    axes.set_ylabel("training loss")


def _draw_rate(axes: Any, points: NDArray[np.float64]) -> None:
    axes.plot(*points, color=_INK)
    axes.set_ylim(bottom=0, top=1.1 * points[1].max(initial=0) or 1)
    axes.yaxis.set_major_formatter(_plain)
    axes.set_ylabel("learning rate")


def _plain(value: float, place: int) -> str:
    """A number on an axis; matplotlib's own way with powers of ten takes formulae for it."""
    return f"{value:g}"


def _draw_smoothed(
    axes: Any, steps: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The smoothed values, which are drawn over the others."""
    smooth = smoothed(values)
    label = "training"
    if smooth is not values:
        axes.plot(steps, values, color=_TRAINING, alpha=0.35, linewidth=0.6)
        label += ", smoothed"
    axes.plot(steps, smooth, color=_TRAINING, label=label)
    return smooth


def _set_limits(axes: Any, values: NDArray[np.float64]) -> None:
    if len(values):
        low, high = float(values.min()), float(values.max())
        room = 0.06 * (high - low) or 0.5
        axes.set_ylim(low - room, high + room)


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over a twentieth of the values around each; at the ends, over those there are."""
    width = len(values) // 20 | 1
    if width == 1:
        return values
    window = np.ones(width)
    counts = np.convolve(np.ones_like(values), window, mode="same")
    return np.convolve(values, window, mode="same") / counts


def _number(value: object) -> float:
    """A number of the log, which anybody may have edited; NaN where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
