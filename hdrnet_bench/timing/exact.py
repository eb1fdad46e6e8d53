"""What a model makes of a picture in float64, in plain torch, in strips of rows: timed results are
compared with it, and 48 megapixels fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model import pyramid
from ..model.encoding import to_model_input
from ..model.hdrnet import HDRNet
from ..model.lowres import make_lowres
from ..slicing.reference import apply_coefficients

_STRIP_PIXELS = 1 << 18  # a float64 strip takes some 300 bytes a pixel


class Exact(NamedTuple):
    """All float64: the low-res input (1, 3, S, S), the grid (1, n_out * n_in, D, GH, GW) and the
    result (1, 3, H, W), not clamped."""

    lowres: Tensor
    grid: Tensor
    output: Tensor

    @property
    def mebibytes(self) -> float:
        return sum(t.nbytes for t in self) / 2**20


def model_input(model: HDRNet, picture: Tensor, dtype: torch.dtype) -> Tensor:
    """A picture (B, 3, H, W), bytes or floating, as the model is given it."""
    levels = picture.to(dtype)
    return to_model_input(levels / 255 if picture.dtype == torch.uint8 else levels, model.config)


@torch.no_grad()
def exact(model: HDRNet, picture: Tensor) -> Exact:
    """What `model.enhance` makes of a picture (1, 3, H, W), in float64."""
    config = model.config
    model = deepcopy(model).double()
    fullres = model_input(model, picture, torch.float64)
    lowres = make_lowres(fullres, config.net_input_size, config.lowres_resize)
    grid = model.coefficients(lowres)
    if config.variant != "pyramid":
        return Exact(lowres, grid, _sliced(grid, model.guides[0], fullres))
    height, width = fullres.shape[-2:]
    sizes = pyramid.level_sizes(height, width)
    pictures = pyramid.downsample(fullres, sizes, pyramid.resize)
    grids = pyramid.level_grids(grid)

    def level_output(level: int, coarser: Tensor | None) -> Tensor:
        output = _sliced(grids[level], model.guides[level], pictures[level])
        return output if coarser is None else output.add_(coarser)

    output = pyramid.collapse(sizes, level_output, pyramid.resize)
    return Exact(lowres, grid, output)


def largest_difference(result: Tensor, expected: Tensor) -> float:
    """Of a result from what is expected of each in its batch."""
    largest = 0.0
    for rows in strips(expected.shape[-2], expected.shape[-1]):
        off = (result[..., rows, :].double() - expected[..., rows, :]).abs().max()
        largest = max(largest, float(off))
    return largest


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of a picture, so many at a time that their pixels are some fixed number."""
    count = max(1, _STRIP_PIXELS // width)
    for first in range(0, height, count):
        yield slice(first, min(first + count, height))


def _sliced(grid: Tensor, guide: nn.Module, picture: Tensor) -> Tensor:
    """Guide, slice and apply: as slicing.reference, but for rows of the picture at a time."""
    height, width = picture.shape[-2:]
    output = torch.empty_like(picture)
    x = (torch.arange(width, device=picture.device, dtype=picture.dtype) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, device=picture.device, dtype=picture.dtype) + 0.5) * (2 / height) - 1
    for rows in strips(height, width):
        strip = picture[:, :, rows]
        z = guide(strip, "reference") * 2 - 1
        place = torch.stack([x.expand_as(z), y[rows, None].expand_as(z), z], dim=-1)
        coefficients = F.grid_sample(
            grid, place[:, None], mode="bilinear", padding_mode="border", align_corners=False
        )
        output[:, :, rows] = apply_coefficients(coefficients[:, :, 0], strip, True)
    return output
