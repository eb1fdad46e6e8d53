"""Least squares with the target in hand: the best colour transform, and the best bilateral grid.

Of a picture and a fixed guide, slicing and applying is linear in the grid g: output = A g, where a
pixel's row of A holds its eight trilinear weights (slicing/reference.py's) times its (r, g, b, 1).
The three output channels share A, so there are three systems of 4 D GH GW unknowns each, 8,192 for
the paper's grid. A^T A couples only cells that one pixel can read together, neighbours along every
axis; with the unknowns in the order (row, column, bin, input) it is a narrow band, which LAPACK's
banded Cholesky factorises directly: 552 x 8,192 numbers (36 MB) for the paper's grid, where the
whole matrix has 8,192 x 8,192 (537 MB).

Solved is for the difference d to the best single transform g0, with a ridge:
    min |A (g0 + d) - target|^2 + RIDGE m |d|^2,  m the mean of A^T A's diagonal.
A cell that no pixel reads has only zeros in A^T A, which alone would be singular; the ridge makes
its d zero, so that it holds g0. The same goes for directions that a cell's pixels do not tell
apart, as when all of them are grey.

The band is built tile by tile: all pixels of a tile and bin read the same eight cells, so a few
thousand of them become one product of dense matrices and one 32 x 32 block of A^T A, and memory
does not grow with the picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from ..errors import CapabilityError

Floats = NDArray[np.float64]
# Far above float64's rounding of A^T A, so that no pivot of Cholesky's comes out negative, and so
# small that where the cells are determined the squared error is plain least squares' to 1e-9.
RIDGE = 1e-9
MAX_BAND_BYTES = 4 * 2**30
_CHUNK = 1 << 12  # pixels whose rows of A are held at once: 1 MiB, which a cache holds
_TILE = 512  # most pixels along a side of a tile, so that a grid of one cell has small tiles too


def fit_transform(image: NDArray[np.floating], target: NDArray[np.floating]) -> Floats:
    """The 3 x 4 transform of (r, g, b, 1) with the least squared error; the smallest of several.

    Args:
        image, target: (3, H, W).
    """
    normal, right = np.zeros((4, 4)), np.zeros((4, 3))
    colours, targets = image.reshape(3, -1), target.reshape(3, -1)
    for first in range(0, colours.shape[1], _CHUNK):
        part = slice(first, first + _CHUNK)
        rows = _with_one(colours[:, part].T)
        normal += rows.T @ rows
        right += rows.T @ targets[:, part].T
    # lstsq, not solve: a grey or constant picture has a singular normal matrix, of whose many
    # solutions lstsq takes the one of the smallest norm.
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
        CapabilityError: the grid is so large that its band takes over 4 GiB.
    """
    depth, rows, columns = bins
    unknowns = 4 * depth * rows * columns
    # The cells that touch and are farthest apart in the order are a row, a column and a bin apart.
    # Along an axis of one cell there is no next one.
    reach = (columns * depth if rows > 1 else 0) + (depth if columns > 1 else 0) + (depth > 1)
    # Diagonals above the main one: from the first of one cell's four inputs to the last of the
    # other's.
    width = 4 * reach + 3
    if (width + 1) * unknowns * 8 > MAX_BAND_BYTES:
        raise CapabilityError(
            f"a grid of {columns} x {rows} x {depth} is too large to be fitted here: its equations "
            f"take {(width + 1) * unknowns * 8 / 2**30:.0f} GiB, and {MAX_BAND_BYTES / 2**30:.0f} "
            "is the most"
        )
    base = fit_transform(image, target)
    # LAPACK's storage of a symmetric band: (A^T A)[i, j] with i <= j stands at [width + i - j, j],
    # the diagonal in the last row.
    band, right = np.zeros((width + 1, unknowns)), np.zeros((unknowns, 3))
    for cells, rows_of_a, colours, targets in _design(image, guide, target, bins):
        entries = (4 * cells[:, None] + np.arange(4)).reshape(-1)
        product = rows_of_a.T @ rows_of_a
        # The upper triangle is all that is stored: of two different unknowns the product holds the
        # pair twice, once in each order, and only the one with i < j is added.
        upper = np.nonzero(entries[:, None] <= entries[None, :])
        i, j = (entries[index] for index in upper)
        # Beyond the outermost centres two of the eight cells are the same one, and an unknown
        # occurs twice in `entries`: its products with itself all belong on the diagonal. `+=` would
        # add only the last of repeated indices; add.at adds each.
        np.add.at(band, (width + i - j, j), product[upper])
        np.add.at(right, entries, rows_of_a.T @ (targets - colours @ base.T))
    band[width] += RIDGE * band[width].mean()
    difference = linalg.solveh_banded(band, right, overwrite_ab=True, overwrite_b=True)
    grid = difference.reshape(rows, columns, depth, 4, 3) + base.T
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
    for (row, weights_y, span_y), (column, weights_x, span_x) in itertools.product(
        _tiles(guide.shape[0], rows), across
    ):
        area = (slice(*span_y), slice(*span_x))
        position = guide[area].astype(np.float64).reshape(-1) * depth - 0.5
        bin_ = np.floor(position).astype(np.intp)
        colours = _with_one(image[(slice(None), *area)].reshape(3, -1).T)
        targets = target[(slice(None), *area)].reshape(3, -1).T.astype(np.float64)
        in_plane = (weights_y[:, None, :, None] * weights_x[None, :, None, :]).reshape(-1, 4)
        for lowest in np.unique(bin_):
            pixels = np.flatnonzero(bin_ == lowest)
            # Clamped, so that a pixel beyond the outermost centres reads the outermost cell with
            # both weights: together 1, as slicing's clamped position has it.
            cells = np.array(
                [
                    (_clamp(row + dy, rows) * columns + _clamp(column + dx, columns)) * depth
                    + _clamp(int(lowest) + dz, depth)
                    for dy, dx, dz in itertools.product((0, 1), repeat=3)
                ]
            )
            for first in range(0, len(pixels), _CHUNK):
                chunk = pixels[first : first + _CHUNK]
                fraction = position[chunk] - lowest
                along_z = np.stack([1 - fraction, fraction], 1)
                weights = in_plane[chunk, :, None] * along_z[:, None, :]
                rows_of_a = weights.reshape(-1, 8, 1) * colours[chunk, None, :]
                yield cells, rows_of_a.reshape(-1, 32), colours[chunk], targets[chunk]


def _tiles(length: int, bins: int) -> list[tuple[int, Floats, tuple[int, int]]]:
    """Runs of pixels between the same two cells' centres, cut so that none is longer than _TILE.

    Returns:
        Of each run the first of the two cells (-1 before the first centre), the weights of both
        (n, 2), and its first pixel and the one after its last.
    """
    position = (np.arange(length) + 0.5) * bins / length - 0.5
    cell = np.floor(position).astype(np.intp)
    borders = {0, length, *(np.flatnonzero(np.diff(cell)) + 1), *range(0, length, _TILE)}
    tiles = []
    for first, end in itertools.pairwise(sorted(borders)):
        fraction = position[first:end] - cell[first]
        weights = np.stack([1 - fraction, fraction], 1)
        tiles.append((int(cell[first]), weights, (int(first), int(end))))
    return tiles


def _clamp(cell: int, bins: int) -> int:
    return min(max(cell, 0), bins - 1)


def _with_one(pixels: NDArray[np.floating]) -> Floats:
    """(n, 3) -> (n, 4)."""
    return np.concatenate([pixels, np.ones((len(pixels), 1))], 1, dtype=np.float64)
