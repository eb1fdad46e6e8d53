"""Developing a DNG with LibRaw: everything that decides a pixel is fixed, and recorded.

LibRaw's defaults make a picture's brightness depend on its content (`no_auto_bright`,
`adjust_maximum_thr`) and its colours too, where the file has no white balance. None of that
happens here. What stays undone: the DNG's opcodes, its baseline exposure and its colour profiles;
LibRaw takes one colour matrix (D65's, where there is one). `camera.py` shares what reads the file,
and applies the opcodes of lens shading.
"""

from __future__ import annotations

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
from .files import upright

# Tags of the DNG specification (Adobe, version 1.7).
_ORIENTATION, _MODEL = 274, 272
_DNG_VERSION, _CAMERA, _COLOR_MATRIX = 50706, 50708, 50721
_CROP_ORIGIN, _CROP_SIZE, ACTIVE_AREA = 50719, 50720, 50829
_WHITE_XY, BLACK_LEVEL = 50729, 50714
OPCODES2 = 51009
_OPCODES = {51008: "OpcodeList1", OPCODES2: "OpcodeList2", 51022: "OpcodeList3"}
_MOSAIC, LINEAR_RAW = 32803, 34892
_JPEG_COMPRESSIONS, _JPEG_START = (7, 34892), b"\xff\xd8"  # lossless, lossy
_RATIONALS = (5, 10)


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
    """What a DNG's tags say.

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
    DNG, of a sensor whose pixels LibRaw rearranges, or without white balance where that is refused.
    """
    with decoding(path, "cannot be developed"):
        with tifffile.TiffFile(path) as tiff:
            layout = layout_of(tiff)
            _check_linear_black(layout.page)
        notes = [f"{name} not applied" for name in layout.opcodes.values()] + layout.notes
        with rawpy.imread(str(path)) as libraw:
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
    """Whatever goes wrong inside is a DataError: the file, `failure`, and the decoder's reason."""
    try:
        yield
    except (DataError, MemoryError):  # no memory is the machine's fault, not the file's
        raise
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


def layout_of(tiff: tifffile.TiffFile) -> Layout:
    """Find the raw picture. Raises ValueError where there is none, or not all of it."""
    first = tiff.pages.first
    if _DNG_VERSION not in first.tags:
        raise ValueError("it is no DNG")
    # The raw picture is often a page under the first one, which is a preview with the file's tags.
    pages = [
        page
        for page in (first, *(first.pages or ()))
        if page.photometric in (_MOSAIC, LINEAR_RAW) and not page.subfiletype & 1
    ]
    if not pages:
        raise ValueError("it holds no raw picture")
    raw = pages[0]
    check_whole(tiff, raw)
    if _COLOR_MATRIX not in first.tags:
        raise ValueError("it has no colour matrix")
    orientation = int(first.tags.valueof(_ORIENTATION, 1))
    opcodes = {tag: name for tag, name in _OPCODES.items() if tag in raw.tags}
    notes = []
    if _WHITE_XY in first.tags:
        notes.append("AsShotWhiteXY not used")
    if orientation not in range(1, 9):
        notes.append(f"orientation {orientation} means nothing, taken as upright")
        orientation = 1
    camera = first.tags.valueof(_CAMERA) or first.tags.valueof(_MODEL) or "unknown"
    return Layout(raw, orientation, _default_crop(raw.tags), str(camera), opcodes, notes)


def _check_linear_black(raw: tifffile.TiffPage) -> None:
    """Raises ValueError for a demosaiced picture with a black level: LibRaw subtracts that and
    leaves the white level where it was."""
    if raw.photometric == LINEAR_RAW and any(map(round, numbers(raw.tags, BLACK_LEVEL))):
        raise ValueError("it is demosaiced with a black level, which LibRaw scales wrongly")


def check_whole(tiff: tifffile.TiffFile, raw: tifffile.TiffPage) -> None:
    """Raises ValueError where picture data is missing, or a compressed tile or strip does not begin
    as one: LibRaw would read on, and leave it and the next one black."""
    size = tiff.filehandle.size
    segments = list(zip(raw.dataoffsets, raw.databytecounts, strict=True))
    end = max((offset + count for offset, count in segments), default=0)
    if not segments or end > size:
        raise ValueError(f"the file is truncated: {size} bytes, its pixels end at {end}")
    if raw.compression not in _JPEG_COMPRESSIONS:
        return
    for offset, _ in segments:
        tiff.filehandle.seek(offset)
        if tiff.filehandle.read(2) != _JPEG_START:
            raise ValueError(f"the file is damaged: no picture data at byte {offset}")


def _default_crop(tags: tifffile.TiffTags) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) in the raw frame: DefaultCropOrigin counts from ActiveArea's
    corner. LibRaw's own reading of both moves odd places to even ones, a pixel off Adobe's."""
    if _CROP_SIZE not in tags:
        return None
    top, left, *_ = map(round, numbers(tags, ACTIVE_AREA) or [0, 0])
    x, y = map(round, numbers(tags, _CROP_ORIGIN) or [0, 0])
    width, height = map(round, numbers(tags, _CROP_SIZE))
    return left + x, top + y, width, height


def numbers(tags: tifffile.TiffTags, code: int) -> list[float]:
    """A tag's numbers, whichever type they are stored in; [] without the tag."""
    tag = tags.get(code)
    if tag is None:
        return []
    value = list(np.atleast_1d(tag.value))
    if tag.dtype in _RATIONALS:  # numerator, denominator, numerator, …
        if not all(value[1::2]):
            raise ValueError(f"its tag {code} has a fraction over zero")
        value = [int(n) / int(d) for n, d in zip(value[::2], value[1::2], strict=True)]
    return [float(number) for number in value]


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
    """What a decoder says, without where the file lies."""
    if isinstance(error, LookupError):  # a place in the file that is not there: only a number
        return "the file is damaged, what it refers to is not in it"
    first = error.args[0] if error.args else ""
    text = first.decode(errors="replace") if isinstance(first, bytes) else str(error)
    text = text.replace(str(path), path.name)
    return " ".join(text.split())[:200] or type(error).__name__
