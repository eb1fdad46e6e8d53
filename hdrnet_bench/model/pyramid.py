"""The pyramid variant: three levels of the picture, each sliced by a grid and a guide of its own.

The picture is halved twice without antialiasing, every level is enhanced, and from the coarsest to
the finest the result is resized to the next level's size and added to what that level makes
(HDRNetGaussianPyrNN in the reference's hdrnet/models.py). Sizes are (height, width), lists go from
fine to coarse, and all resizing is bilinear with aligned corners.

`enhance_rows` makes the same some rows at a time, so that a large photograph fits in memory: a
strip needs a few rows of the coarser levels beyond its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import LEVELS, N_IN
from ..slicing import cpu
from .guides import PointwiseGuide

Size = tuple[int, int]
# Rows [first, last) of a picture: (1, 3, last - first, width), float32.
Rows = Callable[[int, int], Tensor]
P = TypeVar("P", Tensor, Rows)
# A picture of one size as one of another: (picture, old, new) -> picture.
Resize = Callable[[P, Size, Size], P]

_STRIP_PIXELS = 1 << 17  # what is made of a strip stays in the processor's caches


def level_sizes(height: int, width: int) -> list[Size]:
    """The whole picture's size, a half and a quarter of it, rounded down.

    Raises ValueError where the coarsest level would have no pixel.
    """
    if min(height, width) < 2 ** (LEVELS - 1):
        raise ValueError(f"a pyramid of three levels needs 4 x 4 pixels, not {width} x {height}")
    return [(height // 2**level, width // 2**level) for level in range(LEVELS)]


def level_grids(grid: Tensor) -> list[Tensor]:
    """(B, 36, D, GH, GW), as the network predicts it, to a grid (B, 12, D, GH, GW) for each level:
    in the prediction the coarsest stands first."""
    return list(reversed(grid.unflatten(1, (LEVELS, 3 * N_IN)).unbind(1)))


def downsample(picture: P, sizes: Sequence[Size], resize: Resize[P]) -> list[P]:
    """A picture of sizes[0] at every size, each made from the one before."""
    pictures = [picture]
    for old, new in pairwise(sizes):
        pictures.append(resize(pictures[-1], old, new))
    return pictures


def collapse(sizes: Sequence[Size], render: Callable[[int, P | None], P], resize: Resize[P]) -> P:
    """The finest level's result.

    Args:
        sizes: of the levels.
        render: (level, what the coarser level made, at this level's size) -> both added up; the
            coarsest level has None under it.
        resize: between two levels' sizes.
    """
    output = render(len(sizes) - 1, None)
    for level in reversed(range(len(sizes) - 1)):
        output = render(level, resize(output, sizes[level + 1], sizes[level]))
    return output


def resize(picture: Tensor, old: Size, new: Size) -> Tensor:
    """Bilinear with aligned corners, (B, 3, *old) to (B, 3, *new)."""
    return F.interpolate(picture, size=new, mode="bilinear", align_corners=True)


def neighbours(first: int, last: int, old: int, new: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the samples [first, last) of `new` lie among `old` ones, corners aligned: the sample
    before, the one after, and the weight of the latter, each (last - first,)."""
    # In float32, as torch computes its places: others would show in a picture of noise.
    places = torch.arange(first, last, dtype=torch.float32) * ((old - 1) / max(new - 1, 1))
    before = places.long().clamp(max=old - 1)
    return before, (before + 1).clamp(max=old - 1), places - before


def render(guides: Sequence[PointwiseGuide], grid: Tensor, fullres: Tensor) -> Tensor:
    """Whole pictures (B, 3, H, W), float32, by the CPU's fused kernel, strip by strip.

    Args:
        guides: of the levels.
        grid: (B, 36, D, GH, GW), as the network predicts it.
    """
    height, width = fullres.shape[-2:]
    output = torch.empty(fullres.shape)
    step = max(1, _STRIP_PIXELS // width)
    for index, picture in enumerate(fullres.split(1)):

        def picture_rows(first: int, last: int, picture: Tensor = picture) -> Tensor:
            return picture[:, :, first:last]

        rows = enhance_rows(guides, grid[index : index + 1], picture_rows, height, width)
        for first in range(0, height, step):
            last = min(first + step, height)
            output[index : index + 1, :, first:last] = rows(first, last)
    return output


def enhance_rows(
    guides: Sequence[PointwiseGuide], grid: Tensor, picture: Rows, height: int, width: int
) -> Rows:
    """Any rows of an enhanced picture, by the CPU's fused kernel.

    Args:
        guides: of the levels.
        grid: (1, 36, D, GH, GW), as the network predicts it.
        picture: rows of the picture in about [0, 1]; asked for again and again.
        height, width: of the picture.
    """
    sizes = level_sizes(height, width)
    pictures = downsample(picture, sizes, _resize_rows)
    grids = [part.contiguous() for part in level_grids(grid.float())]

    def level_rows(level: int, coarser: Rows | None) -> Rows:
        parameters, hidden = guides[level].kernel_parameters()
        level_height = sizes[level][0]

        def rows(first: int, last: int) -> Tensor:
            strip = pictures[level](first, last)
            place = (first, level_height)  # a strip reads the grid where the picture would
            result = cpu.enhance(grids[level], strip, parameters, hidden, rows=place)
            return result if coarser is None else result.add_(coarser(first, last))

        return rows

    return collapse(sizes, level_rows, _resize_rows)


def _resize_rows(source: Rows, old: Size, new: Size) -> Rows:
    """`resize` for rows: across by torch, for those rows that are needed; down between them here,
    because torch would align the corners of the strip and not the picture's."""

    def rows(first: int, last: int) -> Tensor:
        before, after, weight = neighbours(first, last, old[0], new[0])
        top = int(before[0])
        lines = source(top, int(after[-1]) + 1)
        lines = resize(lines, (lines.shape[2], old[1]), (lines.shape[2], new[1]))
        return torch.lerp(lines[:, :, before - top], lines[:, :, after - top], weight[:, None])

    return rows
