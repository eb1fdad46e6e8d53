"""Whether a picture shows what a fingerprint's does: turned, mirrored, cropped, or another scene.

Of the hash only those bits count that the picture at hand is sure of: in flat places the sign of a
difference is rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..images.pixels import TURNS, upright
from .picture import CELLS, box_means, cell_means, differences, hash_bits, integral

# Of the bits that a picture is sure of, how many agree: of the same framing nearly all, of another
# scene little more than half.
SAME = 0.985
SCENE = 0.85
# By how much another turn must fit better, to be believed. A part of the frame, which is doubted
# besides (`_DOUBT`), must do no more than fit better: on 40 photographs none did that was whole,
# whatever its tones, and nearly all did that were cropped by 3 % or more.
BETTER = 0.03
_SURE = 0.15  # of the spread of all differences
_FLAT = 0.01  # levels of 8 bits: less is the rounding of sums
_FEWEST = 24  # bits that a part must have
_DOUBT = 0.5  # of what a part's bits say, over the root of their number
_SMALLEST = 0.6  # side of a crop, of the frame's
_LEAST_ASPECT = 0.7  # of a crop's sides, each a share of the frame's
_BORDERS = np.arange(CELLS + 1) / CELLS
_WORDS = {
    2: "mirrored left to right",
    3: "upside down",
    4: "mirrored top to bottom",
    5: "mirrored, and turned by a quarter",
    6: "turned by a quarter, clockwise",
    7: "mirrored, and turned by a quarter",
    8: "turned by a quarter, anticlockwise",
}


class Framing(NamedTuple):
    """kind: "same", "turned", "cropped", "flat" or "another scene". agreement: of the sure bits,
    with what was found undone. what: in words. orientation: EXIF's, which makes the picture
    upright."""

    kind: str
    agreement: float
    what: str | None = None
    orientation: int = 1


def framing(grey: NDArray[np.float32], hash_: str) -> Framing:
    """How a picture's grey (H, W) is framed, beside the one that the hash is of."""
    wanted = hash_bits(hash_)
    own = differences(cell_means(grey))
    if not _sure(own).any():
        return Framing("flat", 0.0, "it is of one colour: nothing can be recognised in it")
    whole = _agreement(own, wanted)
    if whole >= SAME:
        return Framing("same", whole)
    orientation, turned = max(
        (
            (o, _agreement(differences(cell_means(upright(grey, o))), wanted))
            for o in TURNS
            if o != 1
        ),
        key=lambda each: each[1],
    )
    if turned >= SCENE and turned > whole + BETTER:
        # The orientation undoes it: what has been done is the other quarter turn.
        done = {6: 8, 8: 6}.get(orientation, orientation)
        return Framing("turned", turned, _WORDS[done], orientation)
    fit, (_, _, height, width) = _best_part(grey, wanted)
    if fit >= SCENE and fit > whole:
        share = f"{width:.0%} of the width and {height:.0%} of the height"
        return Framing("cropped", fit, f"it shows about {share}")
    if whole >= SCENE:
        return Framing("same", whole)
    return Framing("another scene", whole, f"{whole:.0%} of its hash agrees")


def _agreement(found: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float:
    """Of the bits that `found` is sure of."""
    sure = _sure(found)
    return float(np.mean((found > 0)[sure] == wanted[sure]))


def _sure(found: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.abs(found) > max(_SURE * float(np.std(found)), _FLAT)


def _best_part(
    grey: NDArray[np.float32], wanted: NDArray[np.bool_]
) -> tuple[float, tuple[float, float, float, float]]:
    """Which part of the frame the picture fits best, as (top, left, height, width) of 1: first
    coarsely over all, then finer around the best."""
    sums = integral(grey)
    best = (0.0, (0.0, 0.0, 1.0, 1.0))
    sides = np.arange(_SMALLEST, 1.001, 0.05)
    for height in sides:
        for width in sides:
            if height == width == 1 or not _LEAST_ASPECT <= height / width <= 1 / _LEAST_ASPECT:
                continue
            for top in np.arange(0, 1 - height + 1e-9, 0.05):
                for left in np.arange(0, 1 - width + 1e-9, 0.05):
                    best = max(best, _fit(sums, wanted, (top, left, height, width)))
    for step in (0.025, 0.012, 0.006):
        centre = best[1]
        for moved in np.ndindex(3, 3, 3, 3):
            top, left, height, width = (
                v + (m - 1) * step for v, m in zip(centre, moved, strict=True)
            )
            if min(top, left) >= -1e-9 and max(top + height, left + width) <= 1 + 1e-9:
                best = max(best, _fit(sums, wanted, (top, left, height, width)))
    return best


def _fit(
    sums: NDArray[np.float64], wanted: NDArray[np.bool_], part: tuple[float, float, float, float]
) -> tuple[float, tuple[float, float, float, float]]:
    """How well the cells that lie wholly in a part of the frame agree, were the picture that part.

    A bit counts by the root of its difference, and few bits less than many, of which as many agree:
    with each counting the same, small parts would often fit by chance (tried on 60 crops).
    """
    top, left, height, width = part
    rows, row = _inside(top, height, sums.shape[0] - 1)
    columns, column = _inside(left, width, sums.shape[1] - 1)
    if len(rows) < 3 or len(columns) < 3:
        return 0.0, part
    means = box_means(sums, rows, columns)
    # As `differences` has them: not from the last row to the right, nor from the last column down.
    found = (
        np.diff(means, axis=1)[: CELLS - 1 - row],
        np.diff(means, axis=0)[:, : CELLS - 1 - column],
    )
    bits = wanted.reshape(2, CELLS - 1, CELLS - 1)[:, row:, column:]
    values = np.concatenate([each.ravel() for each in found])
    truth = np.concatenate(
        [b[: e.shape[0], : e.shape[1]].ravel() for b, e in zip(bits, found, strict=True)]
    )
    sure = int(_sure(values).sum())
    if sure < _FEWEST:
        return 0.0, part
    weights = np.sqrt(np.minimum(np.abs(values) / np.std(values), 1))
    agreement = float(weights @ ((values > 0) == truth) / weights.sum())
    return agreement - _DOUBT / sure**0.5, part


def _inside(start: float, side: float, pixels: int) -> tuple[NDArray[np.float64], int]:
    """Borders, in the picture's pixels, of the frame's cells that lie wholly in a part; and which
    cell is the first."""
    chosen = _BORDERS[(start - 1e-9 <= _BORDERS) & (start + side + 1e-9 >= _BORDERS)]
    first = round(float(chosen[0]) * CELLS) if len(chosen) else 0
    return np.clip((chosen - start) / side, 0, 1) * pixels, first
