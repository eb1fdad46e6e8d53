"""What a stored input's numbers mean, and what a model makes of them: one white level everywhere.

A dataset's header and a model's configuration both say it, and must say the same.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..color import linear_to_srgb
from ..config import Encoding, HDRNetConfig
from ..errors import UsageError
from ..images.files import Pixels, white_level
from .manifest import Header


def input_white(pixels: Pixels, header: Header) -> int:
    """The number that stands for 1.0 in a dataset's stored input."""
    return header.input_white if pixels.dtype == np.uint16 else white_level(pixels)


def to_model_input(image: Tensor, config: HDRNetConfig) -> Tensor:
    """A floating picture in its dataset's encoding, 1.0 white, to what the model is given."""
    return linear_to_srgb(image) if config.input_transfer == "srgb" else image


def to_display(image: Tensor, encoding: Encoding) -> Tensor:
    """A floating picture as sRGB in [0, 1]: for looking at, and what a baseline that changes
    nothing yields. Camera colours stay the camera's."""
    shown = image if encoding == "srgb" else linear_to_srgb(image)
    return shown.clamp(0, 1)


def check_encoding(config: HDRNetConfig, header: Header, what: str) -> None:
    """Raises UsageError where a model is for other inputs than a dataset's.

    Args:
        what: the model, as the message names it.
    """
    for name in ("input_encoding", "input_white"):
        of_model, of_data = getattr(config, name), getattr(header, name)
        if of_model != of_data:
            raise UsageError(
                f"{what} is for inputs with {name} {of_model}, and dataset {header.name} has "
                f"{of_data}: set model.{name} to that and train"
            )
