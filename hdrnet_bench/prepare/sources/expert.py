"""An expert's retouch of FiveK: a 16-bit TIFF in ProPhoto (ROMM RGB)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from ...errors import DataError
from ...images import icc
from ...images.files import decode_tiff, profile_name, upright

_ORIENTATION, _PROFILE = 274, 34675


class Expert(NamedTuple):
    """pixels: (H, W, 3) uint16, ROMM RGB as encoded, upright, C order."""

    pixels: NDArray[np.uint16]
    notes: list[str]


def read_romm(path: Path) -> Expert:
    """Decode a 16-bit ProPhoto TIFF.

    Raises DataError that names the file: it is missing, broken, not three channels of 16 bits, or
    its profile is not ProPhoto's, judged by its colours and curve.
    """
    try:
        notes: list[str] = []
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            orientation = int(page.tags.valueof(_ORIENTATION, 1))
            profile = page.tags.valueof(_PROFILE)
            if page.samplesperpixel != 3:
                raise ValueError(f"{page.samplesperpixel} channels, three are wanted")
            if page.dtype != np.uint16:
                raise ValueError(f"{page.dtype} samples, 16 bits are wanted")
            _check_whole(tiff, page)
        _check_profile(bytes(profile) if profile else None, notes)
        pixels = cast(NDArray[np.uint16], decode_tiff(path))
    except MemoryError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except Exception as error:  # Decoders raise whatever comes to them on a broken file.
        said = str(error).replace(str(path), path.name)
        reason = " ".join(said.split())[:200] or type(error).__name__
        raise DataError(f"{path} is no ProPhoto TIFF of 16 bits: {reason}") from None
    if orientation not in range(1, 9):
        notes.append(f"orientation {orientation} means nothing, taken as upright")
    elif orientation != 1:
        notes.append(f"orientation {orientation} applied")
    return Expert(np.ascontiguousarray(upright(pixels, orientation)), notes)


def _check_whole(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    """A strip that the file promises and lacks decodes as black."""
    size = tiff.filehandle.size
    segments = zip(page.dataoffsets, page.databytecounts, strict=True)
    end = max((offset + count for offset, count in segments), default=0)
    if not page.dataoffsets or end > size:
        raise ValueError(f"the file is truncated: {size} bytes, its pixels end at {end}")


def _check_profile(profile: bytes | None, notes: list[str]) -> None:
    if profile is None:
        notes.append("no profile in the file, taken as ProPhoto")
    elif icc.colour_space(profile) != "rgb" or not icc.same(profile, icc.ROMM):
        raise ValueError(f"its profile is another one ({profile_name(profile)})")
