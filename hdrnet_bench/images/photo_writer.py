"""The one writer of photographs: pixels with profile, EXIF, XMP, IPTC and resolution.

The encoders take the pixels as they are, without a copy; each format's module puts between their
bytes what they do not write.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..files import atomic_path
from . import exif, heif, heif_writer, icc, jpeg, jpegxl, jpegxl_writer, png, tiff_writer, webp, xmp
from .kinds import TEN_BIT, Kind
from .photo import Photo


def check_kind(kind: Kind) -> None:
    """Raises CapabilityError where this kind's library is not installed."""
    if kind == "heic":
        heif.pillow_heif()
    elif kind == "avif":
        heif.need_avif()
    elif kind == "jxl":
        jpegxl.need_imagecodecs()


def write_photo(path: Path, photo: Photo, kind: Kind, quality: int, overwrite: bool) -> None:
    """Encode a photograph: whole, or not at all. What the format cannot hold is noted.

    Raises DataError where it cannot be, or the file is there and `overwrite` is not asked for, and
    CapabilityError where the format's library is not installed.
    """
    try:
        with atomic_path(path) as temporary:
            if kind == "tiff":
                tiff_writer.write(
                    temporary, photo.pixels, photo.dpi, photo.profile,
                    _exif(photo), _xmp(photo), photo.iptc, photo.notes,
                )  # fmt: skip
            else:
                with temporary.open("wb") as stream:
                    for part in _encoded(photo, kind, quality):
                        stream.write(part)
            if path.exists() and not overwrite:
                raise DataError(f"{path} has come to be there meanwhile")
    except (ValueError, RuntimeError) as error:
        raise DataError(f"{path} cannot be written: {' '.join(str(error).split())}") from None


def _encoded(photo: Photo, kind: Kind, quality: int) -> Iterable[bytes | memoryview]:
    pixels, block, packet = photo.pixels, _exif(photo), _xmp(photo)
    texts = [("EXIF", block), ("XMP", packet), ("IPTC", photo.iptc), ("profile", photo.profile)]
    if kind == "jpeg":
        return jpeg.encode(pixels, quality, photo.dpi, texts, photo.notes)
    if kind == "png":
        return png.encode(pixels, photo.dpi, texts)
    if photo.iptc:
        photo.notes.append("IPTC left out: the format has no place for it")
    if photo.dpi and not (block and exif.dots_per_inch(block)):
        photo.notes.append("resolution left out: the format has no place for it but EXIF")

    encoders: dict[str, Any] = {
        "webp": webp.encode, "heic": heif_writer.encode_heic, "avif": heif_writer.encode_avif,
        "jxl": jpegxl_writer.encode_jxl,
    }  # fmt: skip
    lossless = photo.lossless and photo.kind == kind
    if kind in TEN_BIT and pixels.dtype == np.uint16:
        photo.notes.append(f"written with 10 bits, which are all that {kind} is given")
        lossless = False
    encoded: bytes = encoders[kind](
        pixels, quality=quality, lossless=lossless, profile=photo.profile, exif=block, xmp=packet
    )
    return [encoded]


def _exif(photo: Photo) -> bytes | None:
    """The block as it is true of the picture now."""
    if photo.exif is None:
        return None
    height, width = photo.pixels.shape[:2]
    is_srgb = photo.profile is None or icc.same(photo.profile, icc.SRGB)
    try:
        converted = is_srgb and exif.says_adobe_rgb(photo.exif)
        return exif.for_upright(photo.exif, photo.turned, width, height, converted)
    except (ValueError, struct.error) as error:  # no metadata ever costs a picture
        photo.notes.append(f"EXIF left out: {error}")
        return None


def _xmp(photo: Photo) -> bytes | None:
    if photo.xmp is None:
        return None
    packet = xmp.without_other_pictures(photo.xmp)
    if packet != photo.xmp:
        what = "XMP" if packet is None else "of XMP"
        photo.notes.append(f"left out: {what} about pictures that are left behind")
    return None if packet is None else xmp.upright(packet, photo.turned)
