"""A small binary file of guides and grids, for shaders and other programs that slice by themselves.

Its layout stands in README.md, "The format of guides and grids".
"""

from __future__ import annotations

import struct
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor, nn

from ..config import N_IN
from ..model import pyramid
from ..model.folding import Array, folded, numbers
from ..model.guides import CurvesGuide, PointwiseGuide
from ..model.hdrnet import HDRNet

MAGIC, VERSION = b"HDRG", 1


def grid_file(model: HDRNet, grid: Tensor | None = None) -> bytes:
    """The guides of a model, and the grid of one picture where it is given.

    Args:
        grid: (1, n_out * n_in, D, GH, GW), as `model.coefficients` returns it.

    Raises:
        ValueError: the grid is not of one picture by this model.
    """
    config = model.config
    cells = (config.luma_bins, config.spatial_bin, config.spatial_bin)
    if grid is not None and tuple(grid.shape) != (1, config.outputs * N_IN, *cells):
        expected = (1, config.outputs * N_IN, *cells)
        raise ValueError(f"the grid is {tuple(grid.shape)}, not {expected}")
    hidden = 0 if config.variant == "curves" else config.guide_complexity
    levels = len(model.guides)
    header = struct.pack("<4s7I", MAGIC, VERSION, levels, *cells, hidden, int(grid is not None))
    parts = [_guide(guide) for guide in model.guides]
    if grid is not None:
        parts += [_grid(level) for level in _level_grids(grid, levels)]
    return header + b"".join(part.astype("<f4").tobytes() for part in parts)


def shader_source() -> str:
    """slice.glsl, which does with such a file what `model.enhance` does."""
    return (files("hdrnet_bench.portable") / "slice.glsl").read_text("utf-8")


def _level_grids(grid: Tensor, levels: int) -> list[Tensor]:
    """Fine to coarse, (1, 12, D, GH, GW) each."""
    return [grid] if levels == 1 else pyramid.level_grids(grid)


def _grid(grid: Tensor) -> Array:
    """(1, 12, D, GH, GW) -> (3, D, GH, GW, 4): a texture for each row of the matrices."""
    rows = grid[0].unflatten(0, (3, N_IN)).permute(0, 2, 3, 4, 1)
    return numbers(rows.to(torch.float32))


def _guide(guide: nn.Module) -> Array:
    if isinstance(guide, CurvesGuide):
        parts = [
            # Row i belongs to input i: a shader's mat3 of these numbers, times the colour.
            numbers(guide.ccm),
            numbers(guide.ccm_bias),
            numbers(guide.shifts).T,
            numbers(guide.slopes).T,
            numbers(guide.mix),
            numbers(guide.mix_bias),
        ]
    else:
        assert isinstance(guide, PointwiseGuide)
        first, first_bias = folded(guide.conv1.conv, guide.conv1.norm)
        second, second_bias = folded(guide.conv2.conv, None)
        assert first_bias is not None
        assert second_bias is not None
        rows = np.concatenate([first[:, :, 0, 0], first_bias[:, None]], axis=1)
        parts = [rows, second, second_bias]
    return np.concatenate([part.reshape(-1) for part in parts])
