"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004).

Space: sRGB as encoded, in [0, 1], not rounded, not clamped. Gaussian window of 11 taps, sigma 1.5;
population covariance; K1 0.01, K2 0.03, data range 1; the mean over the pixels whose window lies
inside the picture and over the three channels. In [-1, 1], higher is better, 1 where identical.
Agrees with skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
use_sample_covariance=False, data_range=1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._pairs import as_pair, per_picture

_TAPS, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """SSIM of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float64.

    Raises ValueError where a side is under 11 pixels.
    """
    x, y, batched = as_pair(output, target)
    if min(x.shape[-2:]) < _TAPS:
        raise ValueError(f"SSIM needs {_TAPS} x {_TAPS} pixels, not {x.shape[-1]} x {x.shape[-2]}")
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x**2
    var_y = _window(y * y) - mean_y**2
    cov = _window(x * y) - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return per_picture(similarity.mean(dim=(1, 2, 3)), batched)


def _window(x: Tensor) -> Tensor:
    """Weighted mean in the gaussian window, where it fits ("valid"); shifted adds beat conv2d."""
    offsets = torch.arange(_TAPS, dtype=torch.float64) - _TAPS // 2
    gaussian = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights: list[float] = (gaussian / gaussian.sum()).tolist()
    for dim in (-1, -2):
        length = x.shape[dim] - _TAPS + 1
        total = x.narrow(dim, 0, length) * weights[0]
        for tap in range(1, _TAPS):
            total.add_(x.narrow(dim, tap, length), alpha=weights[tap])
        x = total
    return x
