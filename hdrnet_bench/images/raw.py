"""Developing a DNG with LibRaw: everything that decides a pixel is fixed, and recorded.

LibRaw's defaults make a picture's brightness depend on its content (`no_auto_bright`,
`adjust_maximum_thr`) and its colours too, where the file has no white balance. None of that
happens here. What stays undone: the DNG's opcodes, its baseline exposure and its colour profiles;
LibRaw takes one colour matrix (D65's, where there is one). `dng_tags.py` refuses what LibRaw
decodes wrongly; `camera.py` shares what reads the file, and applies the opcodes of lens shading.
"""

from __future__ import annotations

import io
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

from ..errors import DataError, HdrbenchError, StorageError
from .dng_segments import LIBRAW
from .dng_tags import Black, check_levels, layout_of
from .pixels import upright
from .stored import picture_bytes
from .tiff_file import open_tiff

# How much of the range between black and white the average of the masked pixels may be off the
# black level: a camera's noise and warmth move it.
_MASKED_TOLERANCE = 0.01
# LibRaw leaves out a colour matrix by which red has less of the first colour than this.
_LEAST_RED = 0.125


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


def develop(path: Path, how: Development, content: bytes | None = None) -> Developed:
    """A DNG to linear light.

    Args:
        path: of the file.
        how: which of LibRaw's ways.
        content: its bytes, where they have been read.

    Raises DataError that names the file: it is missing, truncated, damaged where that shows, no
    DNG, of a kind that LibRaw does not decode right (floating point, say), or without white balance
    where that is refused.
    """
    with decoding(path, "cannot be developed"):
        content = content or picture_bytes(path)
        with open_tiff(content) as tiff:
            layout = layout_of(tiff)
            notes = [f"{name} not applied" for name in layout.opcodes.values()] + layout.notes
            black = check_levels(layout.page, notes)
        with rawpy.imread(io.BytesIO(content)) as libraw:
            check_picture(libraw, layout.page)
            _check_masked_areas(libraw, black)
            if libraw.color_matrix[0, 0] <= _LEAST_RED:
                raise ValueError(f"{LIBRAW} does not take its colour matrix")
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
    """Whatever goes wrong inside is a DataError: the file, `failure`, and the reason in words;
    a StorageError where it is the system's."""
    try:
        yield
    except (HdrbenchError, MemoryError):  # no memory is the machine's fault, not the file's
        raise
    except rawpy.LibRawUnsufficientMemoryError:
        raise MemoryError(f"{LIBRAW} has no memory for {path}") from None
    except FileNotFoundError:
        raise StorageError(f"{path} is missing") from None
    except Exception as error:  # Decoders raise whatever comes to them on a broken file.
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from None
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


def _check_masked_areas(libraw: rawpy.RawPy, black: Black) -> None:
    """Raises ValueError where LibRaw would take another black level than the file's: the average
    of the pixels that the file says are masked."""
    if libraw.raw_image.ndim != 2:
        return
    areas = [libraw.raw_image[top:bottom, left:right] for top, left, bottom, right in black.masked]
    count = sum(area.size for area in areas)
    mean = sum(int(area.sum(dtype=np.int64)) for area in areas) / max(1, count)
    if count and abs(mean - black.level) > _MASKED_TOLERANCE * black.span:
        raise ValueError(
            f"its black level is {black.level:g}, but {mean:.4g} in its masked areas, "
            "by which LibRaw goes"
        )


def check_picture(libraw: rawpy.RawPy, raw: tifffile.TiffPage) -> None:
    """Raises ValueError where LibRaw has taken another of the file's pictures."""
    size = libraw.sizes.raw_width, libraw.sizes.raw_height
    if size != (raw.imagewidth, raw.imagelength):
        raise ValueError(
            f"{LIBRAW} finds a picture of {size[0]} x {size[1]} pixels in it, "
            f"its tags have {raw.imagewidth} x {raw.imagelength}"
        )


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
        return f"it is of a kind that {LIBRAW} cannot decode"
    if isinstance(error, rawpy.LibRawTooBigError):
        return f"it is too large for {LIBRAW}"
    if isinstance(error, (rawpy.LibRawDataError, rawpy.LibRawIOError)):
        return "the file is damaged: its pixels cannot all be decoded"
    if isinstance(error, rawpy.LibRawError):
        return f"{LIBRAW} cannot decode it ({type(error).__name__})"
    if isinstance(error, tifffile.TiffFileError):
        whole = not str(error).startswith("not a TIFF")
        return "the file is damaged, its tags make no sense" if whole else "it is no TIFF file"
    if isinstance(error, ValueError):
        return " ".join(str(error).replace(str(path), path.name).split())[:200]
    if isinstance(error, LookupError):  # a place in the file that is not there: only a number
        return "the file is damaged, what it refers to is not in it"
    return "the file is damaged, its tags make no sense"
