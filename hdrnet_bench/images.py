"""Reading and writing pictures without losing bits, and never silently.

A decoded picture is (H, W, 3) uint8 or uint16. Whatever reading had to do or leave undone
(orientation, alpha, grey, an embedded profile) is said in `Picture.notes`.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .errors import DataError
from .files import atomic_path

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
READABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_EXIF_ORIENTATION = 0x0112


class Picture(NamedTuple):
    pixels: Pixels
    notes: tuple[str, ...]

    @property
    def bit_depth(self) -> int:
        return self.pixels.dtype.itemsize * 8


def read_picture(path: Path) -> Picture:
    """Decode a PNG, JPEG, TIFF or WebP, 8 or 16 bits a channel, upright.

    Raises DataError that names the file where it is missing, broken or of an unknown kind.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith(("I", "F")) or _bits(content, image) == 16:
                pixels = _decode_deep(content, image)
                orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
                if orientation != 1:
                    raise ValueError("a 16-bit picture with an orientation tag is not supported")
            else:
                image.load()
                orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
                upright = ImageOps.exif_transpose(image)
                pixels = np.asarray(upright.convert("RGBA" if "A" in image.mode else "RGB"))
            notes = _notes(image, orientation, pixels)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, RuntimeError) as error:
        reason = str(error).replace(repr(io.BytesIO), "").split("<_io")[0].strip()
        raise DataError(f"{path} cannot be decoded as a picture: {reason}") from None
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return Picture(np.ascontiguousarray(pixels[:, :, :3]), notes)


def _bits(content: bytes, image: Image.Image) -> int:
    """Bits a channel as the file holds them; Pillow reduces 16-bit RGB to 8 without a word."""
    if image.format == "PNG":
        return content[24]
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 8


def _decode_deep(content: bytes, image: Image.Image) -> NDArray[np.uint16]:
    decode = imagecodecs.png_decode if image.format == "PNG" else imagecodecs.imread
    pixels = decode(content)
    if pixels.dtype != np.uint16 or pixels.ndim not in (2, 3):
        raise ValueError(f"{pixels.dtype} samples in {pixels.ndim} dimensions are not supported")
    return pixels


def _notes(image: Image.Image, orientation: int, pixels: Pixels) -> tuple[str, ...]:
    notes = []
    if orientation != 1:
        notes.append(f"orientation {orientation} applied")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        notes.append("alpha channel left out")
    if image.mode in ("1", "L", "LA") or image.mode.startswith("I"):
        notes.append("grey repeated into three channels")
    elif image.mode in ("CMYK", "YCCK"):
        notes.append("CMYK converted without its profile")
    profile = image.info.get("icc_profile")
    if profile:
        notes.append(f"embedded profile not applied: {_profile_name(profile)}")
    return tuple(notes)


def _profile_name(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "unreadable"


def write_png(path: Path, pixels: Pixels) -> None:
    """Write (H, W, 3) uint8 or uint16 as PNG: whole, or not at all."""
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=6)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def pixels_sha256(pixels: Pixels) -> str:
    """SHA-256 of the decoded pixels with their shape and depth: encoders differ, these must not."""
    little = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{'x'.join(map(str, pixels.shape))} {pixels.dtype.name}\n".encode())
    digest.update(little.tobytes())
    return digest.hexdigest()


def white_level(pixels: Pixels) -> int:
    """The stored value that stands for 1.0."""
    return int(np.iinfo(pixels.dtype).max)


def to_float32(pixels: Pixels) -> NDArray[np.float32]:
    """(H, W, 3) integers to (3, H, W) float32 in [0, 1]."""
    planar = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return planar.astype(np.float32) / np.float32(white_level(pixels))


def quantise(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(3, H, W) in [0, 1] to (H, W, 3) uint8: clamped, rounded once to nearest."""
    levels = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def write_thumbnail(path: Path, image: NDArray[np.floating], long_edge: int = 480) -> None:
    """(3, H, W) in [0, 1] as a small JPEG: for looking at, never for measuring."""
    thumbnail = Image.fromarray(quantise(image))
    thumbnail.thumbnail((long_edge, long_edge), Image.Resampling.LANCZOS)
    with atomic_path(path) as temporary:
        thumbnail.save(temporary, format="JPEG", quality=90)
