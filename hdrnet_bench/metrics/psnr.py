"""Peak signal-to-noise ratio.

Space: sRGB as encoded, in [0, 1]. Rounding: both pictures are clamped and rounded to 8 bits, as
they would be saved. MSE over all pixels and channels of a picture; peak 255; decibels; higher is
better; infinite where the rounded pictures are identical. A mean over pictures is the mean of
their decibels. Agrees with skimage.metrics.peak_signal_noise_ratio on uint8.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._pairs import as_pair, per_picture, strips


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """PSNR in dB of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float64."""
    x, y, batched = as_pair(output, target)
    total = x.new_zeros(len(x), dtype=torch.float64)  # of squared integers: exact
    for a, b in strips(x, y):
        total += levels(a).sub_(levels(b)).square_().sum(dim=(1, 2, 3))
    mse = total / x[0].numel()
    return per_picture(10 * torch.log10(255**2 / mse), batched)


def levels(x: Tensor) -> Tensor:
    """The 8-bit levels, 0 to 255, that a picture in [0, 1] is saved with, in its own dtype."""
    return x.clamp(0, 1).mul_(255).round_()
