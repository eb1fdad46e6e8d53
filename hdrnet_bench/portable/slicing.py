"""Guide, slice and apply as nodes of a graph, in tensors of four dimensions."""

from __future__ import annotations

import numpy as np
from torch import nn

from ..config import HDRNetConfig
from ..model.folding import folded, numbers
from ..model.guides import CURVE_POINTS, CurvesGuide, PointwiseGuide
from .graph import FLOAT, Graph
from .network import add_conv

# Control points of the curves that are computed at once: with 12 channels a pixel they need no more
# memory than the coefficients do.
_POINTS_AT_ONCE = 4


def add_guide(graph: Graph, guide: nn.Module, picture: str) -> str:
    """(B, 3, H, W) -> (B, 1, H, W) in [0, 1]."""
    with graph.part("guide"):
        # Along one axis: convolutions of two that give 12 channels, and then one, onnxruntime pads
        # to blocks of 16, which took twice the time and memory.
        pixels = graph.add("Reshape", picture, [0, 3, -1])
        if isinstance(guide, PointwiseGuide):
            kernel, bias = folded(guide.conv1.conv, guide.conv1.norm)
            hidden = add_conv(graph, pixels, kernel[..., 0], bias, relu=True)
            kernel, bias = folded(guide.conv2.conv, None)
            value = graph.add("Sigmoid", add_conv(graph, hidden, kernel[..., 0], bias))
        else:
            assert isinstance(guide, CurvesGuide)
            value = _add_curves(graph, guide, pixels)
        batch = graph.add("Shape", picture, start=0, end=1)
        sides = graph.add("Shape", picture, start=2, end=4)
        return graph.add("Reshape", value, graph.add("Concat", batch, [1], sides, axis=0))


def _add_curves(graph: Graph, guide: CurvesGuide, pixels: str) -> str:
    """(B, 3, pixels) -> (B, 1, pixels)."""
    # mix_bias + sum of mix[c] slopes[c, k] relu(x @ ccm[:, c] + ccm_bias[c] - shifts[c, k]): two
    # convolutions with a ReLU between them, some control points at a time.
    matrix = numbers(guide.ccm).T.repeat(_POINTS_AT_ONCE, axis=0)[:, :, None]
    offsets = numbers(guide.ccm_bias)[:, None] - numbers(guide.shifts)
    factors = numbers(guide.mix)[:, None] * numbers(guide.slopes)
    total = None
    for first in range(0, CURVE_POINTS, _POINTS_AT_ONCE):
        points = slice(first, first + _POINTS_AT_ONCE)
        above = add_conv(graph, pixels, matrix, offsets[:, points].reshape(-1), relu=True)
        bias = numbers(guide.mix_bias).reshape(1) if total is None else None
        part = add_conv(graph, above, factors[:, points].reshape(1, -1, 1), bias)
        total = part if total is None else graph.add("Add", total, part)
    assert total is not None
    return graph.add("Clip", total, 0.0, 1.0)


def add_slice_apply(
    graph: Graph, config: HDRNetConfig, grid: str, guide: str, picture: str, height: str, width: str
) -> str:
    """The picture, each pixel by its own matrix, (B, 3, H, W).

    Args:
        grid: (B, 12, D * GH, GW), the slices of the depth one below the other, channel
            i_in * 3 + i_out.
        guide: (B, 1, H, W).
        height, width: of the picture, scalars.
    """
    depth, cells = config.luma_bins, config.spatial_bin
    with graph.part("slice"):
        # Places in cells. A row stays within its slice of the depth: the first and last rows of a
        # slice lie beside rows of other slices.
        column = _centres(graph, width, cells)
        column = graph.add("Expand", column, graph.add("Shape", guide))
        row = graph.add("Unsqueeze", _centres(graph, height, cells), [1])
        row = graph.add("Clip", row, 0.5, cells - 0.5)
        if depth == 1:
            row = graph.add("Expand", row, graph.add("Shape", guide))
            return _add_apply(graph, _add_sample(graph, config, grid, column, row), picture)
        place = graph.add("Sub", graph.add("Mul", guide, float(depth)), 0.5)
        place = graph.add("Clip", place, 0.0, depth - 1.0)
        below = graph.add("Clip", graph.add("Floor", place), 0.0, depth - 2.0)
        weight = graph.add("Sub", place, below)
        row = graph.add("Add", graph.add("Mul", below, float(cells)), row)
        # Applied before they are mixed: one slice's coefficients are in memory at a time.
        low = _add_apply(graph, _add_sample(graph, config, grid, column, row), picture)
        row = graph.add("Add", row, float(cells))
        high = _add_apply(graph, _add_sample(graph, config, grid, column, row), picture)
        rise = graph.add("Mul", graph.add("Sub", high, low), weight)
        return graph.add("Add", low, rise)


def _centres(graph: Graph, length: str, cells: int) -> str:
    """(length,): where the centres of so many pixels lie among so many cells."""
    pixel = graph.add("Cast", graph.add("Range", 0, length, 1), to=FLOAT)
    scale = graph.add("Div", float(cells), graph.add("Cast", length, to=FLOAT))
    return graph.add("Mul", graph.add("Add", pixel, 0.5), scale)


def _add_sample(graph: Graph, config: HDRNetConfig, grid: str, column: str, row: str) -> str:
    """(B, 12, H, W) of the plane of slices. column, row: (B, 1, H, W), in cells."""
    places = graph.add("Concat", column, row, axis=1)
    # GridSample counts from -1 to 1.
    rows = config.luma_bins * config.spatial_bin
    scale = np.array([2 / config.spatial_bin, 2 / rows]).reshape(1, 2, 1, 1)
    places = graph.add("Sub", graph.add("Mul", places, scale), 1.0)
    return graph.add(
        "GridSample",
        grid,
        graph.add("Transpose", places, perm=[0, 2, 3, 1]),
        mode="bilinear",
        padding_mode="border",
        align_corners=0,
    )


def _add_apply(graph: Graph, matrix: str, picture: str) -> str:
    """(B, 12, H, W) with channel i_in * 3 + i_out, (B, 3, H, W) -> (B, 3, H, W)."""
    columns = [graph.add("Slice", matrix, [3 * i], [3 * i + 3], [1]) for i in range(4)]
    output = columns[3]
    for i in range(3):
        colour = graph.add("Slice", picture, [i], [i + 1], [1])
        output = graph.add("Add", output, graph.add("Mul", columns[i], colour))
    return output
