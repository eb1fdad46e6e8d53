"""Pictures for measuring: three channels, 8 or 16 bits, read by photo.py's reader; PNGs written.

Nothing is silent: whatever reading had to do or leave undone (orientation, alpha, grey, a
profile's conversion) is said in `Picture.notes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import atomic_path, sha256_bytes
from .photo import MEASURING, Policy, picture_size, read_photo
from .pixels import Pixels, quantise
from .stored import picture_bytes


class Picture(NamedTuple):
    """pixels: (H, W, 3) uint8 or uint16, upright. notes: what reading did or left out; of one kind
    are those with the same text before their colon."""

    pixels: Pixels
    notes: tuple[str, ...]


def read_picture(path: str | Path, policy: Policy = MEASURING) -> Picture:
    """Decode a picture, upright; by default its colours are converted to sRGB by its profile.

    Raises DataError that names the file where it is missing, damaged, or of a kind whose pixels
    have no certain meaning here (Lab, several pages, floating point, …).
    """
    photo = read_photo(Path(path), policy)
    return Picture(photo.pixels, tuple(photo.notes))


class PictureFile(NamedTuple):
    """A picture's bytes, read once: asked for their size, their digest and their pixels, which then
    are of the same file whatever becomes of it. All raise as `read_picture`."""

    path: Path
    content: bytes

    def size(self) -> tuple[int, int]:
        """(width, height), by the header where the kind allows."""
        return picture_size(self.path, self.content)

    def sha256(self) -> str:
        return sha256_bytes(self.content)

    def read(self, policy: Policy = MEASURING) -> Picture:
        photo = read_photo(self.path, policy, content=self.content)
        return Picture(photo.pixels, tuple(photo.notes))


def open_picture(path: Path) -> PictureFile:
    """Raises as `picture_bytes`."""
    return PictureFile(path, picture_bytes(path))


def write_png(path: str | Path, pixels: Pixels) -> None:
    """Write (H, W, 3) uint8 or uint16, or a mask (H, W), as PNG: whole, or not at all."""
    # By way of one dimension: where a side is one pixel, NumPy calls strides contiguous that the
    # encoder refuses. And by `ravel`, as `reshape(-1)` may give a view that is not contiguous.
    contiguous = pixels.ravel().reshape(pixels.shape)
    content = imagecodecs.png_encode(contiguous, level=6)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(content)


def write_thumbnail(path: Path, image: NDArray[np.floating], long_edge: int, quality: int) -> None:
    """(3, H, W) in [0, 1] as a small WebP: for looking at, never for measuring."""
    thumbnail = Image.fromarray(quantise(image))
    thumbnail.thumbnail((long_edge, long_edge), Image.Resampling.LANCZOS)
    with atomic_path(path) as temporary:
        thumbnail.save(temporary, format="WEBP", quality=quality, method=6)
