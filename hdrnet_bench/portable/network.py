"""The coefficient network as nodes of a graph: convolutions, sums and ReLUs alone."""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from ..config import N_IN
from ..model.folding import Array, folded
from ..model.layers import Conv, Dense, same_padding
from ..model.network import CoefficientNetwork
from .graph import Graph


def add_network(graph: Graph, network: CoefficientNetwork, lowres: str) -> str:
    """(B, 3, S, S) -> the grid (B, n_in * n_out, D * GH, GW), the slices of its depth one below
    the other; channel i_in * n_out + i_out, as the prediction's own."""
    config = network.config
    with graph.part("network"):
        side = config.net_input_size
        features = lowres
        for layer in network.splat:
            features = _add_layer(graph, layer, features, side)
            side = math.ceil(side / 2)
        local, context = features, features
        for layer in network.local:
            local = _add_layer(graph, layer, local, side)
        for layer in network.global_convs:
            context = _add_layer(graph, layer, context, side)
            side = math.ceil(side / 2)
        # Dense layers are convolutions, the first one of the whole of what it is given.
        for index, layer in enumerate(network.global_dense):
            context = _add_layer(graph, layer, context, side if index == 0 else 1)
        fusion = graph.add("Relu", graph.add("Add", local, context))
        grid = _add_layer(graph, network.prediction, fusion, config.spatial_bin)
        # The prediction's channel is (i_in * n_out + i_out) * D + z.
        plane = [
            0,
            N_IN * config.outputs,
            config.luma_bins * config.spatial_bin,
            config.spatial_bin,
        ]
        return graph.add("Reshape", grid, plane)


def _add_layer(graph: Graph, layer: nn.Module, x: str, side: int) -> str:
    """side: of what the layer is given."""
    if isinstance(layer, Dense):
        kernel, bias = folded(layer.dense, layer.norm)
        # The reference flattens rows, columns, channels.
        kernel = kernel.reshape(len(kernel), side, side, -1).transpose(0, 3, 1, 2)
        return add_conv(graph, x, kernel, bias, relu=layer.relu)
    assert isinstance(layer, Conv)
    kernel, bias = folded(layer.conv, layer.norm)
    stride = layer.conv.stride[0]
    before, after = same_padding(side, kernel.shape[-1], stride)
    return add_conv(graph, x, kernel, bias, stride, (before, after), layer.relu)


def add_conv(
    graph: Graph,
    x: str,
    kernel: Array,
    bias: Array | None,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    relu: bool = False,
) -> str:
    """A convolution. kernel: (outputs, inputs, rows, columns), or without rows. padding: zeros
    before and after, on every axis."""
    axes = kernel.ndim - 2
    y = graph.add(
        "Conv",
        x,
        kernel.astype(np.float32),
        *([] if bias is None else [bias.astype(np.float32)]),
        kernel_shape=list(kernel.shape[2:]),
        strides=[stride] * axes,
        pads=[zeros for zeros in padding for _ in range(axes)],
    )
    return graph.add("Relu", y) if relu else y
