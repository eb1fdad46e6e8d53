"""Making pictures smaller in linear light, and encoding them.

Every output pixel is the mean of the area it covers, with fractional shares of the pixels on its
border. That is antialiased, conserves the picture's mean, and never leaves the range of its input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse

from ..color import apply_matrix, linear_to_srgb
from .pixels import Pixels

Matrix = tuple[tuple[float, float, float], ...]


class SizeRule(BaseModel):
    """edge: which edge becomes `pixels` long; "original" keeps the size, and takes no `pixels`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edge: Literal["short", "long", "original"]
    pixels: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _complete(self) -> SizeRule:
        if (self.pixels is None) != (self.edge == "original"):
            raise ValueError('an edge needs its pixels, "original" takes none')
        return self

    def target(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the result. The other edge keeps the shape as nearly as whole pixels
        can, halves rounded up; nothing is made larger."""
        edge = min(width, height) if self.edge == "short" else max(width, height)
        pixels = self.pixels
        if pixels is None or pixels >= edge:
            return width, height
        # Halves rounded up in whole numbers: a float's rounding would move some sizes.
        sides = (max(1, (2 * side * pixels + edge) // (2 * edge)) for side in (width, height))
        return next(sides), next(sides)


@functools.cache
def curve(
    decode: Callable[[NDArray], NDArray] = lambda values: values, bits: Literal[8, 16] = 16
) -> NDArray[np.float32]:
    """What each stored number of so many bits is in linear light: a transfer function's table. By
    default numbers are linear already."""
    table = decode(np.arange(2**bits) / (2**bits - 1)).astype(np.float32)
    table.flags.writeable = False  # whoever asks again is given the same one
    return table


def average_picture(
    pixels: Pixels,
    size: tuple[int, int],
    table: NDArray[np.float32],
    matrix: Matrix | None = None,
) -> NDArray[np.float64]:
    """Average a picture to (width, height) in linear light.

    One channel at a time is linearised, so that 4 bytes a pixel are needed beside the picture. The
    matrix commutes with averaging and is applied to the small picture. A colour outside the
    target's gamut is not clipped before it is averaged with its neighbours.

    Args:
        pixels: (H, W, 3) uint8 or uint16.
        size: (width, height), neither above the picture's.
        table: `curve` of the pixels' transfer function and bits.
        matrix: linear RGB to linear RGB.

    Returns:
        (3, height, width).
    """
    channels = [average_channel(table[pixels[:, :, index]], size) for index in range(3)]
    planar = np.stack(channels).astype(np.float64)
    return planar if matrix is None else apply_matrix(planar, matrix)


def average_channel(channel: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) linear light to (height, width), each no larger, by the mean of the area.

    Sums run in one order, so that the result does not depend on the number of threads.
    """
    height, width = channel.shape
    if size == (width, height):
        return channel
    # Down first, then across, both as products with a sparse matrix from the left: a sparse product
    # runs row by row, in one order.
    down, across = _shares(height, size[1]), _shares(width, size[0])
    return np.ascontiguousarray((across @ np.ascontiguousarray((down @ channel).T)).T)


def _shares(length: int, target: int) -> sparse.csr_array:
    """(target, length): the share of each old pixel in each new one. Rows sum to 1."""
    if not 0 < target <= length:
        raise ValueError(f"{length} pixels cannot be averaged to {target}")
    # In units of 1 / target of an old pixel, where all borders are whole numbers: old pixel i
    # covers [i target, (i + 1) target), new pixel j [j length, (j + 1) length).
    # Between two neighbouring borders of either kind lies what one old pixel and one new one share.
    borders = np.union1d(np.arange(length + 1) * target, np.arange(target + 1) * length)
    start, overlap = borders[:-1], np.diff(borders)
    places = (start // length, start // target)  # the new pixel, the old one
    return sparse.csr_array(((overlap / length).astype(np.float32), places), (target, length))


def encode_srgb(rgb_linear: NDArray[np.floating], bits: Literal[8, 16] = 8) -> NDArray:
    """(3, H, W) linear light to (H, W, 3) sRGB: clipped to [0, 1], encoded, rounded once."""
    white = 2**bits - 1
    srgb = linear_to_srgb(np.clip(rgb_linear.astype(np.float64), 0.0, 1.0))
    levels = np.rint(srgb * white).astype(np.uint8 if bits == 8 else np.uint16)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def linear_16(rgb_linear: NDArray[np.floating]) -> NDArray[np.uint16]:
    """(3, H, W) of linear light to (H, W, 3), with 1 as 65535: clipped to [0, 1], rounded once."""
    levels = np.rint(np.clip(rgb_linear.astype(np.float64), 0.0, 1.0) * 65535).astype(np.uint16)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
