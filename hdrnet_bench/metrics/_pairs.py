"""What every metric asks of its two pictures, and the strips that it works through them in."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..color import FAR_OUTSIDE

# Elements of one colour plane in a strip: some float64 copies of it stay in a core's cache, and two
# threads have work; a GPU wants fewer, larger calls.
_STRIP = {"cpu": 1 << 16, "cuda": 1 << 23}


class Undefined(ValueError):
    """The metric has no value for a picture that is otherwise as it should be: it is too small, or
    lacks the mask that the metric weighs by."""


def as_pair(output: Tensor, target: Tensor, any_range: bool = False) -> tuple[Tensor, Tensor, bool]:
    """Both pictures as (B, 3, H, W), and whether a batch came in.

    Raises ValueError for shapes that differ, pictures on different devices, and as `as_batch`.
    """
    if output.shape != target.shape:
        raise ValueError(f"pictures differ in shape: {tuple(output.shape)}, {tuple(target.shape)}")
    if output.device != target.device:
        raise ValueError(f"pictures are on different devices: {output.device}, {target.device}")
    pair = (("the first picture", output), ("the second picture", target))
    first, second = (as_batch(name, picture, any_range) for name, picture in pair)
    return first, second, output.ndim == 4


def as_batch(name: str, picture: Tensor, any_range: bool = False) -> Tensor:
    """(3, H, W) or (B, 3, H, W) as (B, 3, H, W), detached.

    Args:
        name: of the picture, in errors.
        any_range: whether values may be far outside [0, 1]: for what is known to be no levels.

    Raises ValueError for what is no picture, integers, NaN and infinities, and values beyond
    `color.FAR_OUTSIDE`.
    """
    if picture.ndim not in (3, 4) or picture.shape[-3] != 3 or 0 in picture.shape:
        raise ValueError(f"{name} is {tuple(picture.shape)}, not (3, H, W) or (B, 3, H, W)")
    if not picture.is_floating_point():
        raise ValueError(f"{name} is {picture.dtype}, not floating in [0, 1]")
    # Both extremes are NaN where any value is; no copy of the picture is made.
    low, high = torch.stack(picture.detach().aminmax()).tolist()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name} holds NaN or infinite values")
    if not any_range and (low < -FAR_OUTSIDE or high > FAR_OUTSIDE):
        raise ValueError(
            f"{name} has values from {low:g} to {high:g}, far outside [0, 1]: divide 8-bit levels "
            "by 255, 16-bit levels by 65535; clamp a network's output"
        )
    picture = picture.detach()
    return picture if picture.ndim == 4 else picture[None]


def strip_size(x: Tensor) -> int:
    """How many elements of a colour plane to work on at once."""
    return _STRIP.get(x.device.type, _STRIP["cpu"])


def strips(*pictures: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Rows of all (B, C, H, W) at a time, as contiguous float64 (B, C, rows, W)."""
    batch, _, height, width = pictures[0].shape
    rows = max(1, strip_size(pictures[0]) // (batch * width))
    for top in range(0, height, rows):
        part = (slice(None), slice(None), slice(top, top + rows))
        yield tuple(as_float64(picture[part]) for picture in pictures)


def as_float64(x: Tensor) -> Tensor:
    """A contiguous float64 tensor; a copy only where it is not one yet."""
    return x.detach().to(torch.float64, memory_format=torch.contiguous_format).contiguous()


def per_picture(values: Tensor, batched: bool) -> Tensor:
    """(B,) for a batch, () for a single picture."""
    return values if batched else values[0]
