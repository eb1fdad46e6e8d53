"""What a dataset's stored inputs mean: one white level everywhere.

A dataset's header and a model's configuration both say it, and must say the same.
"""

from __future__ import annotations

import numpy as np

from ..config import HDRNetConfig
from ..errors import UsageError
from ..images.pixels import Pixels, white_level
from .manifest import Header


def input_white(pixels: Pixels, header: Header) -> int:
    """The number that stands for 1.0 in a dataset's stored input."""
    return header.input_white if pixels.dtype == np.uint16 else white_level(pixels)


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
