"""Figures as SVG, the same bytes for the same results and the same matplotlib."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ..drawing import import_matplotlib

INK, PAPER, GRID = "#1d2733", "#ffffff", "#8b96a3"
# Each has a contrast of 3 to 1 at least, both with white and with the dark page (WCAG), and differs
# from each other and from GRID by 13 in CIEDE2000 at least, also as the colour-blind see them
# (tests/report/test_plots.py simulates it). Of Okabe and Ito's first six, two have too little
# contrast with white, and the nearest two differ by 11.
COLOURS = ("#695ad2", "#969600", "#d20f78", "#007878", "#d27878", "#5a96e1", "#87693c")
MARKERS = "os^DvphX"  # one more than colours, so that the two do not come round together
DOTS_PER_INCH = 110

_STYLE = {
    "svg.hashsalt": "hdrbench",
    "svg.fonttype": "none",
    "font.size": 10,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "grid.color": GRID,
    "grid.alpha": 0.35,
}


class Plot(NamedTuple):
    """A figure to be drawn. stem: its file's name; title: its caption, and the alternative text;
    size: in inches; draw: draws on a matplotlib Figure."""

    stem: str
    title: str
    size: tuple[float, float]
    draw: Callable[[Any], None]


def render(plots: Sequence[Plot]) -> list[dict[str, bytes]]:
    """Each figure's file, <stem>.svg."""
    files: list[dict[str, bytes]] = []
    if not plots:
        return files
    matplotlib = import_matplotlib()
    import numpy as np
    from matplotlib.figure import Figure

    # The names of an SVG's clip paths are hashes of numbers as text, which depends on NumPy's print
    # options and matplotlib's settings, and other packages change both.
    with (
        np.printoptions(legacy=False),
        matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}),
    ):
        for plot in plots:
            figure = Figure(figsize=plot.size, dpi=DOTS_PER_INCH)
            plot.draw(figure)
            stream = io.BytesIO()
            figure.savefig(stream, format="svg", dpi=DOTS_PER_INCH, metadata={"Date": None})
            files.append({f"{plot.stem}.svg": stream.getvalue()})
    return files


def matplotlib_version(svg: str) -> str | None:
    """The version of matplotlib that a figure was drawn with, as its metadata state it."""
    match = re.search(r"Matplotlib v([^,\s]+)", svg)
    return match and match[1]


def inline(svg: str, stem: str) -> str:
    """A figure as an element of a page: in the page's text colour, with ids that no other figure
    has, and labelled by the element with the id <stem>-caption."""
    stem = html.escape(stem)
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', lambda _: f'id="{stem}-', body)
    body = re.sub(r'(href="|url\()#', lambda match: f"{match[1]}#{stem}-", body)
    body = body.replace(INK, "currentColor").replace(f"fill: {PAPER}", "fill: none")
    size = re.search(r'viewBox="(0 0 ([\d.]+) [\d.]+)"', body)
    if size is None:
        raise ValueError(f"{stem}.svg has no viewBox")
    pixels = float(size[2]) * 4 / 3
    opening = (
        f'<svg viewBox="{size[1]}" role="img" aria-labelledby="{stem}-caption" '
        f'style="max-width: {pixels:.0f}px; min-width: {0.8 * pixels:.0f}px">'
    )
    return opening + body[body.index(">") + 1 :].strip()


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def margins(figure: Any, left: float, right: float, bottom: float = 0.6, top: float = 0.4) -> None:
    """Sets the room around the axes, in inches. Matplotlib's layout engines would find it, but
    take longer, and move the axes whenever a text changes."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - top / height
    )


def text_width(texts: Sequence[str], size: float = 9) -> float:
    """About how many inches wide the longest of the texts is, at a font size in points."""
    return max(map(len, texts), default=0) * size * 0.0082 + 0.2


def logarithmic(axes: Any, axis: str, values: Sequence[float]) -> None:
    """Makes an axis ("x" or "y") logarithmic, with three ticks or more, in plain numbers."""
    low, high = min(values) / 1.25, max(values) * 1.25
    getattr(axes, f"set_{axis}scale")("log")
    getattr(axes, f"set_{axis}lim")(low, high)
    # The coarsest of which there are three: fewer do not show that the scale is logarithmic.
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [s * 10.0**e for e in range(-13, 13) for s in steps if low <= s * 10.0**e <= high]
        if len(ticks) >= 3:
            break
    else:  # less than a decade
        ticks = [float(tick) for tick in even_ticks(low, high, 3)]
    _set_ticks(axes, axis, ticks, [f"{tick:,.10g}" for tick in ticks])


def linear(axes: Any, axis: str, least: int = 3) -> None:
    """Gives an axis ("x" or "y") on which all is drawn as many ticks: two give at most three, three
    at most five."""
    low, high = sorted(getattr(axes, f"get_{axis}lim")())
    ticks = even_ticks(low, high, least)
    _set_ticks(axes, axis, [float(tick) for tick in ticks], tick_labels(ticks))


def tick_labels(ticks: Sequence[Decimal]) -> list[str]:
    """Exactly the ticks' values: plain numbers with as many decimals as the step between them
    needs; where all are below 0.0001 or one reaches ten million, as 2.5e-5."""
    normal = [tick.normalize() for tick in ticks]
    if not Decimal("1e-4") <= max(map(abs, normal)) < Decimal("1e7"):
        return [f"{tick:e}" if tick else "0" for tick in normal]
    decimals = max(0, *(-int(tick.as_tuple().exponent) for tick in normal))
    return [f"{tick:,.{decimals}f}" for tick in normal]


def even_ticks(low: float, high: float, least: int) -> list[Decimal]:
    """The coarsest multiples of 1, 2, 2.5 or 5 times a power of ten of which at least that many lie
    between low and high, both included. Low must be less than high, and least at most 10."""
    # As they are written: to a float's last digit, 0.3 is less than three times 0.1.
    start, end = Decimal(str(float(low))), Decimal(str(float(high)))
    largest = (end - start).adjusted()
    digits = [Decimal(digit) for digit in ("5", "2.5", "2", "1")]
    for step in (s.scaleb(e) for e in (largest, largest - 1) for s in digits):
        first, last = math.ceil(start / step), math.floor(end / step)
        if last - first + 1 >= least:
            break
    return [number * step for number in range(first, last + 1)]


def _set_ticks(axes: Any, axis: str, ticks: Sequence[float], labels: Sequence[str]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    ruler = getattr(axes, f"{axis}axis")
    ruler.set_major_locator(FixedLocator(ticks))
    ruler.set_minor_locator(NullLocator())
    ruler.set_major_formatter(FixedFormatter(labels))
