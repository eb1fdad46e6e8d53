"""A DNG's tags: what they say of its raw picture, and whether LibRaw decodes that right.

LibRaw decodes some kinds of DNG wrongly and says nothing. All that are known are refused by their
tags, before it sees them: each was tried with LibRaw 0.22.2, on a file whose pixels are known.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import tifffile

from .dng_segments import (
    LIBRAW,
    LINEAR_RAW,
    LOSSLESS_JPEG,
    LOSSY_JPEG,
    UNCOMPRESSED,
    check_segments,
    check_whole,
)
from .limits import check_size

# Tags of the DNG specification (Adobe, version 1.7).
_ORIENTATION, _MODEL = 274, 272
_DNG_VERSION, _CAMERA, _COLOR_MATRIX = 50706, 50708, 50721
_CROP_ORIGIN, _CROP_SIZE, ACTIVE_AREA = 50719, 50720, 50829
_WHITE_XY, BLACK_LEVEL, WHITE_LEVEL = 50729, 50714, 50717
_BLACK_DELTAS = {50715: "BlackLevelDeltaH", 50716: "BlackLevelDeltaV"}
_LINEARIZATION, _MASKED_AREAS = 50712, 50830
OPCODES2 = 51009
_OPCODES = {51008: "OpcodeList1", OPCODES2: "OpcodeList2", 51022: "OpcodeList3"}
_MOSAIC = 32803
_RATIONALS = (5, 10)
_BITS, _SAMPLE_FORMAT = 258, 339
_SAMPLE_FORMATS = {2: "signed numbers", 3: "floating point"}
_COMPRESSIONS = {
    5: "LZW",
    8: "deflate of whole numbers",
    9: "VC-5 (GoPro)",
    32773: "PackBits",
    32946: "deflate",
    34712: "JPEG 2000",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL (DNG 1.7)",
}
# Where pixels lie in another order than row by row; LibRaw knows none of these, but one that it
# turns by 45 degrees. Of all of them 1 is the plain order.
_ORDERS = {
    266: "FillOrder",
    284: "PlanarConfiguration",
    50711: "CFALayout",
    50974: "SubTileBlockSize",
    50975: "RowInterleaveFactor",
    52547: "ColumnInterleaveFactor",
}
_PATTERN_SIZE, _PATTERN, _PLANE_COLOURS = 33421, 33422, 50710
_EXPOSURES = {50730: "BaselineExposure", 51109: "BaselineExposureOffset"}
_TONE_CURVE = 50940
# What of a profile changes how Adobe's programs render a picture, beside its matrices.
_PROFILE = {
    50938: "ProfileHueSatMap",
    50982: "ProfileLookTable",
    _TONE_CURVE: "ProfileToneCurve",
    52525: "ProfileGainTableMap",
    52543: "RGBTables",
    52544: "ProfileGainTableMap2",
}
_MAP_POLYNOMIAL = 8
# How much of the range between black and white the black level of a row or column may be off.
_DELTA_TOLERANCE = 0.0025
# Of a tag: the longest has one for each row or column of a raw picture.
_MOST_NUMBERS = 1 << 18
_MOST_MASKED = 8  # areas, as LibRaw has room for
_MOST_OPCODES = 16 << 20  # bytes of a list of opcodes


class Layout(NamedTuple):
    """What the tags say of a DNG that LibRaw decodes right.

    page: of the raw picture; its tags can be read while the file is open.
    crop: (left, top, width, height) in pixels of the raw frame.
    opcodes: names of the lists of opcodes that it has, by tag.
    """

    page: tifffile.TiffPage
    orientation: int
    crop: tuple[int, int, int, int] | None
    camera: str
    opcodes: dict[int, str]
    notes: list[str]


def layout_of(tiff: tifffile.TiffFile) -> Layout:
    """Find the raw picture. Raises ValueError where there is none, not all of it, or one that
    LibRaw does not decode right."""
    first = tiff.pages.first
    if _DNG_VERSION not in first.tags:
        raise ValueError("it is no DNG")
    if tiff.is_bigtiff:
        raise ValueError(f"it is a BigTIFF, which {LIBRAW} cannot read")
    # The raw picture is often a page under the first one, which is a preview with the file's tags.
    # Of several LibRaw takes the first that is neither a preview nor Adobe's enhanced version.
    pages = [
        page
        for page in (first, *(first.pages or ()))
        if page.photometric in (_MOSAIC, LINEAR_RAW) and page.subfiletype == 0
    ]
    if not pages:
        raise ValueError("it holds no raw picture")
    raw = pages[0]
    check_size(raw.imagewidth, raw.imagelength)
    _check_kind(raw)
    check_whole(tiff, raw)
    check_segments(tiff, raw)
    if _COLOR_MATRIX not in first.tags:
        raise ValueError("it has no colour matrix")
    orientation = int(first.tags.valueof(_ORIENTATION, 1))
    opcodes = {tag: name for tag, name in _OPCODES.items() if tag in raw.tags}
    if raw.compression == LOSSY_JPEG and not _other_opcodes(raw):
        del opcodes[OPCODES2]
    notes = _rendering_notes(first.tags, raw.tags)
    if len(pages) > 1:
        notes.append(f"{len(pages)} raw pictures in the file, the first taken")
    if _WHITE_XY in first.tags:
        notes.append("AsShotWhiteXY not used")
    if orientation not in range(1, 9):
        notes.append(f"orientation {orientation} means nothing, taken as upright")
        orientation = 1
    names = (first.tags.valueof(tag) for tag in (_CAMERA, _MODEL))
    camera = next((name for name in names if name and isinstance(name, str)), "unknown")
    return Layout(raw, orientation, _default_crop(raw.tags), camera, opcodes, notes)


def _rendering_notes(*places: tifffile.TiffTags) -> list[str]:
    """What of a file's own rendering, as Adobe's programs do it, is not done here."""
    notes = []
    for tag, name in _EXPOSURES.items():
        stops = next((found[0] for tags in places if (found := numbers(tags, tag))), 0.0)
        if stops:
            notes.append(f"{name} {stops:+.3g} not applied")
    for tag, name in _PROFILE.items():
        holder = next((tags for tags in places if tag in tags), None)
        straight = tag == _TONE_CURVE and holder and numbers(holder, tag) == [0, 0, 1, 1]
        if holder is not None and not straight:
            notes.append(f"{name} not applied")
    return notes


def _check_kind(raw: tifffile.TiffPage) -> None:
    """Raises ValueError that names what LibRaw cannot decode, or decodes wrongly without a word."""
    tags, mosaic = raw.tags, raw.photometric == _MOSAIC
    bits = sorted({int(number) for number in numbers(tags, _BITS)}) or [1]
    depth = f"{bits[0]} to {bits[-1]}" if len(bits) > 1 else str(bits[0])
    for number in numbers(tags, _SAMPLE_FORMAT):
        # LibRaw makes 14 bits of floating point, by the largest number of the picture.
        if number != 1:
            kind = _SAMPLE_FORMATS.get(int(number), f"of SampleFormat {number:g}")
            raise ValueError(f"its samples are {depth}-bit {kind}, which are not developed here")
    if len(bits) > 1 or not 8 <= bits[0] <= 16:
        raise ValueError(f"its samples have {depth} bits, 8 to 16 are developed here")
    code = int(raw.compression)
    if code not in (UNCOMPRESSED, LOSSLESS_JPEG, LOSSY_JPEG):
        name = _COMPRESSIONS.get(code, f"compressed by code {code}")
        raise ValueError(f"its pixels are {name}, which {LIBRAW} cannot decode")
    if not mosaic and raw.samplesperpixel == 1:
        raise ValueError("it is not in colour")
    if raw.samplesperpixel != (1 if mosaic else 3):
        raise ValueError(
            f"it has {raw.samplesperpixel} samples in each pixel, "
            f"{'1 is' if mosaic else '3 are'} developed here"
        )
    if max(numbers(tags, WHITE_LEVEL), default=0) > 2**16:
        raise ValueError("its white level is above what 16 bits can hold")
    for tag, name in _ORDERS.items():
        if set(values := numbers(tags, tag)) - {1} and not (name.startswith("Planar") and mosaic):
            value = " x ".join(f"{value:g}" for value in values)
            raise ValueError(f"its {name} is {value}, which {LIBRAW} misreads")
    if raw.is_tiled and raw.tilewidth > raw.imagewidth:
        raise ValueError(f"its tiles are wider than the picture, which {LIBRAW} misreads")
    if mosaic:
        _check_pattern(tags)
    if code == LOSSY_JPEG:
        _check_lossy(raw)


def _check_pattern(tags: tifffile.TiffTags) -> None:
    """Raises ValueError for a mosaic that LibRaw takes for another: it reads eight rows of two
    places, whatever their number in the file, or Fujifilm's six by six."""
    pattern = numbers(tags, _PATTERN)
    rows, columns = map(int, exactly(tags, _PATTERN_SIZE, 2, [2, 2]))
    size = f"{rows} x {columns}"
    if not pattern or len(pattern) != rows * columns:
        raise ValueError(f"its mosaic's colours are not said: {len(pattern)} of {size} places")
    fujifilm = (rows, columns) == (6, 6) and [pattern.count(colour) for colour in range(3)] == [
        8,
        20,
        8,
    ]
    if not fujifilm and (columns != 2 or rows not in (2, 4, 8)):
        raise ValueError(f"its mosaic repeats every {size} pixels, which {LIBRAW} misreads")
    planes = numbers(tags, _PLANE_COLOURS) or [0, 1, 2]
    if planes[:3] != [0, 1, 2] or not {0, 1, 2} <= set(pattern):
        raise ValueError("its mosaic's colours are not red, green and blue")


def _check_lossy(raw: tifffile.TiffPage) -> None:
    """Raises ValueError for 8 bits whose meaning LibRaw guesses: it knows that of Adobe's files, a
    MapPolynomial for each colour, and takes sRGB's curve for all others."""
    what = "its pixels are lossy JPEG"
    if raw.photometric == _MOSAIC:
        raise ValueError(f"{what} of a mosaic, which {LIBRAW} cannot decode")
    white = set(numbers(raw.tags, WHITE_LEVEL)) or {255}
    if _LINEARIZATION in raw.tags or white != {255} or sorted(_polynomials(raw)) != [0, 1, 2]:
        raise ValueError(f"{what} with a curve that {LIBRAW} does not apply")


def _other_opcodes(raw: tifffile.TiffPage) -> bool:
    """Whether the second list has opcodes that LibRaw does not apply to a lossy JPEG."""
    return int.from_bytes(opcode_bytes(raw)[:4], "big") > 3


def _polynomials(raw: tifffile.TiffPage) -> list[int]:
    """The plane of each MapPolynomial in the second list of opcodes; -1 for one of several planes
    or of some of the pixels, which LibRaw gives to one plane and to all pixels."""
    content, start, planes = opcode_bytes(raw), 4, []
    for _ in range(int.from_bytes(content[:4], "big")):
        identifier, _, _, size = struct.unpack_from(">4I", content, start)
        if identifier == _MAP_POLYNOMIAL:
            *area, plane, count, down, across = struct.unpack_from(">4i4I", content, start + 16)
            everything = area == [0, 0, raw.imagelength, raw.imagewidth]
            planes.append(plane if everything and (count, down, across) == (1, 1, 1) else -1)
        start += 16 + size
    return planes


def opcode_bytes(raw: tifffile.TiffPage) -> bytes:
    """The second list of opcodes as it is stored; b"" without one."""
    tag = raw.tags.get(OPCODES2)
    if tag is None:
        return b""
    if tag.valuebytecount > _MOST_OPCODES:
        raise ValueError(f"its list of opcodes has {tag.valuebytecount} bytes")
    return tag.value if isinstance(tag.value, bytes) else bytes(np.atleast_1d(tag.value).tolist())


class Black(NamedTuple):
    """level: the black level on average, as LibRaw would take it from the tags.
    span: from there to white.
    masked: (top, left, bottom, right) of each masked area, whose pixels LibRaw averages instead.
    """

    level: float
    span: float
    masked: list[tuple[int, int, int, int]]


def check_levels(raw: tifffile.TiffPage, notes: list[str]) -> Black:
    """Raises ValueError for levels that LibRaw applies wrongly: a black level of a demosaiced
    picture, which it subtracts and leaves the white level where it was; different white levels of
    its colours, which it takes for a white balance; black levels that differ by row or column,
    which it averages."""
    white = numbers(raw.tags, WHITE_LEVEL) or [2**raw.bitspersample - 1]
    black = float(np.mean(numbers(raw.tags, BLACK_LEVEL) or [0]))
    deltas = {
        name: np.array(values)
        for tag, name in _BLACK_DELTAS.items()
        if (values := numbers(raw.tags, tag))
    }
    level = black + sum(float(delta.mean()) for delta in deltas.values())
    if raw.photometric == LINEAR_RAW:
        if any(map(round, [*numbers(raw.tags, BLACK_LEVEL), level])):
            raise ValueError("it is demosaiced with a black level, which LibRaw scales wrongly")
        if len(set(white)) > 1:
            raise ValueError("its colours have different white levels, which LibRaw misreads")
    for name, delta in deltas.items():
        off = float(np.abs(delta - delta.mean()).max())
        if off > _DELTA_TOLERANCE * (white[0] - level):
            raise ValueError(f"its black levels differ by {off:g} ({name}), which LibRaw averages")
        if off > 0.5:
            notes.append(f"{name} averaged")
    edges = [round(edge) for edge in numbers(raw.tags, _MASKED_AREAS)]
    areas = list(zip(*(edges[side::4] for side in range(4)), strict=False))
    if len(areas) > _MOST_MASKED:
        raise ValueError(f"it has {len(areas)} masked areas, of which LibRaw takes {_MOST_MASKED}")
    return Black(level, white[0] - level, areas)


def _default_crop(tags: tifffile.TiffTags) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) in the raw frame: DefaultCropOrigin counts from ActiveArea's
    corner. LibRaw's own reading of both moves odd places to even ones, a pixel off Adobe's."""
    if _CROP_SIZE not in tags:
        return None
    top, left, _, _ = map(round, exactly(tags, ACTIVE_AREA, 4, [0] * 4))
    across, down = map(round, exactly(tags, _CROP_ORIGIN, 2, [0, 0]))
    width, height = map(round, exactly(tags, _CROP_SIZE, 2))
    return left + across, top + down, width, height


def numbers(tags: tifffile.TiffTags, code: int) -> list[float]:
    """A tag's numbers, whichever type they are stored in; [] without the tag."""
    tag = tags.get(code)
    if tag is None:
        return []
    if tag.count > _MOST_NUMBERS:
        raise ValueError(f"its tag {code} has {tag.count} numbers, more than any DNG's")
    # Tifffile gives bytes for numbers of a byte.
    value = list(tag.value if isinstance(tag.value, bytes) else np.atleast_1d(tag.value))
    if tag.dtype in _RATIONALS:  # numerator, denominator, numerator, …
        if len(value) % 2 or not all(value[1::2]):
            raise ValueError(f"its tag {code} has a fraction over zero")
        value = [
            int(above) / int(below) for above, below in zip(value[::2], value[1::2], strict=True)
        ]
    return [float(number) for number in value]


def exactly(
    tags: tifffile.TiffTags, code: int, count: int, default: list[float] | None = None
) -> list[float]:
    """A tag's numbers, or the default without the tag. Raises ValueError where they are not so
    many."""
    values = numbers(tags, code) or default or []
    if len(values) != count:
        raise ValueError(f"its tag {code} has {len(values)} numbers, {count} are wanted")
    return values
