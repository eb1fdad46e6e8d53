"""WebP: its chunks, and its pixels by libwebp.

A WebP is "RIFF", a length, "WEBP", and chunks: name, length, content to an even size.
"""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
from PIL import Image

from .decoded import Decoded, only_as_large
from .limits import check_size
from .pixels import Pixels


def decode(content: bytes, *, pixels: bool = True) -> Decoded:
    """The picture of a WebP, 8 bits. Without `pixels` they are only as large.

    Raises ValueError for an animation, and for damage, which libwebp does not read past.
    """
    if len(content) < 12 + 8 or 8 + int.from_bytes(content[4:8], "little") > len(content):
        raise ValueError("the WebP is cut off")
    chunks = _chunks(content)
    frames = chunks.get(b"ANMF", [])
    if len(frames) > 1:
        raise ValueError(
            f"it holds {len(frames)} frames (an animated WebP), and one picture is wanted"
        )
    size = _size(chunks)
    check_size(*size)
    picture = _pixels(content, bool(frames)) if pixels else only_as_large(*size, 3)
    return Decoded(
        picture,
        "rgb",
        alpha=picture.shape[2] == 4,
        profile=chunks.get(b"ICCP", [None])[0],
        exif=(chunks.get(b"EXIF", [b""])[0]).removeprefix(b"Exif\0\0") or None,
        xmp=chunks.get(b"XMP ", [None])[0],
        lossless=b"VP8L" in chunks or any(b"VP8L" in frame[:64] for frame in frames),
    )


def _size(chunks: dict[bytes, list[bytes]]) -> tuple[int, int]:
    """By the canvas of an extended file, else by the coded picture's header."""
    if extended := chunks.get(b"VP8X"):
        sides = extended[0][4:7], extended[0][7:10]
        return 1 + int.from_bytes(sides[0], "little"), 1 + int.from_bytes(sides[1], "little")
    if lossless := chunks.get(b"VP8L"):
        bits = int.from_bytes(lossless[0][1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    header = chunks.get(b"VP8 ", [b""])[0]
    if len(header) < 10:
        raise ValueError("the WebP is damaged or cut off: it has no picture")
    width, height = struct.unpack_from("<HH", header, 6)
    return width & 0x3FFF, height & 0x3FFF


def _pixels(content: bytes, one_frame: bool) -> Pixels:
    """(H, W, 3 or 4). Pillow reads an animation's only frame, which libwebp's plain decoder
    refuses."""
    try:
        if not one_frame:
            return imagecodecs.webp_decode(content)
        with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
            return np.asarray(image)
    except (imagecodecs.WebpError, OSError, SyntaxError) as error:
        detail = f": {error}" if str(error) else ""
        raise ValueError(f"the WebP is damaged{detail}") from None


def _chunks(content: bytes) -> dict[bytes, list[bytes]]:
    """The contents of each chunk by name; of pixels their beginning alone."""
    found: dict[bytes, list[bytes]] = {}
    end = min(len(content), 8 + int.from_bytes(content[4:8], "little"))
    place = 12
    while place + 8 <= end:
        name, length = struct.unpack_from("<4sI", content, place)
        most = 64 if name in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF") else length
        found.setdefault(name, []).append(content[place + 8 : place + 8 + min(most, length)])
        place += 8 + length + length % 2
    return found


def encode(
    pixels: Pixels,
    quality: int,
    lossless: bool,
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
) -> bytes:
    """(H, W, 3 or 4) uint8. Lossless: also the colours of what is wholly transparent."""
    stream = io.BytesIO()
    options = {"icc_profile": profile, "exif": exif, "xmp": xmp}
    Image.fromarray(pixels).save(
        stream,
        format="WEBP",
        quality=quality,
        lossless=lossless,
        exact=lossless,
        **{name: value for name, value in options.items() if value},
    )
    return stream.getvalue()
