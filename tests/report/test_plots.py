"""Figures as a reader sees them: legible ticks, nothing over anything, colours that hold."""

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.files import json_text, read_json
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.metrics import delta_e_2000
from hdrnet_bench.report import contents, plots, plots_time
from hdrnet_bench.report.plots import Plot, even_ticks
from hdrnet_bench.statistics import mean_interval
from tests.conftest import ROOT
from tests.report.fixtures import made_up


def drawn(plot: Plot) -> tuple[Figure, Any]:
    """A figure and its renderer, laid out as it is shown."""
    with rc_context(plots._STYLE):
        figure = Figure(figsize=plot.size, dpi=100)
        canvas = FigureCanvasAgg(figure)
        plot.draw(figure)
        canvas.draw()
    return figure, canvas.get_renderer()


def tick_labels(axes: Axes, axis: str) -> list[Text]:
    """Those that are shown: within the limits, and not of an axis that another one labels."""
    low, high = sorted(getattr(axes, f"get_{axis}lim")())
    ticks = getattr(axes, f"{axis}axis").get_major_ticks()
    slack = 1e-9 * (high - low)
    shown = [t for t in ticks if low - slack <= t.get_loc() <= high + slack and t.label1.get_text()]
    return [tick.label1 for tick in shown if tick.label1.get_visible()]


def every_text(figure: Figure) -> Iterator[Text]:
    for axes in figure.axes:
        if not axes.axison:
            continue
        yield from (axes.title, axes.xaxis.label, axes.yaxis.label)
        for axis in "xy":
            yield from tick_labels(axes, axis)
            yield getattr(axes, f"{axis}axis").get_offset_text()
        if legend := axes.get_legend():
            yield from legend.get_texts()


def check(plot: Plot, numeric: Sequence[str] = "xy") -> Figure:
    """Every text lies in the figure and on no other, and the axes of numbers have ticks enough."""
    figure, renderer = drawn(plot)
    texts = [text for text in every_text(figure) if text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    # Of two texts side by side, something must lie between them.
    apart = [box.padded(2, 0) for box in boxes]
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= 0, f"{plot.stem}: {text} is cut off"
        assert box.y0 >= 0, f"{plot.stem}: {text} is cut off"
        assert box.x1 <= figure.bbox.x1, f"{plot.stem}: {text} is cut off"
        assert box.y1 <= figure.bbox.y1, f"{plot.stem}: {text} is cut off"
    for (one, a), (other, b) in itertools.combinations(zip(texts, apart, strict=True), 2):
        assert not a.overlaps(b), f"{plot.stem}: {one} is over {other}"
    for axes in figure.axes:
        for axis in numeric if axes.axison else ():
            labels = [label.get_text() for label in tick_labels(axes, axis)]
            assert 2 <= len(labels) <= 8, f"{plot.stem}: {axis} has {labels}"
            assert len(set(labels)) == len(labels), f"{plot.stem}: {axis} has {labels}"
    return figure


def evaluation(root: Path, method: str = "hdrnet-curves", **other: Any) -> Path:
    return made_up.evaluation(root, method, pictures=False, **other)


def one_method(root: Path) -> None:
    evaluation(root)
    made_up.timing(root)


def one_picture(root: Path) -> None:
    evaluation(root, n=1)


def one_time(root: Path) -> None:
    """Of one size, part and backend: each axis has one value."""
    evaluation(root, n=5)
    path = made_up.timing(root)
    content = read_json(path)
    (row,) = [
        row
        for row in content["rows"]
        if (row["width"], row["part"], row["backend"]) == (1920, "whole", "native")
    ]
    path.write_text(json_text(content | {"rows": [row | {"interval_ms": None}], "copies": []}))


def every_metric(root: Path) -> None:
    for gain, method in ((4.0, "hdrnet-curves"), (5.0, "hdrnet-pyramid")):
        content = read_json(evaluation(root, method, gain=gain))
        for row in content["rows"]:
            row["slopes"] = [0.5, 2.0]  # without which there are no inversions
        of_pictures = {name: one for name, one in METRICS.items() if not one.of_groups}
        for name, metric in of_pictures.items():
            values = [(100 if metric.unit else 1) * 0.01234 * (gain + i) for i in range(8)]
            for row, value in zip(content["rows"], values, strict=True):
                row[name] = value
            found = mean_interval(values)._asdict()
            content["metrics"][name] = {"version": metric.version} | found
        evaluation(root, method, metrics=content["metrics"], rows=content["rows"])


def small_errors(root: Path) -> None:
    """Of an MSE of hundred-thousandths."""
    for gain, method in ((1, "hdrnet-curves"), (2, "hdrnet-pyramid")):
        content = read_json(evaluation(root, method))
        values = [1e-5 * (gain + i / 8) for i in range(8)]
        for row, value in zip(content["rows"], values, strict=True):
            row["hdrnet.mse"] = value
        metric = METRICS["hdrnet.mse"]
        found = mean_interval(values)._asdict()
        content["metrics"]["hdrnet.mse"] = {"version": metric.version} | found
        evaluation(root, method, metrics=content["metrics"], rows=content["rows"])


def a_few(root: Path) -> None:
    evaluation(root, "identity", run="baseline", gain=0, seed=None)
    evaluation(root, "oracle-affine", run="baseline", gain=6, seed=None)
    evaluation(root, "oracle-grid-16x16x8-luma", run="baseline", gain=9, seed=None)
    for number, method in enumerate(("hdrnet-curves", "hdrnet-pointwise", "hdrnet-pyramid")):
        evaluation(root, method, gain=4 + number / 2)
        made_up.timing(root, method, speed=1 + number / 2)


def thirty(root: Path) -> None:
    for number in range(30):
        evaluation(root, f"method-{number:02}", gain=number / 5, n=40)
        if number % 5 == 0:
            made_up.timing(root, f"method-{number:02}", speed=1 + number / 4)


def on_a_gpu(root: Path) -> None:
    evaluation(root)
    made_up.timing(root, device="cuda", slug="gpu-made-up")


def committed(root: Path) -> None:
    """The project's own results."""
    shutil.copytree(
        ROOT / "results", root, ignore=shutil.ignore_patterns("*.jpg", "*.png", "*.webp")
    )


@pytest.mark.parametrize(
    "write",
    [
        one_method,
        one_picture,
        one_time,
        every_metric,
        small_errors,
        a_few,
        thirty,
        on_a_gpu,
        committed,
    ],
)
def test_every_figure_can_be_read(tmp_path: Path, write: Callable[[Path], None]) -> None:
    root = tmp_path / "results"
    write(root)
    found = contents.read(root).plots
    assert found
    for plot in found:
        # A method's name is no number: of one method there is one.
        check(plot, "x" if plot.stem.startswith(("metrics", "distribution")) else "xy")


def test_bands_lie_within_their_axes(tmp_path: Path) -> None:
    on_a_gpu(tmp_path)
    path = made_up.timing(tmp_path, device="cuda", slug="gpu-made-up")
    content = read_json(path)
    for row in content["rows"]:
        if row["backend"] == "native":
            row["p95_ms"] = 1e5
    path.write_text(json_text(content))
    (plot,) = [plot for plot in contents.read(tmp_path).plots if plot.stem.startswith("time")]
    figure, _ = drawn(plot)
    assert figure.axes[0].get_ylim()[1] > 1e5


def test_the_check_of_figures_sees_what_it_should() -> None:
    def plot(draw: Callable[[Any], None]) -> Plot:
        return Plot("made-up", "Made up", (4, 3), draw)

    def over_each_other(figure: Any) -> None:
        axes = figure.subplots()
        axes.set_xticks([0.5, 0.51], ["one label", "another label"])

    def one_tick(figure: Any) -> None:
        figure.subplots().set_xticks([0.5], ["0.5"])

    def cut_off(figure: Any) -> None:
        figure.subplots().set_title(
            "a title that is far too long for a figure of four inches in all"
        )

    for draw, fault in ((over_each_other, "is over"), (one_tick, "x has"), (cut_off, "is cut off")):
        with pytest.raises(AssertionError, match=fault):
            check(plot(draw))
    check(plot(lambda figure: figure.subplots()))


@pytest.mark.parametrize(
    ("low", "high", "least", "ticks"),
    [
        (0, 10, 3, [0, 5, 10]),
        (0.001, 10, 3, [2.5, 5, 7.5, 10]),
        (25.1, 26.9, 2, [25.5, 26, 26.5]),
        (25.6, 26.9, 2, [26, 26.5]),
        (0.97, 1.0, 3, [0.97, 0.98, 0.99, 1.0]),
        (-3, 3, 3, [-2.5, 0, 2.5]),
        (20.9, 32.6, 3, [22.5, 25, 27.5, 30, 32.5]),
    ],
)
def test_even_ticks(low: float, high: float, least: int, ticks: list[float]) -> None:
    assert list(map(float, even_ticks(low, high, least))) == ticks


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (2e-5, 1.1e-4, ["0.00005", "0.00010"]),
        (2e-5, 9e-5, ["2.5e-5", "5e-5", "7.5e-5"]),
        (-1e-5, 3.4e-5, ["0", "2.5e-5"]),
        (9.9e-5, 1.02e-4, ["0.000100", "0.000102"]),
        (1e-11, 9e-11, ["2.5e-11", "5e-11", "7.5e-11"]),
        (-9e-11, -5e-11, ["-7.5e-11", "-5e-11"]),
        (0.05, 0.34, ["0.1", "0.2", "0.3"]),
        (0, 9_999_999, ["0", "5,000,000"]),
        (0, 1e7, ["0", "1e+7"]),
        (1e9, 9e9, ["2.5e+9", "5e+9", "7.5e+9"]),
    ],
)
def test_labels_say_the_ticks_values(low: float, high: float, labels: list[str]) -> None:
    axes = Figure().subplots()
    axes.set_ylim(low, high)
    plots.linear(axes, "y", 2)
    assert axes.yaxis.get_major_formatter().seq == labels
    assert [float(label.replace(",", "")) for label in labels] == list(axes.get_yticks())


@given(
    st.floats(-1, 1),
    st.floats(1e-9, 1),
    st.integers(-12, 12),
    st.sampled_from([2, 3]),
    st.sampled_from("xy"),
)
@settings(max_examples=60, deadline=None)
def test_labels_of_any_size_differ_and_are_exact(
    low: float, width: float, exponent: int, least: int, axis: str
) -> None:
    axes = Figure().subplots()
    getattr(axes, f"set_{axis}lim")(low * 10.0**exponent, (low + width) * 10.0**exponent)
    plots.linear(axes, axis, least)
    ruler = getattr(axes, f"{axis}axis")
    labels = ruler.get_major_formatter().seq
    assert len(set(labels)) == len(labels) >= least
    assert [float(label.replace(",", "")) for label in labels] == list(ruler.get_majorticklocs())


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e6), st.sampled_from([2, 3, 10]))
def test_there_are_always_enough_even_ticks_and_never_many(
    low: float, width: float, least: int
) -> None:
    high = low + width
    found = even_ticks(low, high, least)
    assert least <= len(found) <= max(5, 2 * least - 1)
    assert low <= float(found[0])
    assert float(found[-1]) <= high
    assert len(set(np.diff(found))) == 1


@given(st.floats(1e-6, 1e6), st.floats(1, 1e6))
@settings(max_examples=30, deadline=None)
def test_a_logarithmic_axis_has_three_ticks_or_more(low: float, times: float) -> None:
    axes = Figure().subplots()
    plots.logarithmic(axes, "x", [low, low * times])
    first, last = axes.get_xlim()
    ticks = axes.get_xticks()
    assert 3 <= len(ticks) <= 9 + np.log10(times)
    assert first <= ticks[0] * (1 + 1e-9)
    assert ticks[-1] <= last * (1 + 1e-9)


# Machado, Oliveira, Fernandes, A Physiologically-based Model for Simulation of Color Vision
# Deficiency, IEEE TVCG 15(6), 2009: severity 1.0, of linear RGB.
SEEN = {
    "by most": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def least_difference(colours: Sequence[str], seen: Any) -> float:
    """The least CIEDE2000 between two of the colours as someone sees them."""
    levels = torch.tensor([list(bytes.fromhex(c.removeprefix("#"))) for c in colours]) / 255
    matrix = torch.tensor(np.array(seen), dtype=torch.float32)
    pixels = linear_to_srgb((srgb_to_linear(levels) @ matrix.T).clamp(0, 1)).T[:, :, None]
    pairs = itertools.combinations(range(len(colours)), 2)
    return min(float(delta_e_2000(pixels[:, i, None], pixels[:, j, None])) for i, j in pairs)


@pytest.mark.parametrize("who", SEEN)
def test_colours_can_be_told_apart_by_the_colour_blind_too(who: str) -> None:
    assert least_difference((*plots.COLOURS, plots.GRID), SEEN[who]) >= 13


def test_the_simulation_takes_the_red_out_of_violet() -> None:
    blue, violet = "#2b7bbf", "#9a6bc4"
    assert least_difference([blue, violet], SEEN["by most"]) > 16
    assert least_difference([blue, violet], SEEN["protanopia"]) < 2
    assert least_difference(["#696969", "#808080"], SEEN["tritanopia"]) == pytest.approx(
        least_difference(["#696969", "#808080"], SEEN["by most"]), abs=0.1
    )


def test_lines_of_one_colour_differ_in_their_markers() -> None:
    styles = {(plots.colour(i), plots.MARKERS[i % len(plots.MARKERS)]) for i in range(56)}
    assert len(styles) == 56
    parts = list(plots_time._PARTS.values())
    assert len({marker for marker, _ in parts}) == len({ink for _, ink in parts}) == len(parts)
    assert len(set(plots_time._LINES.values())) == len(plots_time._LINES)
