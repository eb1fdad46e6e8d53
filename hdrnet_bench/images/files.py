"""Reading and writing pictures without losing bits, and never silently.

A decoded picture is (H, W, 3) uint8 or uint16. Whatever reading had to do or leave undone
(orientation, alpha, grey, an embedded profile) is said in `Picture.notes`.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeVar, cast

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from ..errors import DataError
from ..files import atomic_path

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
AnyPixels = TypeVar("AnyPixels", bound=NDArray)
# What `read_picture` reads, by suffix in small letters.
KINDS: dict[str, Literal["jpeg", "png", "tiff", "webp"]] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_EXIF_ORIENTATION = 0x0112
# Orientation -> (quarter turns anticlockwise, then mirrored left to right).
TURNS = {
    1: (0, False),
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}


class Picture(NamedTuple):
    pixels: Pixels
    notes: tuple[str, ...]


def read_picture(path: str | Path) -> Picture:
    """Decode a PNG, JPEG, TIFF or WebP, 8 or 16 bits a channel, upright.

    Raises DataError that names the file where it is missing, broken or of a kind whose pixels have
    no certain meaning here (Lab, several pages, …).
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    try:
        with Image.open(io.BytesIO(content)) as image:
            return _decode(content, image)
    except Exception as error:  # Decoders raise whatever comes to them on a broken file.
        reason = " ".join(str(error).split("<_io")[0].split())[:200]
        raise DataError(f"{path} cannot be decoded as a picture: {reason}") from None


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture, from its header alone. Raises DataError that names a
    file that is no picture."""
    try:
        with Image.open(path) as image:
            turns, _ = TURNS.get(image.getexif().get(_EXIF_ORIENTATION, 1), (0, False))
            return (image.height, image.width) if turns % 2 else (image.width, image.height)
    except Exception as error:  # as above
        raise DataError(f"{path} is no picture that can be read: {type(error).__name__}") from None


def _decode(content: bytes, image: Image.Image) -> Picture:
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    notes = []
    if _bits(content, image) > 8:
        if orientation != 1:
            raise ValueError("a 16-bit picture with an orientation tag is not supported")
        pixels = _decode_png_16(content) if image.format == "PNG" else _decode_tiff_16(content)
        if pixels.shape[:2] != (image.height, image.width):
            raise ValueError(f"decoded as {pixels.shape}, its header says {image.size}")
        channels = pixels.shape[2]
        if channels not in (1, 2, 3, 4):
            raise ValueError(f"{channels} channels are not supported")
        grey, alpha = channels < 3, channels in (2, 4)
        pixels = pixels[:, :, :1].repeat(3, axis=2) if grey else pixels[:, :, :3]
    else:
        if image.mode not in _MODES:
            raise ValueError(f"colour mode {image.mode} is not supported")
        grey, alpha = image.mode in ("1", "L", "LA", "La"), image.has_transparency_data
        upright_image = ImageOps.exif_transpose(image)
        # Through RGBA, so that dropping alpha does not blend the colours with anything.
        pixels = np.asarray(upright_image.convert("RGBA" if alpha else "RGB"))[:, :, :3]
        if image.mode == "CMYK":
            notes.append("CMYK converted without its profile")
    if orientation != 1:
        notes.append(f"orientation {orientation} applied")
    if alpha:
        notes.append("alpha channel left out")
    if grey:
        notes.append("grey repeated into three channels")
    profile = image.info.get("icc_profile")
    if profile:
        notes.append(f"embedded profile not applied: {profile_name(profile)}")
    return Picture(np.ascontiguousarray(pixels), tuple(notes))


def _bits(content: bytes, image: Image.Image) -> int:
    """Bits a channel as the file holds them; Pillow reduces 16-bit RGB to 8 without a word."""
    if image.format == "PNG":
        return content[24]
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 8


def _decode_png_16(content: bytes) -> NDArray[np.uint16]:
    """(H, W, 1 to 4)."""
    pixels = imagecodecs.png_decode(content)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _decode_tiff_16(content: bytes) -> NDArray[np.uint16]:
    pixels = decode_tiff(io.BytesIO(content))
    if pixels.dtype != np.uint16:
        raise ValueError(f"{pixels.dtype} samples are not supported")
    return cast(NDArray[np.uint16], pixels)


def decode_tiff(source: Path | BinaryIO) -> Pixels:
    """(H, W, channels) of a TIFF with one page of 8 or 16-bit grey or RGB; smaller copies of the
    picture beside it are left out.

    Raises ValueError for what has no certain meaning.
    """
    with tifffile.TiffFile(source) as tiff:
        # Bit 0 of the subfile type marks a smaller copy.
        full_size = [page for page in tiff.pages if not getattr(page, "subfiletype", 0) & 1]
        page = tiff.pages.first
        if len(full_size) != 1 or full_size[0] is not page:
            raise ValueError(f"{len(tiff.pages)} pages are not supported")
        if page.photometric not in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK):
            raise ValueError(f"photometric {page.photometric} is not supported")
        if tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
            raise ValueError("colours multiplied by alpha are not supported")
        if page.dtype not in (np.uint8, np.uint16) or page.bitspersample not in (8, 16):
            raise ValueError(f"{page.bitspersample}-bit {page.dtype} samples are not supported")
        pixels: Pixels = page.asarray()
        if pixels.ndim == 2:
            return pixels[:, :, None]
        return pixels.transpose(1, 2, 0) if page.axes.startswith("S") else pixels


def upright(pixels: AnyPixels, orientation: int) -> AnyPixels:
    """(H, W, channels) as EXIF's orientation means it to be seen; a view."""
    turns, mirrored = TURNS.get(orientation, (0, False))
    view = np.rot90(pixels, turns)
    return cast(AnyPixels, view[:, ::-1] if mirrored else view)


def profile_name(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "unreadable"


def write_png(path: str | Path, pixels: Pixels) -> None:
    """Write (H, W, 3) uint8 or uint16 as PNG: whole, or not at all."""
    # By way of one dimension: where a side is one pixel, NumPy calls strides contiguous that the
    # encoder refuses.
    contiguous = pixels.reshape(-1).reshape(pixels.shape)
    content = imagecodecs.png_encode(contiguous, level=6)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(content)


def pixels_sha256(pixels: Pixels) -> str:
    """SHA-256 of the decoded pixels with their shape and depth: encoders differ, these must not."""
    little_endian = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{'x'.join(map(str, pixels.shape))} {pixels.dtype.name}\n".encode())
    digest.update(little_endian.tobytes())
    return digest.hexdigest()


def white_level(pixels: Pixels) -> int:
    """The stored value that stands for 1.0."""
    return int(np.iinfo(pixels.dtype).max)


def to_float32(pixels: Pixels, white: int | None = None) -> NDArray[np.float32]:
    """(H, W, 3) integers to (3, H, W) float32, 1.0 standing for `white`, by default the largest."""
    planar = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return planar.astype(np.float32) / np.float32(white or white_level(pixels))


def quantise(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(3, H, W) in [0, 1] to (H, W, 3) uint8: clamped, rounded once to nearest."""
    levels = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def write_thumbnail(path: Path, image: NDArray[np.floating], long_edge: int) -> None:
    """(3, H, W) in [0, 1] as a small JPEG: for looking at, never for measuring."""
    thumbnail = Image.fromarray(quantise(image))
    thumbnail.thumbnail((long_edge, long_edge), Image.Resampling.LANCZOS)
    with atomic_path(path) as temporary:
        thumbnail.save(temporary, format="JPEG", quality=75)
