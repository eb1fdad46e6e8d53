"""A user's photograph: its pixels with all that belongs to them, read and written.

files.py reads pictures for measuring; this keeps alpha, profile, EXIF and resolution as well, and
holds the pixels in memory once: a picture of 100 megapixels must fit.
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
    for tag in _DESCRIBING & set(exif):
        result[tag] = exif[tag]
    for ifd in _IFDS:
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
    content = imagecodecs.jpeg8_encode(photo.pixels, level=quality, subsampling="444")
    jfif_end = 4 + int.from_bytes(content[4:6], "big")  # the start marker and JFIF's own segment
    if content[2:4] != b"\xff\xe0" or content[6:11] != b"JFIF\0":
        raise ValueError("the encoder wrote no JFIF header")
    jfif = bytearray(content[:jfif_end])
    if photo.dpi:
        # JFIF's unit (1 is dots per inch) and density across and down.
        jfif[13:18] = struct.pack(">BHH", 1, *(max(1, round(value)) for value in photo.dpi))
    parts: list[bytes | memoryview] = [bytes(jfif)]
    if len(exif) + 2 > _MARKER_LIMIT:
        photo.notes.append("EXIF left out: larger than a JPEG can hold")
    elif exif:
        parts.append(_segment(0xE1, exif))
    # A large profile takes several segments, each with its number and how many there are. That
    # heading has 14 bytes, and 16 are kept free for it.
    profile, room = photo.profile or b"", _MARKER_LIMIT - 16
    pieces = [profile[at : at + room] for at in range(0, len(profile), room)]
    for number, piece in enumerate(pieces, start=1):
        parts.append(_segment(0xE2, b"ICC_PROFILE\0" + bytes((number, len(pieces))) + piece))
    return [*parts, memoryview(content)[jfif_end:]]


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def _png(photo: Photo, exif: bytes, quality: int) -> list[bytes | memoryview]:
    """The encoded picture with its chunks after the header: profile, resolution, EXIF."""
    # Room that is not touched costs nothing, and the encoder's own would be copied. Level 3 is
    # three times as quick as the usual 6, for 5 % more.
    pixels = photo.pixels
    room = np.empty(pixels.nbytes + pixels.nbytes // 100 + len(pixels) + 65536, np.uint8)
    content = memoryview(imagecodecs.png_encode(pixels, level=3, out=room))  # type: ignore[arg-type]
    header_end = 8 + 25  # the signature and the header chunk
    parts: list[bytes | memoryview] = [bytes(content[:header_end])]
    if photo.profile:
        parts.append(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(photo.profile)))
    if photo.dpi:
        per_metre = (round(value / 0.0254) for value in photo.dpi)
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if exif:
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    return [*parts, content[header_end:]]


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
    """Add directories of tags (EXIF, GPS) to a TIFF, which tifffile leaves to its caller.

    They go to the file's end, and behind them the first directory once more, now with entries that
    point to them; its old place stays unused.

    A directory is the number of its entries, entries of 12 bytes (tag, type, count, value or place)
    in ascending order of tags, and the place of the next directory, 0 without one.
    """
    file.seek(4)
    file.seek(struct.unpack("<I", file.read(4))[0])
    (count,) = struct.unpack("<H", file.read(2))
    entries = [file.read(12) for _ in range(count)]

    def append(content: Callable[[int], bytes]) -> int:
        """Write at the file's end, on an even byte as TIFF asks, what depends on its place: which
        it returns."""
        end = file.seek(0, io.SEEK_END)
        file.write(bytes(end % 2) + content(end + end % 2))
        return end + end % 2

    for tag, values in directories.items():
        directory = TiffImagePlugin.ImageFileDirectory_v2(ifh=b"II*\0\0\0\0\0", group=tag)
        for name, value in values.items():
            directory[name] = value
        # One number of type 4 (32 bits): the directory's place.
        entries.append(struct.pack("<HHII", tag, 4, 1, append(directory.tobytes)))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    first = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    place = append(lambda _: first)
    file.seek(4)
    file.write(struct.pack("<I", place))
