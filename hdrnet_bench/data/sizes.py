"""The sizes that methods are evaluated at: a dataset's own, and 480p as papers on FiveK have it.

At 480p a pair is what a dataset prepared at that size would hold: input and target averaged in
linear light until the short edge has 480 pixels, and rounded once to the depth they are stored
with. A method is given the small input; its full-size output is never made smaller. A picture whose
short edge has 480 pixels or fewer is the same at both sizes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..color import srgb_to_linear
from ..config import Encoding
from ..images.pixels import Pixels, white_level
from ..images.resize import SizeRule, average_picture, curve, encode_srgb
from ..results import Size
from .manifest import Dataset, Row
from .pairs import Pair, as_pair, decode_mask, decode_pair

RULE_480P = SizeRule(edge="short", pixels=480)


def size_of(row: Row, size: Size) -> tuple[int, int]:
    """(width, height) that a pair is evaluated at."""
    whole = (row.width, row.height)
    return RULE_480P.target(*whole) if size == "480p" else whole


def any_differs(rows: Iterable[Row]) -> bool:
    """Whether any picture is another one at 480p."""
    return any(size_of(row, "480p") != size_of(row, "full") for row in rows)


def load_pair_at(dataset: Dataset, row: Row, size: Size) -> Pair:
    """Decode one pair at a size. Raises DataError as load_pair."""
    input_, target = decode_pair(dataset, row)
    mask = decode_mask(dataset, row)
    to = size_of(row, size)
    small = averaged(input_, to, dataset.header.input_encoding), averaged(target, to, "srgb")
    return as_pair(dataset, row, small, None if mask is None else averaged_mask(mask, to))


def averaged(pixels: Pixels, size: tuple[int, int], encoding: Encoding) -> Pixels:
    """(H, W, 3) to (height, width, 3) of the same depth, neither larger: the mean of the area in
    linear light, rounded once."""
    height, width = pixels.shape[:2]
    if size == (width, height):
        return pixels
    bits: Literal[8, 16] = 8 if white_level(pixels) == 255 else 16
    if encoding == "srgb":
        return encode_srgb(average_picture(pixels, size, curve(srgb_to_linear, bits)), bits)
    planar = average_picture(pixels, size, curve(bits=bits))
    levels = np.rint(planar.transpose(1, 2, 0) * white_level(pixels))
    return levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)


def averaged_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) to (height, width) as `averaged`: a mask's numbers are shares, and no light to be
    decoded first."""
    grey = averaged(mask[:, :, None].repeat(3, axis=2), size, "linear")
    return grey[:, :, 0].astype(np.uint8, copy=False)
