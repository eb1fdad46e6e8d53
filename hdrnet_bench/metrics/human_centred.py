"""PPR10K's human-centred measures: PSNR and colour difference with the background's errors halved.

Space: sRGB as encoded, in [0, 1], both pictures clamped and rounded to 8 bits. A pixel has weight 1
where the mask, as 8 bits, is not 0, and 0.5 where it is 0: a pixel that a person touches at all is
the person's. The weights multiply the pictures, not the squared errors, and nothing is divided by
their sum, so that both grow with the person's share of what was missed:

    PSNR_HC = 10 log10(255^2 / mean of (w d)^2), d the levels' difference; all pixels and channels
    dE_HC   = mean of w times CIE76, all pixels; L*a*b* by MATLAB's rgb2lab, D65

With a mask of 1 everywhere they are PSNR and the 3D-LUT family's colour difference
(`as_published.zeng`); with 0 everywhere PSNR + 20 log10(2) dB, and half of it. PSNR_HC: higher is
better, infinite where identical; dE_HC: from 0, lower is better. A mean over pictures is the mean
of their values. Float64; the errors are the canonical metrics'.

Source: PPR10K (Liang et al., CVPR 2021), code_3DLUT/calculate_metrics.m, as far as one pair goes.
It reads 8-bit pictures, and resizes a mask of another size by imresize.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._lab import matlab, srgb_to_lab
from ._pairs import as_pair, per_picture, strips
from .delta_e import cie76_of
from .psnr import levels

BACKGROUND = 0.5


def psnr_hc(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """PSNR_HC in dB of (3, H, W) or (B, 3, H, W) sRGB in [0, 1], and a mask of the person in
    [0, 1], (H, W) or (B, H, W): () or (B,), float64."""
    x, y, batched = as_pair(output, target)
    total = x.new_zeros(len(x), dtype=torch.float64)  # of integers, or of their quarters: exact
    for a, b, part in strips(x, y, _as_mask(mask, x)):
        weighted = levels(a).sub_(levels(b)).mul_(_weights(part))
        total += weighted.square_().sum(dim=(1, 2, 3))
    return per_picture(10 * torch.log10(255**2 * x[0].numel() / total), batched)


def delta_e_hc(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean weighted CIE76; the arguments and what is returned as of `psnr_hc`."""
    x, y, batched = as_pair(output, target)
    total = x.new_zeros(len(x), dtype=torch.float64)
    for a, b, part in strips(x, y, _as_mask(mask, x)):
        labs = (srgb_to_lab(levels(picture) / 255, matlab()) for picture in (a, b))
        total += cie76_of(*labs).mul_(_weights(part)[:, 0]).sum(dim=(1, 2))
    return per_picture(total / x[0, 0].numel(), batched)


def _as_mask(mask: Tensor, pictures: Tensor) -> Tensor:
    """A mask as (B, 1, H, W). Raises ValueError where it does not fit the pictures (B, 3, H, W)."""
    batch, _, height, width = pictures.shape
    fits = mask.ndim == 3 or (mask.ndim == 2 and batch == 1)
    if not fits or mask.numel() != batch * height * width or mask.shape[-2:] != (height, width):
        raise ValueError(f"the mask is {tuple(mask.shape)}, the picture {height} x {width}")
    if mask.device != pictures.device:
        raise ValueError(f"the mask is on another device: {mask.device}, {pictures.device}")
    if not mask.is_floating_point():
        raise ValueError(f"the mask is {mask.dtype}, not floating in [0, 1]")
    low, high = mask.detach().aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError("the mask holds values that are not in [0, 1]")
    return mask.detach().reshape(batch, 1, height, width)


def _weights(mask: Tensor) -> Tensor:
    """(B, 1, H, W): 1 where the mask is not 0, else that of the background."""
    return torch.where(levels(mask) == 0, BACKGROUND, 1.0).to(mask.dtype)
