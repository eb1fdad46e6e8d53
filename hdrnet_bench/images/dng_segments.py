"""Where a DNG's pixels lie in the file: strips, tiles and their JPEGs.

LibRaw misreads some layouts and reads past what is missing, without a word: they are refused here.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import rawpy
import tifffile

from .jpeg_markers import END, FRAMES, walk
from .tiff_file import check_together

LINEAR_RAW = 34892  # what the camera has demosaiced
UNCOMPRESSED, LOSSLESS_JPEG, LOSSY_JPEG = 1, 7, 34892
_LOSSLESS_FRAME, _LOSSY_FRAMES = 0xC3, (0xC0, 0xC1, 0xC2)
_LONGEST_HEADER = 4096
LIBRAW = f"LibRaw {'.'.join(map(str, rawpy.libraw_version))}"


def check_whole(tiff: tifffile.TiffFile, raw: tifffile.TiffPage) -> None:
    """Raises ValueError where picture data is missing."""
    size, offsets, counts = tiff.filehandle.size, raw.dataoffsets, raw.databytecounts
    if len(offsets) != len(counts):
        raise ValueError(
            f"the file is damaged: {len(offsets)} places of its pixels, {len(counts)} sizes"
        )
    end = max((offset + count for offset, count in zip(offsets, counts, strict=True)), default=0)
    if not offsets or end > size:
        raise ValueError(f"the file is truncated: {size} bytes, its pixels end at {end}")
    check_together(tiff, raw)


def check_segments(tiff: tifffile.TiffFile, raw: tifffile.TiffPage) -> None:
    """Raises ValueError for strips or tiles that LibRaw would misread, or read past."""
    width, height = raw.imagewidth, raw.imagelength
    across, rows = width, int(raw.rowsperstrip)
    if raw.is_tiled:
        across, rows = width, height = raw.tilewidth, raw.tilelength
    wanted = math.ceil(raw.imagewidth / across) * math.ceil(raw.imagelength / rows)
    if len(raw.dataoffsets) != wanted:
        count = len(raw.dataoffsets)
        raise ValueError(
            f"the file is damaged: it has {count} tiles or strips, {wanted} are wanted"
        )
    if raw.compression == UNCOMPRESSED:
        row = (width * raw.samplesperpixel * raw.bitspersample + 7) // 8
        _check_uncompressed(raw, row, height)
        return
    if not raw.is_tiled and len(raw.dataoffsets) > 1:
        raise ValueError(f"its JPEG lies in strips, of which {LIBRAW} decodes the first")
    if raw.compression == LOSSY_JPEG:
        for offset, count in zip(raw.dataoffsets, raw.databytecounts, strict=True):
            _check_lossy(tiff, offset, count, (width, height))
        return
    for offset in raw.dataoffsets:
        frame = _jpeg_frame(tiff, offset)
        if frame.kind != _LOSSLESS_FRAME:
            raise ValueError(
                "its pixels are lossy JPEG under the code of the lossless one, "
                f"which {LIBRAW} misreads"
            )
        _check_lossless(frame, width * raw.samplesperpixel, height, raw)


def _check_uncompressed(raw: tifffile.TiffPage, row: int, height: int) -> None:
    """row: bytes of a row of a tile or strip; height: of a tile, or of the picture."""
    offsets, counts = raw.dataoffsets, raw.databytecounts
    if (min(counts) if raw.is_tiled else sum(counts)) < row * height:
        raise ValueError("the file is damaged: it has not all the bytes that its pixels need")
    rows = int(raw.rowsperstrip)
    if not raw.is_tiled and any(
        offset != offsets[0] + number * rows * row for number, offset in enumerate(offsets)
    ):
        raise ValueError(f"its strips lie apart, which {LIBRAW} misreads")


class _Frame(NamedTuple):
    """What a JPEG's frame header says; kind: its marker."""

    kind: int
    width: int
    height: int
    components: int


def _jpeg_frame(tiff: tifffile.TiffFile, offset: int) -> _Frame:
    """Raises ValueError where no JPEG begins: LibRaw would read on, and leave it and the next one
    black."""
    tiff.filehandle.seek(offset)
    header, place = tiff.filehandle.read(_LONGEST_HEADER), 2
    while header[:2] == b"\xff\xd8" and place + 10 <= len(header) and header[place] == 0xFF:
        marker, length = header[place + 1], int.from_bytes(header[place + 2 : place + 4], "big")
        # C4, C8 and CC are no frames but tables and extensions.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            high, wide, components = struct.unpack_from(">HHB", header, place + 5)
            return _Frame(marker, wide, high, components)
        place += 2 + length
    raise ValueError(f"the file is damaged: no picture data at byte {offset}")


def _check_lossy(tiff: tifffile.TiffFile, offset: int, count: int, size: tuple[int, int]) -> None:
    """Raises ValueError where no JPEG of a tile begins, where it does not end within the tile, for
    LibRaw reads on, and for more scans than any JPEG has."""
    tiff.filehandle.seek(offset)
    content = tiff.filehandle.read(count)
    walked = walk(content) if content.startswith(b"\xff\xd8") else []
    frames = [each for each in walked if each.marker in FRAMES]
    whole = len(frames) == 1 and walked[-1].marker == END and frames[0].marker in _LOSSY_FRAMES
    # Behind a byte for the depth: height, width and components.
    said = content[frames[0].start + 1 : frames[0].start + 6] if whole else b""
    sides = int.from_bytes(said[2:4], "big"), int.from_bytes(said[:2], "big")
    if not whole or sides != size or said[4:] != b"\3":
        raise ValueError(f"the file is damaged: no lossy JPEG at byte {offset}")


def _check_lossless(frame: _Frame, row: int, height: int, raw: tifffile.TiffPage) -> None:
    """Raises ValueError for a lossless JPEG that is laid out as LibRaw does not expect.

    row, height: samples in a row, and rows, of the tile or picture. A JPEG of a mosaic may have
    several places as its components, or two rows as one; only the number of samples counts.
    """
    samples = frame.width * frame.components
    fits = samples * frame.height == row * height or (samples == row and frame.height > height)
    if raw.photometric == LINEAR_RAW:
        fits &= frame.components == raw.samplesperpixel
    # As if it were a monochrome camera's, LibRaw reads each row `components` times as far.
    elif frame.components > 1 and frame.components * samples == raw.imagewidth:
        fits = False
    if not fits:
        raise ValueError(
            f"its lossless JPEG of {frame.width} x {frame.height} x {frame.components} samples in "
            f"tiles of {row} x {height}, {raw.imagewidth} across, is misread by {LIBRAW}"
        )
