"""Figures of time against megapixels, both logarithmic, with the time of a copy to compare with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..result_timing import TimingRow
from . import plots
from .groups import TimingResult
from .plots import Plot, margins, text_width

_PARTS = {
    "whole with transfer": ("v", plots.COLOURS[3]),
    "whole": ("o", plots.COLOURS[0]),
    "guide + slice + apply": ("s", plots.COLOURS[1]),
    "coefficients": ("^", plots.COLOURS[2]),
    "upload": ("<", plots.COLOURS[4]),
    "download": (">", plots.COLOURS[5]),
}
_LINES = {"native": "-", "reference": ":", "compiled": "--", "onnxruntime": "-."}
_BANDS = ("native", "onnxruntime")


def of_timing(timed: TimingResult) -> Plot:
    """Medians, with the 5th to 95th percentile of the native backend, and of another method, as a
    band; of the batch size and dtype that most rows have."""
    rows = [row for row in timed.timing.rows if row.median_ms is not None]
    kinds = Counter((row.batch, row.dtype) for row in rows)
    batch, dtype = max(kinds, key=lambda kind: (kinds[kind], kind), default=(1, "float32"))
    rows = [row for row in rows if (row.batch, row.dtype) == (batch, dtype)]
    copies = sorted((c.width * c.height / 1e6, c.median_ms) for c in timed.timing.copies)
    series = [
        (part, backend, line)
        for part in _PARTS
        for backend in _LINES
        if (line := _line(rows, part, backend))
    ]
    names = [_name(part, backend) for part, backend, _ in series] + ["a copy of the picture"]
    side = text_width(names, 8.5) + 0.5

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for part, backend, line in series:
            marker, ink = _PARTS[part]
            x = [row.megapixels for row in line]
            style = _LINES[backend] + marker
            medians = [row.median_ms for row in line]
            axes.plot(x, medians, style, color=ink, markersize=5, label=_name(part, backend))
            band = [(m, *ends) for m, r in zip(x, line, strict=True) if (ends := _band(r))]
            if band:
                axes.fill_between(*zip(*band, strict=True), color=ink, alpha=0.15)
        if copies:
            x, medians = map(list, zip(*copies, strict=True))
            axes.plot(x, medians, "-", color=plots.GRID, label="a copy of the picture")
            axes.fill_between(x, medians, 1e-9, color=plots.GRID, alpha=0.2)
        every_x = [row.megapixels for row in rows] + [m for m, _ in copies]
        every_y = [ms for row in rows for ms in (row.median_ms, *_band(row)) if ms]
        every_y += [ms for _, ms in copies]
        if every_x:
            plots.logarithmic(axes, "x", every_x)
            plots.logarithmic(axes, "y", every_y)
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        axes.set(xlabel="megapixels", ylabel="milliseconds")
        axes.grid(True)
        margins(figure, 0.9, side, 0.6, 0.4)
        axes.set_title(f"{dtype}, batch {batch}; median, band p5 to p95; grey: under a copy's time")

    title = f"Milliseconds against megapixels, {timed.title}"
    return Plot(timed.stem, title, (5.35 + side, 4.2), draw)


def _line(rows: Sequence[TimingRow], part: str, backend: str) -> list[TimingRow]:
    line = [row for row in rows if row.part == part and row.backend == backend]
    return sorted(line, key=lambda row: row.megapixels)


def _band(row: TimingRow) -> tuple[()] | tuple[float, float]:
    """The percentiles that are drawn, where they are known."""
    if row.backend not in _BANDS or row.p5_ms is None or row.p95_ms is None:
        return ()
    return row.p5_ms, row.p95_ms


def _name(part: str, backend: str) -> str:
    return f"{part}, {backend}"
