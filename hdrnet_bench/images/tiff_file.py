"""A TIFF or DNG opened with tifffile, after its directories have been walked once.

tifffile follows every place that a file names, reads every value that a directory has, and has its
own ways with the files of microscopes; none of that ends by itself. Here the directories are walked
first, within bounds and each once, so that what is handed on ends.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tifffile

from .limits import max_bytes

_MOST_DIRECTORIES = 1000
_MOST_BELOW = 64  # directories that one names as below it
_MOST_ENTRIES = 4096  # of a directory, as tifffile has it
_MOST_ENTRIES_TOGETHER = 65536
# Numbers, which take some 40 bytes each in Python: places of a million strips, and their sizes.
_MOST_NUMBERS = 1 << 22
# Bytes of a value of each type, BigTIFF's among them.
_SIZES = {
    **dict.fromkeys((1, 2, 6, 7), 1), **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4), **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}  # fmt: skip
_BYTES = (1, 2, 6, 7)
_SUBDIRECTORIES = 330
# What tifffile reads as it opens a directory. What else there is it reads when it is asked for.
_READ_AT_ONCE = {*tifffile.TIFF.TAG_LOAD, *tifffile.TIFF.TAG_ATTRIBUTES}
# Codings whose decoders stop at the size that they are told: none, CCITT's three, LZW, JPEG (whose
# own header tiff.py asks), deflate's two numbers, PackBits, LZMA, Zstandard.
_CODINGS = (1, 2, 3, 4, 5, 7, 8, 32946, 32773, 34925, 50000)
_SMALL = 1 << 20  # pixels of a tile that a picture of any size may have
_PLACES = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# Whose meaning differs from a TIFF's, and which tifffile reads by ways of their own.
_MICROSCOPES = {33629: "MetaMorph's (STK)", 34412: "Zeiss's (LSM)", 65420: "Hamamatsu's (NDPI)"}


@contextmanager
def open_tiff(content: bytes) -> Iterator[tifffile.TiffFile]:
    """The file in memory. Raises ValueError where its directories go in a circle, or are more, or
    have more in them, than those of any picture; and what tifffile raises."""
    _check_directories(content)
    # Each is tifffile's guess, by texts in the file, that it means more than its directories say.
    guesses = ("is_lsm", "is_scanimage", "is_ndpi", "is_philips", "is_vista")
    plain: dict[str, Any] = dict.fromkeys(guesses, False)
    with tifffile.TiffFile(io.BytesIO(content), **plain) as tiff:
        yield tiff


class _Form:
    """How numbers lie in a classic TIFF or a BigTIFF."""

    def __init__(self, content: bytes) -> None:
        order = {b"II": "<", b"MM": ">"}.get(content[:2])
        if order is None or len(content) < 8:
            raise ValueError("it is no TIFF file")
        big = struct.unpack_from(order + "H", content, 2)[0] == 43
        # BigTIFF counts its entries in 8 bytes, each has 20, and places have 8.
        self.order = order
        self.count = struct.Struct(order + ("Q" if big else "H"))
        self.entry = struct.Struct(order + ("HHQ" if big else "HHI"))
        self.place = struct.Struct(order + ("Q" if big else "I"))
        self.first = 8 if big else 4


class _Bounds:
    """What has been met of a file."""

    def __init__(self, size: int) -> None:
        self.visited: set[int] = set()
        self.entries = self.numbers = 0
        # In an honest file values lie apart, but for one that two directories share.
        self.room = 2 * size + (1 << 16)

    def visit(self, place: int, chain: set[int]) -> None:
        if place in chain:
            raise ValueError("its directories go in a circle")
        chain.add(place)
        self.visited.add(place)
        if len(self.visited) > _MOST_DIRECTORIES:
            raise ValueError(f"it holds more than {_MOST_DIRECTORIES} pages")

    def take_entries(self, count: int) -> None:
        self.entries += count
        if count > _MOST_ENTRIES or self.entries > _MOST_ENTRIES_TOGETHER:
            raise ValueError("its directories have more entries than any picture's")

    def take_value(self, kind: int, number: int) -> None:
        self.room -= number * _SIZES[kind]
        self.numbers += 0 if kind in _BYTES else number
        if self.room < 0:
            raise ValueError("the values in its directories are larger than the file")
        if self.numbers > _MOST_NUMBERS:
            raise ValueError("its directories have more numbers than any picture's")


def _check_directories(content: bytes) -> None:
    """Raises ValueError for directories that go in a circle or have no bounds."""
    form, bounds = _Form(content), _Bounds(len(content))
    if len(content) < form.first + form.place.size:
        raise ValueError("the file is damaged or cut off: its first directory is not in it")
    chains = [form.place.unpack_from(content, form.first)[0]]
    while chains:
        place, chain = chains.pop(), set[int]()
        # What is named twice, as by another directory and by one above it, is walked once.
        while place and place not in bounds.visited - chain:
            bounds.visit(place, chain)
            place, below = _directory(content, form, place, bounds)
            chains += below


def _directory(content: bytes, form: _Form, place: int, bounds: _Bounds) -> tuple[int, list[int]]:
    """The place of the next directory, 0 without one, and of those below this one."""
    if place + form.count.size > len(content):
        raise ValueError("the file is damaged or cut off: a directory is not in it")
    (count,) = form.count.unpack_from(content, place)
    bounds.take_entries(count)
    table, step = place + form.count.size, form.entry.size + form.place.size
    end = table + count * step
    if end > len(content):
        raise ValueError("the file is damaged or cut off: a directory is not all in it")
    below: list[int] = []
    for at in range(table, end, step):
        tag, kind, number = form.entry.unpack_from(content, at)
        if tag in _MICROSCOPES:
            raise ValueError(f"it is a microscope's file, {_MICROSCOPES[tag]}, which is not read")
        if kind not in _SIZES:
            continue
        start = at + form.entry.size
        if number * _SIZES[kind] > form.place.size:
            (start,) = form.place.unpack_from(content, start)
        if start + number * _SIZES[kind] > len(content):
            continue  # no value, as tifffile has it
        if tag in _READ_AT_ONCE:
            bounds.take_value(kind, number)
        if tag == _SUBDIRECTORIES and kind in _PLACES:
            if number > _MOST_BELOW:
                raise ValueError(f"it holds {number} further pictures")
            places = struct.unpack_from(f"{form.order}{number}{_PLACES[kind]}", content, start)
            below += [each for each in places if 0 < each < len(content)]
    # Some writers end their last directory without a place behind it.
    if end + form.place.size > len(content):
        return 0, below
    return form.place.unpack_from(content, end)[0], below


def check_coding(page: tifffile.TiffPage) -> None:
    """Raises ValueError for pixels that are coded in another way than is read, and for tiles much
    larger than their picture, which decoders take memory for."""
    if int(page.compression) not in _CODINGS:
        raise ValueError(f"its compression ({int(page.compression)}) is not read")
    if page.imagedepth != 1 or (page.is_tiled and page.tiledepth != 1):
        raise ValueError("it holds a volume, and one picture is wanted")
    tile, picture = page.tilewidth * page.tilelength, page.imagewidth * page.imagelength
    if page.is_tiled and not 0 < tile <= max(_SMALL, 4 * picture):
        raise ValueError(f"it has tiles of {page.tilewidth} x {page.tilelength} pixels")


def check_together(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    """Raises ValueError for strips or tiles that have, together, more bytes than the file and the
    largest picture: some share what is in them, but a million may not each have all."""
    if sum(page.databytecounts) > tiff.filehandle.size + max_bytes():
        raise ValueError("its strips or tiles are larger than the file")
