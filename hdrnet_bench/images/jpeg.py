"""JPEG: its segments, and its first picture by libjpeg-turbo, whose warnings are heard.

A JPEG is the marker of its start, segments (marker, length, content), the coded data behind the
last of them, and the marker of its end. What lies behind that end is another picture: a preview, a
gain map, the other half of a stereo pair.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import imagecodecs
import numpy as np
import simplejpeg

from . import iptc
from .decoded import Decoded, only_as_large
from .jpeg_markers import END, FRAMES, SCAN, walk
from .limits import check_size
from .pixels import Pixels
from .stored import not_zero

_EXIF, _XMP, _LONGER_XMP = (
    b"Exif\0\0",
    b"http://ns.adobe.com/xap/1.0/\0",
    b"http://ns.adobe.com/xmp/",
)
_PROFILE, _PHOTOSHOP = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
# Carried on, or about the old file's coding and thumbnails.
_KNOWN = (
    *(_EXIF[:5], _XMP, _PROFILE, _PHOTOSHOP, b"JFIF\0", b"JFXX\0", b"MPF\0", b"Adobe", b"Ducky"),
)
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_LIMIT = 65533  # bytes a segment can hold
# simplejpeg reads the usual kinds of subsampling alone.
_UNHEARD = "its subsampling is rare: whether it is damaged cannot be told"


class _Frame(NamedTuple):
    bits: int
    width: int
    height: int
    components: int


def decode(content: bytes, *, pixels: bool = True) -> Decoded:
    """The first picture of a JPEG, of 8 bits. Without `pixels` they are only as large.

    Raises ValueError for other depths, for lossless coding, and where nothing can be decoded.
    """
    segments, coded, end = _segments(content)
    frame = _frame(segments)
    check_size(frame.width, frame.height)
    if end < coded:
        raise ValueError("the file is truncated: its end is missing")
    picture, damage = only_as_large(frame.width, frame.height, frame.components), None
    if pixels:
        picture, damage = _pixels(content, frame, any(marker == 0xEE for marker, _ in segments))
    notes = _what_is_behind(content, end, content.find(b"hdrgm", 0, coded) >= 0)
    if damage == _UNHEARD:
        notes, damage = [*notes, _UNHEARD], None
    texts = [value for marker, value in segments if marker == 0xE1]
    photoshop = [v[14:] for m, v in segments if m == 0xED and v.startswith(_PHOTOSHOP)]
    records, others = iptc.from_resources(b"".join(photoshop))
    profiles = [v for m, v in segments if m == 0xE2 and v.startswith(_PROFILE) and len(v) > 14]
    xmp = next((text[len(_XMP) :] for text in texts if text.startswith(_XMP)), None)
    return Decoded(
        picture,
        {1: "gray", 3: "rgb", 4: "cmyk"}[frame.components],  # type: ignore[arg-type]
        # The parts of a profile are numbered, and may lie in any order.
        profile=b"".join(part[14:] for part in sorted(profiles, key=lambda p: p[12])) or None,
        exif=next((text[6:] for text in texts if text.startswith(_EXIF)), None),
        xmp=xmp,
        iptc=records,
        dpi=_density(next((v for m, v in segments if m == 0xE0 and v[:5] == b"JFIF\0"), b"")),
        lossless=False,
        notes=notes,
        left_out=_left_out(segments, others),
        damage=damage,
    )


def _segments(content: bytes) -> tuple[list[tuple[int, bytes]], int, int]:
    """Markers before the coded data with what their segments hold, where that data begins, and the
    picture's end, which without one is before that."""
    walked = walk(content)
    scan = next((number for number, each in enumerate(walked) if each.marker == SCAN), None)
    if scan is None:
        raise ValueError("it is a JPEG without a picture: cut off, or damaged before its pixels")
    found = [(each.marker, content[each.start : each.end]) for each in walked[: scan + 1]]
    coded, end = walked[scan].end, walked[-1].end
    if walked[-1].marker != END:  # in a damaged one it may lie in what looks like a segment
        end = content.rfind(b"\xff\xd9", coded) + 2
    return found, coded, end


def _frame(segments: list[tuple[int, bytes]]) -> _Frame:
    header = next(((m, v) for m, v in segments if m in FRAMES and len(v) >= 6), None)
    if header is None:
        raise ValueError("it is a JPEG without the header of a picture")
    bits, height, width, components = struct.unpack_from(">BHHB", header[1])
    if header[0] in _LOSSLESS:
        raise ValueError("it is a lossless JPEG, which is not read outside a DNG")
    if bits != 8:
        raise ValueError(f"it is a {bits}-bit JPEG, and 8 bits are read")
    if components not in (1, 3, 4):
        raise ValueError(f"it is a JPEG of {components} channels")
    return _Frame(bits, width, height, components)


def _pixels(content: bytes, frame: _Frame, adobe: bool) -> tuple[Pixels, str | None]:
    """(H, W, 1, 3 or 4), and what the decoder warned of. CMYK that Adobe's programs write is stored
    inverted, with 255 for no ink."""
    space = {1: "GRAY", 3: "RGB", 4: "CMYK"}[frame.components]
    damage = None
    try:
        pixels = simplejpeg.decode_jpeg(content, space, strict=True)
    except ValueError as error:
        damage = _UNHEARD if "subsampling level" in str(error) else str(error)
        # The same library by another way in, which stops at what cannot be read past.
        try:
            pixels = imagecodecs.jpeg8_decode(content)
        except imagecodecs.Jpeg8Error as fatal:
            raise ValueError(f"the JPEG is damaged, and cannot be decoded: {fatal}") from None
    pixels = pixels.reshape(frame.height, frame.width, frame.components)
    if frame.components == 4 and adobe:
        np.subtract(255, pixels, out=pixels)
    return pixels, damage


def _what_is_behind(content: bytes, end: int, has_gain_map: bool) -> list[str]:
    """A note where something lies behind the picture's end."""
    first, last = not_zero(content, end)
    if first == last:
        return []
    if content.find(b"\xff\xd8\xff", first, last) >= 0:
        return [f"left behind: {'a gain map' if has_gain_map else 'a second picture in the file'}"]
    if content.find(b"ftyp", first, min(first + 4096, last)) >= 0:
        return ["left behind: a film in the file"]
    return [f"left behind: {last - first} bytes behind the picture"]


def _left_out(segments: list[tuple[int, bytes]], names: list[str]) -> list[str]:
    """The names of segments with texts or data that nothing here carries on, and further ones."""
    if sum(value.startswith(_XMP) for marker, value in segments if marker == 0xE1) > 1:
        names = [*names, "a second packet of XMP"]
    jfif = next((value for marker, value in segments if marker == 0xE0), b"")
    if jfif[:5] == b"JFIF\0" and len(jfif) >= 12 and not jfif[7] and jfif[8:10] != jfif[10:12]:
        names = [*names, "the shape of its pixels"]
    for marker, value in segments:
        name = value[:32].split(b"\0")[0].decode("ascii", "replace")
        if marker == 0xFE:
            names.append("a comment")
        elif value.startswith(_LONGER_XMP):
            names.append("extended XMP")
        elif 0xE0 <= marker <= 0xEF and not value.startswith(_KNOWN):
            names.append(
                name
                if name.isascii() and name.isprintable() and name
                else f"segment APP{marker - 0xE0}"
            )
    return [f"left out: {', '.join(dict.fromkeys(names))}"] if names else []


def _density(jfif: bytes) -> tuple[float, float] | None:
    """Dots per inch by JFIF's header: its version, the unit (1 an inch, 2 a centimetre), density
    across and down."""
    if len(jfif) < 12 or jfif[7] not in (1, 2):
        return None
    across, down = struct.unpack_from(">HH", jfif, 8)
    factor = 2.54 if jfif[7] == 2 else 1.0
    return across * factor, down * factor


def encode(
    pixels: Pixels,
    quality: int,
    dpi: tuple[float, float] | None,
    texts: Iterable[tuple[str, bytes | None]],
    notes: list[str],
) -> list[bytes | memoryview]:
    """The encoded picture, (H, W, 3) uint8 without subsampling, with its segments.

    texts: "EXIF", "XMP", "IPTC" and "profile" with their content. What a segment cannot hold is
    left out, and noted.
    """
    content = imagecodecs.jpeg8_encode(pixels, level=quality, subsampling="444")
    jfif_end = 4 + int.from_bytes(content[4:6], "big")  # the start marker and JFIF's own segment
    if content[2:4] != b"\xff\xe0" or content[6:11] != b"JFIF\0":
        raise ValueError("the encoder wrote no JFIF header")
    jfif = bytearray(content[:jfif_end])
    if dpi:
        # JFIF's unit (1 is dots per inch) and density across and down.
        jfif[13:18] = struct.pack(">BHH", 1, *(max(1, round(value)) for value in dpi))
    parts: list[bytes | memoryview] = [bytes(jfif)]
    for name, text in texts:
        if text:
            parts += _text_segments(name, text, notes)
    return [*parts, memoryview(content)[jfif_end:]]


def _text_segments(name: str, text: bytes, notes: list[str]) -> Iterator[bytes]:
    if name == "profile":
        # A large profile takes several segments, each with its number and how many there are. That
        # heading has 14 bytes, and 16 are kept free for it.
        room = _LIMIT - 16
        pieces = [text[at : at + room] for at in range(0, len(text), room)]
        for number, piece in enumerate(pieces, start=1):
            yield _segment(0xE2, _PROFILE + bytes((number, len(pieces))) + piece)
        return
    marker, heading = {
        "EXIF": (0xE1, _EXIF),
        "XMP": (0xE1, _XMP),
        "IPTC": (0xED, _PHOTOSHOP),
    }[name]
    whole = heading + (iptc.as_resource(text) if name == "IPTC" else text)
    if len(whole) > _LIMIT:
        notes.append(f"{name} left out: larger than a JPEG can hold")
    else:
        yield _segment(marker, whole)


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content
