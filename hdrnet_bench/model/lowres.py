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


def lowres_from_stored(image: Tensor, size: int, resize: LowresResize) -> Tensor:
    """make_lowres for the fused kernel: float32 in about [0, 1] from float32 or integers of any
    strides, without a floating or contiguous copy of the whole picture."""
    if resize == "area":
        return area_lowres(image, size)
    rows, columns = (nearest_places(length, size) for length in image.shape[-2:])
    # Only the pixels that are taken are converted, not the picture.
    pixels = image[:, :, rows[:, None], columns].float()
    return pixels / INTEGER_WHITE.get(image.dtype, 1)


def nearest_places(length: int, size: int) -> Tensor:
    """Which of `length` rows (or columns) torch's "nearest" takes for each of `size`."""
    # Torch is asked, with the indices for a picture: its places are rounded in a way of its own.
    places = torch.arange(length, dtype=torch.float64)[None, None]
    return F.interpolate(places, size=size, mode="nearest")[0, 0].long()
