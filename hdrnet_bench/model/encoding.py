"""From a picture's encoding to what a model is given, and to what is shown."""

from __future__ import annotations

from torch import Tensor

from ..color import linear_to_srgb
from ..config import Encoding, HDRNetConfig


def to_model_input(image: Tensor, config: HDRNetConfig) -> Tensor:
    """A floating picture in its dataset's encoding, 1.0 white, to what the model is given."""
    return linear_to_srgb(image) if config.input_transfer == "srgb" else image


def to_display(image: Tensor, encoding: Encoding) -> Tensor:
    """A floating picture as sRGB in [0, 1]: for looking at, and what a baseline that changes
    nothing yields. Camera colours stay the camera's."""
    srgb = image if encoding == "srgb" else linear_to_srgb(image)
    return srgb.clamp(0, 1)
