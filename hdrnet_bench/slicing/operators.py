"""The native kernels as torch operators: with shapes for tracing, and with gradients.

`torch.ops.hdrbench.slice_apply` and `torch.ops.hdrbench.curves_guide`, on the CPU and on CUDA;
torch.compile and torch.export see them as single operators. Their gradients have no gradient of
their own: differentiating twice is an error that names the operator.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from . import cpu, cuda
from .cuda_launch import on_current_stream


@torch.library.custom_op("hdrbench::slice_apply", mutates_args=(), device_types="cpu")
def slice_apply(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    """Slice and apply: shapes as in `bilateral_slice_apply`; float32, on the CPU float64, on CUDA
    float16 and bfloat16. Raises ValueError for others, and for tensors that do not fit."""
    _check_slice(grid, guide, image, has_offset)
    outputs = grid.shape[1] // (image.shape[1] + has_offset)
    out = cpu.on_huge_pages(image.new_empty((image.shape[0], outputs, *image.shape[2:])))
    cpu.forward(grid.contiguous(), guide.contiguous(), image.contiguous(), has_offset, out)
    return out


def _check_slice(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> None:
    row = image.shape[1] + has_offset
    fits = (
        (grid.ndim, guide.ndim, image.ndim) == (5, 3, 4)
        and grid.shape[0] == guide.shape[0] == image.shape[0]
        and guide.shape[1:] == image.shape[2:]
        and row > 0
        and grid.shape[1] % row == 0
        and 0 not in grid.shape
        and 0 not in guide.shape
    )
    if not fits:
        shapes = ", ".join(str(tuple(t.shape)) for t in (grid, guide, image))
        raise ValueError(f"grid, guide and image of shapes {shapes} do not fit")
    served = cuda.PICTURES if image.is_cuda else (torch.float32, torch.float64)
    _check_together(served, grid, guide, image)


def _check_together(served: Collection[torch.dtype], *tensors: Tensor) -> None:
    kinds = {(t.dtype, t.device) for t in tensors}
    if len(kinds) > 1 or tensors[0].dtype not in served:
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ValueError(f"the native operator takes tensors of one device and dtype, not {found}")


@slice_apply.register_kernel("cuda")
def _(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    _check_slice(grid, guide, image, has_offset)
    outputs = grid.shape[1] // (image.shape[1] + has_offset)
    out = image.new_empty((image.shape[0], outputs, *image.shape[2:]))
    slice_apply_into(grid, guide, image, has_offset, out)
    return out


def slice_apply_into(
    grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool, out: Tensor
) -> None:
    """The CUDA kernel alone: float32, float16 or bfloat16, any strides."""
    with torch.cuda.device(image.device):
        launch = on_current_stream(image.device)
        cuda.slice_apply(launch, grid.float().contiguous(), guide, image, has_offset, out)


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


@slice_apply_backward.register_kernel("cuda")
def _(
    grid: Tensor, guide: Tensor, image: Tensor, grad: Tensor, has_offset: bool
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.cuda.device(image.device):
        wide = grid.float().contiguous()
        launch = on_current_stream(image.device)
        to_grid, *others = cuda.slice_gradient(launch, wide, guide, image, grad, has_offset)
    return to_grid.to(grid.dtype), *others  # type: ignore[return-value]


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
    """The curves guide: (B, 3, H, W) float32 -> (B, H, W) in [0, 1]; parameters as in model.py.

    Raises ValueError for tensors that do not fit."""
    _check_curves(image, ccm, ccm_bias, shifts, slopes, mix, mix_bias)
    packed = cpu.pack_curves(ccm, ccm_bias, shifts, slopes, mix, mix_bias)
    return cpu.curves_forward(image.contiguous(), packed)


def _check_curves(image: Tensor, *parameters: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise ValueError(f"the guide's picture is {tuple(image.shape)}, not (B, 3, H, W)")
    _check_together((torch.float32,), image, *parameters)


@curves_guide.register_kernel("cuda")
def _(image: Tensor, *parameters: Tensor) -> Tensor:
    _check_curves(image, *parameters)
    with torch.cuda.device(image.device):
        packed = cuda.with_constant(cpu.pack_curves(*parameters))
        return cuda.curves_forward(on_current_stream(image.device), image.contiguous(), packed)


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
    return grad_image, *_parameter_gradients(sums.to(image.dtype), slopes, mix)


@curves_guide_backward.register_kernel("cuda")
def _(
    image: Tensor,
    ccm: Tensor,
    ccm_bias: Tensor,
    shifts: Tensor,
    slopes: Tensor,
    mix: Tensor,
    mix_bias: Tensor,
    grad: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    with torch.cuda.device(image.device):
        packed = cuda.with_constant(cpu.pack_curves(ccm, ccm_bias, shifts, slopes, mix, mix_bias))
        launch = on_current_stream(image.device)
        grad_image, sums = cuda.curves_backward(
            launch, image.contiguous(), packed, grad.contiguous()
        )
        return grad_image, *_parameter_gradients(sums, slopes, mix)


def _parameter_gradients(
    sums: Tensor, slopes: Tensor, mix: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of ccm, ccm_bias, shifts, slopes, mix and mix_bias, from a kernel's 109 sums over pixels:
    of the guide's gradient; of it times relu(t - shift), and where t is above the shift, for each
    control point; and of the curves' slopes times it, with and without the colour."""
    guide, excess, above, to_ccm, to_bias = sums.split([1, 48, 48, 9, 3])
    excess, above = excess.reshape(slopes.shape), above.reshape(slopes.shape)
    return (
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
