"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004).

Space: sRGB as encoded, in [0, 1], not rounded, not clamped. Gaussian window of 11 taps, sigma 1.5;
population covariance; K1 0.01, K2 0.03, data range 1; the mean over the pixels whose window lies
inside the picture and over the three channels. In [-1, 1], higher is better, 1 where identical.
Agrees with skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
use_sample_covariance=False, data_range=1). Computed in float64, so that flat pictures, whose
variances are differences of nearly equal numbers, are exact too.

The window is separable: local means are taken along the height, then along the width, each as a
product with a band matrix that has the window's weights in every column. Some of its products are
with 0, and in return BLAS does the work; a strip of rows at a time, so that what stands between the
two products is small enough for the caches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._pairs import Undefined, as_float64, as_pair, per_picture, strip_size

_K1, _K2 = 0.01, 0.03
_TILE = 16  # outputs of one product with a band matrix
_ROWS = 2 * _TILE  # of outputs of a strip


def gaussian(taps: int = 11, sigma: float = 1.5) -> list[float]:
    """The window's weights along one axis; they sum to 1."""
    weights = [math.exp(-((i - taps // 2) ** 2) / (2 * sigma**2)) for i in range(taps)]
    return [weight / sum(weights) for weight in weights]


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """SSIM of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float64.

    Raises Undefined where a side is under 11 pixels: the window fits nowhere.
    """
    x, y, batched = as_pair(output, target)
    return per_picture(mean_similarity(x, y, gaussian()), batched)


def mean_similarity(
    x: Tensor,
    y: Tensor,
    weights: Sequence[float],
    data_range: Tensor | float = 1.0,
    covariance: float = 1.0,
) -> Tensor:
    """Mean SSIM of (B, C, H, W) over what a separable window of `weights` (both axes) fits: (B,).

    data_range: of all, or (B,) one for each; covariance: times what variances are scaled by
    (n / (n - 1) for those of a sample of n). Raises Undefined where the window does not fit.
    """
    batch, channels, height, width = x.shape
    taps = len(weights)
    if min(height, width) < taps:
        raise Undefined(f"SSIM needs {taps} x {taps} pixels, not {width} x {height}")
    ranges = torch.as_tensor(data_range, dtype=torch.float64, device=x.device).expand(batch)
    # From here on every channel is a picture of its own.
    ranges = ranges.repeat_interleave(channels)[:, None, None]
    x, y = (picture.reshape(batch * channels, height, width) for picture in (x, y))
    band = _band(weights, x)
    planes = max(1, strip_size(x) // (_ROWS * width))
    totals = x.new_zeros(batch * channels, dtype=torch.float64)
    for first in range(0, batch * channels, planes):
        part = slice(first, first + planes)
        for top in range(0, height - taps + 1, _ROWS):
            # The strip's outputs, and the rows that their windows reach below.
            rows = slice(top, min(top + _ROWS + taps - 1, height))
            moments = _moments(as_float64(x[part, rows]), as_float64(y[part, rows]))
            # The last tile's outputs beyond the picture have read padding.
            means = _across(_down(moments, band), band)[..., : width - taps + 1]
            similarity = _similarity(means.unbind(0), ranges[part], covariance)
            totals[part] += similarity.sum(dim=(1, 2))
    of_picture = totals.reshape(batch, channels).sum(1)
    return of_picture / (channels * (height - taps + 1) * (width - taps + 1))


def _moments(x: Tensor, y: Tensor) -> Tensor:
    """Sum, difference and their squares, (4, P, H, W'): all that the local means and covariances
    need, and exactly 0 where the pictures are identical. W' is padded with zeros so that whole
    tiles cover it."""
    planes, height, width = x.shape
    moments = x.new_empty(4, planes, height, width + _TILE)
    moments[..., width:] = 0
    total, difference, total2, difference2 = moments[..., :width].unbind(0)
    torch.add(x, y, out=total)
    torch.sub(x, y, out=difference)
    torch.mul(total, total, out=total2)
    torch.mul(difference, difference, out=difference2)
    return moments


def _band(weights: Sequence[float], like: Tensor) -> Tensor:
    """(_ROWS + taps - 1, _ROWS): a row vector times it is that vector's windows' weighted means."""
    band = torch.zeros(_ROWS + len(weights) - 1, _ROWS, dtype=torch.float64)
    for output in range(_ROWS):
        band[output : output + len(weights), output] = torch.tensor(weights, dtype=torch.float64)
    return band.to(like.device)


def _down(moments: Tensor, band: Tensor) -> Tensor:
    """Windowed means along the height: (4, P, h + taps - 1, W) -> (4, P, h, W)."""
    taps = band.shape[0] - band.shape[1] + 1
    height = moments.shape[2]  # of the picture's last strip it is less than the band's
    transposed = band[:height, : height - taps + 1].T
    flat = moments.flatten(0, 1)
    down = torch.bmm(transposed.expand(len(flat), -1, -1), flat)
    return down.unflatten(0, moments.shape[:2])


def _across(moments: Tensor, band: Tensor) -> Tensor:
    """Windowed means along the width: (4, P, h, W) -> (4, P, h, tiles x _TILE). Neighbouring tiles
    of inputs overlap by taps - 1, so one small band serves all of them."""
    taps = band.shape[0] - band.shape[1] + 1
    tiles = moments.unfold(-1, _TILE + taps - 1, _TILE)
    return (tiles @ band[: _TILE + taps - 1, :_TILE]).flatten(-2)


def _similarity(means: Sequence[Tensor], ranges: Tensor, covariance: float) -> Tensor:
    """SSIM from the local means of x + y, x - y and their squares, each (P, h, W).

    With s = x + y and d = x - y: 4 x y = s^2 - d^2 and 2 (x^2 + y^2) = s^2 + d^2, for the means as
    for the (co)variances, so that four windowed means do instead of five.
    """
    total, difference, total2, difference2 = means
    c1, c2 = (_K1 * ranges) ** 2, (_K2 * ranges) ** 2
    # Squares of the means, and variances as the mean of squares less the square of the mean, all
    # halved. Then total - difference is 2 mx my and total + difference mx^2 + my^2; of the spreads
    # they are 2 cov(x, y) and var(x) + var(y).
    total, difference = total * total, difference * difference
    spread = (total2 - total).mul_(covariance / 2)
    spread_difference = (difference2 - difference).mul_(covariance / 2)
    total, difference = total.div_(2), difference.div_(2)
    numerator = (total - difference).add_(c1).mul_((spread - spread_difference).add_(c2))
    denominator = total.add_(difference).add_(c1).mul_(spread.add_(spread_difference).add_(c2))
    return numerator.div_(denominator)
