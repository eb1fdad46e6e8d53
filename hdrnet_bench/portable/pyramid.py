"""The pyramid's three levels as nodes of a graph: halved twice, enhanced, put together again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..config import LEVELS, N_IN
from ..model.hdrnet import HDRNet
from .graph import FLOAT, INT64, Graph
from .slicing import add_guide, add_slice_apply


class _Size(NamedTuple):
    """Of a level's picture; scalars of the graph."""

    height: str
    width: str


def add_pyramid(
    graph: Graph, model: HDRNet, grid: str, picture: str, height: str, width: str
) -> str:
    """(B, 3, H, W). grid: (B, 36, D * GH, GW), channel i_in * 9 + i_out; in i_out the coarsest
    level's rows stand first. height, width: scalars."""
    with graph.part("pyramid"):
        sizes, pictures = [_Size(height, width)], [picture]
        for level in range(1, LEVELS):
            sides = [graph.add("Div", side, 2**level) for side in (height, width)]
            sizes.append(_Size(*sides))
            pictures.append(_resize(graph, pictures[-1], sizes[-2], sizes[-1]))

        def level_output(level: int) -> str:
            first_row = 3 * (LEVELS - 1 - level)
            rows = 3 * LEVELS * np.arange(N_IN)[:, None] + first_row + np.arange(3)
            own = graph.add("Gather", grid, rows.reshape(-1), axis=1)
            guide = add_guide(graph, model.guides[level], pictures[level])
            return add_slice_apply(graph, model.config, own, guide, pictures[level], *sizes[level])

        output = level_output(LEVELS - 1)
        for level in reversed(range(LEVELS - 1)):
            coarser = _resize(graph, output, sizes[level + 1], sizes[level])
            output = graph.add("Add", coarser, level_output(level))
        return output


def _resize(graph: Graph, picture: str, old: _Size, new: _Size) -> str:
    """As `model.pyramid.resize`; runtimes' own Resize finds the places of pixels by other
    roundings, which on large pictures shows (over 1e-4)."""
    for axis, before, after in ((2, old.height, new.height), (3, old.width, new.width)):
        last = graph.add("Sub", before, 1)
        steps = graph.add("Max", graph.add("Sub", after, 1), 1)
        scale = graph.add(
            "Div", graph.add("Cast", last, to=FLOAT), graph.add("Cast", steps, to=FLOAT)
        )
        pixel = graph.add("Cast", graph.add("Range", 0, after, 1), to=FLOAT)
        place = graph.add("Mul", pixel, scale)
        below = graph.add("Floor", place)
        weight = graph.add("Sub", place, below)
        if axis == 2:
            weight = graph.add("Unsqueeze", weight, [1])
        low = graph.add("Min", graph.add("Cast", below, to=INT64), last)
        high = graph.add("Min", graph.add("Add", low, 1), last)
        near = graph.add("Gather", picture, low, axis=axis)
        far = graph.add("Gather", picture, high, axis=axis)
        picture = graph.add("Add", near, graph.add("Mul", graph.add("Sub", far, near), weight))
    return picture
