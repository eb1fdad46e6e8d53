"""The low-res copy that the coefficient network is given."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import LowresResize
from ..slicing.fused import area_lowres

INTEGER_WHITE = {torch.uint8: 255, torch.uint16: 65535}  # what a picture of such numbers has as 1.0


def make_lowres(fullres: Tensor, size: int, resize: LowresResize) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), whatever the aspect ratio.

    "area" averages; "nearest" is torch's (floor), as published, and aliases.
    """
    return F.interpolate(fullres, size=(size, size), mode=resize)


def lowres_from_stored(
    image: Tensor, size: int, resize: LowresResize, out: Tensor | None = None
) -> Tensor:
    """make_lowres for the fused kernel: float32 in about [0, 1] from what the kernel takes, of any
    strides, without a floating copy of the whole picture. `out`, on CUDA alone, is where to put it,
    contiguous."""
    if resize == "area":
        return area_lowres(image, size, out)
    if image.is_cuda:
        # The places below lie in the CPU's memory: the copy waits for the device, and no CUDA graph
        # can hold it.
        pixels = F.interpolate(image, size=(size, size), mode="nearest")
    else:
        rows, columns = (nearest_places(length, size) for length in image.shape[-2:])
        pixels = image[:, :, rows[:, None], columns]
    # Only the pixels that are taken are converted, not the picture.
    lowres = pixels.float() / INTEGER_WHITE.get(image.dtype, 1)
    return lowres if out is None else out.copy_(lowres)


def nearest_places(length: int, size: int) -> Tensor:
    """Which of `length` rows (or columns) torch's "nearest" takes for each of `size`."""
    # Torch is asked, with the indices for a picture: its places are rounded in a way of its own,
    # and in float64 otherwise than in float32, which pictures are.
    places = torch.arange(length, dtype=torch.float32)[None, None]
    return F.interpolate(places, size=size, mode="nearest")[0, 0].long()
