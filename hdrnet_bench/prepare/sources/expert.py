"""An expert's retouch of FiveK: a 16-bit TIFF in ProPhoto (ROMM RGB)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from ...images import icc, raw
from ...images.files import decode_tiff, profile_name, upright

_ORIENTATION, _PROFILE = 274, 34675  # TIFF's tags


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
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            orientation = int(page.tags.valueof(_ORIENTATION, 1))
            profile = page.tags.valueof(_PROFILE)
            if page.samplesperpixel != 3:
                raise ValueError(f"{page.samplesperpixel} channels, three are wanted")
            if page.dtype != np.uint16:
                raise ValueError(f"{page.dtype} samples, 16 bits are wanted")
            # Strips that a truncated file lacks would decode as black, without an error.
            raw.check_whole(tiff, page)
        _check_profile(bytes(profile) if profile else None, notes)
        pixels = cast(NDArray[np.uint16], decode_tiff(path))
    if orientation not in range(1, 9):
        notes.append(f"orientation {orientation} means nothing, taken as upright")
    elif orientation != 1:
        notes.append(f"orientation {orientation} applied")
    return Expert(np.ascontiguousarray(upright(pixels, orientation)), notes)


def _check_profile(profile: bytes | None, notes: list[str]) -> None:
    """Raises ValueError for a profile that is not ProPhoto's; notes that there is none."""
    if profile is None:
        notes.append("no profile in the file, taken as ProPhoto")
    elif icc.colour_space(profile) != "rgb" or not icc.same(profile, icc.ROMM):
        raise ValueError(f"its profile is another one ({profile_name(profile)})")
