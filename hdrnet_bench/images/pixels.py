"""Decoded pictures as arrays: (H, W, 3) uint8 or uint16, their digest, and what float they are."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
_ROWS = 64
AnyPixels = TypeVar("AnyPixels", bound=NDArray)
# EXIF's orientation -> (quarter turns anticlockwise, then mirrored left to right).
TURNS = {
    1: (0, False),
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}


def upright(pixels: AnyPixels, orientation: int) -> AnyPixels:
    """(H, W, channels) as EXIF's orientation means it to be seen; a view."""
    turns, mirrored = TURNS.get(orientation, (0, False))
    view = np.rot90(pixels, turns)
    return cast(AnyPixels, view[:, ::-1] if mirrored else view)


def pixels_sha256(pixels: Pixels) -> str:
    """SHA-256 of the decoded pixels with their shape and depth: encoders differ, these must not."""
    little_endian = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{'x'.join(map(str, pixels.shape))} {pixels.dtype.name}\n".encode())
    digest.update(little_endian.tobytes())
    return digest.hexdigest()


def white_level(pixels: Pixels) -> int:
    """The stored value that stands for 1.0."""
    return int(np.iinfo(pixels.dtype).max)


def full_scale(pixels: NDArray[Any], bits: int) -> Pixels:
    """Numbers of up to 16 bits as uint8 (to 8 bits) or uint16, the largest one for white.

    Raises ValueError where a number has more bits.
    """
    if bits in (8, 16):
        return pixels
    white, stored = 2**bits - 1, 255 if bits < 8 else 65535
    if pixels.size and int(pixels.max()) > white:
        raise ValueError(f"its pixels have more than the {bits} bits that its header says")
    # Never a tie: white is odd, and twice `stored` is even.
    table = (np.arange(white + 1) * stored + white // 2) // white
    scaled = np.empty(pixels.shape, np.uint8 if bits < 8 else np.uint16)
    # Some rows at a time: places in a table have eight bytes each.
    for start in range(0, len(pixels), _ROWS):
        scaled[start : start + _ROWS] = table[pixels[start : start + _ROWS].astype(np.intp)]
    return cast(Pixels, scaled)


def to_float32(pixels: Pixels, white: int | None = None) -> NDArray[np.float32]:
    """(H, W, 3) integers to (3, H, W) float32, 1.0 standing for `white`, by default the largest."""
    planar = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return planar.astype(np.float32) / np.float32(white or white_level(pixels))


def quantise(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(3, H, W) in [0, 1] to (H, W, 3) uint8: clamped, rounded once to nearest."""
    levels = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
