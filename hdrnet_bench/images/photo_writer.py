"""Writing a photograph as JPEG, PNG, TIFF or WebP, with its profile, EXIF and resolution.

The encoders of imagecodecs and tifffile take the pixels as they are, without a copy; what they do
not write (segments, chunks, directories of tags) is put between their bytes here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, TiffImagePlugin

from ..errors import DataError
from ..files import atomic_path
from .photo import DESCRIPTIVE_TAGS, EXIF_DIRECTORIES, Kind, Photo

_MARKER_LIMIT = 65533  # bytes a JPEG segment can hold


def write_photo(path: Path, photo: Photo, kind: Kind, quality: int, overwrite: bool) -> None:
    """Encode a photograph: whole, or not at all.

    Raises DataError where it cannot be, or the file is there and `overwrite` is not asked for.
    """
    try:
        exif = photo.exif.tobytes() if len(photo.exif) else b""
    except Exception as error:  # Tags of wrong types, as cameras write them.
        exif = b""
        photo.notes.append(f"EXIF left out, it cannot be written: {' '.join(str(error).split())}")
    try:
        with atomic_path(path) as temporary:
            if kind == "tiff":
                _write_tiff(temporary, photo, bool(exif))
            elif kind == "webp":
                options = {"exif": exif} if exif else {}
                profile = {"icc_profile": photo.profile} if photo.profile else {}
                picture = Image.fromarray(photo.pixels)
                picture.save(temporary, format="WEBP", quality=quality, **options, **profile)
            else:
                encode = _jpeg if kind == "jpeg" else _png
                with temporary.open("wb") as stream:
                    for part in encode(photo, exif, quality):
                        stream.write(part)
            if path.exists() and not overwrite:
                raise DataError(f"{path} has come to be there meanwhile")
    except (ValueError, RuntimeError) as error:
        raise DataError(f"{path} cannot be written: {' '.join(str(error).split())}") from None


def _jpeg(photo: Photo, exif: bytes, quality: int) -> list[bytes | memoryview]:
    """The encoded picture with its segments: JFIF's resolution, EXIF, the profile."""
    content = imagecodecs.jpeg8_encode(photo.pixels, level=quality, subsampling="444")
    jfif_end = 4 + int.from_bytes(content[4:6], "big")  # the start marker and JFIF's own segment
    if content[2:4] != b"\xff\xe0" or content[6:11] != b"JFIF\0":
        raise ValueError("the encoder wrote no JFIF header")
    jfif = bytearray(content[:jfif_end])
    if photo.dpi:
        # JFIF's unit (1 is dots per inch) and density across and down.
        jfif[13:18] = struct.pack(">BHH", 1, *(max(1, round(value)) for value in photo.dpi))
    parts: list[bytes | memoryview] = [bytes(jfif)]
    if len(exif) + 2 > _MARKER_LIMIT:
        photo.notes.append("EXIF left out: larger than a JPEG can hold")
    elif exif:
        parts.append(_segment(0xE1, exif))
    # A large profile takes several segments, each with its number and how many there are. That
    # heading has 14 bytes, and 16 are kept free for it.
    profile, room = photo.profile or b"", _MARKER_LIMIT - 16
    pieces = [profile[at : at + room] for at in range(0, len(profile), room)]
    for number, piece in enumerate(pieces, start=1):
        parts.append(_segment(0xE2, b"ICC_PROFILE\0" + bytes((number, len(pieces))) + piece))
    return [*parts, memoryview(content)[jfif_end:]]


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def _png(photo: Photo, exif: bytes, quality: int) -> list[bytes | memoryview]:
    """The encoded picture with its chunks after the header: profile, resolution, EXIF."""
    # Room that is not touched costs nothing, and the encoder's own would be copied. Level 3 is
    # three times as quick as the usual 6, for 5 % more.
    pixels = photo.pixels
    room = np.empty(pixels.nbytes + pixels.nbytes // 100 + len(pixels) + 65536, np.uint8)
    content = memoryview(imagecodecs.png_encode(pixels, level=3, out=room))  # type: ignore[arg-type]
    header_end = 8 + 25  # the signature and the header chunk
    parts: list[bytes | memoryview] = [bytes(content[:header_end])]
    if photo.profile:
        parts.append(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(photo.profile)))
    if photo.dpi:
        per_metre = (round(value / 0.0254) for value in photo.dpi)
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if exif:
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    return [*parts, content[header_end:]]


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _write_tiff(path: Path, photo: Photo, with_exif: bool) -> None:
    """Deflated, with the descriptive tags in place and EXIF and GPS after them."""
    exif = photo.exif if with_exif else Image.Exif()
    descriptions = sorted(DESCRIPTIVE_TAGS & set(exif))
    tifffile.imwrite(
        path,
        photo.pixels,
        byteorder="<",
        photometric="rgb",
        extrasamples=["unassalpha"] if photo.pixels.shape[2] == 4 else None,
        compression="zlib",
        predictor=True,
        rowsperstrip=64,
        iccprofile=photo.profile,
        resolution=photo.dpi,
        resolutionunit="inch" if photo.dpi else None,
        metadata=None,
        software=False,
        extratags=[(tag, "s", 0, str(exif[tag]), True) for tag in descriptions],
    )
    directories = {tag: exif[tag] for tag in EXIF_DIRECTORIES if tag in exif}
    if not directories:
        return
    with path.open("r+b") as file:
        if file.read(4) == b"II*\0":
            _append_directories(file, directories)
        else:
            photo.notes.append("EXIF left out but for its description: a TIFF over 4 GB")


def _append_directories(file: BinaryIO, directories: Mapping[int, Mapping[int, Any]]) -> None:
    """Add directories of tags (EXIF, GPS) to a TIFF, which tifffile leaves to its caller.

    They go to the file's end, and behind them the first directory once more, now with entries that
    point to them; its old place stays unused.

    A directory is the number of its entries, entries of 12 bytes (tag, type, count, value or place)
    in ascending order of tags, and the place of the next directory, 0 without one.
    """
    file.seek(4)
    file.seek(struct.unpack("<I", file.read(4))[0])
    (count,) = struct.unpack("<H", file.read(2))
    entries = [file.read(12) for _ in range(count)]

    def append(content: Callable[[int], bytes]) -> int:
        """Write at the file's end, on an even byte as TIFF asks, what depends on its place: which
        it returns."""
        end = file.seek(0, io.SEEK_END)
        file.write(bytes(end % 2) + content(end + end % 2))
        return end + end % 2

    for tag, values in directories.items():
        directory = TiffImagePlugin.ImageFileDirectory_v2(ifh=b"II*\0\0\0\0\0", group=tag)
        for name, value in values.items():
            directory[name] = value
        # One number of type 4 (32 bits): the directory's place.
        entries.append(struct.pack("<HHII", tag, 4, 1, append(directory.tobytes)))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    first = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    place = append(lambda _: first)
    file.seek(4)
    file.write(struct.pack("<I", place))
