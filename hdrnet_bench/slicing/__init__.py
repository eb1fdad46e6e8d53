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
from .autocast import autocast_is_on, without_autocast
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
        guide: (B, H, W) or (B, 1, H, W), on the same device and, but for autocast, of the same
            dtype; [0, 1] spans the depth, values outside read the border.
        backend: "auto", "reference" or "native".

    Returns:
        (B, C, H, W), of the guide's dtype. Half precision is computed in float32 and rounded once.
        Under autocast a mixture of dtypes is computed in float32, in float64 where one is that.

    Raises:
        ValueError: shapes, dtypes or devices do not fit.
        CapabilityError: the native backend is asked for and not there.
    """
    dtype, guide = guide.dtype, _without_channel(guide)
    _check_grid_and_guide(grid, guide)
    grid, guide = _of_one_type(grid=grid, guide=guide)
    native = use_native(backend, guide)
    with without_autocast(guide):
        if native:
            # What slicing and applying makes of a picture without channels: the offset alone.
            no_channels = guide.new_empty((guide.shape[0], 0, *guide.shape[1:]))
            result = _slice_apply(native, grid, guide, no_channels, True)
        else:
            result = reference.bilateral_slice(grid, guide)
        return result.to(dtype)


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
        grid: (B, Cout * n_in, D, GH, GW) with n_in = Cin + has_offset, floating; channel
            o * n_in + i holds row o, column i, and the last column is the offset.
        guide: (B, H, W) or (B, 1, H, W); [0, 1] spans the depth.
        image: (B, Cin, H, W). All three are on one device and, but for autocast, of one dtype.
        has_offset: whether a row ends in an offset.
        backend: "auto", "reference" or "native".
        out: where to put the result, (B, Cout, H, W) of the image's dtype; only where no gradient
            is asked for.

    Returns:
        (B, Cout, H, W) of the image's dtype, not clamped; `out` where it was given. Half precision
        is computed in float32 and rounded once. Under autocast a mixture of dtypes is computed in
        float32, in float64 where one is that.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or `out` with gradients.
        CapabilityError: the native backend is asked for and not there.
    """
    has_offset = bool(has_offset)
    dtype, guide = image.dtype, _without_channel(guide)
    _check_grid_and_guide(grid, guide)
    _check_image(grid, guide, image, has_offset)
    wants_gradient = any(t.requires_grad for t in (grid, guide, image))
    if out is not None and torch.is_grad_enabled() and wants_gradient:
        raise ValueError("out= is for inference: use it under torch.no_grad()")
    grid, guide, image = _of_one_type(grid=grid, guide=guide, image=image)
    native = use_native(backend, guide)
    if out is not None:
        outputs = grid.shape[1] // (image.shape[1] + int(has_offset))
        expected = (image.shape[0], outputs, *image.shape[2:])
        if (out.shape, out.dtype, out.device) != (expected, dtype, image.device):
            raise ValueError(
                f"out is {tuple(out.shape)} {out.dtype} on {out.device}, "
                f"the result {expected} {dtype} on {image.device}"
            )
        if native and out.dtype == image.dtype and _takes_result(out, grid, guide, image):
            if out.is_cuda:
                slice_apply_into(grid, guide, image, has_offset, out)
            else:
                grid, guide, image = grid.contiguous(), guide.contiguous(), image.contiguous()
                cpu.forward(grid, guide, image, has_offset, out)
            return out
    with without_autocast(image):
        result = _slice_apply(native, grid, guide, image, has_offset)
        return result.to(dtype) if out is None else out.copy_(result)


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


def _slice_apply(
    native: bool, grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool
) -> Tensor:
    """In float32 where the tensors are of half precision, but for the CUDA kernels, which compute
    in it and round the result themselves."""
    widths = cuda.PICTURES if native and image.is_cuda else (torch.float32, torch.float64)
    if image.dtype not in widths:
        grid, guide, image = grid.float(), guide.float(), image.float()
    if native:
        return slice_apply(grid, guide, image, has_offset)
    coefficients = reference.bilateral_slice(grid, guide)
    return reference.apply_coefficients(coefficients, image, has_offset)


def _without_channel(guide: Tensor) -> Tensor:
    """(B, 1, H, W), as networks give a guide, as (B, H, W); any other shape as it is."""
    return guide[:, 0] if guide.ndim == 4 and guide.shape[1] == 1 else guide


def _check_grid_and_guide(grid: Tensor, guide: Tensor) -> None:
    if grid.ndim != 5 or guide.ndim != 3 or grid.shape[0] != guide.shape[0]:
        raise ValueError(
            f"grid is {tuple(grid.shape)} and guide {tuple(guide.shape)}, "
            "not (B, C, D, GH, GW) and (B, H, W) or (B, 1, H, W)"
        )
    if 0 in grid.shape or 0 in guide.shape:
        raise ValueError(f"empty grid {tuple(grid.shape)} or guide {tuple(guide.shape)}")


def _check_image(grid: Tensor, guide: Tensor, image: Tensor, has_offset: bool) -> None:
    if image.ndim != 4 or (image.shape[0], *image.shape[2:]) != tuple(guide.shape):
        raise ValueError(
            f"image is {tuple(image.shape)}, but the guide {tuple(guide.shape)} "
            f"asks for (B, Cin, H, W) = ({guide.shape[0]}, Cin, *{tuple(guide.shape[1:])})"
        )
    row_length = image.shape[1] + int(has_offset)
    if grid.shape[1] == 0 or grid.shape[1] % row_length:
        raise ValueError(
            f"the grid has {grid.shape[1]} channels, not a multiple of {row_length} "
            f"({image.shape[1]} inputs{' and an offset' if has_offset else ''})"
        )


def _of_one_type(**tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors as they are where they are of one dtype; under autocast a mixture as float32, as
    float64 where one is that.

    Raises ValueError for what is not floating or not on one device, and for a mixture elsewhere.
    """
    given = tuple(tensors.values())
    first, dtypes = given[0], {t.dtype for t in given}
    problem = ""
    if not all(t.is_floating_point() for t in given):
        problem = "all must be floating"
    elif any(t.device != first.device for t in given):
        problem = "all must be on one device"
    elif len(dtypes) > 1 and not autocast_is_on(first):
        problem = (
            "all must be of one dtype: convert them, as with .float(), or call this under "
            "torch.autocast, where it converts them itself"
        )
    if problem:
        text = ", ".join(f"{name} is {t.dtype} on {t.device}" for name, t in tensors.items())
        raise ValueError(f"{text}: {problem}")
    if len(dtypes) == 1:
        return given
    wide = torch.float64 if torch.float64 in dtypes else torch.float32
    return tuple(t.to(wide) for t in given)
