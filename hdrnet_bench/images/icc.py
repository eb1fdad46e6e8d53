"""Colour profiles (ICC): what a picture's numbers mean, and converting between two meanings.

Little CMS does the work. Its shortcuts for 16 bits are wrong by up to several per cent, so they are
turned off; those for bytes are within a third of a level, and kept for reading.
"""

from __future__ import annotations

from functools import cache

import imagecodecs
import numpy as np
from numpy.typing import DTypeLike, NDArray

from .files import Pixels

SRGB: bytes = imagecodecs.cms_profile("srgb")
# sRGB's primaries and white point, without a curve.
LINEAR: bytes = imagecodecs.cms_profile(
    "rgb",
    whitepoint=[0.3127, 0.3290, 1.0],
    primaries=[0.64, 0.33, 1.0, 0.30, 0.60, 1.0, 0.15, 0.06, 1.0],
    gamma=1.0,
)
# ProPhoto, with the plain power that editors' profiles have; the standard's toe is within `same`.
ROMM: bytes = imagecodecs.cms_profile(
    "rgb",
    whitepoint=[0.3457, 0.3585, 1.0],
    primaries=[0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0],
    gamma=1.8,
)
_SPACES = {b"RGB ": "rgb", b"GRAY": "gray", b"CMYK": "cmyk"}
_HALF_A_LEVEL = 0.5 / 255
# Relative to each profile's own white, so that white stays white.
_RELATIVE = int(imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC)
_EXACT = int(imagecodecs.CMS.FLAGS.NOOPTIMIZE)


def colour_space(profile: bytes) -> str | None:
    """ "rgb", "gray" or "cmyk"; None where the profile cannot be used."""
    space = _SPACES.get(profile[16:20])  # the header's colour space
    if space not in ("rgb", "gray"):
        return space
    channels = 3 if space == "rgb" else 1
    # Only converting a pixel shows whether what is behind the header can be used.
    try:
        _transform(np.zeros((1, 1, channels), np.float32), profile, SRGB, np.float32)
    except imagecodecs.CmsError:
        return None
    return space


@cache
def same(source: bytes, target: bytes) -> bool:
    """Whether RGB numbers mean the same under both, to half a level of 8 bits."""
    if source == target:
        return True
    # Profiles of the same meaning differ in their bytes (names, dates, curves as tables or as
    # formulas), so the colours are compared.
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    lattice = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    result = convert(lattice, source, target, np.float32)
    return bool(np.abs(result - lattice).max() <= _HALF_A_LEVEL)


@cache
def is_linear(profile: bytes) -> bool:
    """Whether an RGB profile's greys are proportional to light."""
    greys = np.array([0.1, 0.25, 0.5], np.float32)
    light = convert(np.repeat(greys[None, :, None], 3, axis=2), profile, LINEAR, np.float32)
    return bool(np.abs(light[0].mean(axis=1) - greys).max() < 0.02)


@cache
def can_write(profile: bytes) -> bool:
    """Whether colours can be converted to it: a scanner's profile only says what its own mean."""
    try:
        _transform(np.zeros((1, 1, 3), np.float32), SRGB, profile, np.float32)
    except imagecodecs.CmsError:
        return False
    return True


def convert(
    pixels: Pixels | NDArray[np.float32], source: bytes, target: bytes, dtype: DTypeLike
) -> NDArray:
    """RGB (H, W, 3) under one profile to another: integers, or floats in [0, 1]. Colours that the
    target cannot show are clipped."""
    return _transform(pixels, source, target, dtype)


def grey_to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """Grey (H, W) under a profile to sRGB (H, W, 3), of the same type."""
    return _transform(pixels[:, :, None], profile, SRGB, pixels.dtype)


def _transform(pixels: NDArray, source: bytes, target: bytes, dtype: DTypeLike) -> NDArray:
    grey = pixels.shape[2] == 1
    shortcuts = pixels.dtype == np.uint8 and np.dtype(dtype) != np.uint8
    result: NDArray = imagecodecs.cms_transform(
        np.ascontiguousarray(pixels[:, :, 0] if grey else pixels),
        source,
        target,
        colorspace="gray" if grey else "rgb",
        outcolorspace="rgb",
        outdtype=np.dtype(dtype).name,
        intent=_RELATIVE,
        flags=None if shortcuts else _EXACT,
    )
    # Little CMS clips integers, floats it lets run on.
    return result.clip(0, 1) if result.dtype == np.float32 else result
