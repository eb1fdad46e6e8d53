"""A user's photograph: its pixels with all that belongs to them (photo_writer.py writes it).

files.py reads pictures for measuring; this keeps alpha, profile, EXIF and resolution as well, and
holds the pixels in memory once: a picture of 100 megapixels must fit.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from PIL import ExifTags, Image, ImageCms

from ..color import linear_to_srgb
from ..config import FULL_SCALE, Encoding
from ..errors import DataError
from . import camera, files, icc
from .camera import CameraDeveloped, develop_camera
from .files import TURNS, Pixels, decode_tiff, profile_name, upright
from .raw import Developed, Development, develop

Kind = Literal["jpeg", "png", "tiff", "webp"]
# What `read_photo` reads, by suffix in small letters.
KINDS: dict[str, Kind | Literal["dng"]] = {**files.KINDS, ".dng": "dng"}
SUFFIXES: dict[Kind, str] = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp"}
SIXTEEN_BIT: tuple[Kind, ...] = ("png", "tiff")
_DPI = tuple[float, float]
# A TIFF's first directory holds its layout (sizes, strips, compression) and, of EXIF, these tags
# that describe the photograph.
DESCRIPTIVE_TAGS = {
    tag.value
    for tag in (
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Copyright,
    )
}
EXIF_DIRECTORIES = (ExifTags.IFD.Exif.value, ExifTags.IFD.GPSInfo.value)
_ORIENTATION = ExifTags.Base.Orientation.value


@dataclass
class Photo:
    """pixels: (H, W, 3 or 4) uint8 or uint16, upright, C order; the fourth is alpha, as it was.
    profile: of the pixels (RGB); None where the file has none.
    output_profile: what the pixels are to be written in, where that is another.
    exif: without thumbnail, orientation and the layout of a file.
    encoding: what no profile can say: camera colours, with `white` for 1.0.
    """

    pixels: Pixels
    profile: bytes | None = None
    output_profile: bytes | None = None
    exif: Image.Exif = field(default_factory=Image.Exif)
    dpi: _DPI | None = None
    notes: list[str] = field(default_factory=list)
    encoding: Literal["camera"] | None = None
    white: int = FULL_SCALE


def read_photo(path: Path, raw_as: Encoding = "srgb") -> Photo:
    """Decode a photograph. `raw_as`: what a DNG is developed to.

    Raises DataError that names the file.
    """
    try:
        if KINDS.get(path.suffix.lower()) == "dng":
            return _develop(path, raw_as)
        with Image.open(path) as image:
            return _read(path, image)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except Exception as error:  # Decoders raise whatever comes to them on a broken file.
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be decoded as a picture: {reason}") from None


def _read(path: Path, image: Image.Image) -> Photo:
    info, exif = image.info, _exif(path, image)
    orientation = exif.get(_ORIENTATION, 1)
    profile: bytes | None = info.get("icc_profile") or None
    pixels = _decode(path, image)
    notes: list[str] = []
    if pixels is None:  # a rarer kind, for which Pillow's own decoding is good enough
        if image.mode == "CMYK":
            pixels, profile = _cmyk(image, profile, notes), None
        else:
            pixels = _plain(image)
    space = icc.colour_space(profile) if profile else None
    if pixels.shape[2] < 3:
        grey, alpha = pixels[:, :, 0], pixels[:, :, 1:]
        notes.append("grey repeated into three channels")
        if profile and space == "gray":
            rgb, profile = icc.grey_to_srgb(grey, profile), icc.SRGB
            notes[-1] = "grey converted from its profile to sRGB"
            space = "rgb"
        else:
            rgb = grey[:, :, None].repeat(3, axis=2)
        pixels = np.concatenate([rgb, alpha], axis=2) if alpha.shape[2] else rgb
    if profile and space != "rgb":
        kind = f"for {space}" if space else "unreadable"
        notes.append(f"profile left out ({kind}: {profile_name(profile)}); taken as sRGB")
        profile = None
    turns, _ = TURNS.get(orientation, (0, False))
    if orientation != 1:
        notes.append(f"orientation {orientation} applied")
    # Contiguous and writable, as enhancing in place asks; copied only where it is not yet.
    pixels = np.require(upright(pixels, orientation), requirements=["C", "W"])
    dpi = _dpi(info, sideways=turns % 2 == 1)
    return Photo(pixels, profile, exif=_photo_exif(exif, pixels), dpi=dpi, notes=notes)


def _exif(path: Path, image: Image.Image) -> Image.Exif:
    if image.format != "PNG" or "exif" in image.info or "Raw profile type exif" in image.info:
        return image.getexif()
    # A PNG's EXIF chunk may stand behind the pixels, and Pillow would decode them all to find it. A
    # chunk is its length, its name, its content and a checksum of four bytes.
    exif = Image.Exif()
    with path.open("rb") as stream:
        stream.seek(8)
        while len(header := stream.read(8)) == 8:
            length = int.from_bytes(header[:4], "big")
            if header[4:] == b"eXIf":
                exif.load(stream.read(length))
                break
            stream.seek(length + 4, io.SEEK_CUR)
    return exif


def _decode(path: Path, image: Image.Image) -> Pixels | None:
    """(H, W, channels) as the file holds it, by the decoder that needs the least memory; None
    where there is no such decoder. Pillow keeps four bytes a pixel, and 16-bit colour not at all.
    """
    if image.format == "TIFF":
        if image.mode in ("RGB", "RGBA", "L", "LA") or "16" in image.mode:
            return decode_tiff(path)
        return None
    if image.format == "PNG":
        with path.open("rb") as stream:
            depth = stream.read(25)[24]  # of the header chunk, which is always the first
        if depth == 16 or (image.mode in ("RGB", "RGBA") and "transparency" not in image.info):
            pixels = imagecodecs.png_decode(path.read_bytes())
            return pixels if pixels.ndim == 3 else pixels[:, :, None]
        return None
    if image.mode not in ("RGB", "RGBA"):
        return None
    if image.format == "JPEG":
        content = path.read_bytes()
        _check_jpeg_ends(content)
        return imagecodecs.jpeg8_decode(content)
    if image.format == "WEBP" and getattr(image, "n_frames", 1) == 1:
        return imagecodecs.webp_decode(path.read_bytes())
    return None


def _check_jpeg_ends(content: bytes) -> None:
    """Raises ValueError where a JPEG is truncated: the decoder would fill what is missing with
    grey, and say nothing.

    The end marker is looked for behind the segments before the coded data, because an embedded
    thumbnail has one of its own.
    """
    position = 2
    while (marker := content[position : position + 2])[:1] == b"\xff" and marker[1:] != b"\xda":
        # Any number of bytes FF may stand before a marker.
        is_fill = marker[1:] == b"\xff"
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        position += 1 if is_fill else 2 + length
    if content.find(b"\xff\xd9", position) < 0:  # never inside the coded data
        raise ValueError("the file is truncated")


def _plain(image: Image.Image) -> Pixels:
    """The rarer kinds, 8 bits a channel: palettes, bilevel, grey, transparent colours."""
    if getattr(image, "n_frames", 1) != 1:
        raise ValueError(f"{image.n_frames} frames are not supported")  # type: ignore[attr-defined]
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"):
        raise ValueError(f"colour mode {image.mode} is not supported")
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))


def _cmyk(image: Image.Image, profile: bytes | None, notes: list[str]) -> Pixels:
    if profile and icc.colour_space(profile) == "cmyk":
        notes.append("CMYK converted from its profile to sRGB")
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        return np.asarray(ImageCms.profileToProfile(image, source, srgb, outputMode="RGB"))
    notes.append("CMYK converted without its profile")
    return np.asarray(image.convert("RGB"))


def _develop(path: Path, encoding: Encoding) -> Photo:
    """A raw photograph as the data is prepared: camera's white balance, default crop, 16 bits."""
    picture: Developed | CameraDeveloped
    if encoding == "camera":
        picture = develop_camera(path, shading=None)
    else:
        picture = develop(path, Development())
    pixels = picture.pixels
    if encoding == "srgb":
        # sRGB's curve once for each of the 65,536 numbers, not once a pixel.
        light = np.arange(65536) / 65535
        pixels = np.rint(linear_to_srgb(light) * 65535).astype(np.uint16)[pixels]
    exif = Image.Exif()
    with path.open("rb") as stream:
        exif.load_from_fp(stream)
        photo_exif = _photo_exif(exif, pixels)  # reads on in the stream
    names = {"srgb": "sRGB", "linear": "linear light", "camera": "linear camera colours"}
    notes = [f"developed to {names[encoding]}, 16 bits", *picture.notes]
    photo = Photo(pixels, icc.SRGB, icc.SRGB, exif=photo_exif, notes=notes)
    if encoding == "linear":
        notes.append("highlights end at white, and lens shading is as it was")
        photo.profile = icc.LINEAR
    elif encoding == "camera":
        if isinstance(picture, CameraDeveloped) and picture.shading == "none":
            notes.append("lens shading not corrected: the file does not say it (no GainMap)")
        photo.profile, photo.encoding, photo.white = None, "camera", camera.WHITE
    return photo


def _photo_exif(exif: Image.Exif, pixels: Pixels) -> Image.Exif:
    """What of a file's EXIF is about the photograph: nothing that places or encodes the pixels."""
    result = Image.Exif()
    for tag in DESCRIPTIVE_TAGS & set(exif):
        result[tag] = exif[tag]
    for ifd in EXIF_DIRECTORIES:
        tags = dict(exif.get_ifd(ifd))
        tags.pop(ExifTags.IFD.Interop.value, None)  # a place in the old file
        # The sides as they are now: turned upright, they may have changed places.
        sides = (ExifTags.Base.ExifImageHeight.value, ExifTags.Base.ExifImageWidth.value)
        tags |= {tag: n for tag, n in zip(sides, pixels.shape, strict=False) if tag in tags}
        if tags:
            result[ifd] = tags
    return result


def _dpi(info: Mapping[Any, Any], sideways: bool) -> _DPI | None:
    """Dots per inch across and down, of the upright picture; None where the file has none that can
    be. sideways: whether the file's picture lies on its side."""
    try:
        across, down = (float(value) for value in info["dpi"])
    except (KeyError, TypeError, ValueError):
        return None
    if not (0 < across < 65536 and 0 < down < 65536):
        return None
    return (down, across) if sideways else (across, down)
