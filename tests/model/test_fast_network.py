"""The coefficient network for inference is the network itself; see also tests/gpu."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model.fast_network import Branch, fast_coefficients

CONFIGS = [
    HDRNetConfig(),
    HDRNetConfig(batch_norm=True, spatial_bin=8, luma_bins=4),
    HDRNetConfig(variant="pyramid", net_input_size=64, local_layers=1),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["default", "batch norm", "pyramid"])
def test_the_same_grid(config: HDRNetConfig) -> None:
    torch.manual_seed(0)
    network = HDRNet(config).eval().coefficient_network
    lowres = torch.rand(2, 3, config.net_input_size, config.net_input_size)
    with torch.no_grad():
        assert torch.equal(fast_coefficients(network, lowres, Branch()), network(lowres))


def test_a_layer_in_place_of_another_is_called() -> None:
    network = HDRNet().eval().coefficient_network
    network.splat[1] = nn.Sequential(network.splat[1], nn.Hardtanh(0, 1e-3))
    lowres = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(fast_coefficients(network, lowres, Branch()), network(lowres))
