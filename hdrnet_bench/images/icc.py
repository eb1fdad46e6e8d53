"""Colour profiles (ICC): what a picture's numbers mean, and converting between two meanings.

Little CMS does the work. Its shortcuts for 16 bits are wrong by up to several per cent, so they are
turned off; without them a transform costs some 200 ns a pixel, so for profiles of three curves and
a matrix, which nearly all are, it is asked for the curves and the matrix once (`conversion.py`).
"""

from __future__ import annotations

import io
from functools import lru_cache

import imagecodecs
import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import ImageCms

from .colour_tags import BT709, Primaries, profile_of_gamma, undated
from .pixels import Pixels

SRGB = undated(imagecodecs.cms_profile("srgb"))
# sRGB's primaries and white point, without a curve.
LINEAR = profile_of_gamma(BT709, 1.0)
# ProPhoto, with the plain power that editors' profiles have; the standard's toe is within `same`.
ROMM = profile_of_gamma(
    Primaries((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), 1.8
)
_SPACES = {b"RGB ": "rgb", b"GRAY": "gray", b"CMYK": "cmyk"}
_CHANNELS = {"rgb": 3, "gray": 1, "cmyk": 4}
_HALF_A_LEVEL = 0.5 / 255
# How far a colour may be, of 1, after the way to a profile and back: rounding and a table's
# interpolation; a profile without a true inverse is off by tens of levels.
_ROUND_TRIP = 4 / 255
# Relative to each profile's own white, so that white stays white.
_RELATIVE = int(imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC)
_EXACT = int(imagecodecs.CMS.FLAGS.NOOPTIMIZE)


def colour_space(profile: bytes) -> str | None:
    """ "rgb", "gray" or "cmyk"; None where the profile cannot be used."""
    space = _SPACES.get(profile[16:20])  # the header's colour space
    if space is None:
        return None
    # Only converting a pixel shows whether what is behind the header can be used.
    try:
        _transform(np.zeros((1, 1, _CHANNELS[space]), np.float32), profile, SRGB, np.float32, space)
    except imagecodecs.CmsError:
        return None
    return space


def profile_name(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "unreadable"


def _lattice() -> NDArray[np.float32]:
    """(1, 729, 3): all colours of nine steps a channel."""
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    return np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)


@lru_cache(64)
def same(source: bytes, target: bytes) -> bool:
    """Whether RGB numbers mean the same under both, to half a level of 8 bits."""
    if source == target:
        return True
    # Profiles of the same meaning differ in their bytes (names, dates, curves as tables or as
    # formulas), so the colours are compared.
    lattice = _lattice()
    result = convert(lattice, source, target, np.float32)
    return bool(np.abs(result - lattice).max() <= _HALF_A_LEVEL)


@lru_cache(64)
def is_linear(profile: bytes) -> bool:
    """Whether an RGB profile's greys are proportional to light."""
    greys = np.array([0.1, 0.25, 0.5], np.float32)
    light = convert(np.repeat(greys[None, :, None], 3, axis=2), profile, LINEAR, np.float32)
    return bool(np.abs(light[0].mean(axis=1) - greys).max() < 0.02)


@lru_cache(64)
def can_write(profile: bytes) -> bool:
    """Whether colours can be converted to it and are then the same colours.

    A scanner's profile says only what its own numbers mean; others have a way back that is none
    (XYB's). Tried with the profile's own colours, as far as sRGB holds them.
    """
    try:
        colours = convert(_lattice(), profile, SRGB, np.float32)
        there = convert(colours, SRGB, profile, np.float32)
        back = convert(there, profile, SRGB, np.float32)
    except imagecodecs.CmsError:
        return False
    return bool(np.abs(back - colours).max() <= _ROUND_TRIP)


def convert(
    pixels: Pixels | NDArray[np.float32], source: bytes, target: bytes, dtype: DTypeLike
) -> NDArray:
    """RGB (H, W, 3) under one profile to another: integers, or floats in [0, 1]. Colours that the
    target cannot show are clipped."""
    return _transform(pixels, source, target, dtype, "rgb")


def grey_to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """Grey (H, W) under a profile to sRGB (H, W, 3), of the same type."""
    return _transform(pixels[:, :, None], profile, SRGB, pixels.dtype, "gray")


def cmyk_to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """CMYK (H, W, 4), 0 for no ink, under a profile to sRGB (H, W, 3), of the same type."""
    return _transform(pixels, profile, SRGB, pixels.dtype, "cmyk")


def unbounded(pixels: NDArray[np.float32], source: bytes, target: bytes) -> NDArray[np.float32]:
    """RGB (H, W, 3) floats under one profile to another, not clipped to [0, 1]."""
    return _cms(pixels, source, target, "rgb", np.dtype(np.float32), shortcuts=False)


def _transform(
    pixels: NDArray, source: bytes, target: bytes, dtype: DTypeLike, space: str
) -> NDArray:
    wanted = np.dtype(dtype)
    shortcuts = pixels.dtype == np.uint8 and wanted != np.uint8
    result = _cms(pixels, source, target, space, wanted, shortcuts)
    # Little CMS clips integers, floats it lets run on.
    return result.clip(0, 1) if result.dtype == np.float32 else result


def _cms(
    pixels: NDArray, source: bytes, target: bytes, space: str, dtype: np.dtype, shortcuts: bool
) -> NDArray:
    result: NDArray = imagecodecs.cms_transform(
        np.ascontiguousarray(pixels[:, :, 0] if space == "gray" else pixels),
        source,
        target,
        colorspace=space,
        outcolorspace="rgb",
        outdtype=dtype.name,
        intent=_RELATIVE,
        flags=None if shortcuts else _EXACT,
    )
    return result
