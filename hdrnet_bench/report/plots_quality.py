"""Figures of quality: per metric, over the pictures, against time, and along training."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..files import read_text, unreadable
from ..metric_specs import METRICS, heading
from ..result_timing import TimingRow
from ..results import Evaluation
from . import plots
from .groups import Group, TimingResult, is_baseline, label
from .plots import Plot, colour, margins, text_width

# More points than this are drawn as one bitmap inside the SVG: as shapes they would take megabytes.
_MANY_POINTS = 1000
# Line styles of the oracles, so that several can be told apart.
_ORACLE_LINES = (":", "-.", (0, (1, 4)), (0, (6, 2, 1, 2, 1, 2)))
_ROW, _REFERENCE_SIZE = 0.27, (1920, 1080)
_PANELS = 5  # of metrics beside each other: more would be too small to read on a page


def of_group(group: Group, timings: Sequence[TimingResult]) -> list[Plot]:
    """A group's figures: its metrics, the distribution of PSNR, and PSNR against time by device."""
    return [_metrics(group), _distribution(group), *_against_time(group, timings)]


def _metrics(group: Group) -> Plot:
    """Means with their intervals: a panel for each metric, a row for each method."""
    labels = [label(group, result) for _, result in group.results]
    names = [n for n in group.metrics if any(_mean(r, n) is not None for _, r in group.results)]
    inks = _colours(group)
    down = max(1, -(-len(names) // _PANELS))
    across = max(1, -(-len(names) // down))
    height = _ROW * len(labels) + 0.1

    def draw(figure: Any) -> None:
        panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for name, axes in zip(names, panels, strict=False):
            for y, ((_, result), ink) in enumerate(zip(group.results, inks, strict=True)):
                summary = result.metrics.get(name)
                if summary is None or summary.mean is None:
                    continue
                if summary.interval:
                    axes.plot(summary.interval, (y, y), color=ink, linewidth=2)
                axes.plot(summary.mean, y, _marker(result), color=ink)
            axes.set_title(heading(name))
            axes.margins(x=0.15)
            plots.linear(axes, "x", 2)
            axes.grid(True, axis="both")
        _method_rows(panels[0], labels)
        margins(figure, text_width(labels), 0.25, 0.4, 0.4)
        figure.subplots_adjust(wspace=0.25, hspace=0.75 / height)

    size = (text_width(labels) + 1.75 * across + 0.4, (height + 0.75) * down + 0.05)
    title = f"Mean and 95 % interval of each metric, {group.title}"
    return Plot(f"metrics-{group.slug}", title, size, draw)


def _distribution(group: Group) -> Plot:
    """Each picture's PSNR: a box plot and the points for each method."""
    labels = [label(group, result) for _, result in group.results]
    values = [
        [v for row in r.rows if (v := row.value("psnr")) is not None] for _, r in group.results
    ]
    many = sum(map(len, values)) > _MANY_POINTS
    inks = _colours(group)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for y, (psnr, colour_of_row) in enumerate(zip(values, inks, strict=True)):
            if not psnr:
                continue
            ink = {"color": colour_of_row}
            axes.boxplot(
                [psnr],
                positions=[y],
                widths=0.6,
                orientation="horizontal",
                showfliers=False,
                boxprops=ink,
                whiskerprops=ink,
                capprops=ink,
                medianprops=ink | {"linewidth": 2},
            )
            # Points of similar PSNR must not hide each other. Steps of the golden ratio spread them
            # evenly, and, unlike random numbers, need no seed.
            heights = [y + ((i * 0.618) % 1 - 0.5) * 0.4 for i in range(len(psnr))]
            axes.plot(psnr, heights, ".", markersize=5, alpha=0.8, rasterized=many, **ink)
        plots.linear(axes, "x")
        axes.set_xlabel("PSNR (dB) of each picture")
        axes.grid(True, axis="x")
        _method_rows(axes, labels)
        margins(figure, text_width(labels), 0.25, 0.55, 0.15)

    size = (text_width(labels) + 5.2, _ROW * 1.3 * len(labels) + 0.8)
    title = f"PSNR over the pictures, quartiles and each picture, {group.title}"
    return Plot(f"distribution-{group.slug}", title, size, draw)


def _method_rows(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylim(len(labels) - 0.4, -0.6)


class _Point(NamedTuple):
    name: str
    result: Evaluation
    row: TimingRow
    order: int


def _against_time(group: Group, timings: Sequence[TimingResult]) -> list[Plot]:
    """Mean PSNR against the time of a whole forward pass: a figure for each device."""
    figures = []
    for device in sorted({timed.device for timed in timings}):
        by_folder = {timed.folder: timed for timed in timings if timed.device == device}
        methods = [
            (order, result, by_folder[folder], _whole(by_folder[folder]))
            for order, (folder, result) in zip(_orders(group), group.results, strict=True)
            if folder in by_folder
        ]
        # The size that most methods were timed at: in one figure, all times are of one size.
        sizes = Counter(size for *_, rows in methods for size in rows)
        if not sizes:
            continue
        size = max(sizes, key=lambda s: (sizes[s], s == _REFERENCE_SIZE, s))
        points = [
            _Point(
                label(group, result) + (" (time stale)" if timed.stale else ""),
                result,
                rows[size],
                order,
            )
            for order, result, timed, rows in methods
            if size in rows and _mean(result, "psnr") is not None
        ]
        if points:
            figures.append(_time_plot(group, device, size, points))
    return figures


def _whole(timed: TimingResult) -> dict[tuple[int, int], TimingRow]:
    """The timed whole forward passes of one float32 picture, by size."""
    rows = [
        row
        for row in timed.timing.rows
        if (row.part, row.dtype, row.batch) == ("whole", "float32", 1) and row.median_ms is not None
    ]
    # The native backend is the one to use: sorted last, it replaces the others of its size.
    rows.sort(key=lambda row: row.backend == "native")
    return {(row.width, row.height): row for row in rows}


def _time_plot(group: Group, device: str, size: tuple[int, int], points: list[_Point]) -> Plot:
    lines = [
        (r, m) for _, r in group.results if is_baseline(r) and (m := _mean(r, "psnr")) is not None
    ]
    names = [point.name for point in points] + [label(group, result) for result, _ in lines]
    side = text_width(names, 8.5) + 0.5

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for point in points:
            summary = point.result.metrics["psnr"]
            ink = colour(point.order)
            if summary.interval:
                axes.plot([point.row.median_ms] * 2, summary.interval, color=ink)
            if point.row.interval_ms:
                axes.plot(point.row.interval_ms, [summary.mean] * 2, color=ink)
            marker = plots.MARKERS[point.order % len(plots.MARKERS)]
            axes.plot(point.row.median_ms, summary.mean, marker, color=ink, label=point.name)
        styles = itertools.cycle(_ORACLE_LINES)
        for result, mean in lines:
            style = next(styles) if result.method.oracle else "--"
            axes.axhline(mean, color=plots.GRID, linestyle=style, label=label(group, result))
        ends = [point.row.interval_ms or (point.row.median_ms,) * 2 for point in points]
        plots.logarithmic(axes, "x", [end for pair in ends for end in pair if end])
        axes.set_xlabel(f"milliseconds, whole forward pass at {size[0]} x {size[1]}, {device}")
        axes.set_ylabel("mean PSNR (dB)")
        axes.margins(y=0.15)
        plots.linear(axes, "y")
        axes.grid(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        margins(figure, 0.75, side, 0.6, 0.2)

    title = f"Quality against time at {size[0]} x {size[1]} on {device}, {group.title}"
    height = max(3.6, 0.19 * len(names) + 1)
    return Plot(f"quality-time-{group.slug}-{device}", title, (5.2 + side, height), draw)


def training(evaluations: Sequence[tuple[Path, Evaluation]]) -> list[Plot]:
    """A figure for each recipe: the validation and the smoothed training PSNR of its runs."""
    recipes: dict[str, dict[Path, str]] = {}
    for path, result in evaluations:
        curve = path.parent / "train.csv"
        if curve.exists():
            name = f"{result.method.name}, {result.method.run}"
            recipes.setdefault(result.recipe.name, {})[curve] = name
    return [_training(recipe, names) for recipe, names in sorted(recipes.items())]


class _Curve(NamedTuple):
    steps: list[int]
    psnr: list[float]
    validation: list[tuple[int, float]]


def _training(recipe: str, names: dict[Path, str]) -> Plot:
    """names: of the runs, by the paths of their train.csv."""
    curves = [(name, read_curve(path)) for path, name in sorted(names.items())]
    side = text_width([f"{name}, validation" for name, _ in curves], 8.5) + 0.5

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for number, (name, curve) in enumerate(curves):
            ink = colour(number)
            axes.plot(curve.steps, curve.psnr, color=ink, linewidth=0.8, label=name)
            if curve.validation:
                marker = f"-{plots.MARKERS[number % len(plots.MARKERS)]}"
                axes.plot(
                    *zip(*curve.validation, strict=True),
                    marker,
                    color=ink,
                    markersize=4,
                    label=f"{name}, validation",
                )
        plots.linear(axes, "x")
        plots.linear(axes, "y")
        axes.set(xlabel="step", ylabel="PSNR (dB)")
        axes.grid(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        margins(figure, 0.75, side, 0.6, 0.2)

    title = f"PSNR while training {recipe}: of the batches, smoothed, and of the validation split"
    height = max(3.6, 0.38 * len(curves) + 1)
    return Plot(f"training-{recipe}", title, (5.2 + side, height), draw)


def read_curve(path: Path, points: int = 400) -> _Curve:
    """A run's train.csv, with its PSNR smoothed, thinned out to about `points` steps.

    Raises DataError that names the file where it is broken.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
        steps = [int(_shown(int(row["step"]))) for row in rows]
        raw = [_shown(float(row["psnr"])) for row in rows]
        validation = [
            (step, _shown(float(text)))
            for step, row in zip(steps, rows, strict=True)
            if (text := row.get("validation_psnr"))
        ]
    except OSError as error:
        raise unreadable(path, error) from None
    except (csv.Error, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is not a training curve ({error!r}): `hdrbench eval`") from None
    # An exponential average over about 20 rows.
    smooth, average = [], raw[0] if raw else 0.0
    for value in raw:
        average = 0.95 * average + 0.05 * value
        smooth.append(average)
    every = max(1, len(steps) // points)
    return _Curve(steps[::every], smooth[::every], validation)


def _shown(value: float) -> float:
    """A number that an axis can show. Raises ValueError for any other."""
    if not abs(value) <= 1e12:
        raise ValueError(f"no such number can be: {value:.3g}")
    return value


def _mean(result: Evaluation, name: str) -> float | None:
    assert name in METRICS
    summary = result.metrics.get(name)
    return None if summary is None else summary.mean


def _orders(group: Group) -> list[int]:
    """The number of each result among the methods, which its colour and marker go by; baselines
    count for none."""
    return [0, *itertools.accumulate(not is_baseline(r) for _, r in group.results[:-1])]


def _colours(group: Group) -> list[str]:
    rows = zip(_orders(group), group.results, strict=True)
    return [plots.GRID if is_baseline(result) else colour(order) for order, (_, result) in rows]


def _marker(result: Evaluation) -> str:
    return "D" if result.method.oracle else "o"
