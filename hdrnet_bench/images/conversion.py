"""From a picture's colours to sRGB or linear light and back, a strip of rows at a time.

Light adds up: under a profile of three curves and a matrix, a colour's linear sRGB is the sum of
what its red, green and blue each give alone. So Little CMS is asked once for what each number of
each channel gives, and once for the curves of the way back; a pixel is then three look-ups and
three additions, which costs a fraction of the transform itself. Whether a profile is of this kind
is tried, by comparing with Little CMS; one with tables of its own is left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..color import linear_to_srgb, srgb_to_linear
from . import icc
from .pixels import Pixels

# Steps of a table over [0, 1]: a quarter of a level of 16 bits.
_STEPS = 1 << 18
# How far from Little CMS, of 1: a quarter of a level of 8 bits. Where a power curve begins,
# steeply, float32 itself is no better.
_AGREEMENT = 1e-3
_STRIP_PIXELS = 1 << 18  # at a time: what is between fits a core's cache
ToModel = Callable[[Pixels], NDArray[np.float32]]
Back = Callable[[NDArray[np.float32], np.dtype], NDArray[Any]]


class Curves(NamedTuple):
    """tables: (3, levels, 3), the linear sRGB that each number of each channel gives alone.
    matrix: (3, 3), linear sRGB to the profile's own light. encode: (3, steps), the profile's number
    for the square of each step of light, which is finer where the dark needs it."""

    tables: NDArray[np.float32]
    matrix: NDArray[np.float32]
    encode: NDArray[np.float32]


def to_srgb(profile: bytes, dtype: np.dtype, linear: bool = False) -> ToModel:
    """What converts (H, W, 3) integers under a profile to float32 sRGB, or linear light with its
    primaries, in [0, 1]."""
    curves = _curves(profile, dtype.name)
    target = icc.LINEAR if linear else icc.SRGB
    if curves is None:
        return lambda rows: icc.convert(rows, profile, target, np.float32)

    return lambda rows: _to_light(curves, rows) if linear else _to_srgb(curves, rows)


def _to_light(curves: Curves, rows: Pixels) -> NDArray[np.float32]:
    light = np.take(curves.tables[0], rows[:, :, 0], axis=0, mode="clip")
    light += np.take(curves.tables[1], rows[:, :, 1], axis=0, mode="clip")
    light += np.take(curves.tables[2], rows[:, :, 2], axis=0, mode="clip")
    return light.clip(0, 1, out=light)


def _to_srgb(curves: Curves, rows: Pixels) -> NDArray[np.float32]:
    light = _to_light(curves, rows)
    return _looked_up(_srgb_of_root(), np.sqrt(light, out=light))


def integers_to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """(H, W, 3) under a profile to sRGB in the same depth, clipped and rounded once."""
    convert = to_srgb(profile, pixels.dtype)
    white = np.float32(np.iinfo(pixels.dtype).max)
    result = np.empty(pixels.shape, pixels.dtype)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for first in range(0, len(pixels), rows):
        strip = convert(pixels[first : first + rows])
        result[first : first + rows] = np.rint(strip * white)
    return result


def from_srgb(profile: bytes) -> Back:
    """What converts (H, W, 3) float32 sRGB in [0, 1] to integers of a type under a profile, clipped
    and rounded once."""
    curves = _curves(profile, "uint8")
    if curves is None:
        return lambda rows, dtype: icc.convert(rows, icc.SRGB, profile, dtype)

    return lambda rows, dtype: _back(curves, rows, dtype)


def _back(curves: Curves, rows: NDArray[np.float32], dtype: np.dtype) -> NDArray[np.float32]:
    light = _looked_up(_linear_of_srgb(), rows)
    light = (light.reshape(-1, 3) @ curves.matrix.T).reshape(rows.shape)
    np.sqrt(light.clip(0, 1, out=light), out=light)
    for channel in range(3):
        light[:, :, channel] = _looked_up(curves.encode[channel], light[:, :, channel])
    light.clip(0, 1, out=light)
    light *= np.float32(np.iinfo(dtype).max)
    return np.rint(light, out=light)


def _looked_up(table: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A table over [0, 1] at the step nearest to each value."""
    places = values * np.float32(len(table) - 1) + np.float32(0.5)
    return np.take(table, places.astype(np.int32), mode="clip")


@lru_cache(1)
def _srgb_of_root() -> NDArray[np.float32]:
    """sRGB of the square of each step."""
    return linear_to_srgb(np.linspace(0, 1, _STEPS) ** 2).astype(np.float32)


@lru_cache(1)
def _linear_of_srgb() -> NDArray[np.float32]:
    return srgb_to_linear(np.linspace(0, 1, _STEPS)).astype(np.float32)


@lru_cache(8)
def _curves(profile: bytes, dtype: str) -> Curves | None:
    """None for a profile that is no three curves and a matrix."""
    levels = np.iinfo(dtype).max + 1
    alone = np.zeros((3, levels, 3), np.float32)
    numbers = np.linspace(0, 1, levels, dtype=np.float32)
    for channel in range(3):
        alone[channel, :, channel] = numbers
    try:
        tables = icc.unbounded(alone, profile, icc.LINEAR)
        matrix = np.linalg.inv(tables[:, -1].astype(np.float64)).T
        # White is white under every profile, whose numbers are rounded and miss it by a hair.
        matrix /= matrix.sum(axis=1, keepdims=True)
        steps = np.linspace(0, 1, _STEPS // 4) ** 2
        # Grey light is grey under every profile: white of one is white of the other.
        greys = np.repeat(linear_to_srgb(steps).astype(np.float32)[None, :, None], 3, axis=2)
        encode = icc.convert(greys, icc.SRGB, profile, np.float32)[0].T
    except (imagecodecs.CmsError, np.linalg.LinAlgError):
        return None
    curves = Curves(tables, matrix.astype(np.float32), np.ascontiguousarray(encode))
    return curves if _agrees(curves, profile) else None


def _agrees(curves: Curves, profile: bytes) -> bool:
    """Whether these curves give what Little CMS gives, both ways."""
    levels = curves.tables.shape[1]
    colours = np.random.default_rng(0).integers(0, levels, (1, 2000, 3)).astype(np.uint16)
    floats = (colours / (levels - 1)).astype(np.float32)
    there = icc.convert(floats, profile, icc.SRGB, np.float32)
    back = icc.convert(there, icc.SRGB, profile, np.float32)
    white = np.dtype(np.uint16)
    ours = _back(curves, there, white) / np.float32(65535)
    return bool(
        np.abs(_to_srgb(curves, colours) - there).max() < _AGREEMENT
        and np.abs(ours - back).max() < _AGREEMENT
    )
