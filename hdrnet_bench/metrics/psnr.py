"""Peak signal-to-noise ratio.

Space: sRGB as encoded, in [0, 1]. Rounding: both pictures are clamped and rounded to 8 bits, as
they would be saved. MSE over all pixels and channels of a picture; peak 255; decibels; higher is
better; infinite where the rounded pictures are identical. A mean over pictures is the mean of
their decibels. Agrees with skimage.metrics.peak_signal_noise_ratio on uint8.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._pairs import as_pair, per_picture


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """PSNR in dB of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float64."""
    output, target, batched = as_pair(output, target)
    levels, target_levels = (x.clamp(0, 1).mul(255).round() for x in (output, target))
    mse = (levels - target_levels).square().mean(dim=(1, 2, 3))
    return per_picture(10 * torch.log10(255**2 / mse), batched)
