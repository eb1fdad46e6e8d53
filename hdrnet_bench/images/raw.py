"""Developing a DNG with LibRaw: everything that decides a pixel is fixed, and recorded.

LibRaw's defaults make a picture's brightness depend on its content (`no_auto_bright`,
`adjust_maximum_thr`) and its colours too, where the file has no white balance. None of that
happens here. What stays undone: the DNG's opcodes, its baseline exposure and its colour profiles;
LibRaw takes one colour matrix (D65's, where there is one). `camera.py` shares what reads the file,
and applies the opcodes of lens shading.

LibRaw decodes some kinds of DNG wrongly and says nothing. All that are known are refused by their
tags, before it sees them: each was tried with LibRaw 0.22.2, on a file whose pixels are known.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import rawpy
import tifffile
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ..errors import DataError
from .pixels import upright

# Tags of the DNG specification (Adobe, version 1.7).
_ORIENTATION, _MODEL = 274, 272
_DNG_VERSION, _CAMERA, _COLOR_MATRIX = 50706, 50708, 50721
_CROP_ORIGIN, _CROP_SIZE, ACTIVE_AREA = 50719, 50720, 50829
_WHITE_XY, BLACK_LEVEL, WHITE_LEVEL = 50729, 50714, 50717
_BLACK_DELTAS = {50715: "BlackLevelDeltaH", 50716: "BlackLevelDeltaV"}
_LINEARIZATION, _MASKED_AREAS = 50712, 50830
OPCODES2 = 51009
_OPCODES = {51008: "OpcodeList1", OPCODES2: "OpcodeList2", 51022: "OpcodeList3"}
_MOSAIC, LINEAR_RAW = 32803, 34892
_RATIONALS = (5, 10)
_BITS, _SAMPLE_FORMAT = 258, 339
_SAMPLE_FORMATS = {2: "signed numbers", 3: "floating point"}
_UNCOMPRESSED, _LOSSLESS_JPEG, LOSSY_JPEG = 1, 7, 34892
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
# How much of the range between black and white a black level may be off, before it is refused: of a
# row or column, and of the masked pixels, whose average a camera's noise and warmth move.
_DELTA_TOLERANCE, _MASKED_TOLERANCE = 0.0025, 0.01
# LibRaw leaves out a colour matrix by which red has less of the first colour than this.
_LEAST_RED = 0.125
_LIBRAW = f"LibRaw {'.'.join(map(str, rawpy.libraw_version))}"


class Development(BaseModel):
    """How a DNG is developed: part of a protocol.

    demosaic: LibRaw's algorithm.
    white_balance: the camera's own (AsShotNeutral), or daylight as the colour matrix says.
    without_white_balance: what becomes of a file that has none: daylight, which is fixed by the
        camera and not by the scene, or an error. LibRaw itself would guess from the content.
    highlights: clip where the first channel saturates.
    crop: "default" cuts to DefaultCropOrigin and DefaultCropSize, as Adobe's programs do and
        LibRaw does not; "none" keeps all that LibRaw develops.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    demosaic: Literal["ahd", "ppg", "linear"] = "ahd"
    white_balance: Literal["camera", "daylight"] = "camera"
    without_white_balance: Literal["daylight", "refuse"] = "daylight"
    highlights: Literal["clip"] = "clip"
    crop: Literal["default", "none"] = "default"


class Developed(NamedTuple):
    """pixels: (H, W, 3) uint16, linear light with sRGB primaries, upright, C order.
    multipliers: of R, G, B, green's is 1. LibRaw divides them by the smallest, so that what
        saturates is white.
    white_balance: what the multipliers are.
    orientation: EXIF's code, that was applied.
    crop: (left, top, width, height) in pixels of the raw frame, before turning; None where all
        that LibRaw develops was kept.
    """

    pixels: NDArray[np.uint16]
    multipliers: list[float]
    white_balance: Literal["camera", "daylight", "daylight (the file has none)"]
    orientation: int
    crop: tuple[int, int, int, int] | None
    camera: str
    notes: list[str]


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


def settings(how: Development) -> dict[str, Any]:
    """All that decides how a DNG is developed, for a dataset's header: LibRaw's parameters (each
    picture's own multipliers come on top), and the versions."""
    return {**how.model_dump(), **parameters_record(parameters(how))}


def parameters_record(options: dict[str, Any]) -> dict[str, Any]:
    """LibRaw's parameters and its version, as JSON can hold them."""
    libraw = {
        name: value.name if isinstance(value, Enum) else value for name, value in options.items()
    }
    return {
        "parameters": libraw | {"gamma": list(libraw["gamma"])},
        "rawpy": version("rawpy"),
        "libraw": ".".join(map(str, rawpy.libraw_version)),
    }


def parameters(how: Development) -> dict[str, Any]:
    """All of rawpy's parameters but each picture's own white balance. Defaults are among them, so
    that none can change with a version."""
    return {
        "demosaic_algorithm": rawpy.DemosaicAlgorithm[how.demosaic.upper()],
        "half_size": False,
        "four_color_rgb": False,
        "fbdd_noise_reduction": rawpy.FBDDNoiseReductionMode.Off,
        "noise_thr": None,
        "median_filter_passes": 0,
        "use_camera_wb": False,  # passed as multipliers, so that LibRaw decides nothing by itself
        "use_auto_wb": False,
        "output_color": rawpy.ColorSpace.sRGB,
        "output_bps": 16,
        "user_flip": 0,  # turned here, after cropping
        "user_black": None,
        "user_sat": None,
        # By these two LibRaw would take a picture's brightness from its content: by its histogram,
        # and by a white level lowered to its largest number.
        "no_auto_bright": True,
        "adjust_maximum_thr": 0.0,
        "bright": 1.0,
        "highlight_mode": rawpy.HighlightMode.Clip,
        "exp_shift": None,
        "no_auto_scale": False,
        "gamma": (1, 1),
        "chromatic_aberration": None,
    }


def develop(path: Path, how: Development) -> Developed:
    """A DNG to linear light.

    Raises DataError that names the file: it is missing, truncated, damaged where that shows, no
    DNG, of a kind that LibRaw does not decode right (floating point, say), or without white balance
    where that is refused.
    """
    with decoding(path, "cannot be developed"):
        with tifffile.TiffFile(path) as tiff:
            layout = layout_of(tiff)
            notes = [f"{name} not applied" for name in layout.opcodes.values()] + layout.notes
            black = _check_levels(layout.page, notes)
        with rawpy.imread(str(path)) as libraw:
            check_picture(libraw, layout.page)
            _check_masked_areas(libraw, black)
            if libraw.color_matrix[0, 0] <= _LEAST_RED:
                raise ValueError(f"{_LIBRAW} does not take its colour matrix")
            balance, white_balance = camera_white_balance(libraw, how, notes)
            # The second green gets green's; a fourth colour its own.
            fourth = balance[3] / balance[1] if libraw.num_colors == 4 else 1.0
            multipliers = [value / balance[1] for value in balance[:3]]
            sizes = libraw.sizes
            options = parameters(how) | {"user_wb": [*multipliers, fourth]}
            pixels = cast(NDArray[np.uint16], libraw.postprocess(**options))
        crop = layout.crop if how.crop == "default" else None
        if crop:
            pixels = cut_crop(pixels, sizes, crop, notes)
        if not pixels.any():
            notes.append("developed all black")
    return Developed(
        np.ascontiguousarray(upright(pixels, layout.orientation)),
        multipliers,
        white_balance,
        layout.orientation,
        crop,
        layout.camera,
        notes,
    )


@contextmanager
def decoding(path: Path, failure: str) -> Iterator[None]:
    """Whatever goes wrong inside is a DataError: the file, `failure`, and the reason in words."""
    try:
        yield
    except (DataError, MemoryError):  # no memory is the machine's fault, not the file's
        raise
    except rawpy.LibRawUnsufficientMemoryError:
        raise MemoryError(f"{_LIBRAW} has no memory for {path}") from None
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except Exception as error:  # Decoders raise whatever comes to them on a broken file.
        raise DataError(f"{path} {failure}: {_reason(error, path)}") from None


def camera_white_balance(
    libraw: rawpy.RawPy, how: Development, notes: list[str]
) -> tuple[list[float], Literal["camera", "daylight", "daylight (the file has none)"]]:
    """LibRaw's multipliers, of its four colours (0 for one that it does not have), and whose."""
    camera, daylight = libraw.camera_whitebalance, libraw.daylight_whitebalance
    if libraw.num_colors < 3 or min(daylight[:3]) <= 0:
        raise ValueError("it is not in colour")
    if how.white_balance == "daylight":
        return daylight, "daylight"
    if min(camera[:3]) > 0:  # LibRaw says (0, 1, 0) where the file says nothing
        return camera, "camera"
    if how.without_white_balance == "refuse":
        raise ValueError("it has no camera white balance (AsShotNeutral)")
    notes.append("no camera white balance in the file, the camera's daylight taken")
    return daylight, "daylight (the file has none)"


def sameness(pixels: NDArray[np.uint16]) -> str | None:
    """What is wrong with (H, W, 3) that hold no picture, None where they hold one."""
    first = pixels[0, 0]
    # Nearly every picture shows in a few pixels that it is one.
    if (pixels[::64, ::64] != first).any() or (pixels != first).any():
        return None
    return "developed all equal" if first.any() else "developed all black"


def layout_of(tiff: tifffile.TiffFile) -> Layout:
    """Find the raw picture. Raises ValueError where there is none, not all of it, or one that
    LibRaw does not decode right."""
    first = tiff.pages.first
    if _DNG_VERSION not in first.tags:
        raise ValueError("it is no DNG")
    if tiff.is_bigtiff:
        raise ValueError(f"it is a BigTIFF, which {_LIBRAW} cannot read")
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
    _check_kind(raw)
    check_whole(tiff, raw)
    _check_segments(tiff, raw)
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
    if code not in (_UNCOMPRESSED, _LOSSLESS_JPEG, LOSSY_JPEG):
        name = _COMPRESSIONS.get(code, f"compressed by code {code}")
        raise ValueError(f"its pixels are {name}, which {_LIBRAW} cannot decode")
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
            raise ValueError(f"its {name} is {value}, which {_LIBRAW} misreads")
    if raw.is_tiled and raw.tilewidth > raw.imagewidth:
        raise ValueError(f"its tiles are wider than the picture, which {_LIBRAW} misreads")
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
    fujifilm = (rows, columns) == (6, 6) and [pattern.count(c) for c in range(3)] == [8, 20, 8]
    if not fujifilm and (columns != 2 or rows not in (2, 4, 8)):
        raise ValueError(f"its mosaic repeats every {size} pixels, which {_LIBRAW} misreads")
    planes = numbers(tags, _PLANE_COLOURS) or [0, 1, 2]
    if planes[:3] != [0, 1, 2] or not {0, 1, 2} <= set(pattern):
        raise ValueError("its mosaic's colours are not red, green and blue")


def _check_lossy(raw: tifffile.TiffPage) -> None:
    """Raises ValueError for 8 bits whose meaning LibRaw guesses: it knows that of Adobe's files, a
    MapPolynomial for each colour, and takes sRGB's curve for all others."""
    what = "its pixels are lossy JPEG"
    if raw.photometric == _MOSAIC:
        raise ValueError(f"{what} of a mosaic, which {_LIBRAW} cannot decode")
    white = set(numbers(raw.tags, WHITE_LEVEL)) or {255}
    if _LINEARIZATION in raw.tags or white != {255} or sorted(_polynomials(raw)) != [0, 1, 2]:
        raise ValueError(f"{what} with a curve that {_LIBRAW} does not apply")


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
    return tag.value if isinstance(tag.value, bytes) else bytes(np.atleast_1d(tag.value).tolist())


class _Black(NamedTuple):
    """level: the black level on average, as LibRaw would take it from the tags.
    span: from there to white.
    masked: (top, left, bottom, right) of each masked area, whose pixels LibRaw averages instead.
    """

    level: float
    span: float
    masked: list[tuple[int, int, int, int]]


def _check_levels(raw: tifffile.TiffPage, notes: list[str]) -> _Black:
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
    return _Black(level, white[0] - level, areas)


def _check_masked_areas(libraw: rawpy.RawPy, black: _Black) -> None:
    """Raises ValueError where LibRaw would take another black level than the file's: the average
    of the pixels that the file says are masked."""
    if libraw.raw_image.ndim != 2:
        return
    areas = [
        libraw.raw_image[top:bottom, left:right].ravel()
        for top, left, bottom, right in black.masked
    ]
    masked = np.concatenate(areas) if areas else np.empty(0)
    if masked.size and abs(masked.mean() - black.level) > _MASKED_TOLERANCE * black.span:
        raise ValueError(
            f"its black level is {black.level:g}, but {masked.mean():.4g} in its masked areas, "
            "by which LibRaw goes"
        )


def check_picture(libraw: rawpy.RawPy, raw: tifffile.TiffPage) -> None:
    """Raises ValueError where LibRaw has taken another of the file's pictures."""
    size = libraw.sizes.raw_width, libraw.sizes.raw_height
    if size != (raw.imagewidth, raw.imagelength):
        raise ValueError(
            f"{_LIBRAW} finds a picture of {size[0]} x {size[1]} pixels in it, "
            f"its tags have {raw.imagewidth} x {raw.imagelength}"
        )


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


def _check_segments(tiff: tifffile.TiffFile, raw: tifffile.TiffPage) -> None:
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
    if raw.compression == _UNCOMPRESSED:
        row = (width * raw.samplesperpixel * raw.bitspersample + 7) // 8
        _check_uncompressed(raw, row, height)
        return
    if not raw.is_tiled and len(raw.dataoffsets) > 1:
        raise ValueError(f"its JPEG lies in strips, of which {_LIBRAW} decodes the first")
    for offset in raw.dataoffsets:
        frame = _jpeg_frame(tiff, offset)
        if raw.compression == LOSSY_JPEG:
            if frame != _Frame(frame.kind, width, height, 3) or frame.kind not in _LOSSY_FRAMES:
                raise ValueError(f"the file is damaged: no lossy JPEG at byte {offset}")
            continue
        if frame.kind != _LOSSLESS_FRAME:
            raise ValueError(
                "its pixels are lossy JPEG under the code of the lossless one, "
                f"which {_LIBRAW} misreads"
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
        raise ValueError(f"its strips lie apart, which {_LIBRAW} misreads")


class _Frame(NamedTuple):
    """What a JPEG's frame header says; kind: its marker."""

    kind: int
    width: int
    height: int
    components: int


_LOSSLESS_FRAME, _LOSSY_FRAMES = 0xC3, (0xC0, 0xC1, 0xC2)
_LONGEST_HEADER = 4096


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
            f"tiles of {row} x {height}, {raw.imagewidth} across, is misread by {_LIBRAW}"
        )


def _default_crop(tags: tifffile.TiffTags) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) in the raw frame: DefaultCropOrigin counts from ActiveArea's
    corner. LibRaw's own reading of both moves odd places to even ones, a pixel off Adobe's."""
    if _CROP_SIZE not in tags:
        return None
    top, left, _, _ = map(round, exactly(tags, ACTIVE_AREA, 4, [0] * 4))
    x, y = map(round, exactly(tags, _CROP_ORIGIN, 2, [0, 0]))
    width, height = map(round, exactly(tags, _CROP_SIZE, 2))
    return left + x, top + y, width, height


def numbers(tags: tifffile.TiffTags, code: int) -> list[float]:
    """A tag's numbers, whichever type they are stored in; [] without the tag."""
    tag = tags.get(code)
    if tag is None:
        return []
    # Tifffile gives bytes for numbers of a byte.
    value = list(tag.value if isinstance(tag.value, bytes) else np.atleast_1d(tag.value))
    if tag.dtype in _RATIONALS:  # numerator, denominator, numerator, …
        if len(value) % 2 or not all(value[1::2]):
            raise ValueError(f"its tag {code} has a fraction over zero")
        value = [int(n) / int(d) for n, d in zip(value[::2], value[1::2], strict=True)]
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


def cut_crop(
    pixels: NDArray[np.uint16],
    sizes: rawpy.ImageSizes,
    crop: tuple[int, int, int, int],
    notes: list[str],
) -> NDArray[np.uint16]:
    """The crop, in pixels of the raw frame, out of what LibRaw developed. That begins at LibRaw's
    own margins, and is stretched where the sensor's pixels are not square."""
    height, width = pixels.shape[:2]
    across, down = width / sizes.width, height / sizes.height
    if (across, down) != (1, 1) and sizes.pixel_aspect == 1:
        raise ValueError(
            f"LibRaw turns this sensor's grid from "
            f"{sizes.width} x {sizes.height} to {width} x {height} pixels, its crop is not known"
        )
    left, top = crop[0] - sizes.left_margin, crop[1] - sizes.top_margin
    right, bottom = round((left + crop[2]) * across), round((top + crop[3]) * down)
    left, top = round(left * across), round(top * down)
    box = max(0, left), max(0, top), min(width, right), min(height, bottom)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError("its default crop lies outside the picture")
    if box != (left, top, right, bottom):
        excess = right - left - box[2] + box[0], bottom - top - box[3] + box[1]
        notes.append(f"default crop larger than the picture by {excess[0]} x {excess[1]} pixels")
    return pixels[box[1] : box[3], box[0] : box[2]]


def _reason(error: Exception, path: Path) -> str:
    """What went wrong, in words. Libraries' own messages name neither the kind nor the cause, but
    for ValueErrors, which are those of this package."""
    if isinstance(error, rawpy.LibRawFileUnsupportedError):
        return f"it is of a kind that {_LIBRAW} cannot decode"
    if isinstance(error, rawpy.LibRawTooBigError):
        return f"it is too large for {_LIBRAW}"
    if isinstance(error, (rawpy.LibRawDataError, rawpy.LibRawIOError)):
        return "the file is damaged: its pixels cannot all be decoded"
    if isinstance(error, rawpy.LibRawError):
        return f"{_LIBRAW} cannot decode it ({type(error).__name__})"
    if isinstance(error, tifffile.TiffFileError):
        whole = not str(error).startswith("not a TIFF")
        return "the file is damaged, its tags make no sense" if whole else "it is no TIFF file"
    if isinstance(error, ValueError):
        return " ".join(str(error).replace(str(path), path.name).split())[:200]
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    if isinstance(error, LookupError):  # a place in the file that is not there: only a number
        return "the file is damaged, what it refers to is not in it"
    return "the file is damaged, its tags make no sense"
