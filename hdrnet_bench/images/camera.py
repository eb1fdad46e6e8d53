"""A DNG to linear light in the camera's own colours: HDRNet's input on the HDR+ bursts.

Black and white level, white balance and lens shading are applied here, on the mosaic, in the order
of the DNG specification (1.7, chapter 5); LibRaw unpacks before and demosaics after, and scales
nothing. 1.0 is stored as 32767, so that what the gains lift above white survives up to 2.0.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import rawpy
import tifffile
from numpy.typing import NDArray

from .. import files
from . import gain_map, raw
from .dng_segments import LOSSY_JPEG, check_whole
from .dng_tags import (
    ACTIVE_AREA,
    BLACK_LEVEL,
    OPCODES2,
    WHITE_LEVEL,
    exactly,
    layout_of,
    opcode_bytes,
)
from .gain_map import GainMap
from .limits import check_size
from .pixels import upright
from .stored import picture_bytes
from .tiff_file import check_coding, open_tiff

WHITE = 32767  # stored value of 1.0
_LARGEST = 65535
_STRIP = 256  # rows at a time, so that a phone's whole picture is never in memory as float
# Tags of the DNG specification (Adobe, version 1.7).
_BLACK_REPEAT, _BLACK_ACROSS, _BLACK_DOWN = 50713, 50715, 50716
# A neutral must stay neutral and as bright: what a matrix's rows may miss of 1.
_ROW_TOLERANCE = 0.05
_MOST_BLACKS = 4096  # of a pattern, as LibRaw has room for
_MOST_GAINS, _MOST_TEXT = 1 << 20, 1 << 16  # of a map's samples; of a matrix's bytes


class CameraDeveloped(NamedTuple):
    """pixels: (H, W, 3) uint16, linear camera RGB after white balance, 1.0 = 32767; upright.
    multipliers: of R, G, B; the smallest is 1, so that what saturates is white or above it.
    shading: where the gains of lens shading are from: the file's opcodes, the argument's map, or
        nowhere.
    orientation: EXIF's code, that was applied.
    black: the level of each place in the black pattern, row by row; where the camera has
        demosaiced, of R, G, B in each place.
    white: the level; where the camera has demosaiced, of R, G, B.
    """

    pixels: NDArray[np.uint16]
    multipliers: list[float]
    shading: Literal["opcode", "map", "none"]
    orientation: int
    black: list[float]
    white: list[float]
    camera: str
    notes: list[str]


class _Levels(NamedTuple):
    """black: (rows, columns, samples), repeated from the active area's corner; `down` (H, 1, 1) and
    `across` (1, W, 1) come on top. white, span: (samples). All float32.

    The span is from the largest black level to white, as the specification divides.
    """

    black: NDArray[np.float32]
    down: NDArray[np.float32]
    across: NDArray[np.float32]
    white: NDArray[np.float32]
    span: NDArray[np.float32]


class _Sensor(NamedTuple):
    """What the tags of the raw picture say; active: top, left, height, width."""

    active: tuple[int, int, int, int]
    levels: _Levels
    maps: list[GainMap]


def settings() -> dict[str, Any]:
    """All that decides how a DNG is developed, for a dataset's header: LibRaw's parameters, and the
    versions."""
    return raw.parameters_record(_parameters())


def _parameters() -> dict[str, Any]:
    """What makes LibRaw demosaic and nothing else: it subtracts 0, multiplies by 1, takes the
    largest number for white, and neither scales nor converts colours."""
    return raw.parameters(raw.Development()) | {
        "output_color": rawpy.ColorSpace.raw,
        "user_wb": [1.0] * 4,
        "user_black": 0,
        "user_cblack": [0] * 4,
        "user_sat": _LARGEST,
        "no_auto_scale": True,
    }


def develop_camera(
    path: Path, shading: NDArray[np.float32] | None, content: bytes | None = None
) -> CameraDeveloped:
    """A DNG to linear camera RGB.

    Args:
        path: of a colour DNG, mosaic or demosaiced.
        shading: lens shading map, (h, w, 4) as `read_shading` gives it; used only where the file
            has no GainMap opcode of its own, so that shading is never corrected twice.
        content: the file's bytes, where they have been read.

    What saturates comes out as 1.0 at least. Raises DataError that names the file: as
    `raw.develop`, and for levels or opcodes that cannot be applied.
    """
    with raw.decoding(path, "cannot be developed"):
        content = content or picture_bytes(path)
        with open_tiff(content) as tiff:
            layout = layout_of(tiff)
            notes = [
                f"{name} not applied" for tag, name in layout.opcodes.items() if tag != OPCODES2
            ] + layout.notes
            sensor = _sensor(layout.page, notes)
        with rawpy.imread(io.BytesIO(content)) as libraw:
            raw.check_picture(libraw, layout.page)
            balance, _ = raw.camera_white_balance(libraw, raw.Development(), notes)
            if libraw.color_desc != b"RGBG" or libraw.num_colors != 3:
                raise ValueError("its colours are not red, green and blue")
            multipliers = [value / min(balance[:3]) for value in balance[:3]]
            source = _scale(libraw, sensor, multipliers, shading)
            sizes = libraw.sizes
            pixels = cast(NDArray[np.uint16], libraw.postprocess(**_parameters()))
        if layout.crop:
            pixels = raw.cut_crop(pixels, sizes, layout.crop, notes)
        if not pixels.any():
            notes.append("developed all black")
        return CameraDeveloped(
            np.ascontiguousarray(upright(pixels, layout.orientation)),
            multipliers,
            source,
            layout.orientation,
            sensor.levels.black.ravel().tolist(),
            sensor.levels.white.tolist(),
            layout.camera,
            notes,
        )


def _sensor(page: tifffile.TiffPage, notes: list[str]) -> _Sensor:
    if page.compression == LOSSY_JPEG:  # which LibRaw linearises, opcodes and all
        raise ValueError("its pixels are lossy JPEG, which gives no camera colours here")
    frame = [0.0, 0.0, page.imagelength, page.imagewidth]
    top, left, bottom, right = map(round, exactly(page.tags, ACTIVE_AREA, 4, frame))
    if not (0 <= top < bottom <= page.imagelength and 0 <= left < right <= page.imagewidth):
        raise ValueError("its active area lies outside the picture")
    active = top, left, bottom - top, right - left
    maps = []
    if OPCODES2 in page.tags:
        maps = gain_map.read_opcodes(opcode_bytes(page), notes)
    return _Sensor(active, _levels(page, active[2:]), maps)


def _levels(page: tifffile.TiffPage, size: tuple[int, int]) -> _Levels:
    """The levels by their tags, of an active area of this height and width. Without a tag its value
    is the specification's: black 0, in a pattern of one place; white the largest number."""
    samples = page.samplesperpixel

    def level(code: int, count: int, default: list[float]) -> NDArray[np.float32]:
        return np.array(exactly(page.tags, code, count, default), np.float32)

    rows, columns = map(int, level(_BLACK_REPEAT, 2, [1, 1]))
    count = rows * columns * samples
    if not 0 < count <= _MOST_BLACKS:
        raise ValueError(f"its black level is one of {rows} x {columns} places")
    black = level(BLACK_LEVEL, count, [0] * count).reshape(rows, columns, samples)
    down = level(_BLACK_DOWN, size[0], [0] * size[0])
    across = level(_BLACK_ACROSS, size[1], [0] * size[1])
    white = level(WHITE_LEVEL, samples, [2**page.bitspersample - 1] * samples)
    # The largest sum of the three black levels. The pattern repeats, the levels of rows and columns
    # do not: each place of the pattern takes the largest of the rows and columns that it is in.
    largest = (
        black
        + np.array([down[y::rows].max() for y in range(rows)])[:, None, None]
        + np.array([across[x::columns].max() for x in range(columns)])[:, None]
    )
    span = white - largest.max(axis=(0, 1))
    if span.min() <= 0:
        raise ValueError(f"its white level {white.tolist()} is not above its black level")
    if np.ptp(span):
        raise ValueError("its colours have different levels, which LibRaw takes for a balance")
    return _Levels(black, down[:, None, None], across[:, None], white, span)


def _scale(
    libraw: rawpy.RawPy,
    sensor: _Sensor,
    multipliers: list[float],
    shading: NDArray[np.float32] | None,
) -> Literal["opcode", "map", "none"]:
    """Put what LibRaw unpacked to its final scale, in place; where the shading came from."""
    picture = libraw.raw_image_visible
    top, left, *active = sensor.active
    y, x = corner = libraw.sizes.top_margin - top, libraw.sizes.left_margin - left
    if min(corner) < 0 or y + picture.shape[0] > active[0] or x + picture.shape[1] > active[1]:
        raise ValueError("LibRaw's picture is larger than the active area")
    # LibRaw numbers the colours of its mosaic R, G, B and the second green.
    by_colour = np.array([*multipliers, multipliers[1]], np.float32)
    if picture.ndim == 3:  # demosaiced by the camera
        picture, gains = picture[:, :, :3], by_colour[None, None, :3]
    else:
        # The pattern's period: 2 for Bayer's, 6 for X-Trans. (H, W, 1), so that samples come last.
        period = len(cast(NDArray[np.uint8], libraw.raw_pattern))
        colours = libraw.raw_colors_visible[:period, :period]
        picture, gains = picture[:, :, None], by_colour[colours][:, :, None]
    maps = sensor.maps
    source: Literal["opcode", "map", "none"] = "opcode" if maps else "none"
    if not maps and shading is not None:
        if gains.shape != (2, 2, 1):
            raise ValueError("a lens shading map is for a Bayer pattern, which it does not have")
        maps, source = gain_map.over_bayer(shading, colours, corner), "map"
    _balance(picture, sensor.levels, gains, maps, (active[0], active[1]), corner)
    return source


def _balance(
    picture: NDArray[np.uint16],
    levels: _Levels,
    gains: NDArray[np.float32],
    maps: list[GainMap],
    active: tuple[int, int],
    corner: tuple[int, int],
) -> None:
    """Levels, white balance and lens shading of (H, W, samples), in place.

    gains: (rows, columns, samples), repeated from the picture's corner; `corner` is that in the
    active area.
    """
    columns = np.arange(picture.shape[1])
    across = columns + corner[1]
    for start in range(0, picture.shape[0], _STRIP):
        strip = picture[start : start + _STRIP]
        rows = np.arange(start, start + len(strip))
        down = rows + corner[0]
        # The specification's order: linearise and clip, then the opcodes of its second list, which
        # are the maps. White balance is a factor like theirs.
        light = strip - _tile(levels.black, down, across)
        light -= levels.down[down] + levels.across[across]
        light /= levels.span
        light.clip(0, 1, out=light)
        light *= _tile(gains, rows, columns)
        for gain in maps:
            gain_map.multiply(light, gain, active, (int(down[0]), corner[1]))
        # A gain below 1 must not make grey of what saturates.
        np.maximum(light, 1, out=light, where=strip >= levels.white)
        light *= WHITE
        strip[:] = np.rint(light.clip(0, _LARGEST, out=light), out=light)


def _tile(
    pattern: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float32]:
    return pattern[np.ix_(rows % pattern.shape[0], columns % pattern.shape[1])]


def read_shading(path: Path) -> NDArray[np.float32]:
    """The lens shading map beside an HDR+ frame: (h, w, 4) gains of R, G beside R, G beside B, B.

    Raises DataError that names the file: it is missing, broken, of another shape, or has gains
    that are no positive numbers.
    """
    with raw.decoding(path, "is no lens shading map"):
        with open_tiff(picture_bytes(path)) as tiff:
            page = tiff.pages.first
            check_size(page.imagewidth, page.imagelength)
            check_coding(page)
            if page.imagewidth * page.imagelength * page.samplesperpixel > _MOST_GAINS:
                raise ValueError(f"{page.imagewidth} x {page.imagelength} gains are no coarse map")
            check_whole(tiff, page)
            gains = page.asarray()
            if page.axes == "SYX":
                gains = np.moveaxis(gains, 0, -1)
        if gains.ndim != 3 or gains.shape[2] != 4 or gains.dtype.kind != "f":
            raise ValueError(
                f"{' x '.join(map(str, gains.shape))} {gains.dtype} samples, "
                "h x w x 4 floating ones are wanted"
            )
        gains = np.ascontiguousarray(gains, np.float32)
        gain_map.check_gains(gains)
        return gains


def read_rgb2rgb(path: Path) -> NDArray[np.float64]:
    """A burst's (3, 3) matrix from white-balanced camera RGB to linear sRGB.

    Raises DataError that names the file: it is missing, not nine finite numbers, or its rows do
    not sum to 1, so that white would not stay white.
    """
    with raw.decoding(path, "is no colour matrix"):
        numbers = [
            float(word) for word in files.read_text(path, _MOST_TEXT).replace(",", " ").split()
        ]
        if len(numbers) != 9:
            raise ValueError(f"{len(numbers)} numbers, 9 are wanted")
        matrix = np.array(numbers).reshape(3, 3)
        sums = matrix.sum(axis=1)
        # Written so that what is no number is refused too.
        if not np.abs(sums - 1).max() <= _ROW_TOLERANCE:
            raise ValueError(f"its rows sum to {sums.tolist()}, 1 is wanted")
        return matrix
