"""Colour spaces and transfer functions, for NumPy arrays and torch tensors alike.

Names carry the space: ``rgb_srgb`` is sRGB as it is encoded in a file, ``rgb_linear`` is linear
light with sRGB primaries, both with 1.0 as white. Arrays are (..., 3, H, W); results have the
dtype and the library of what came in.

Sources: IEC 61966-2-1 (sRGB); CIE 15 (L*a*b*). The matrix and the D65 white point are the
six-digit ones that scikit-image uses, so that colour differences agree with its.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import numpy as np

Array = TypeVar("Array", bound=Any)

LUMINANCE = (0.212671, 0.715160, 0.072169)
XYZ_FROM_LINEAR = (
    (0.412453, 0.357580, 0.180423),
    LUMINANCE,
    (0.019334, 0.119193, 0.950227),
)
WHITE_D65 = (0.95047, 1.0, 1.08883)


def _library(array: Any) -> Any:
    """numpy or torch, whichever made the array; torch is never imported from here."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def srgb_to_linear(rgb_srgb: Array) -> Array:
    """Decode sRGB (values below 0 are taken as 0) to linear light."""
    rgb_srgb = rgb_srgb.clip(min=0)
    toe = rgb_srgb / 12.92
    # The power's base is kept off 0, where its gradient would be infinite.
    curve = ((rgb_srgb.clip(min=0.04) + 0.055) / 1.055) ** 2.4
    return _library(rgb_srgb).where(rgb_srgb <= 0.04045, toe, curve)


def linear_to_srgb(rgb_linear: Array) -> Array:
    """Encode linear light (values below 0 are taken as 0) as sRGB."""
    rgb_linear = rgb_linear.clip(min=0)
    toe = rgb_linear * 12.92
    curve = 1.055 * rgb_linear.clip(min=0.003) ** (1 / 2.4) - 0.055
    return _library(rgb_linear).where(rgb_linear <= 0.0031308, toe, curve)


def apply_matrix(rgb: Array, matrix: tuple[tuple[float, float, float], ...]) -> Array:
    """Multiply every pixel of (..., 3, H, W) by a 3 x 3 matrix, term by term in a fixed order."""
    r, g, b = rgb[..., 0, :, :], rgb[..., 1, :, :], rgb[..., 2, :, :]
    rows = [row[0] * r + row[1] * g + row[2] * b for row in matrix]
    return _library(rgb).stack(rows, -3)


def luminance(rgb_linear: Array) -> Array:
    """CIE Y of linear light: (..., 3, H, W) to (..., 1, H, W)."""
    return apply_matrix(rgb_linear, (LUMINANCE,))


def xyz_to_lab(xyz: Array) -> Array:
    """CIE XYZ (D65, Y of white is 1) to L*a*b*: L in [0, 100]."""
    library = _library(xyz)
    relative = [xyz[..., i, :, :] / white for i, white in enumerate(WHITE_D65)]
    x, y, z = (
        library.where(t > 0.008856, t.clip(min=0.008) ** (1 / 3), 7.787 * t + 16 / 116)
        for t in relative
    )
    return library.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def srgb_to_lab(rgb_srgb: Array) -> Array:
    """sRGB to CIE L*a*b* (D65, 2 degrees)."""
    return xyz_to_lab(apply_matrix(srgb_to_linear(rgb_srgb), XYZ_FROM_LINEAR))
