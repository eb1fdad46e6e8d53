"""From a picture's numbers to what the network is given, and back, as nodes of a graph."""

from __future__ import annotations

from ..config import HDRNetConfig
from .graph import FLOAT, UINT8, Graph


def add_model_input(graph: Graph, config: HDRNetConfig, picture: str, is_bytes: bool) -> str:
    """The picture in about [0, 1], through the transfer of the configuration."""
    with graph.part("input"):
        if is_bytes:
            picture = graph.add("Div", graph.add("Cast", picture, to=FLOAT), 255.0)
        if config.input_transfer == "none":
            return picture
        # color.linear_to_srgb.
        light = graph.add("Relu", picture)
        toe = graph.add("Mul", light, 12.92)
        power = graph.add("Pow", graph.add("Max", light, 0.003), 1 / 2.4)
        curve = graph.add("Sub", graph.add("Mul", power, 1.055), 0.055)
        return graph.add("Where", graph.add("LessOrEqual", light, 0.0031308), toe, curve)


def add_output(graph: Graph, output: str, is_bytes: bool) -> None:
    """The graph's "output": bytes clamped and rounded, floats neither."""
    if not is_bytes:
        graph.add("Identity", output, output="output")
        return
    with graph.part("levels"):
        levels = graph.add("Mul", graph.add("Clip", output, 0.0, 1.0), 255.0)
        graph.add("Cast", graph.add("Round", levels), to=UINT8, output="output")
