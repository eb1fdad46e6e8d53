"""From a picture's encoding to what a model is given, and to what is shown."""

from __future__ import annotations

import torch
from torch import Tensor

from ..color import linear_to_srgb
from ..config import Encoding, HDRNetConfig
from .lowres import INTEGER_WHITE


def white_of(picture: Tensor, config: HDRNetConfig) -> int | None:
    """The number that stands for 1.0 in a picture, None of floating ones. Raises ValueError for
    other types."""
    white = {torch.uint8: 255, torch.uint16: config.input_white}.get(picture.dtype)
    if white is None and not picture.is_floating_point():
        raise ValueError(f"image is {picture.dtype}, not uint8, uint16 or floating")
    return white


def as_given(picture: Tensor, config: HDRNetConfig, dtype: torch.dtype) -> Tensor:
    """A picture in its dataset's encoding, of any type, as a model of weights of that type is given
    it: about [0, 1]. Raises as `white_of`."""
    white = white_of(picture, config)
    if white is None and config.input_transfer == "none":
        return picture.to(dtype)
    scaled = picture.to(_not_half(dtype))
    if white is not None:
        scaled = scaled / white
    return to_model_input(scaled, config).to(dtype)


def as_stored(output: Tensor, dtype: torch.dtype) -> Tensor:
    """What a model makes as a picture of that type; integers are clamped and rounded to nearest."""
    if dtype in INTEGER_WHITE and output.is_floating_point():
        levels = output.to(_not_half(output.dtype)).clamp(0, 1).mul(INTEGER_WHITE[dtype])
        output = levels.round()
    return output.to(dtype)


def to_model_input(image: Tensor, config: HDRNetConfig) -> Tensor:
    """A floating picture in its dataset's encoding, 1.0 white, to what the model is given."""
    return linear_to_srgb(image) if config.input_transfer == "srgb" else image


def to_display(image: Tensor, encoding: Encoding) -> Tensor:
    """A floating picture as sRGB in [0, 1]: for looking at, and what a baseline that changes
    nothing yields. Camera colours stay the camera's."""
    srgb = image if encoding == "srgb" else linear_to_srgb(image)
    return srgb.clamp(0, 1)


def _not_half(dtype: torch.dtype) -> torch.dtype:
    """Where integers are scaled: float16 ends before 65535, and bfloat16 has 8 bits."""
    return torch.promote_types(dtype, torch.float32)
