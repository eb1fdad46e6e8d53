"""What the page is given of a model is the model: its layers, read as the scripts read them, make
the same grid and guides in float64, but for the rounding of kernels to float16."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.web.network import packed_model
from tests.web.models import random_model

CONFIGS = [
    {},
    {"batch_norm": True, "luma_bins": 4, "spatial_bin": 8, "net_input_size": 64, "local_layers": 1},
    {"variant": "pointwise", "net_input_size": 24, "spatial_bin": 3, "luma_bins": 3},
    {"variant": "pyramid", "net_input_size": 64, "batch_norm": True, "channel_multiplier": 2},
]


def tensor(place: dict[str, Any], weights: bytes, *shape: int) -> Tensor:
    kind = np.dtype(place["type"]).newbyteorder("<")
    assert place["offset"] % 4 == 0
    array = np.frombuffer(weights, kind, place["length"], place["offset"])
    return torch.tensor(array.astype(np.float64)).reshape(shape)


def grid_of(description: dict[str, Any], weights: bytes, lowres: Tensor) -> Tensor:
    """(1, 3, S, S) to the grid (depth, rows, columns, outputs, 4), by the page's description."""

    def run(layers: list[dict[str, Any]], x: Tensor) -> Tensor:
        for layer in layers:
            side, stride, (inputs, outputs) = layer["kernel"], layer["stride"], layer["channels"]
            kernel = tensor(layer["weight"], weights, side, side, inputs, outputs)
            bias = layer["bias"] and tensor(layer["bias"], weights, outputs)
            height, width = x.shape[-2:]
            total = [max((-(-n // stride) - 1) * stride + side - n, 0) for n in (width, height)]
            x = F.pad(x, [part for n in total for part in (n // 2, n - n // 2)])
            x = F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, stride)
            x = x.relu() if layer["relu"] else x
        return x

    network = description["network"]
    features = run(network["splat"], lowres)
    context = run(network["global_convs"], features).permute(0, 2, 3, 1).reshape(1, -1, 1, 1)
    summary = run(network["global_dense"], context)
    fusion = (run(network["local"], features) + summary).relu()
    cells = run(network["prediction"], fusion)[0].permute(1, 2, 0)
    shape = description["grid"]
    rows, columns, outputs = shape["rows"], shape["columns"], shape["outputs"]
    return cells.reshape(rows, columns, shape["depth"], outputs, 4).permute(2, 0, 1, 3, 4)


@pytest.mark.parametrize("settings", CONFIGS)
def test_the_page_has_the_models_network(settings: dict[str, Any]) -> None:
    model = random_model(**settings)
    description, weights = packed_model(model)
    size = model.config.net_input_size
    lowres = torch.rand(1, 3, size, size, dtype=torch.float64)
    own = grid_of(description, weights, lowres)
    with torch.no_grad():
        expected = model.double().coefficients(lowres)[0]
    expected = expected.unflatten(0, (-1, 4)).permute(2, 3, 4, 0, 1)
    assert own.shape == expected.shape
    # A kernel's float16 is off by 2^-12 of it on average.
    assert (own - expected).abs().max() <= 2**-9 * expected.abs().max()
    assert (own - expected).abs().max() > 0


def test_kernels_are_the_weights_rounded_to_float16_and_no_more() -> None:
    model = HDRNet()
    description, weights = packed_model(model)
    assert len(weights) == pytest.approx(2 * 482_080, rel=0.01)
    (layer,) = description["network"]["prediction"]
    own = tensor(layer["weight"], weights, 64, 96)
    kernel = model.coefficient_network.prediction.conv.weight.detach()[:, :, 0, 0]
    # Ours come as depth, output, input; the network's as input, output, depth.
    ours = own.reshape(64, 8, 3, 4).permute(0, 3, 2, 1).reshape(64, 96)
    assert torch.equal(ours, kernel.T.half().double())


def test_what_float16_does_not_hold_stays_float32() -> None:
    model = HDRNet(HDRNetConfig(net_input_size=16, spatial_bin=4, luma_bins=2))
    with torch.no_grad():
        model.coefficient_network.splat[0].conv.weight[0, 0, 0, 0] = 1e5
    description, weights = packed_model(model)
    first, second = description["network"]["splat"]
    assert first["weight"]["type"] == "float32"
    assert second["weight"]["type"] == "float16"
    assert tensor(first["weight"], weights, 3, 3, 3, 2)[0, 0, 0, 0] == 1e5


def test_guides_are_written_out_in_full() -> None:
    curves, pointwise = random_model(), random_model(variant="pointwise", guide_complexity=5)
    (guide,) = packed_model(curves)[0]["guides"]
    assert torch.equal(torch.tensor(guide["slopes"]), curves.guides[0].slopes)
    assert torch.equal(torch.tensor(guide["matrix"]), curves.guides[0].ccm)
    (guide,) = packed_model(pointwise)[0]["guides"]
    colours = torch.rand(3, 50, dtype=torch.float64)
    weights, bias = torch.tensor(guide["first"]), torch.tensor(guide["first_bias"])
    hidden = (weights.double() @ colours + bias.double()[:, None]).relu()
    own = (torch.tensor(guide["second"]).double() @ hidden + guide["second_bias"]).sigmoid()
    with torch.no_grad():
        expected = pointwise.double().guide(colours[None, :, None])
    assert (own - expected[0, 0]).abs().max() <= 1e-7
