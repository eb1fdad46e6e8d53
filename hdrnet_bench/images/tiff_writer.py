"""Writing TIFF by tifffile, with EXIF and GPS in directories of their own."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

import tifffile

from . import exif
from .pixels import Pixels
from .tiff import IPTC, XMP


def write(
    path: Path,
    pixels: Pixels,
    dpi: tuple[float, float] | None,
    profile: bytes | None,
    block: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    notes: list[str],
) -> None:
    """Deflated, with the descriptive tags in place and EXIF and GPS after them."""
    parts = exif.Gathered([], [], [], [])
    if block:
        try:
            parts = exif.gather(block)
        except ValueError as error:
            notes.append(f"EXIF left out: {error}")
    notes += parts.left_out
    extra = [(entry.tag, entry.type, entry.number, entry.value, True) for entry in parts.first]
    extra += [(code, 7, len(text), text, True) for code, text in ((XMP, xmp), (IPTC, iptc)) if text]
    tifffile.imwrite(
        path,
        pixels,
        byteorder="<",
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        compression="zlib",
        predictor=True,
        rowsperstrip=64,
        iccprofile=profile,
        resolution=dpi,
        resolutionunit="inch" if dpi else None,
        metadata=None,
        software=False,
        extratags=extra,
    )
    lower = [(exif.EXIF_DIRECTORY, parts.exif), (exif.GPS_DIRECTORY, parts.gps)]
    if not any(entries for _, entries in lower):
        return
    with path.open("r+b") as file:
        if file.read(4) == b"II*\0":
            _append_directories(file, [(tag, entries) for tag, entries in lower if entries])
        else:
            notes.append("EXIF left out but for its description: a TIFF over 4 GB")


def _append_directories(file: BinaryIO, lower: list[tuple[int, list[exif.Entry]]]) -> None:
    """Add directories of tags (EXIF, GPS) to a TIFF, which tifffile leaves to its caller.

    They go to the file's end, and behind them the first directory once more, now with entries that
    point to them; its old place stays unused.
    """
    file.seek(4)
    file.seek(struct.unpack("<I", file.read(4))[0])
    (count,) = struct.unpack("<H", file.read(2))
    entries = [file.read(12) for _ in range(count)]

    def end() -> int:
        """The file's end, on an even byte as TIFF asks."""
        place = file.seek(0, io.SEEK_END)
        file.write(bytes(place % 2))
        return place + place % 2

    for tag, values in lower:
        place = end()
        file.write(exif.lay_out(values, place))
        # One number of type 4 (32 bits): the directory's place.
        entries.append(struct.pack("<HHII", tag, 4, 1, place))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    place = end()
    file.write(struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))
    file.seek(4)
    file.write(struct.pack("<I", place))
