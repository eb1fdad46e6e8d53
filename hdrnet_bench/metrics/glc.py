"""PPR10K's group-level consistency (GLC): how far apart the mean colours of a group's outputs are.

A group is of pictures that belong together, as those of one scene. Of each output as it would be
saved (sRGB, clamped, rounded to 8 bits) the mean a* and the mean b* over all pixels, in MATLAB's
rgb2lab, D65; of each of the two the sample variance over the group's pictures (divided by their
number less one); GLC of the group is the mean of both variances. In squared units of a* and b*,
from 0, lower is more consistent. The value of a dataset is the mean over its groups, each counting
once, however many pictures it has.

Neither targets nor masks are looked at: what turns every picture grey has a GLC of 0, and the
targets of a dataset have one of their own, so that it says something beside PSNR alone. One picture
has no variance: its group has no GLC and is no part of the mean, where the source counts it as 0.

Source: PPR10K (Liang et al., CVPR 2021), code_3DLUT/calculate_metrics.m.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..statistics import mean_variance
from ._lab import matlab, srgb_to_lab
from ._pairs import Undefined, as_batch, per_picture, strips
from .psnr import levels


def glc(pictures: Sequence[Tensor]) -> float:
    """GLC of one group: its pictures, each (3, H, W) sRGB in [0, 1], of any sizes.

    Raises Undefined where there are fewer than two; ValueError as the canonical metrics.
    """
    if len(pictures) < 2:
        raise Undefined(f"GLC needs two pictures of a group, not {len(pictures)}")
    named = ((f"picture {i} of the group", picture) for i, picture in enumerate(pictures, 1))
    return mean_variance([_mean_ab(name, picture).tolist() for name, picture in named])


def mean_ab(picture: Tensor) -> Tensor:
    """Mean a* and b* of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: (2,) or (B, 2), float64. Raises
    ValueError as the canonical metrics."""
    return _mean_ab("the picture", picture)


def _mean_ab(name: str, picture: Tensor) -> Tensor:
    x = as_batch(name, picture)
    total = x.new_zeros(len(x), 2, dtype=torch.float64)
    for (part,) in strips(x):
        _, a, b = srgb_to_lab(levels(part) / 255, matlab())
        total += torch.stack([a.sum(dim=(1, 2)), b.sum(dim=(1, 2))], dim=1)
    return per_picture(total / x[0, 0].numel(), picture.ndim == 4)
