"""What a network costs, counted from its configuration alone: parameters and multiply-accumulates.

A multiply-accumulate is a product that is added to something. Additions, comparisons, biases,
batch norm (which folds into the layer before it), activations and the arithmetic of addresses and
weights are not counted. The low-res input's making is left out too: it is no part of the network.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from ..config import LEVELS, N_IN, HDRNetConfig
from .guides import CURVE_POINTS
from .hdrnet import HDRNet
from .network import CoefficientNetwork

_CORNERS = 8  # cells that a trilinear sample reads
_BILINEAR = 4 * 3  # pixels that one pixel of a resized picture reads, in three channels


class Complexity(NamedTuple):
    """parameters; network_macs: of predicting the grid, once a picture; pixel_macs: of guide, slice
    and apply, for each pixel of the picture, rounded."""

    parameters: int
    network_macs: int
    pixel_macs: int


def complexity(config: HDRNetConfig) -> Complexity:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in HDRNet(config).parameters())
    return Complexity(parameters, network_macs(config), round(pixel_macs(config)))


def network_macs(config: HDRNetConfig) -> int:
    """Of convolutions and dense layers, by the shapes that come out; nothing is computed."""
    total = 0

    def count(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        total += output.numel() * layer.weight[0].numel()  # each sums so many products

    with torch.device("meta"):
        network = CoefficientNetwork(config).eval()
        lowres = torch.empty(1, 3, config.net_input_size, config.net_input_size)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    network(lowres)
    return total


def pixel_macs(config: HDRNetConfig) -> float:
    """Guide, eight cells of twelve coefficients, one 3 x 3 product; a pyramid does it at three
    sizes, and resizes twice down and twice up."""
    if config.variant == "curves":
        guide = 3 * 3 + 3 * CURVE_POINTS + 3
    else:
        guide = 3 * config.guide_complexity + config.guide_complexity
    level = guide + _CORNERS * 3 * N_IN + 3 * 3
    if config.variant != "pyramid":
        return level
    share = [4.0**-i for i in range(LEVELS)]  # of the pixels, fine to coarse
    return level * sum(share) + _BILINEAR * (sum(share[1:]) + sum(share[:-1]))
