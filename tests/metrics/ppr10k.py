"""PPR10K's measures of a picture and of a group, in NumPy, as calculate_metrics.m defines them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

WHITE = np.array([0.9504, 1.0, 1.0889])  # MATLAB's whitepoint('d65')
# XYZ of sRGB's primaries for a sum of 1, in columns; so much of each that all together are white.
XYZ = np.array([[0.64, 0.33, 0.03], [0.30, 0.60, 0.10], [0.15, 0.06, 0.79]]).T
MATRIX = XYZ @ np.diag(np.linalg.inv(XYZ) @ WHITE)


def lab(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> L*a*b*, as MATLAB's rgb2lab. colour-science, which has it too, changes how
    NumPy writes numbers, in result files as well."""
    encoded = picture / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    t = linear @ MATRIX.T / WHITE
    x, y, z = np.moveaxis(
        np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29), 2, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)


def weights(mask: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> (H, W, 3)."""
    return np.where(mask == 0, 0.5, 1.0)[:, :, None].repeat(3, axis=2)


def psnr_hc(output: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    a, b = (weights(mask) * (picture / 255) for picture in (output, target))
    return 10 * math.log10(1 / ((a - b) ** 2).mean())


def delta_e_hc(output: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    a, b = (weights(mask) * lab(picture) for picture in (output, target))
    return float(np.sqrt(((a - b) ** 2).sum(axis=2)).mean())


def glc(outputs: Sequence[np.ndarray]) -> float:
    means = np.array([lab(picture).mean(axis=(0, 1))[1:] for picture in outputs])
    squares = ((means - means.mean(axis=0)) ** 2).sum(axis=0)
    return float((squares / (len(outputs) - 1)).mean())
