"""An expert's retouch of FiveK: a 16-bit TIFF in ProPhoto (ROMM RGB)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ...images import icc, raw, tiff
from ...images.icc import profile_name
from ...images.photo import orientation_of
from ...images.pixels import upright


class Expert(NamedTuple):
    """pixels: (H, W, 3) uint16, ROMM RGB as encoded, upright, C order."""

    pixels: NDArray[np.uint16]
    notes: list[str]


def read_romm(path: Path) -> Expert:
    """Decode a 16-bit ProPhoto TIFF.

    Raises DataError that names the file: it is missing, broken, not three channels of 16 bits, or
    its profile is not ProPhoto's, judged by its colours and curve.
    """
    notes: list[str] = []
    with raw.decoding(path, "is no ProPhoto TIFF of 16 bits"):
        decoded = tiff.decode(path)
        channels = decoded.pixels.shape[2]
        if decoded.colours != "rgb" or channels != 3:
            raise ValueError(f"{channels} channels, three are wanted")
        if decoded.pixels.dtype != np.uint16:
            raise ValueError(f"{decoded.pixels.dtype} samples, 16 bits are wanted")
        _check_profile(decoded.profile, notes)
    pixels = cast(NDArray[np.uint16], upright(decoded.pixels, orientation_of(decoded, notes)))
    return Expert(np.ascontiguousarray(pixels), notes + decoded.notes)


def _check_profile(profile: bytes | None, notes: list[str]) -> None:
    """Raises ValueError for a profile that is not ProPhoto's; notes that there is none."""
    if profile is None:
        notes.append("no profile in the file, taken as ProPhoto")
    elif icc.colour_space(profile) != "rgb" or not icc.same(profile, icc.ROMM):
        raise ValueError(f"its profile is another one ({profile_name(profile)})")
