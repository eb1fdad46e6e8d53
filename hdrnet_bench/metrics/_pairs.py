"""What every metric asks of its two pictures."""

from __future__ import annotations

import torch
from torch import Tensor


def as_pair(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Both pictures as (B, 3, H, W) float64, and whether a batch came in.

    Raises ValueError for shapes that differ or are no pictures, integers, NaN and infinities.
    """
    if output.shape != target.shape:
        raise ValueError(f"pictures differ in shape: {tuple(output.shape)}, {tuple(target.shape)}")
    if output.ndim not in (3, 4) or output.shape[-3] != 3 or 0 in output.shape:
        raise ValueError(f"pictures are {tuple(output.shape)}, not (3, H, W) or (B, 3, H, W)")
    for name, picture in (("first", output), ("second", target)):
        if not picture.is_floating_point():
            raise ValueError(f"the {name} picture is {picture.dtype}, not floating in [0, 1]")
        if not torch.isfinite(picture).all():
            raise ValueError(f"the {name} picture holds NaN or infinite values")
    batched = output.ndim == 4
    if not batched:
        output, target = output[None], target[None]
    return output.double(), target.double(), batched


def per_picture(values: Tensor, batched: bool) -> Tensor:
    """(B,) for a batch, () for a single picture."""
    return values if batched else values[0]
