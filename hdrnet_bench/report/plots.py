"""Figures as SVG and PNG, the same bytes for the same results and the same matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files import atomic_path
from .tables import Timed

_PARTS = {
    "whole": ("whole forward pass", "o", "#1b6ca8"),
    "guide + slice + apply": ("guide + slice + apply", "s", "#d1603d"),
    "coefficients": ("coefficients", "^", "#5b8c5a"),
}


def files(folder: Path, timings: Sequence[Timed]) -> list[Path]:
    """The figures that these timings give: SVG and PNG for each."""
    return [folder / f"{timed.stem}.{kind}" for timed in timings for kind in ("svg", "png")]


def write(folder: Path, timings: Sequence[Timed]) -> None:
    """Time against megapixels, both logarithmic: medians, with the 5th to 95th percentile."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"svg.hashsalt": "hdrbench", "svg.fonttype": "none", "font.size": 11}
    for timed in timings:
        timing = timed.timing
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
            axes.yaxis.set_minor_formatter(
                matplotlib.ticker.LogFormatter(minor_thresholds=(2, 0.5))
            )
            axes.grid(True, which="major", alpha=0.3)
            axes.legend(title="median, band p5 to p95", frameon=False)
            axes.set_title(timed.title, fontsize=10)
            for kind in ("svg", "png"):
                metadata = {"Date": None} if kind == "svg" else {"Software": None}
                with atomic_path(folder / f"{timed.stem}.{kind}") as path:
                    figure.savefig(path, format=kind, dpi=110, metadata=metadata)
            pyplot.close(figure)
