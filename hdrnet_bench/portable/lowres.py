"""The low-res copy of a picture as nodes of a graph."""

from __future__ import annotations

import numpy as np

from ..config import LowresResize
from .graph import FLOAT, INT64, Graph


def add_lowres(
    graph: Graph, picture: str, height: str, width: str, size: int, resize: LowresResize
) -> str:
    """(B, 3, H, W) -> (B, 3, size, size), as `model.lowres.make_lowres`. height, width: scalars."""
    with graph.part("lowres"):
        if resize == "nearest":
            rows = graph.add("Gather", picture, _nearest(graph, height, size), axis=2)
            return graph.add("Gather", rows, _nearest(graph, width, size), axis=3)
        # A row of each matrix has one number in the places of its window, and zeros.
        rows = graph.add("MatMul", _windows(graph, height, size), picture)
        columns = graph.add("Transpose", _windows(graph, width, size), perm=[1, 0])
        return graph.add("MatMul", rows, columns)


def _windows(graph: Graph, length: str, size: int) -> str:
    """(size, length): each row averages pixels floor(i length / size) to below
    ceil((i + 1) length / size), as torch's "area" does."""
    index = np.arange(size)[:, None]
    first = graph.add("Div", graph.add("Mul", length, index), size)
    last = graph.add("Add", graph.add("Mul", length, index + 1), size - 1)
    last = graph.add("Div", last, size)
    first, last = (graph.add("Cast", end, to=FLOAT) for end in (first, last))
    # 1 inside and 0 outside, by arithmetic alone.
    pixel = graph.add("Cast", graph.add("Range", 0, length, 1), to=FLOAT)
    before_last = graph.add("Clip", graph.add("Sub", last, pixel), 0.0, 1.0)
    from_first = graph.add("Clip", graph.add("Sub", pixel, graph.add("Sub", first, 1.0)), 0.0, 1.0)
    inside = graph.add("Mul", before_last, from_first)
    return graph.add("Div", inside, graph.add("Sub", last, first))


def _nearest(graph: Graph, length: str, size: int) -> str:
    """(size,): which of `length` pixels torch's "nearest" takes, by float32 as it does."""
    scale = graph.add("Div", graph.add("Cast", length, to=FLOAT), float(size))
    places = graph.add("Floor", graph.add("Mul", scale, np.arange(size, dtype=np.float32)))
    last = graph.add("Sub", length, 1)
    return graph.add("Min", graph.add("Cast", places, to=INT64), last)
