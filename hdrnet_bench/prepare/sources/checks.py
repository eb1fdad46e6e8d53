"""What pictures are checked for: finished ones, whose pixels are taken as they are, and raw ones
that were developed.

All raise RejectedPair, whose stage and reason go into rejected.jsonl.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...images import icc
from ...images.icc import profile_name
from ...images.photo import Photo
from ...images.raw import sameness
from ..build import RejectedPair


def check_depth(path: Path, picture: Photo, bit_depth: int) -> None:
    bits = picture.pixels.dtype.itemsize * 8
    if bits != bit_depth:
        raise RejectedPair("depth", f"{path.name}: {bits} bits, {bit_depth} are wanted")


def check_profile(path: Path, picture: Photo, space: Literal["srgb", "xyz"]) -> None:
    """A picture without a profile is taken to be in the space that is wanted."""
    profile = picture.profile
    # No profile can say that red, green and blue hold X, Y and Z.
    if profile and (space != "srgb" or not icc.same(profile, icc.SRGB)):
        name = "sRGB" if space == "srgb" else "none"
        raise RejectedPair("profile", f"{path.name}: {profile_name(profile)}, {name} is wanted")


def check_development(path: Path, pixels: NDArray[np.uint16]) -> None:
    """A DNG of a kind that nobody has thought of may come out black, or all of one colour."""
    if problem := sameness(pixels):
        raise RejectedPair("decode", f"{path.name}: {problem}")
