"""sRGB to CIE L*a*b* for whole pictures, in float64: the numbers of color.py, several times faster.

A power is taken as exp(p log x), and of two branches one is chosen by lerp with a weight of 0 or 1:
both are several times faster in torch than pow and where, and exact to float64's rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..color import WHITE_D65, XYZ_FROM_LINEAR

Lab = tuple[Tensor, Tensor, Tensor]


class LabConstants(NamedTuple):
    """What programs differ in, in the last digits.

    Rows of the matrix from linear light to XYZ, the white's XYZ, and the straight part of the cube
    root: slope * t + 16 / 116 up to t = bend.
    """

    matrix: Sequence[Sequence[float]]
    white: Sequence[float]
    slope: float
    bend: float


SKIMAGE = LabConstants(XYZ_FROM_LINEAR, WHITE_D65, slope=7.787, bend=0.008856)


@lru_cache(maxsize=1)
def matlab() -> LabConstants:
    """rgb2lab's: whitepoint('d65'), the matrix that sRGB's primaries make with it, and CIE's exact
    fractions."""
    white = (0.9504, 1.0, 1.0889)
    primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in primaries]).T
    matrix = columns * np.linalg.solve(columns, white)
    return LabConstants(matrix.tolist(), white, slope=841 / 108, bend=(24 / 116) ** 3)


def srgb_to_lab(rgb: Tensor, constants: LabConstants = SKIMAGE) -> Lab:
    """(B, 3, H, W) float64 sRGB, clamped to [0, 1] -> L*, a*, b*, each (B, H, W)."""
    linear = _decode(rgb.clamp(0, 1)).unbind(1)
    # Relative to white at once: a row of the matrix divided by its white, not each pixel.
    x, y, z = (
        _cube_root(_weighted_sum(linear, [weight / white for weight in row]), constants)
        for row, white in zip(constants.matrix, constants.white, strict=True)
    )
    # In place where a plane is not needed again: fewer of them compete for the cache.
    return y * 116 - 16, x.sub_(y).mul_(500), y.sub(z).mul_(200)


def _decode(rgb: Tensor) -> Tensor:
    """sRGB in [0, 1] to linear light."""
    # Under the curve's beginning the straight part is taken, so any value there will do that keeps
    # the logarithm finite.
    curve = rgb.clamp(min=0.04).add_(0.055).div_(1.055).log_().mul_(2.4).exp_()
    return torch.lerp(rgb / 12.92, curve, above(rgb, 0.04045))


def _weighted_sum(planes: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = planes[0] * weights[0]
    for plane, weight in zip(planes[1:], weights[1:], strict=True):
        total.add_(plane, alpha=weight)
    return total


def _cube_root(t: Tensor, constants: LabConstants) -> Tensor:
    """The cube root that L*a*b* is made of, with its straight part near black."""
    # Kept off 0, whose logarithm is infinite: 0.008 is below every `bend`.
    curve = t.clamp(min=0.008).log_().mul_(1 / 3).exp_()
    return torch.lerp(t * constants.slope + 16 / 116, curve, above(t, constants.bend))


def above(x: Tensor, threshold: float) -> Tensor:
    """1 where x is above the threshold, else 0, in x's dtype: a weight for lerp."""
    return torch.gt(x, threshold, out=torch.empty_like(x))
