"""How much the error's gradient stands out along the borders of a grid's cells.

Space: sRGB as encoded, not rounded, not clamped. The picture is parted into GW x GH cells: the
pixel with its centre at x + .5 lies in cell floor((x + .5) GW / W), and rows alike. Of the error
(output less target) the absolute differences of neighbouring pixels, to the right and below and in
each channel, are averaged twice: b over the pairs that two cells share, e over all others. The
value is (b - e) / (b + e): 0 where borders look like the rest, 1 where the error changes at borders
alone, -1 where it changes everywhere but there; 0 where it changes nowhere. It grows with b / e,
which is (1 + value) / (1 - value). Higher is worse; a little either side of 0 is noise. NaN where
the cells are so small that all pairs are of one kind, or the picture is one pixel.

It shows slicing without interpolation, tiles and blocks. The kinks that trilinear slicing has at
the cells' centres are not edges, and do not raise it. No published metric; defined here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._pairs import as_pair, per_picture

CELLS = 16  # a side of the paper's grid: what a method without a grid is held against


def grid_artefact(
    output: Tensor, target: Tensor, cells: tuple[int, int] = (CELLS, CELLS)
) -> Tensor:
    """Of (3, H, W) or (B, 3, H, W) sRGB in [0, 1], and (GW, GH) cells: () or (B,), float64."""
    output, target, batched = as_pair(output, target)
    total = output.new_zeros(2, len(output), dtype=torch.float64)  # at borders, elsewhere
    count = [0, 0]
    for channel in range(3):  # one at a time: a float64 copy of a large picture is much
        error = output[:, channel].double() - target[:, channel].double()
        for axis, other_axis, bins in ((2, 1, cells[0]), (1, 2, cells[1])):
            change = error.diff(dim=axis).abs().sum(other_axis)  # (B, pairs)
            at_border = _crossings(error.shape[axis], bins).to(error.device)
            for kind, pairs in enumerate((at_border, ~at_border)):
                total[kind] += change[:, pairs].sum(1)
                count[kind] += int(pairs.sum()) * error.shape[other_axis]
    if not all(count):
        return per_picture(torch.full_like(total[0], float("nan")), batched)
    border, elsewhere = total[0] / count[0], total[1] / count[1]
    both = border + elsewhere
    return per_picture(torch.where(both > 0, (border - elsewhere) / both, 0.0), batched)


def _crossings(length: int, bins: int) -> Tensor:
    """(length - 1,): whether a pixel and its follower lie in different cells."""
    # floor((x + .5) bins / length) in whole numbers: no rounding moves a border.
    cell = (2 * torch.arange(length) + 1) * bins // (2 * length)
    return cell[1:] != cell[:-1]
