"""Figures of quality: per metric, over the pictures, against time, and along training."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..metric_specs import METRICS
from ..results import Evaluation, TimingRow, heading
from . import plots
from .groups import Group, TimingResult, is_identity, label
from .plots import Plot, colour, margins, text_width

# More points than this are drawn as one bitmap inside the SVG.
_MANY_POINTS = 1000
# Oracles' lines, each another one.
_BOUNDS = (":", "-.", (0, (1, 4)), (0, (6, 2, 1, 2, 1, 2)))
_ROW, _REFERENCE_SIZE = 0.27, (1920, 1080)


def of_group(of: Group, timings: Sequence[TimingResult]) -> list[Plot]:
    """The figures that a group gives."""
    return [_metrics(of), _distribution(of), *_against_time(of, timings)]


def _metrics(of: Group) -> Plot:
    """A panel a metric, a row a method: means with their intervals."""
    labels = [label(of, result) for _, result in of.results]
    shown = [n for n in of.metrics if any(_mean(r, n) is not None for _, r in of.results)]

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, max(len(shown), 1), sharey=True, squeeze=False)[0]
        for name, axes in zip(shown, panels, strict=False):
            for y, (_, result) in enumerate(of.results):
                summary = result.metrics.get(name)
                if summary is None or summary.mean is None:
                    continue
                if summary.interval:
                    axes.plot(summary.interval, (y, y), color=_colour(result, y), linewidth=2)
                axes.plot(summary.mean, y, _marker(result), color=_colour(result, y))
            axes.set_title(heading(name))
            axes.margins(x=0.15)
            axes.locator_params(axis="x", nbins=3)
            axes.grid(True, axis="both")
        _method_rows(panels[0], labels)
        margins(figure, text_width(labels), 0.25, 0.4, 0.4)
        figure.subplots_adjust(wspace=0.18)

    size = (text_width(labels) + 1.75 * max(len(shown), 1) + 0.4, _ROW * len(labels) + 0.9)
    title = f"Mean and 95 % interval of each metric, {of.title}"
    return Plot(f"metrics-{of.slug}", title, size, draw)


def _distribution(of: Group) -> Plot:
    """PSNR picture by picture: a box and its points for each method."""
    labels = [label(of, result) for _, result in of.results]
    values = [[v for row in r.rows if (v := row.value("psnr")) is not None] for _, r in of.results]
    many = sum(map(len, values)) > _MANY_POINTS

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for y, ((_, result), found) in enumerate(zip(of.results, values, strict=True)):
            if not found:
                continue
            ink = {"color": _colour(result, y)}
            axes.boxplot(
                [found],
                positions=[y],
                widths=0.6,
                orientation="horizontal",
                showfliers=False,
                boxprops=ink,
                whiskerprops=ink,
                capprops=ink,
                medianprops=ink | {"linewidth": 2},
            )
            # Spread evenly by the golden ratio, the same each time.
            beside = [y + ((i * 0.618) % 1 - 0.5) * 0.4 for i in range(len(found))]
            axes.plot(found, beside, ".", markersize=5, alpha=0.6, rasterized=many, **ink)
        axes.set_xlabel("PSNR (dB) of each picture")
        axes.grid(True, axis="x")
        _method_rows(axes, labels)
        margins(figure, text_width(labels), 0.25, 0.55, 0.15)

    size = (text_width(labels) + 5.2, _ROW * 1.3 * len(labels) + 0.8)
    title = f"PSNR over the pictures, quartiles and each picture, {of.title}"
    return Plot(f"distribution-{of.slug}", title, size, draw)


def _method_rows(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylim(len(labels) - 0.4, -0.6)


class _Point(NamedTuple):
    name: str
    result: Evaluation
    row: TimingRow
    order: int


def _against_time(of: Group, timings: Sequence[TimingResult]) -> list[Plot]:
    """A figure a device: mean PSNR against the time of a whole forward pass."""
    found = []
    for device in sorted({timed.device for timed in timings}):
        here = {timed.folder: timed for timed in timings if timed.device == device}
        judged = [(i, r, here[p]) for i, (p, r) in enumerate(of.results) if p in here]
        rows = [(i, r, timed, _whole(timed)) for i, r, timed in judged]
        sizes = Counter(size for *_, sized in rows for size in sized)
        if not sizes:
            continue
        size = max(sizes, key=lambda s: (sizes[s], s == _REFERENCE_SIZE, s))
        points = [
            _Point(
                label(of, r) + (" (time stale)" if timed.stale else ""),
                r,
                sized[size],
                i,
            )
            for i, r, timed, sized in rows
            if size in sized and _mean(r, "psnr") is not None
        ]
        if points:
            found.append(_time_plot(of, device, size, points))
    return found


def _whole(timed: TimingResult) -> dict[tuple[int, int], TimingRow]:
    """Whole forward passes of one float32 picture that were timed, by size."""
    rows = [
        row
        for row in timed.timing.rows
        if (row.part, row.dtype, row.batch) == ("whole", "float32", 1) and row.median_ms is not None
    ]
    # The native backend is the one that is meant to be used; else what there is.
    rows.sort(key=lambda row: row.backend == "native")
    return {(row.width, row.height): row for row in rows}


def _time_plot(of: Group, device: str, size: tuple[int, int], points: list[_Point]) -> Plot:
    lines = [(r, m) for _, r in of.results if _untimed(r) and (m := _mean(r, "psnr")) is not None]
    names = [point.name for point in points] + [label(of, result) for result, _ in lines]
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
        bounds = itertools.cycle(_BOUNDS)
        for result, mean in lines:
            style = next(bounds) if result.method.oracle else "--"
            axes.axhline(mean, color=plots.GRID, linestyle=style, label=label(of, result))
        ends = [point.row.interval_ms or (point.row.median_ms,) * 2 for point in points]
        plots.logarithmic(axes, "x", [end for both in ends for end in both if end])
        axes.set_xlabel(f"milliseconds, whole forward pass at {size[0]} x {size[1]}, {device}")
        axes.set_ylabel("mean PSNR (dB)")
        axes.margins(y=0.15)
        axes.grid(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        margins(figure, 0.75, side, 0.6, 0.2)

    title = f"Quality against time at {size[0]} x {size[1]} on {device}, {of.title}"
    height = max(3.6, 0.19 * len(names) + 1)
    return Plot(f"quality-time-{of.slug}-{device}", title, (5.2 + side, height), draw)


def _untimed(result: Evaluation) -> bool:
    return is_identity(result) or result.method.oracle


def training(evaluations: Sequence[tuple[Path, Evaluation]]) -> list[Plot]:
    """A figure a recipe: validation and smoothed training PSNR of each of its runs."""
    folders: dict[str, dict[Path, str]] = {}
    for path, result in evaluations:
        curve = path.parent / "train.csv"
        if curve.exists():
            name = f"{result.method.name}, {result.method.run}"
            folders.setdefault(result.recipe.name, {})[curve] = name
    return [_training(recipe, curves) for recipe, curves in sorted(folders.items())]


class _Curve(NamedTuple):
    steps: list[int]
    psnr: list[float]
    validated: list[tuple[int, float]]


def _training(recipe: str, curves: dict[Path, str]) -> Plot:
    read = [(name, read_curve(path)) for path, name in sorted(curves.items())]
    side = text_width([f"{name}, validation" for name, _ in read], 8.5) + 0.5

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for number, (name, curve) in enumerate(read):
            ink = colour(number)
            axes.plot(curve.steps, curve.psnr, color=ink, linewidth=1, alpha=0.6, label=name)
            if curve.validated:
                marker = f"-{plots.MARKERS[number % len(plots.MARKERS)]}"
                axes.plot(
                    *zip(*curve.validated, strict=True),
                    marker,
                    color=ink,
                    markersize=4,
                    label=f"{name}, validation",
                )
        axes.set(xlabel="step", ylabel="PSNR (dB)")
        axes.grid(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        margins(figure, 0.75, side, 0.6, 0.2)

    title = f"PSNR while training {recipe}: of the batches, smoothed, and of the validation split"
    height = max(3.6, 0.38 * len(read) + 1)
    return Plot(f"training-{recipe}", title, (5.2 + side, height), draw)


def read_curve(path: Path, points: int = 400) -> _Curve:
    """train.csv, its PSNR smoothed and at most so many points.

    Raises DataError that names it where it is broken.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        steps = [int(row["step"]) for row in rows]
        raw = [float(row["psnr"]) for row in rows]
        validated = [
            (step, float(text))
            for step, row in zip(steps, rows, strict=True)
            if (text := row.get("validation_psnr"))
        ]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no training curve ({error!r}): `hdrbench eval`") from None
    smooth, now = [], raw[0] if raw else 0.0
    for value in raw:
        now = 0.95 * now + 0.05 * value
        smooth.append(now)
    every = max(1, len(steps) // points)
    return _Curve(steps[::every], smooth[::every], validated)


def _mean(result: Evaluation, name: str) -> float | None:
    assert name in METRICS
    summary = result.metrics.get(name)
    return None if summary is None else summary.mean


def _colour(result: Evaluation, index: int) -> str:
    return plots.GRID if _untimed(result) else colour(index)


def _marker(result: Evaluation) -> str:
    return "D" if result.method.oracle else "o"
