"""From the numbers of a user's picture to a model's and back: by the native kernels where they can,
else by numpy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..color import linear_to_srgb
from ..images import conversion
from ..images.conversion import Back, Curves, ToModel
from ..images.pixels import Pixels
from ..slicing import cpu


class Colours(NamedTuple):
    """What is done with a picture's numbers.

    source, target: the profiles that it is read and written in; None: the model's own, and sRGB.
    linear: whether the model is for linear light. white: what of the picture's numbers stands for
    1.0. transfer: whether sRGB's curve follows, as the model's configuration says.
    """

    source: bytes | None
    target: bytes | None
    linear: bool
    white: int
    transfer: bool

    def read_as_it_is(self, pixels: Pixels) -> bool:
        """Whether the kernel may be given these integers themselves."""
        return not self.source and not self.transfer and self.white == np.iinfo(pixels.dtype).max


class Conversion:
    """How a picture's colours are converted; `native` where the kernels do it all."""

    def __init__(self, colours: Colours, pixels: Pixels, out_type: np.dtype) -> None:
        self.colours, self.out_type = colours, out_type
        self.native = _native(colours, pixels, out_type) if cpu.LIBRARY else None
        self._to_model: ToModel | None = None
        self._back: Back | None = None
        if self.native is None:
            if colours.source:
                self._to_model = conversion.to_srgb(colours.source, pixels.dtype, colours.linear)
            if colours.target:
                self._back = conversion.from_srgb(colours.target)

    def to_model(self, rows: Pixels) -> Tensor:
        """(H, W, 3 or more) integers as (1, 3, H, W) float32."""
        rows = rows[:, :, :3]
        if self.native:
            floating = torch.empty(3, *rows.shape[:2])
            cpu.convert(tensor(rows)[0], floating, cpu.Colours(to_model=self.native.to_model))
            return floating[None]
        if self._to_model:
            converted = self._to_model(rows)
        else:
            converted = rows.astype(np.float32) / np.float32(self.colours.white)
        return tensor(linear_to_srgb(converted) if self.colours.transfer else converted)

    def back(self, result: Tensor, out: Pixels) -> None:
        """(1, 3, H, W) float32 into (H, W, 3 or more) integers, clipped and rounded once."""
        if self.native:
            cpu.convert(result[0], tensor(out)[0], cpu.Colours(from_model=self.native.from_model))
            return
        rows = result[0].permute(1, 2, 0).contiguous().numpy().clip(0, 1)
        if self._back:
            out[:, :, :3] = self._back(rows, self.out_type)
        else:
            out[:, :, :3] = np.rint(rows * np.float32(np.iinfo(self.out_type).max))


def tensor(pixels: NDArray[Any]) -> Tensor:
    """(H, W, 3 or more) as (1, 3, H, W), without a copy."""
    return torch.from_numpy(pixels[:, :, :3]).permute(2, 0, 1)[None]


def _native(colours: Colours, pixels: Pixels, out_type: np.dtype) -> cpu.Colours | None:
    to_model, from_model = None, None
    if colours.source:
        curves = conversion.curves_of(colours.source, pixels.dtype)
        if curves is None:
            return None
        encode = not colours.linear or colours.transfer
        decode, matrix = torch.from_numpy(curves.decode), torch.from_numpy(curves.matrix)
        to_model = cpu.ToModel(decode, matrix, encode)
    elif not colours.read_as_it_is(pixels):
        return None
    if colours.target:
        # Of the pixels' type, for which they are there already where it is the same profile.
        curves = conversion.curves_of(colours.target, pixels.dtype)
        if curves is None:
            return None
        from_model = _from_model(curves, out_type)
    return cpu.Colours(to_model, from_model)


@lru_cache(8)
def _from_model(curves: Curves, dtype: np.dtype) -> cpu.FromModel:
    steps = cpu.CURVE_STEPS[{"uint8": torch.uint8, "uint16": torch.uint16}[dtype.name]]
    table = np.rint(curves.encoded(steps) * np.iinfo(dtype).max).astype(dtype)
    return cpu.FromModel(torch.from_numpy(table), torch.from_numpy(curves.inverse))
