"""What the page's scripts are given of a model: its layers and guides, and the weights as bytes.

Batch norm is folded into the layer before it. Kernels are float16: half the bytes, at an error of
2^-11 of a weight, or of 2^-25 where that is more. Biases are float32, guides written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..config import N_IN
from ..model.folding import Array, folded, numbers
from ..model.guides import CurvesGuide, PointwiseGuide
from ..model.hdrnet import HDRNet
from ..model.layers import Conv, Dense


def packed_model(model: HDRNet) -> tuple[dict[str, Any], bytes]:
    """A model as JSON, and the weights that it refers to by their offsets in bytes.

    Kernels are written (rows, columns, inputs, outputs), dense layers (inputs, outputs). The
    prediction's outputs come in the order depth, row of the matrix, column of the matrix.
    """
    config, network = model.config, model.coefficient_network
    weights = bytearray()

    def layers(modules: nn.Sequential) -> list[dict[str, Any]]:
        return [_layer(module, weights) for module in modules]

    # The network's channel is (i_in * n_out + i_out) * depth + z.
    order = np.arange(N_IN * config.outputs * config.luma_bins)
    order = order.reshape(N_IN, config.outputs, config.luma_bins).transpose(2, 1, 0).reshape(-1)
    description = {
        "variant": config.variant,
        "input_size": config.net_input_size,
        "lowres_resize": config.lowres_resize,
        "grid": {
            "depth": config.luma_bins,
            "rows": config.spatial_bin,
            "columns": config.spatial_bin,
            "outputs": config.outputs,
        },
        "network": {
            "splat": layers(network.splat),
            "local": layers(network.local),
            "global_convs": layers(network.global_convs),
            "global_dense": layers(network.global_dense),
            "prediction": [_layer(network.prediction, weights, order)],
        },
        "guides": [_guide(guide) for guide in model.guides],
    }
    return description, bytes(weights)


def _layer(
    module: nn.Module, weights: bytearray, order: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """A convolution, or a dense layer as one of a single pixel; order: of its outputs."""
    assert isinstance(module, Conv | Dense)
    kernel, bias = folded(module.conv if isinstance(module, Conv) else module.dense, module.norm)
    if order is not None:
        kernel, bias = kernel[order], None if bias is None else bias[order]
    outputs, inputs, side, _ = kernel.shape
    return {
        "kernel": side,
        "stride": module.conv.stride[0] if isinstance(module, Conv) else 1,
        "relu": module.relu,
        "channels": [inputs, outputs],
        "weight": _append(weights, kernel.transpose(2, 3, 1, 0), np.float16),
        "bias": None if bias is None else _append(weights, bias, np.float32),
    }


def _append(weights: bytearray, numbers: Array, kind: type[np.floating[Any]]) -> dict[str, Any]:
    """Numbers at the end of the weights, aligned to four bytes: where they lie."""
    if np.abs(numbers).max(initial=0) > np.finfo(kind).max:
        kind = np.float32
    weights.extend(bytes(-len(weights) % 4))
    place = {"type": np.dtype(kind).name, "offset": len(weights), "length": numbers.size}
    # Browsers read numbers in the processor's order, which is little-endian wherever they run.
    weights.extend(numbers.astype(np.dtype(kind).newbyteorder("<")).tobytes())
    return place


def _guide(guide: nn.Module) -> dict[str, Any]:
    if isinstance(guide, CurvesGuide):
        return {
            "matrix": _listed(guide.ccm),
            "bias": _listed(guide.ccm_bias),
            "shifts": _listed(guide.shifts),
            "slopes": _listed(guide.slopes),
            "mix": _listed(guide.mix),
            "mix_bias": _listed(guide.mix_bias),
        }
    assert isinstance(guide, PointwiseGuide)
    first, first_bias = folded(guide.conv1.conv, guide.conv1.norm)
    second, second_bias = folded(guide.conv2.conv, None)
    assert first_bias is not None
    assert second_bias is not None
    return {
        "first": first.reshape(first.shape[:2]).tolist(),
        "first_bias": first_bias.tolist(),
        "second": second.reshape(-1).tolist(),
        "second_bias": float(second_bias[0]),
    }


def _listed(tensor: Tensor) -> Any:
    return numbers(tensor).tolist()
