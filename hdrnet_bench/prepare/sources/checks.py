"""What a finished picture is checked for where its pixels are taken as they are.

All raise RejectedPair, whose stage and reason go into rejected.jsonl.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from PIL import Image

from ...images import icc
from ...images.files import Picture, profile_name
from ..build import RejectedPair


def check_depth(path: Path, picture: Picture, bit_depth: int) -> None:
    bits = picture.pixels.dtype.itemsize * 8
    if bits != bit_depth:
        raise RejectedPair("depth", f"{path.name}: {bits} bits, {bit_depth} are wanted")


def check_profile(path: Path, space: Literal["srgb", "xyz"]) -> None:
    """A picture without a profile is taken to be in the space that is wanted."""
    with Image.open(path) as image:
        profile = image.info.get("icc_profile")
    # No profile can say that red, green and blue hold X, Y and Z.
    if profile and (space != "srgb" or not icc.same(profile, icc.SRGB)):
        name = "sRGB" if space == "srgb" else "none"
        raise RejectedPair("profile", f"{path.name}: {profile_name(profile)}, {name} is wanted")
