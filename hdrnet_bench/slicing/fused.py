"""Inference in one pass over a picture, on the CPU or CUDA: guide, slice, apply."""

from __future__ import annotations

import torch
from torch import Tensor

from . import cpu, cuda
from .cuda_launch import on_current_stream


def fused(
    grid: Tensor, image: Tensor, parameters: Tensor, width: int, out: Tensor | None = None
) -> Tensor | None:
    """Guide, slice and apply without memory for the picture beside input and output.

    Args:
        grid: (B, 12, D, GH, GW); on the CPU D is at most 8.
        image: (B, 3, H, W), any strides: float32 or uint8; on the CPU uint16, on CUDA float16.
        parameters: packed curves (width 0), or a pointwise guide's w1, b1, w2, b2.
        width: hidden channels of a pointwise guide.
        out: where to put the result: as the image, any strides.

    Returns:
        As the image, integers clamped and rounded; None where a grid is too large for the kernel.
    """
    return fused_packed(grid, image, packed_parameters(parameters, width), width, out)


def packed_parameters(parameters: Tensor, width: int) -> Tensor:
    """A guide's parameters as the kernel of their device reads them: made once for many pictures.

    Args:
        parameters, width: as for `fused`.
    """
    if not parameters.is_cuda:
        return parameters
    if width:
        return cuda.by_channel(parameters, width)
    with torch.cuda.device(parameters.device):
        return cuda.curves_table(on_current_stream(parameters.device), parameters)


def fused_packed(
    grid: Tensor, image: Tensor, packed: Tensor, width: int, out: Tensor | None = None
) -> Tensor | None:
    """`fused` with what `packed_parameters` made."""
    if not image.is_cuda:
        grid = grid.float().contiguous()  # under autocast it comes in half precision
        return cpu.enhance(grid, image, packed, width, out=out)
    cpu.check_fused(grid, image, out)
    if out is not None and out.dtype != image.dtype:
        raise ValueError(f"out is {out.dtype}, the picture {image.dtype}")
    with torch.cuda.device(image.device):
        return cuda.enhance(on_current_stream(image.device), grid, image, packed, width, out)


def area_lowres(image: Tensor, size: int, out: Tensor | None = None) -> Tensor:
    """(B, 3, H, W) of any strides -> (B, 3, size, size) float32, about [0, 1].

    The same windows as torch's "area": from floor(i H / size) to ceil((i + 1) H / size). `out`, on
    CUDA alone, is where to put it, contiguous.
    """
    if not image.is_cuda:
        return cpu.area_lowres(image, size)
    with torch.cuda.device(image.device):
        return cuda.area_lowres(on_current_stream(image.device), image, size, out)
