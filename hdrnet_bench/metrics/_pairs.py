"""What every metric asks of its two pictures, and the strips that it works through them in."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Elements of one colour plane in a strip: some float64 copies of it stay in a core's cache, and two
# threads have work; a GPU wants fewer, larger calls.
_STRIP = {"cpu": 1 << 16, "cuda": 1 << 23}


class Undefined(ValueError):
    """The metric has no value for a picture that is otherwise as it should be: it is too small, or
    lacks the mask that the metric weighs by."""


def as_pair(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Both pictures as (B, 3, H, W), and whether a batch came in.

    Raises ValueError for shapes that differ or are no pictures, integers, NaN and infinities, and
    pictures on different devices.
    """
    if output.shape != target.shape:
        raise ValueError(f"pictures differ in shape: {tuple(output.shape)}, {tuple(target.shape)}")
    if output.ndim not in (3, 4) or output.shape[-3] != 3 or 0 in output.shape:
        raise ValueError(f"pictures are {tuple(output.shape)}, not (3, H, W) or (B, 3, H, W)")
    if output.device != target.device:
        raise ValueError(f"pictures are on different devices: {output.device}, {target.device}")
    for name, picture in (("first", output), ("second", target)):
        if not picture.is_floating_point():
            raise ValueError(f"the {name} picture is {picture.dtype}, not floating in [0, 1]")
        # Both extremes are NaN where any value is; no copy of the picture is made.
        if not torch.stack(picture.aminmax()).isfinite().all():
            raise ValueError(f"the {name} picture holds NaN or infinite values")
    output, target = output.detach(), target.detach()
    batched = output.ndim == 4
    return (output, target, True) if batched else (output[None], target[None], False)


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
