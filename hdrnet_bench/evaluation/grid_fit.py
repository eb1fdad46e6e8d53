"""Least squares with the target in hand: the best colour transform, and the best bilateral grid.

Of a picture and a fixed guide, slicing and applying is linear in the grid: output = A x, where a
pixel's row of A holds its eight trilinear weights (reference.py's) times its (r, g, b, 1). The
three output channels share A, so there are three systems of 4 D GH GW unknowns each, 8,192 for the
paper's grid. A^T A couples only cells that touch, so that in the order (row, column, bin, input) it
is a narrow band, and LAPACK's banded Cholesky solves it directly.

Solved is for the difference to the best single transform x0, with a ridge:
    min |A (x0 + d) - y|^2 + RIDGE m |d|^2,  m the mean of A^T A's diagonal,
so that cells which no pixel reads hold x0. The band is built tile by tile (all pixels of a tile
read the same cells), so that memory does not grow with the picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from ..errors import CapabilityError

Floats = NDArray[np.float64]
RIDGE = 1e-9
MAX_BAND_BYTES = 4 * 2**30
_CHUNK = 1 << 12  # pixels whose rows of A are held at once: 1 MiB, which a cache holds


def fit_transform(image: NDArray[np.floating], target: NDArray[np.floating]) -> Floats:
    """The 3 x 4 transform of (r, g, b, 1) with the least squared error; the smallest of several.

    Args:
        image, target: (3, H, W).
    """
    normal, right = np.zeros((4, 4)), np.zeros((4, 3))
    x, y = image.reshape(3, -1), target.reshape(3, -1)
    for first in range(0, x.shape[1], _CHUNK):
        part = slice(first, first + _CHUNK)
        rows = _with_one(x[:, part].T)
        normal += rows.T @ rows
        right += rows.T @ y[:, part].T
    return np.asarray(np.linalg.lstsq(normal, right, rcond=None)[0].T, np.float64)


def fit_grid(
    image: NDArray[np.floating],
    guide: NDArray[np.floating],
    target: NDArray[np.floating],
    bins: tuple[int, int, int],
) -> Floats:
    """The bilateral grid with the least squared error (12, D, GH, GW), as `bilateral_slice_apply`
    takes it. Clamping the output can bring it nearer still: that is not part of the fit.

    Args:
        image, target: (3, H, W).
        guide: (H, W) in [0, 1].
        bins: (D, GH, GW).

    Raises:
        CapabilityError: so large a grid that its band takes over 4 GiB.
    """
    depth, rows, columns = bins
    unknowns = 4 * depth * rows * columns
    reach = (columns * depth if rows > 1 else 0) + (depth if columns > 1 else 0) + (depth > 1)
    width = 4 * reach + 3  # of the band, above the diagonal
    if (width + 1) * unknowns * 8 > MAX_BAND_BYTES:
        raise CapabilityError(
            f"a grid of {columns} x {rows} x {depth} is too large to be fitted here: its equations "
            f"take {(width + 1) * unknowns * 8 / 2**30:.0f} GiB, and {MAX_BAND_BYTES / 2**30:.0f} "
            "is the most"
        )
    base = fit_transform(image, target)
    band, right = np.zeros((width + 1, unknowns)), np.zeros((unknowns, 3))
    for cells, rows_of_a, x, y in _design(image, guide, target, bins):
        places = (4 * cells[:, None] + np.arange(4)).reshape(-1)
        above = places[:, None] <= places[None, :]
        i, j = np.broadcast_to(places[:, None], above.shape)[above], places[None].repeat(32, 0)
        j = j[above]
        np.add.at(band, (width + i - j, j), (rows_of_a.T @ rows_of_a)[above])
        np.add.at(right, places, rows_of_a.T @ (y - x @ base.T))
    band[width] += RIDGE * band[width].mean()
    found = linalg.solveh_banded(band, right, overwrite_ab=True, overwrite_b=True)
    grid = found.reshape(rows, columns, depth, 4, 3) + base.T
    return np.ascontiguousarray(grid.transpose(4, 3, 2, 0, 1)).reshape(12, depth, rows, columns)


def _design(
    image: NDArray[np.floating],
    guide: NDArray[np.floating],
    target: NDArray[np.floating],
    bins: tuple[int, int, int],
) -> Iterator[tuple[NDArray[np.intp], Floats, Floats, Floats]]:
    """A's rows, by the eight cells that they read.

    Yields:
        The cells (8,) in the order of unknowns; rows of A (n, 32) for these cells' entries; the
        pixels' (r, g, b, 1) (n, 4); their targets (n, 3).
    """
    depth, rows, columns = bins
    across = _tiles(guide.shape[1], columns)
    for (row, weights_y, down), (column, weights_x, right) in itertools.product(
        _tiles(guide.shape[0], rows), across
    ):
        part = (slice(down[0], down[1]), slice(right[0], right[1]))
        place = guide[part].astype(np.float64).reshape(-1) * depth - 0.5
        bin_ = np.floor(place).astype(np.intp)
        x = _with_one(image[(slice(None), *part)].reshape(3, -1).T)
        y = target[(slice(None), *part)].reshape(3, -1).T.astype(np.float64)
        in_plane = (weights_y[:, None, :, None] * weights_x[None, :, None, :]).reshape(-1, 4)
        for lowest in np.unique(bin_):
            chosen = np.flatnonzero(bin_ == lowest)
            cells = np.array(
                [
                    (_clamp(row + dy, rows) * columns + _clamp(column + dx, columns)) * depth
                    + _clamp(int(lowest) + dz, depth)
                    for dy, dx, dz in itertools.product((0, 1), repeat=3)
                ]
            )
            for first in range(0, len(chosen), _CHUNK):
                some = chosen[first : first + _CHUNK]
                upper = place[some] - lowest
                weights = in_plane[some, :, None] * np.stack([1 - upper, upper], 1)[:, None, :]
                rows_of_a = weights.reshape(-1, 8, 1) * x[some, None, :]
                yield cells, rows_of_a.reshape(-1, 32), x[some], y[some]


def _tiles(length: int, bins: int) -> list[tuple[int, Floats, tuple[int, int]]]:
    """Runs of pixels between the same two cells' centres, cut so that none is very long: the first
    of the two (-1 before the first centre), the weights of both (n, 2), and from where to where."""
    place = (np.arange(length) + 0.5) * bins / length - 0.5
    cell = np.floor(place).astype(np.intp)
    borders = {0, length, *(np.flatnonzero(np.diff(cell)) + 1), *range(0, length, 512)}
    tiles = []
    for first, end in itertools.pairwise(sorted(borders)):
        upper = place[first:end] - cell[first]
        weights = np.stack([1 - upper, upper], 1)
        tiles.append((int(cell[first]), weights, (int(first), int(end))))
    return tiles


def _clamp(cell: int, bins: int) -> int:
    return min(max(cell, 0), bins - 1)


def _with_one(pixels: NDArray[np.floating]) -> Floats:
    """(n, 3) -> (n, 4)."""
    return np.concatenate([pixels, np.ones((len(pixels), 1))], 1, dtype=np.float64)
