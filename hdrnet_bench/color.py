"""Colour spaces and transfer functions, for NumPy arrays and torch tensors alike.

Names carry the space: ``rgb_srgb`` is sRGB as it is encoded in a file, ``rgb_linear`` is linear
light with sRGB primaries, ``romm`` is ROMM RGB (ProPhoto), each with 1.0 as white. Arrays are
(..., 3, H, W); results have the dtype and the library of what came in.

Sources: IEC 61966-2-1 (sRGB); CIE 15 (L*a*b*); ISO 22028-2 (ROMM RGB); ICC.1:2022, annex E
(Bradford). The matrix to XYZ and the D65 white point are the six-digit ones that scikit-image uses,
so that colour differences agree with its; the matrix from ROMM is derived from chromaticities, so
that neutral stays neutral.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import numpy as np

Array = TypeVar("Array", bound=Any)

# A network's sRGB overshoots [0, 1] by a little, levels of 8 or 16 bits by far: clamped as if they
# were in [0, 1] they would pass for a picture. What passes all the same is a picture in levels that
# is black, up to level 10.
FAR_OUTSIDE = 10.0

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


def romm_to_linear(rgb_romm: Array) -> Array:
    """Decode ROMM RGB (values below 0 are taken as 0) to linear light with ROMM's own primaries."""
    rgb_romm = rgb_romm.clip(min=0)
    return _library(rgb_romm).where(rgb_romm < 1 / 32, rgb_romm / 16, rgb_romm**1.8)


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


def _xyz_from(primaries: tuple[tuple[float, float], ...], white: tuple[float, float]) -> Any:
    """Linear RGB to XYZ, (3, 3), from the chromaticities (x, y) of red, green, blue and white: each
    primary is scaled so that together they make white with Y = 1."""
    columns = np.array([_xyz(point) for point in primaries]).T
    return columns * np.linalg.solve(columns, _xyz(white))


def _xyz(point: tuple[float, float]) -> Any:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _bradford(source: tuple[float, float], target: tuple[float, float]) -> Any:
    """XYZ under one white to XYZ under another, (3, 3): scaled as cones are thought to adapt."""
    cones = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    gains = (cones @ _xyz(target)) / (cones @ _xyz(source))
    return np.linalg.inv(cones) @ np.diag(gains) @ cones


_D50, _D65 = (0.3457, 0.3585), (0.3127, 0.3290)
_ROMM = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
_SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
# Light with ROMM's primaries under D50 to light with sRGB's under D65: colours outside sRGB become
# less than 0 or more than 1.
LINEAR_FROM_ROMM: tuple[tuple[float, float, float], ...] = tuple(
    tuple(row)
    for row in (
        np.linalg.inv(_xyz_from(_SRGB, _D65)) @ _bradford(_D50, _D65) @ _xyz_from(_ROMM, _D50)
    ).tolist()
)
