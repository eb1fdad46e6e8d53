"""A pyramid's full-resolution half, some rows at a time: a large photograph fits in memory.

Every level's rows follow from the rows below and above them by torch's bilinear rule with aligned
corners, as in HDRNet.render, so that a strip needs a few rows beyond its own of the coarser levels.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import LEVELS, N_IN
from ..slicing import Backend, cpu, use_native
from .guides import PointwiseGuide

if TYPE_CHECKING:
    from .hdrnet import HDRNet

_STRIP_PIXELS = 1 << 17  # what is made of a strip stays in the processor's caches

# Rows [first, last) of a picture: (1, 3, last - first, width), float32.
Rows = Callable[[int, int], Tensor]


def serves(model: HDRNet, height: int, width: int, backend: Backend = "auto") -> bool:
    """Whether the CPU's fused kernel can make a pyramid's levels."""
    weights, config = next(model.parameters()), model.config
    return (
        config.variant == "pyramid"
        and weights.device.type == "cpu"
        and weights.dtype == torch.float32
        and use_native(backend, weights)
        and config.luma_bins <= 8
        and not model.training
        and min(height, width) >= 2 ** (LEVELS - 1)
    )


def rendered(model: HDRNet, grid: Tensor, fullres: Tensor) -> Tensor:
    """What HDRNet.render makes of whole pictures (B, 3, H, W), float32, of a model that `serves`.

    Args:
        grid: (B, 36, D, GH, GW), as `coefficients` returns it.
    """
    height, width = fullres.shape[-2:]
    output = torch.empty(fullres.shape)
    step = max(1, _STRIP_PIXELS // width)
    for one, picture in enumerate(fullres.split(1)):

        def lines(first: int, last: int, picture: Tensor = picture) -> Tensor:
            return picture[:, :, first:last]

        rows = enhanced_rows(model, grid[one : one + 1], lines, height, width)
        for first in range(0, height, step):
            last = min(first + step, height)
            output[one : one + 1, :, first:last] = rows(first, last)
    return output


def enhanced_rows(model: HDRNet, grid: Tensor, picture: Rows, height: int, width: int) -> Rows:
    """What HDRNet.render makes of a picture, by rows.

    Args:
        model: a pyramid that `serves`.
        grid: (1, 36, D, GH, GW), as `coefficients` returns it.
        picture: rows of the picture in about [0, 1]; asked for again and again.
        height, width: of the picture.
    """
    sizes = [(height // 2**level, width // 2**level) for level in range(LEVELS)]
    pictures = [picture]
    for finer, coarser in pairwise(sizes):
        pictures.append(_resized(pictures[-1], finer, coarser))
    grids = [part.contiguous() for part in grid.float().unflatten(1, (LEVELS, 3 * N_IN)).unbind(1)]
    output: Rows | None = None
    for level in reversed(range(LEVELS)):  # the coarsest stands first in the grid
        below = None
        if output is not None:
            below = _resized(output, sizes[level + 1], sizes[level])
        guide = model.guides[level]
        assert isinstance(guide, PointwiseGuide)
        output = _level(grids[LEVELS - 1 - level], guide, pictures[level], sizes[level][0], below)
    assert output is not None
    return output


def _level(
    grid: Tensor, guide: PointwiseGuide, picture: Rows, height: int, below: Rows | None
) -> Rows:
    parameters, width = guide.packed()

    def rows(first: int, last: int) -> Tensor:
        result = cpu.enhance(grid, picture(first, last), parameters, width, rows=(first, height))
        return result if below is None else result.add_(below(first, last))

    return rows


def _resized(source: Rows, old: tuple[int, int], new: tuple[int, int]) -> Rows:
    """Rows of a picture of `old` (height, width) after resizing to `new`."""
    # In float32, as torch computes its places: others would show in a picture of noise.
    scale = torch.tensor((old[0] - 1) / (new[0] - 1) if new[0] > 1 else 0.0)

    def rows(first: int, last: int) -> Tensor:
        place = torch.arange(first, last, dtype=torch.float32) * scale
        low = place.long().clamp(max=old[0] - 1)
        high = (low + 1).clamp(max=old[0] - 1)
        begin = int(low[0])
        lines = source(begin, int(high[-1]) + 1)
        size = (lines.shape[2], new[1])
        lines = F.interpolate(lines, size=size, mode="bilinear", align_corners=True)
        share = (place - low)[:, None]
        return torch.lerp(lines[:, :, low - begin], lines[:, :, high - begin], share)

    return rows
