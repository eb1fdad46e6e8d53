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
    grid = grid.float().contiguous()  # under autocast it comes in half precision
    if not image.is_cuda:
        return cpu.enhance(grid, image, parameters, width, out=out)
    with torch.cuda.device(image.device):
        packed = cuda.by_channel(parameters, width) if width else cuda.with_constant(parameters)
        return cuda.enhance(on_current_stream(image.device), grid, image, packed, width, out)


def area_lowres(image: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) of any strides -> (B, 3, size, size) float32, about [0, 1].

    The same windows as torch's "area": from floor(i H / size) to ceil((i + 1) H / size).
    """
    if not image.is_cuda:
        return cpu.area_lowres(image, size)
    with torch.cuda.device(image.device):
        return cuda.area_lowres(on_current_stream(image.device), image, size)
