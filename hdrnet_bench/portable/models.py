"""A model as ONNX graphs whose operators have four dimensions at most: the whole, or its two parts.

What the whole computes is `model.enhance`, the low-res copy included, for pictures of any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..config import N_IN, HDRNetConfig, input_description
from ..model.export import metadata
from ..model.hdrnet import HDRNet
from .colour import add_model_input, add_output
from .graph import Graph
from .lowres import add_lowres
from .network import add_network
from .pyramid import add_pyramid
from .slicing import add_guide, add_slice_apply

if TYPE_CHECKING:
    from onnx import ModelProto

Numbers = Literal["float32", "uint8"]


def whole_model(model: HDRNet, numbers: Numbers) -> ModelProto:
    """picture (B, 3, H, W) -> output (B, 3, H, W).

    Args:
        numbers: of picture and output: float32 in about [0, 1], the output not clamped; or uint8,
            the output clamped and rounded to nearest.
    """
    graph = Graph()
    picture, height, width = _add_picture(graph, model, numbers)
    grid = _add_grid(graph, model, picture, height, width)
    output = _add_sliced(graph, model, grid, picture, height, width)
    add_output(graph, output, numbers == "uint8")
    return _finished(graph, model.config, numbers, ["picture"], "output", metadata(model))


def network_model(model: HDRNet, numbers: Numbers) -> ModelProto:
    """picture (B, 3, H, W) -> grid (B, 4 * n_out, D * GH, GW). A picture of S x S is its own
    low-res copy: the graph serves those who make that themselves as well."""
    graph = Graph()
    grid = _add_grid(graph, model, *_add_picture(graph, model, numbers))
    graph.add("Identity", grid, output="grid")
    return _finished(graph, model.config, numbers, ["picture"], "grid", metadata(model))


def slicing_model(model: HDRNet, numbers: Numbers) -> ModelProto:
    """grid, as `network_model` gives it, and picture (B, 3, H, W) -> output (B, 3, H, W)."""
    graph = Graph()
    picture, height, width = _add_picture(graph, model, numbers)
    output = _add_sliced(graph, model, "grid", picture, height, width)
    add_output(graph, output, numbers == "uint8")
    inputs = ["grid", "picture"]
    return _finished(graph, model.config, numbers, inputs, "output", metadata(model))


def _add_picture(graph: Graph, model: HDRNet, numbers: Numbers) -> tuple[str, str, str]:
    """The picture as the network is given it, its height and its width."""
    with graph.part("size"):
        height, width = (
            graph.add("Squeeze", graph.add("Shape", "picture", start=axis, end=axis + 1), [0])
            for axis in (2, 3)
        )
    return add_model_input(graph, model.config, "picture", numbers == "uint8"), height, width


def _add_grid(graph: Graph, model: HDRNet, picture: str, height: str, width: str) -> str:
    size, resize = model.config.net_input_size, model.config.lowres_resize
    lowres = add_lowres(graph, picture, height, width, size, resize)
    return add_network(graph, model.coefficient_network, lowres)


def _add_sliced(
    graph: Graph, model: HDRNet, grid: str, picture: str, height: str, width: str
) -> str:
    if model.config.variant == "pyramid":
        return add_pyramid(graph, model, grid, picture, height, width)
    guide = add_guide(graph, model.guides[0], picture)
    return add_slice_apply(graph, model.config, grid, guide, picture, height, width)


def _finished(
    graph: Graph,
    config: HDRNetConfig,
    numbers: Numbers,
    inputs: Sequence[str],
    output: str,
    about: dict[str, str],
) -> ModelProto:
    picture = (np.dtype(numbers), ("batch", 3, "height", "width"))
    plane = (N_IN * config.outputs, config.luma_bins * config.spatial_bin, config.spatial_bin)
    values: Mapping[str, tuple[Any, Sequence[int | str]]] = {
        "picture": picture,
        "output": picture,
        "grid": (np.dtype(np.float32), ("batch", *plane)),
    }
    scale, after = ("about [0, 1]", "not clamped")
    if numbers == "uint8":
        scale, after = ("0 to 255", "clamped and rounded")
    least = "; 4 x 4 pixels or more" if config.variant == "pyramid" else ""
    words = {
        "picture": f"picture (B, 3, H, W): {numbers}, {scale}; {input_description(config)}{least}",
        "output": f"output (B, 3, H, W): {numbers}, {after}; sRGB",
        "grid": f"grid (B, {', '.join(map(str, plane))}): float32; depth {config.luma_bins}",
    }
    about |= {"inputs": "; ".join(words[name] for name in inputs), "outputs": words[output]}
    return graph.model({name: values[name] for name in inputs}, {output: values[output]}, about)
