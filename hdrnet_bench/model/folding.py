"""A layer's numbers for those who compute without torch, batch norm folded in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


def folded(
    layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d | None
) -> tuple[Array, Array | None]:
    """A layer's kernel (outputs, inputs, rows, columns), 1 x 1 of a dense layer, and bias, with its
    batch norm as at inference."""
    kernel = numbers(layer.weight)
    kernel = kernel.reshape(*kernel.shape[:2], *(kernel.shape[2:] or (1, 1)))
    bias = None if layer.bias is None else numbers(layer.bias)
    if norm is None:
        return kernel, bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = 1 / np.sqrt(numbers(norm.running_var) + norm.eps)
    shift = numbers(norm.bias) - numbers(norm.running_mean) * scale
    return kernel * scale[:, None, None, None], shift


def numbers(tensor: Tensor) -> Array:
    """In float64, on the CPU."""
    array: Any = tensor.detach().to("cpu", torch.float64).numpy()
    return array
