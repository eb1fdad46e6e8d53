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
    """Slice and apply: shapes as in `bilateral_slice_apply`; float32, on the CPU also float64, on
    CUDA also float16 and bfloat16. Raises ValueError for other types, and for tensors that do not
    fit."""
    _check_slice(grid, guide, image, has_offset)
    out = cpu.on_huge_pages(_new_result(grid, image, has_offset))
    cpu.forward(grid.contiguous(), guide.contiguous(), image.contiguous(), has_offset, out)
    return out


# The kernels get addresses and sizes, and would read beyond tensors that do not fit. Checked here
# once more, because torch.ops.hdrbench can be called past `bilateral_slice_apply`.
def _check_slice(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> None:
    row_length = image.shape[1] + int(has_offset)
    fits = (
        (grid.ndim, guide.ndim, image.ndim) == (5, 3, 4)
        and grid.shape[0] == guide.shape[0] == image.shape[0]
        and guide.shape[1:] == image.shape[2:]
        and row_length > 0
        and grid.shape[1] % row_length == 0
        and 0 not in grid.shape
        and 0 not in guide.shape
    )
    if not fits:
        shapes = ", ".join(str(tuple(t.shape)) for t in (grid, guide, image))
        raise ValueError(f"grid, guide and image of shapes {shapes} do not fit")
    dtypes = cuda.PICTURES if image.is_cuda else (torch.float32, torch.float64)
    _check_alike(dtypes, grid, guide, image)


def _check_alike(dtypes: Collection[torch.dtype], *tensors: Tensor) -> None:
    kinds = {(t.dtype, t.device) for t in tensors}
    if len(kinds) > 1 or tensors[0].dtype not in dtypes:
        text = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ValueError(f"the native operator takes tensors of one device and dtype, not {text}")


@slice_apply.register_kernel("cuda")
def _(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    _check_slice(grid, guide, image, has_offset)
    out = _new_result(grid, image, has_offset)
    slice_apply_into(grid, guide, image, has_offset, out)
    return out


def slice_apply_into(
    grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool, out: Tensor
) -> None:
    """The CUDA kernel alone: float32, float16 or bfloat16, any strides."""
    with torch.cuda.device(image.device):
        launch = on_current_stream(image.device)
        cuda.slice_apply(launch, grid, guide, image, has_offset, out)


# What tracing runs in place of a kernel: the result's shape and type, and no numbers.
@slice_apply.register_fake
def _(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    return _new_result(grid, image, has_offset)


def _new_result(grid: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    """(B, Cout, H, W), not written yet."""
    # int: torch 2.11 cannot add a bool to the size of a picture of any size.
    outputs = grid.shape[1] // (image.shape[1] + int(has_offset))
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
        launch = on_current_stream(image.device)
        to_grid, *others = cuda.slice_gradient(launch, grid, guide, image, grad, has_offset)
    return to_grid.to(grid.dtype), *others  # type: ignore[return-value]


@slice_apply_backward.register_fake
def _(
    grid: Tensor, guide: Tensor, image: Tensor, grad: Tensor, has_offset: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(t.new_empty(t.shape) for t in (grid, guide, image))  # type: ignore[return-value]


def _save_for_slice(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor) -> None:
    *tensors, ctx.has_offset = inputs
    ctx.save_for_backward(*tensors)


def _slice_apply_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    grads = torch.ops.hdrbench.slice_apply_backward(*ctx.saved_tensors, grad, ctx.has_offset)
    return (*grads, None)


slice_apply.register_autograd(_slice_apply_gradient, setup_context=_save_for_slice)


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
    """The curves guide: (B, 3, H, W) float32 -> (B, H, W) in [0, 1]; parameters as in
    model/guides.py.

    Raises ValueError for tensors that do not fit.
    """
    parameters = (ccm, ccm_bias, shifts, slopes, mix, mix_bias)
    _check_curves(image, *parameters)
    return cpu.curves_forward(image.contiguous(), cpu.pack_curves(*parameters))


def _check_curves(image: Tensor, *parameters: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise ValueError(f"the guide's picture is {tuple(image.shape)}, not (B, 3, H, W)")
    _check_alike((torch.float32,), image, *parameters)


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
    """Gradients of the image and of each parameter, in the order of the arguments."""
    packed = cpu.pack_curves(ccm, ccm_bias, shifts, slopes, mix, mix_bias)
    grad_image, sums = cpu.curves_backward(image.contiguous(), packed, grad.contiguous())
    return grad_image, *_parameter_gradients(sums.to(image.dtype), slopes, mix)


@curves_guide_backward.register_kernel("cuda")
def _(
    image: Tensor, *tensors: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    *parameters, grad = tensors
    _, _, _, slopes, mix, _ = parameters
    with torch.cuda.device(image.device):
        packed = cuda.with_constant(cpu.pack_curves(*parameters))
        launch = on_current_stream(image.device)
        grad_image, sums = cuda.curves_backward(
            launch, image.contiguous(), packed, grad.contiguous()
        )
        return grad_image, *_parameter_gradients(sums, slopes, mix)


def _parameter_gradients(
    sums: Tensor, slopes: Tensor, mix: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of ccm, ccm_bias, shifts, slopes, mix and mix_bias, from a kernel's 109 sums over pixels.

    With g the guide's gradient and t = ccm^T rgb + ccm_bias, the guide is
    mix_bias + sum of mix[j] slopes[j, k] relu(t[j] - shifts[j, k]). The sums are: g; for each
    control point g relu(t - shift), and g where t is above the shift; and t's gradient times each
    colour, and alone.
    """
    guide, excess, above, to_ccm, to_bias = sums.split([1, 48, 48, 9, 3])
    excess, above = excess.reshape(slopes.shape), above.reshape(slopes.shape)
    return (
        # Cloned: an operator's results must not share memory.
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


def _save_for_curves(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _curves_guide_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    return torch.ops.hdrbench.curves_guide_backward(*ctx.saved_tensors, grad)


curves_guide.register_autograd(_curves_guide_gradient, setup_context=_save_for_curves)
