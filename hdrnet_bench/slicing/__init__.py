"""The two operators of the bilateral grid: slice, and slice and apply.

Backends: "reference" is plain torch on any device; "native" is a compiled kernel; "auto" takes
the native one where there is one. This version has no native kernel (`hdrbench doctor` says so).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..errors import CapabilityError
from . import reference

Backend = Literal["auto", "reference", "native"]


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
    _check_backend(backend)
    _check_grid_and_guide(grid, guide)
    return reference.bilateral_slice(grid, guide)


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
    _check_backend(backend)
    _check_grid_and_guide(grid, guide)
    if image.ndim != 4 or (image.shape[0], *image.shape[2:]) != tuple(guide.shape):
        raise ValueError(
            f"image is {tuple(image.shape)}, but the guide {tuple(guide.shape)} "
            f"asks for (B, Cin, H, W) = ({guide.shape[0]}, Cin, *{tuple(guide.shape[1:])})"
        )
    if image.dtype != guide.dtype or image.device != guide.device:
        raise ValueError(
            f"image is {image.dtype} on {image.device}, guide {guide.dtype} on {guide.device}"
        )
    inputs = image.shape[1] + bool(has_offset)
    if grid.shape[1] == 0 or grid.shape[1] % inputs:
        raise ValueError(
            f"the grid has {grid.shape[1]} channels, not a multiple of {inputs} "
            f"({image.shape[1]} inputs{' and an offset' if has_offset else ''})"
        )
    wants_gradient = any(t.requires_grad for t in (grid, guide, image))
    if out is not None and torch.is_grad_enabled() and wants_gradient:
        raise ValueError("out= is for inference: use it under torch.no_grad()")
    coefficients = reference.bilateral_slice(grid, guide)
    result = reference.apply_coefficients(coefficients, image, bool(has_offset))
    if out is None:
        return result
    if out.shape != result.shape or out.dtype != result.dtype or out.device != result.device:
        raise ValueError(
            f"out is {tuple(out.shape)} {out.dtype} on {out.device}, "
            f"the result {tuple(result.shape)} {result.dtype} on {result.device}"
        )
    return out.copy_(result)


def _check_backend(backend: str) -> None:
    if backend == "native":
        raise CapabilityError(
            "native slicing is not part of this version: use backend='reference' or 'auto'"
        )
    if backend not in ("auto", "reference"):
        raise ValueError(f"backend is {backend!r}, not 'auto', 'reference' or 'native'")


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
