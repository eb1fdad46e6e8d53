"""Figures as SVG and PNG, the same bytes for the same results and the same matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files import atomic_path
from ..results import Timing
from . import tables

STEM = "time"
_PARTS = {
    "whole": ("whole forward pass", "o", "#1b6ca8"),
    "guide + slice + apply": ("guide + slice + apply", "s", "#d1603d"),
    "coefficients": ("coefficients, from 256 x 256", "^", "#5b8c5a"),
}


def files(folder: Path, timings: Sequence[Timing]) -> list[Path]:
    """The figures that these timings give: one pair of files for each timing."""
    return [folder / f"{_stem(t)}.{kind}" for t in timings for kind in ("svg", "png")]


def _stem(timing: Timing) -> str:
    return f"{STEM}-{timing.recipe.name}-{timing.method.run}-{timing.device.replace(':', '')}"


def write(folder: Path, timings: Sequence[Timing]) -> None:
    """Time against megapixels, both logarithmic: medians, with the 5th to 95th percentile."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"svg.hashsalt": "hdrbench", "svg.fonttype": "none", "font.size": 11}
    for timing in timings:
        with matplotlib.rc_context(style):
            figure, axes = pyplot.subplots(figsize=(7.5, 4.8), layout="constrained")
            for part, (label, marker, color) in _PARTS.items():
                rows = sorted(
                    (r for r in timing.rows if r.part == part), key=lambda r: r.megapixels
                )
                if not rows:
                    continue
                x = [r.megapixels for r in rows]
                axes.plot(x, [r.median_ms for r in rows], marker=marker, color=color, label=label)
                axes.fill_between(
                    x, [r.p5_ms for r in rows], [r.p95_ms for r in rows], color=color, alpha=0.2
                )
            axes.set(xscale="log", yscale="log", xlabel="megapixels", ylabel="milliseconds")
            sizes = sorted({(r.megapixels, f"{r.width}x{r.height}") for r in timing.rows})
            axes.set_xticks([m for m, _ in sizes], [f"{m:.2g}\n{name}" for m, name in sizes])
            axes.set_xticks([], minor=True)
            axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
            axes.grid(True, which="major", alpha=0.3)
            axes.legend(title="median, band p5 to p95", frameon=False)
            axes.set_title(tables.timing_title(timing), fontsize=10)
            for kind in ("svg", "png"):
                metadata = {"Date": None} if kind == "svg" else {"Software": None}
                with atomic_path(folder / f"{_stem(timing)}.{kind}") as path:
                    figure.savefig(path, format=kind, dpi=110, metadata=metadata)
            pyplot.close(figure)
