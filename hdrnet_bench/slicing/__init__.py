"""The two operators of the bilateral grid: slice, and slice and apply.

Backends: "reference" is plain torch, on any device and dtype; "native" is the compiled CPU library
or, on CUDA, kernels compiled at first use; "auto" takes the native one where it serves, else the
reference (`hdrbench doctor` says why). Open reference.py first: it is what the operators mean.
"""

from __future__ import annotations

import functools
import warnings
from typing import Literal

import torch
from torch import Tensor

from ..errors import CapabilityError
from . import cpu, cuda, cuda_launch, reference
from .operators import slice_apply, slice_apply_into

Backend = Literal["auto", "reference", "native"]

if cpu.LIBRARY is None:
    warnings.warn(
        f"slicing is slow here, in plain torch: no native library, {cpu.REASON}",
        RuntimeWarning,
        stacklevel=2,
    )


def use_native(backend: Backend, tensor: Tensor) -> bool:
    """Whether the native kernels serve this tensor's device under this choice of backend.

    Raises ValueError for an unknown backend, CapabilityError where "native" cannot be.
    """
    if backend not in ("auto", "reference", "native"):
        raise ValueError(f"backend is {backend!r}, not 'auto', 'reference' or 'native'")
    reason = _why_not(tensor)
    if backend == "native" and reason:
        raise CapabilityError(f"native slicing cannot be used: {reason}; backend='reference' can")
    # On the CPU importing this module has warned already; a meta tensor has nothing to compute.
    if backend == "auto" and reason and tensor.device.type not in ("cpu", "meta"):
        _notice(f"slicing is plain torch here: {reason}")
    return backend != "reference" and not reason


@cuda_launch.constant_in_tracing
def _notice(text: str) -> None:
    _warn_once(text)


@functools.cache
def _warn_once(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=5)  # the line that called the operator


def _why_not(tensor: Tensor) -> str:
    """Why no native kernel serves a tensor of this device and dtype; "" where one does."""
    where = tensor.device.type
    if where == "cpu":
        return cpu.REASON
    if where != "cuda":
        return f"there is no kernel for {where}"
    if tensor.dtype == torch.float64:
        return "the CUDA kernels compute in float32, not float64"
    return cuda_launch.why_not(tensor.device.index)


def bilateral_slice(grid: Tensor, guide: Tensor, backend: Backend = "auto") -> Tensor:
    """Interpolate a bilateral grid at every pixel (Gharbi et al. 2017, section 3.3).

    Args:
        grid: (B, C, D, GH, GW), floating.
        guide: (B, H, W) of the same dtype and device; [0, 1] spans the depth, values outside read
            the border.
        backend: "auto", "reference" or "native".

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: shapes, dtypes or devices do not fit.
        CapabilityError: the native backend is asked for and not there.
    """
    _check_grid_and_guide(grid, guide)
    if not use_native(backend, guide):
        return reference.bilateral_slice(grid, guide)
    # A slice is what slicing and applying makes of a picture without channels: the offset alone.
    no_channels = guide.new_empty((guide.shape[0], 0, *guide.shape[1:]))
    return _slice_apply_native(grid, guide, no_channels, True)


def bilateral_slice_apply(
    grid: Tensor,
    guide: Tensor,
    image: Tensor,
    has_offset: bool = True,
    backend: Backend = "auto",
    out: Tensor | None = None,
) -> Tensor:
    """Slice a grid of colour transforms and apply each pixel's to it (section 3.3).

    Args:
        grid: (B, Cout * n_in, D, GH, GW) with n_in = Cin + has_offset; channel o * n_in + i holds
            row o, column i, and the last column is the offset.
        guide: (B, H, W); [0, 1] spans the depth.
        image: (B, Cin, H, W).
        has_offset: whether a row ends in an offset.
        backend: "auto", "reference" or "native".
        out: where to put the result, (B, Cout, H, W); only where no gradient is asked for.

    Returns:
        (B, Cout, H, W), not clamped; `out` where it was given.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or `out` with gradients.
        CapabilityError: the native backend is asked for and not there.
    """
    has_offset = bool(has_offset)
    _check_grid_and_guide(grid, guide)
    _check_image(grid, guide, image, has_offset)
    wants_gradient = any(t.requires_grad for t in (grid, guide, image))
    if out is not None and torch.is_grad_enabled() and wants_gradient:
        raise ValueError("out= is for inference: use it under torch.no_grad()")
    native = use_native(backend, guide)
    if out is not None:
        outputs = grid.shape[1] // (image.shape[1] + int(has_offset))
        expected = (image.shape[0], outputs, *image.shape[2:])
        if (out.shape, out.dtype, out.device) != (expected, image.dtype, image.device):
            raise ValueError(
                f"out is {tuple(out.shape)} {out.dtype} on {out.device}, "
                f"the result {expected} {image.dtype} on {image.device}"
            )
        if native and _takes_result(out, grid, guide, image):
            if out.is_cuda:
                slice_apply_into(grid, guide, image, has_offset, out)
            else:
                grid, guide, image = grid.contiguous(), guide.contiguous(), image.contiguous()
                cpu.forward(grid, guide, image, has_offset, out)
            return out
    if native:
        result = _slice_apply_native(grid, guide, image, has_offset)
    else:
        coefficients = reference.bilateral_slice(grid, guide)
        result = reference.apply_coefficients(coefficients, image, has_offset)
    return result if out is None else out.copy_(result)


def _takes_result(out: Tensor, *sources: Tensor) -> bool:
    """Whether the native kernels can write into `out` itself; else it is copied into."""
    # The CUDA kernels write any strides, the CPU's contiguous memory alone.
    if not out.is_cuda and not (
        out.is_contiguous() and out.dtype in (torch.float32, torch.float64)
    ):
        return False
    # An expanded tensor has several pixels in one place.
    if any(step == 0 and size > 1 for step, size in zip(out.stride(), out.shape, strict=True)):
        return False
    # The kernels write while they read: a result over an input goes by way of a new tensor. One
    # storage is taken for an overlap, also where the parts of it are apart.
    memory = out.untyped_storage().data_ptr()
    return all(source.untyped_storage().data_ptr() != memory for source in sources)


def _slice_apply_native(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> Tensor:
    """The native operator; half precision is computed in float32 and rounded at the end, which the
    CUDA kernels do themselves."""
    if guide.dtype in (cuda.PICTURES if guide.is_cuda else (torch.float32, torch.float64)):
        return slice_apply(grid, guide, image, has_offset)
    result = slice_apply(grid.float(), guide.float(), image.float(), has_offset)
    return result.to(guide.dtype)


def _check_grid_and_guide(grid: Tensor, guide: Tensor) -> None:
    if grid.ndim != 5 or guide.ndim != 3 or grid.shape[0] != guide.shape[0]:
        raise ValueError(
            f"grid is {tuple(grid.shape)} and guide {tuple(guide.shape)}, "
            "not (B, C, D, GH, GW) and (B, H, W)"
        )
    if 0 in grid.shape or 0 in guide.shape:
        raise ValueError(f"empty grid {tuple(grid.shape)} or guide {tuple(guide.shape)}")
    if not grid.is_floating_point() or grid.dtype != guide.dtype or grid.device != guide.device:
        raise ValueError(
            f"grid is {grid.dtype} on {grid.device}, guide {guide.dtype} on {guide.device}: "
            "both must be floating, of one dtype, on one device"
        )


def _check_image(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> None:
    if image.ndim != 4 or (image.shape[0], *image.shape[2:]) != tuple(guide.shape):
        raise ValueError(
            f"image is {tuple(image.shape)}, but the guide {tuple(guide.shape)} "
            f"asks for (B, Cin, H, W) = ({guide.shape[0]}, Cin, *{tuple(guide.shape[1:])})"
        )
    if image.dtype != guide.dtype or image.device != guide.device:
        raise ValueError(
            f"image is {image.dtype} on {image.device}, guide {guide.dtype} on {guide.device}"
        )
    row_length = image.shape[1] + int(has_offset)
    if grid.shape[1] == 0 or grid.shape[1] % row_length:
        raise ValueError(
            f"the grid has {grid.shape[1]} channels, not a multiple of {row_length} "
            f"({image.shape[1]} inputs{' and an offset' if has_offset else ''})"
        )
