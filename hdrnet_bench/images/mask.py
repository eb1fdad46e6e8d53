"""Masks: one number a pixel, 8 bits, as published datasets have them in grey PNGs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .files import PictureFile
from .photo import STORED


class Mask(NamedTuple):
    """levels: (H, W) uint8, upright, as stored: 255 for white, also where the file has one bit.
    notes: what reading left out, as `files.Picture` has them."""

    levels: NDArray[np.uint8]
    notes: tuple[str, ...]


def read_mask(file: PictureFile) -> Mask:
    """Decode a mask. Raises as `PictureFile.read`, and DataError where it has colours or more than
    8 bits: what one of its channels says is then not the mask."""
    picture = file.read(STORED)
    if picture.pixels.dtype != np.uint8:
        raise DataError(f"{file.path} is no mask: it has 16 bits, 8 are wanted")
    levels = picture.pixels[:, :, 0]
    if (picture.pixels != levels[:, :, None]).any():
        raise DataError(f"{file.path} is no mask: it has colours, one channel is wanted")
    # That grey was repeated is how the reader gives any grey picture, undone here.
    notes = tuple(note for note in picture.notes if not note.startswith("grey repeated"))
    return Mask(np.ascontiguousarray(levels).astype(np.uint8, copy=False), notes)
