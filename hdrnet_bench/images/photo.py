"""A user's photograph: its pixels with all that belongs to them, read and written.

Beside images.py, which reads pictures for measuring, this keeps alpha, profile, EXIF and
resolution, and holds the pixels once: a picture of 100 megapixels must fit.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from ..color import linear_to_srgb
from ..config import FULL_SCALE, Encoding
from ..errors import DataError
from ..files import atomic_path
from . import camera, icc
from .camera import CameraDeveloped, develop_camera
from .files import TURNS, Pixels, decode_tiff, profile_name, upright
from .raw import Developed, Development, develop

Kind = Literal["jpeg", "png", "tiff", "webp"]
KINDS: dict[str, Kind | Literal["dng"]] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
    ".dng": "dng",
}
SUFFIXES: dict[Kind, str] = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp"}
SIXTEEN_BIT: tuple[Kind, ...] = ("png", "tiff")
_DPI = tuple[float, float]
# What says something about the photograph, of the tags that a TIFF's layout shares its place with.
_DESCRIBING = {
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
_IFDS = (ExifTags.IFD.Exif.value, ExifTags.IFD.GPSInfo.value)
_ORIENTATION = ExifTags.Base.Orientation.value
_MARKER_LIMIT = 65533  # bytes a JPEG segment can hold


@dataclass
class Photo:
    """pixels (H, W, 3 or 4) uint8 or uint16, upright, C order; the fourth is alpha, as it was.

    `profile` is that of the pixels (RGB), None where the file has none; `output_profile` what they
    are to be written in, where that is another. `encoding` says what no profile can, camera colours
    with `white` for 1.0. `exif` has no thumbnail, no orientation and no
    layout of a file.
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
    if pixels is None:  # a kind of picture for which Pillow's own decoding does
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
    pixels = np.require(upright(pixels, orientation), requirements=["C", "W"])
    dpi = _dpi(info, turns % 2 == 1)
    return Photo(pixels, profile, exif=_kept(exif, pixels), dpi=dpi, notes=notes)


def _exif(path: Path, image: Image.Image) -> Image.Exif:
    if image.format != "PNG" or "exif" in image.info or "Raw profile type exif" in image.info:
        return image.getexif()
    # Behind the pixels, where Pillow would decode them all to find it.
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
            depth = stream.read(25)[24]
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
    """The decoder fills what a truncated JPEG lacks with grey, and says nothing."""
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] != b"\xda":
        filling = content[at + 1 : at + 2] == b"\xff"
        at += 1 if filling else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    if content.find(b"\xff\xd9", at) < 0:  # never inside the coded data
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
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return np.asarray(converted)
    notes.append("CMYK converted without its profile")
    return np.asarray(image.convert("RGB"))


def _develop(path: Path, encoding: Encoding) -> Photo:
    """A raw photograph as the data is prepared: camera's white balance, default crop, 16 bits."""
    developed: Developed | CameraDeveloped
    if encoding == "camera":
        developed = develop_camera(path, shading=None)
    else:
        developed = develop(path, Development())
    pixels = developed.pixels
    if encoding == "srgb":
        light = np.arange(65536) / 65535
        pixels = np.rint(linear_to_srgb(light) * 65535).astype(np.uint16)[pixels]
    exif = Image.Exif()
    with path.open("rb") as stream:
        exif.load_from_fp(stream)
        kept = _kept(exif, pixels)
    names = {"srgb": "sRGB", "linear": "linear light", "camera": "linear camera colours"}
    notes = [f"developed to {names[encoding]}, 16 bits", *developed.notes]
    photo = Photo(pixels, icc.SRGB, icc.SRGB, exif=kept, notes=notes)
    if encoding == "linear":
        notes.append("highlights end at white, and lens shading is as it was")
        photo.profile = icc.LINEAR
    elif encoding == "camera":
        if isinstance(developed, CameraDeveloped) and developed.shading == "none":
            notes.append("lens shading not corrected: the file does not say it (no GainMap)")
        photo.profile, photo.encoding, photo.white = None, "camera", camera.WHITE
    return photo


def _kept(exif: Image.Exif, pixels: Pixels) -> Image.Exif:
    kept = Image.Exif()
    for tag in _DESCRIBING & set(exif):
        kept[tag] = exif[tag]
    for ifd in _IFDS:
        tags = dict(exif.get_ifd(ifd))
        tags.pop(ExifTags.IFD.Interop.value, None)  # a place in the old file
        sides = (ExifTags.Base.ExifImageHeight.value, ExifTags.Base.ExifImageWidth.value)
        tags |= {tag: n for tag, n in zip(sides, pixels.shape, strict=False) if tag in tags}
        if tags:
            kept[ifd] = tags
    return kept


def _dpi(info: Mapping[Any, Any], turned: bool) -> _DPI | None:
    """Dots per inch across and down, where the file says so in earnest."""
    try:
        across, down = (float(value) for value in info["dpi"])
    except (KeyError, TypeError, ValueError):
        return None
    if not (0 < across < 65536 and 0 < down < 65536):
        return None
    return (down, across) if turned else (across, down)


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
    encoded = imagecodecs.jpeg8_encode(photo.pixels, level=quality, subsampling="444")
    after = 4 + int.from_bytes(encoded[4:6], "big")  # the start marker and JFIF's own segment
    if encoded[2:4] != b"\xff\xe0" or encoded[6:11] != b"JFIF\0":
        raise ValueError("the encoder wrote no JFIF header")
    jfif = bytearray(encoded[:after])
    if photo.dpi:
        jfif[13:18] = struct.pack(">BHH", 1, *(max(1, round(value)) for value in photo.dpi))
    parts: list[bytes | memoryview] = [bytes(jfif)]
    if len(exif) + 2 > _MARKER_LIMIT:
        photo.notes.append("EXIF left out: larger than a JPEG can hold")
    elif exif:
        parts.append(_segment(0xE1, exif))
    profile, room = photo.profile or b"", _MARKER_LIMIT - 16
    pieces = [profile[at : at + room] for at in range(0, len(profile), room)]
    for number, piece in enumerate(pieces, start=1):
        parts.append(_segment(0xE2, b"ICC_PROFILE\0" + bytes((number, len(pieces))) + piece))
    return [*parts, memoryview(encoded)[after:]]


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def _png(photo: Photo, exif: bytes, quality: int) -> list[bytes | memoryview]:
    """The encoded picture with its chunks after the header: profile, resolution, EXIF."""
    # Room that is not touched costs nothing, and the encoder's own would be copied. Level 3 is
    # three times as quick as the usual 6, for 5 % more.
    pixels = photo.pixels
    room = np.empty(pixels.nbytes + pixels.nbytes // 100 + len(pixels) + 65536, np.uint8)
    encoded = memoryview(imagecodecs.png_encode(pixels, level=3, out=room))  # type: ignore[arg-type]
    after = 8 + 25  # the signature and the header chunk
    parts: list[bytes | memoryview] = [bytes(encoded[:after])]
    if photo.profile:
        parts.append(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(photo.profile)))
    if photo.dpi:
        per_metre = (round(value / 0.0254) for value in photo.dpi)
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if exif:
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    return [*parts, encoded[after:]]


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _write_tiff(path: Path, photo: Photo, with_exif: bool) -> None:
    """Deflated, with the describing tags in place and EXIF and GPS after them."""
    exif = photo.exif if with_exif else Image.Exif()
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
        extratags=[(tag, "s", 0, str(exif[tag]), True) for tag in sorted(_DESCRIBING & set(exif))],
    )
    directories = {tag: exif[tag] for tag in _IFDS if tag in exif}
    if not directories:
        return
    with path.open("r+b") as file:
        if file.read(4) == b"II*\0":
            _append_directories(file, directories)
        else:
            photo.notes.append("EXIF left out but for its description: a TIFF over 4 GB")


def _append_directories(file: BinaryIO, directories: Mapping[int, Mapping[int, Any]]) -> None:
    """Add directories of tags to a TIFF's first one, which tifffile leaves to its caller: they go
    to the file's end, and behind them that first one again, now pointing to them."""
    file.seek(4)
    file.seek(struct.unpack("<I", file.read(4))[0])
    (count,) = struct.unpack("<H", file.read(2))
    entries = [file.read(12) for _ in range(count)]

    def append(content: Callable[[int], bytes]) -> int:
        end = file.seek(0, io.SEEK_END)
        file.write(bytes(end % 2) + content(end + end % 2))
        return end + end % 2

    for tag, values in directories.items():
        directory = TiffImagePlugin.ImageFileDirectory_v2(ifh=b"II*\0\0\0\0\0", group=tag)
        for name, value in values.items():
            directory[name] = value
        entries.append(struct.pack("<HHII", tag, 4, 1, append(directory.tobytes)))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    first = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    place = append(lambda _: first)
    file.seek(4)
    file.write(struct.pack("<I", place))
