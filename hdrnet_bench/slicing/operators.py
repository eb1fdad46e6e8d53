"""The native kernels as torch operators: with shapes for tracing, and with gradients.

`torch.ops.hdrbench.slice_apply` and `torch.ops.hdrbench.curves_guide`, on the CPU; torch.compile
and torch.export see them as single operators. Their gradients have no gradient of their own:
differentiating twice is an error that names the operator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import cpu


@torch.library.custom_op("hdrbench::slice_apply", mutates_args=(), device_types="cpu")
def slice_apply(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    """Slice and apply: shapes as in `bilateral_slice_apply`, float32 or float64."""
    outputs = grid.shape[1] // (image.shape[1] + has_offset)
    out = image.new_empty((image.shape[0], outputs, *image.shape[2:]))
    cpu.forward(grid.contiguous(), guide.contiguous(), image.contiguous(), has_offset, out)
    return out


@slice_apply.register_fake
def _(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    outputs = grid.shape[1] // (image.shape[1] + has_offset)
    return image.new_empty((image.shape[0], outputs, *image.shape[2:]))


@torch.library.custom_op("hdrbench::slice_apply_backward", mutates_args=(), device_types="cpu")
def slice_apply_backward(
    grid: Tensor, guide: Tensor, image: Tensor, grad: Tensor, has_offset: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of grid, guide and image."""
    grid, guide, image = grid.contiguous(), guide.contiguous(), image.contiguous()
    return cpu.backward(grid, guide, image, grad.contiguous(), has_offset)


@slice_apply_backward.register_fake
def _(
    grid: Tensor, guide: Tensor, image: Tensor, grad: Tensor, has_offset: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(t.new_empty(t.shape) for t in (grid, guide, image))  # type: ignore[return-value]


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor) -> None:
    *tensors, ctx.has_offset = inputs
    ctx.save_for_backward(*tensors)


def _slice_apply_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    grads = torch.ops.hdrbench.slice_apply_backward(*ctx.saved_tensors, grad, ctx.has_offset)
    return (*grads, None)


slice_apply.register_autograd(_slice_apply_gradient, setup_context=_keep)


@torch.library.custom_op("hdrbench::curves_guide", mutates_args=(), device_types="cpu")
def curves_guide(
    image: Tensor,
    ccm: Tensor,
    ccm_bias: Tensor,
    shifts: Tensor,
    slopes: Tensor,
    mix: Tensor,
    mix_bias: Tensor,
) -> Tensor:
    """The curves guide: (B, 3, H, W) float32 -> (B, H, W) in [0, 1]; parameters as in model.py."""
    packed = cpu.pack_curves(ccm, ccm_bias, shifts, slopes, mix, mix_bias)
    return cpu.curves_forward(image.contiguous(), packed)


@curves_guide.register_fake
def _(image: Tensor, *parameters: Tensor) -> Tensor:
    return image.new_empty((image.shape[0], *image.shape[2:]))


@torch.library.custom_op("hdrbench::curves_guide_backward", mutates_args=(), device_types="cpu")
def curves_guide_backward(
    image: Tensor,
    ccm: Tensor,
    ccm_bias: Tensor,
    shifts: Tensor,
    slopes: Tensor,
    mix: Tensor,
    mix_bias: Tensor,
    grad: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the image and of each parameter."""
    packed = cpu.pack_curves(ccm, ccm_bias, shifts, slopes, mix, mix_bias)
    grad_image, sums = cpu.curves_backward(image.contiguous(), packed, grad.contiguous())
    guide, excess, above, to_ccm, to_bias = sums.to(image.dtype).split([1, 48, 48, 9, 3])
    excess, above = excess.reshape(slopes.shape), above.reshape(slopes.shape)
    return (
        grad_image,
        to_ccm.reshape(3, 3).clone(),
        to_bias.clone(),
        -mix[:, None] * slopes * above,
        mix[:, None] * excess,
        (slopes * excess).sum(1),
        guide.reshape(()).clone(),
    )


@curves_guide_backward.register_fake
def _(*tensors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return tuple(t.new_empty(t.shape) for t in tensors[:7])  # type: ignore[return-value]


def _keep_all(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _curves_guide_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    return torch.ops.hdrbench.curves_guide_backward(*ctx.saved_tensors, grad)


curves_guide.register_autograd(_curves_guide_gradient, setup_context=_keep_all)
