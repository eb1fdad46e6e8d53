"""Layers as TensorFlow has them: SAME padding, batch norm without scale, initialisation.

Source: the reference's hdrnet/layers.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Module):
    """Convolution with TensorFlow's SAME padding, then batch norm, then ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        stride: int = 1,
        bias: bool = True,
        norm: bool = False,
        relu: bool = True,
    ) -> None:
        super().__init__()
        # What SAME adds at stride 1 it adds on both sides alike, and the convolution can do it.
        own = kernel // 2 if stride == 1 and kernel % 2 else 0
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, padding=own, bias=bias and not norm
        )
        # TensorFlow's defaults: epsilon 0.001, and a decay of 0.999, torch's momentum of 0.001.
        self.norm = _shift_only(nn.BatchNorm2d(channels_out, eps=1e-3, momentum=1e-3), norm)
        self.relu = relu
        _initialise(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.padded(x))
        x = x if self.norm is None else self.norm(x)
        return F.relu(x) if self.relu else x

    def padded(self, x: Tensor) -> Tensor:
        """With what SAME adds and the convolution does not."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if kernel == 1 or self.conv.padding != (0, 0):
            return x
        # SAME puts the odd pixel after: (0, 1) for a 3 x 3 stride-2 layer on an even size. With
        # Conv2d's own padding of 1 on both sides all windows would lie one pixel before.
        top, bottom = same_padding(x.shape[-2], kernel, stride)
        left, right = same_padding(x.shape[-1], kernel, stride)
        return F.pad(x, (left, right, top, bottom))


class Dense(nn.Module):
    def __init__(
        self, channels_in: int, channels_out: int, norm: bool = False, relu: bool = True
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(channels_in, channels_out, bias=not norm)
        self.norm = _shift_only(nn.BatchNorm1d(channels_out, eps=1e-3, momentum=1e-3), norm)
        self.relu = relu
        _initialise(self.dense)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dense(x)
        x = x if self.norm is None else self.norm(x)
        return F.relu(x) if self.relu else x


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after, such that ceil(size / stride) windows fit exactly."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _shift_only(
    norm: nn.BatchNorm1d | nn.BatchNorm2d, use: bool
) -> nn.BatchNorm1d | nn.BatchNorm2d | None:
    """Batch norm with a learned shift and no scale, which replaces the layer's bias; None where it
    is not used."""
    _scale_by_one(norm)
    return norm if use else None


def _scale_by_one(norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm) -> None:
    """A scale that is in no file and no optimiser: without any, torch on CUDA cannot make the
    shift's gradient where channels lie side by side ("tensor does not have a device")."""
    del norm.weight
    ones = torch.ones(norm.num_features, device=norm.bias.device, dtype=norm.bias.dtype)
    norm.register_buffer("weight", ones, persistent=False)


def fill_scales(module: nn.Module) -> None:
    """The scales by one, which are in no file, of a module that was made without memory."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            ones = torch.ones(norm.num_features, dtype=norm.bias.dtype)
            norm.register_buffer("weight", ones, persistent=False)


def synchronise_norms(module: nn.Module) -> nn.Module:
    """With batch norms whose statistics are of all processes (SyncBatchNorm)."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            # Torch takes over a parameter, or none, but no buffer.
            del norm.weight
            norm.register_parameter("weight", None)
    module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for norm in module.modules():
        if isinstance(norm, nn.SyncBatchNorm):
            _scale_by_one(norm)
    return module


def _initialise(layer: nn.Conv2d | nn.Linear) -> None:
    """Truncated normal of variance 1.3 * 2 / fan_in, cut at two sigma; biases zero.

    TensorFlow's variance_scaling_initializer: the factor 1.3 makes up for what the cut takes off
    He's variance of 2 / fan_in.
    """
    sigma = math.sqrt(1.3 * 2 / layer.weight[0].numel())
    nn.init.trunc_normal_(layer.weight, std=sigma, a=-2 * sigma, b=2 * sigma)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
