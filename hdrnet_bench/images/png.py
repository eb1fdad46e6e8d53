"""PNG: its chunks, and its pixels by libpng.

A PNG is a signature of eight bytes and chunks: length, name, content, and a checksum of name and
content. Which chunk tells the colours: PNG, third edition, clause 4.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping

import imagecodecs
import numpy as np

from . import colour_tags, iptc
from .colour_tags import Primaries
from .decoded import Decoded, only_as_large
from .hearing import warnings_of
from .limits import check_size
from .pixels import Pixels
from .stored import not_zero

_SIGNATURE = 8
_MOST_TEXT = 64 << 20  # bytes that a compressed profile, or all texts together, may become
_MOST_SHRUNK = 1032  # times smaller than a text: what deflate can do
_FEW_TEXTS = 16  # packed or not, as nearly every picture has; for more its file is copied
_MOST_CHUNKS = 1 << 20  # writers put 8 KB of pixels or more in one
_XMP_KEY = b"XML:com.adobe.xmp"
# ImageMagick's and ExifTool's way to keep what PNG has no chunk for (EXIF, before there was one).
_RAW_EXIF, _RAW_IPTC = b"Raw profile type exif", b"Raw profile type iptc"
_RAW_XMP = b"Raw profile type xmp"
_READ_TEXTS = (_XMP_KEY, _RAW_EXIF, _RAW_IPTC, _RAW_XMP)
_SRGB_GAMMA = 45455  # what writers of sRGB say, in 100,000ths
_HANDLED = frozenset(
    b"IHDR PLTE tRNS IEND acTL fcTL fdAT cICP iCCP sRGB gAMA cHRM eXIf pHYs tEXt zTXt iTXt".split()
)
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def decode(content: bytes, *, pixels: bool = True) -> Decoded:
    """The picture of a PNG, of any kind; without `pixels` they are only as large. Palettes, fewer
    than 8 bits and transparent colours come out as what they stand for.

    Raises ValueError for an animation, HDR colours, and damage to pixels, which libpng does not
    read past.
    """
    chunks, damaged, behind = _chunks(content)
    if b"IHDR" not in chunks or len(chunks[b"IHDR"][0]) != 13:
        raise ValueError("the PNG is damaged or cut off: its header cannot be read")
    width, height = struct.unpack_from(">II", chunks[b"IHDR"][0])
    check_size(width, height)
    frames = int.from_bytes(chunks.get(b"acTL", [b""])[0][:4], "big")
    if frames > 1:
        raise ValueError(f"it holds {frames} frames (an animated PNG), and one picture is wanted")
    if damaged == {b"IEND"}:
        raise ValueError("the PNG is cut off: its end is missing")
    if any(name in damaged for name in _NEEDED):
        raise ValueError("the PNG is damaged or cut off: its checksums do not fit its pixels")
    picture, warnings = only_as_large(width, height, 3), list[str]()
    if pixels:
        packed = len(chunks.get(b"zTXt", [])) + len(chunks.get(b"iTXt", []))
        picture, warnings = _pixels(_without_texts(content) if packed > _FEW_TEXTS else content)
    channels = picture.shape[2]
    notes = [f"left behind: {behind} bytes behind the picture"] if behind else []
    profile, profile_from = _colours(chunks, channels < 3, notes) if pixels else (None, None)
    texts = _texts(chunks)
    exif = chunks.get(b"eXIf", [None])[0] or _raw(texts.get(_RAW_EXIF))
    records, others = _records(_raw(texts.get(_RAW_IPTC)))
    faults = [f"chunk {name.decode('latin1')} with a wrong checksum" for name in sorted(damaged)]
    # Of libpng's warnings those of chunks without pixels are told where the chunk counts.
    faults += [text for text in warnings if text.startswith(("IDAT", "PLTE", "tRNS"))]
    others += [text for text in warnings if text not in faults and not damaged]
    return Decoded(
        picture,
        "gray" if channels < 3 else "rgb",
        alpha=channels in (2, 4),
        profile=profile,
        profile_from=profile_from,
        exif=exif.removeprefix(b"Exif\0\0") if exif else None,
        xmp=texts.get(_XMP_KEY) or _raw(texts.get(_RAW_XMP)),
        iptc=records,
        dpi=_density(chunks.get(b"pHYs", [b""])[0]),
        notes=notes,
        left_out=_left_out(chunks, texts, others),
        damage="; ".join(faults) or None,
    )


def _without_texts(content: bytes) -> bytes:
    """For libpng, which unpacks 8 MB of each of a thousand."""
    spans = [(b"", 0, _SIGNATURE), *_spans(content)]
    whole = memoryview(content)
    return b"".join(
        whole[start:end] for name, start, end in spans if name not in (b"zTXt", b"iTXt")
    )


def _pixels(content: bytes) -> tuple[Pixels, list[str]]:
    """(H, W, channels), and what libpng warned of."""
    try:
        with warnings_of("imagecodecs") as heard:
            pixels: Pixels = imagecodecs.png_decode(content)
    except imagecodecs.PngError as error:
        raise ValueError(f"the PNG is damaged or cut off: {error}") from None
    warnings = [text.removeprefix("PNG warning: ") for text in heard if "Interlace" not in text]
    return (pixels if pixels.ndim == 3 else pixels[:, :, None]), warnings


def _spans(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each whole chunk's name, and where it begins and ends, to the picture's end."""
    place = _SIGNATURE
    for _ in range(_MOST_CHUNKS):
        if place + 12 > len(content):
            return
        length, name = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if end > len(content):
            return
        yield name, place, end
        if name == b"IEND":
            return
        place = end
    raise ValueError("it has more chunks than any PNG")


def _chunks(content: bytes) -> tuple[dict[bytes, list[bytes]], set[bytes], int]:
    """The contents of each chunk but the pixels', by name; the names of those whose checksum is
    wrong or that are cut off; and how many bytes lie behind the last one."""
    found: dict[bytes, list[bytes]] = {}
    damaged: set[bytes] = set()
    whole, last_end = memoryview(content), len(content)
    for name, start, end in _spans(content):
        if zlib.crc32(whole[start + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            damaged.add(name)
        elif name != b"IDAT":
            found.setdefault(name, []).append(content[start + 8 : end - 4])
        last_end = end
    if b"IEND" not in found:
        damaged.add(b"IEND")
        return found, damaged, 0
    first, last = not_zero(content, last_end)
    return found, damaged, last - first


def _colours(
    chunks: Mapping[bytes, list[bytes]], grey: bool, notes: list[str]
) -> tuple[bytes | None, str | None]:
    """The profile, and the chunk that says so where it is none of ICC."""
    if cicp := chunks.get(b"cICP"):
        primaries, transfer, matrix, full = cicp[0][:4].ljust(4, b"\0")
        if matrix != 0 or full != 1:
            raise ValueError(
                "its colours are not RGB of full range (cICP), and PNG knows no others"
            )
        return colour_tags.profile_of_cicp(primaries, transfer), "cICP"
    if iccp := chunks.get(b"iCCP"):
        # A name, which ends with a zero, and how it is compressed, which is always 0.
        _, _, rest = iccp[0].partition(b"\0")
        profile, _ = _inflated(rest[1:], _MOST_TEXT)
        if profile is None:
            notes.append("profile left out: it cannot be unpacked; taken as sRGB")
        return profile, None
    if b"sRGB" in chunks:
        return None, "sRGB"
    if b"gAMA" not in chunks:
        if b"cHRM" in chunks:
            notes.append("primaries without a gamma (cHRM without gAMA) left out; taken as sRGB")
        return None, None
    gamma = int.from_bytes(chunks[b"gAMA"][0][:4], "big")
    primaries_ = _primaries(chunks.get(b"cHRM", [b""])[0])
    if gamma == _SRGB_GAMMA and primaries_ == colour_tags.BT709:
        return None, None
    if grey:
        primaries_ = colour_tags.BT709
    try:
        profile = colour_tags.profile_of_gamma(primaries_, 100_000 / gamma if gamma else 0.0)
    except ValueError as error:
        notes.append(f"colour tags left out: {error} (gAMA, cHRM); taken as sRGB")
        return None, None
    return profile, "gAMA" if primaries_ == colour_tags.BT709 else "gAMA and cHRM"


def _primaries(chrm: bytes) -> Primaries:
    """By the chunk, in 100,000ths; sRGB's without one."""
    if len(chrm) != 32:
        return colour_tags.BT709
    values = [value / 100_000 for value in struct.unpack(">8I", chrm)]
    said = Primaries(*zip(values[::2], values[1::2], strict=True))
    for known in (colour_tags.BT709, colour_tags.ADOBE_PRIMARIES):
        if np.abs(np.subtract(said, known)).max() < 0.001:
            return known
    return said


def _texts(chunks: Mapping[bytes, list[bytes]]) -> dict[bytes, bytes]:
    """Texts by their keyword. Of those that nothing reads, the packed ones are left empty."""
    found: dict[bytes, bytes] = {}
    for chunk in chunks.get(b"tEXt", []):
        key, _, text = chunk.partition(b"\0")
        found[key] = text
    packed = []
    for chunk in chunks.get(b"zTXt", []):
        key, _, rest = chunk.partition(b"\0")
        packed.append((key, rest[1:]))
    for chunk in chunks.get(b"iTXt", []):
        # Keyword; whether and how it is compressed; language; translated keyword; text.
        key, _, rest = chunk.partition(b"\0")
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        if rest[:1] == b"\1":
            packed.append((key, text))
        else:
            found[key] = text
    room = _MOST_TEXT
    for key, text in packed:
        unpacked, room = _inflated(text, room) if key in _READ_TEXTS else (None, room)
        found[key] = unpacked or b""
    return found


def _records(content: bytes | None) -> tuple[bytes | None, list[str]]:
    """IPTC, plain or inside Photoshop's resources, and what else is among these."""
    if content and content.startswith(b"8BIM"):
        return iptc.from_resources(content)
    return content, []


def _left_out(
    chunks: Mapping[bytes, list[bytes]], texts: Mapping[bytes, bytes], names: list[str]
) -> list[str]:
    """The names of chunks and texts that nothing here carries on, and further ones."""
    for key in texts:
        raw = key in _READ_TEXTS[1:] and _raw(texts[key]) is not None
        if key != _XMP_KEY and not raw:
            names.append(f'the text "{key.decode("latin1")}"')
    names += [f"chunk {name.decode('latin1')}" for name in chunks if name not in _HANDLED]
    density = chunks.get(b"pHYs", [b""])[0]
    if len(density) == 9 and not density[8] and density[:4] != density[4:8]:
        names.append("the shape of its pixels")
    return [f"left out: {', '.join(names)}"] if names else []


def _inflated(packed: bytes, room: int) -> tuple[bytes | None, int]:
    """Unpacked, None where it cannot be, or becomes more than there is room for; and the room that
    is left, whether it could be or not."""
    if not room:  # to the unpacker, 0 would be without a bound
        return None, 0
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, room)
    except zlib.error:  # after how many bytes, it does not say
        return None, max(0, room - _MOST_SHRUNK * len(packed))
    return (text if unpacker.eof else None), room - len(text)


def _raw(text: bytes | None) -> bytes | None:
    """Of "name, length, hexadecimal digits", each on lines of its own."""
    name, _, rest = (text or b"").strip().partition(b"\n")
    length, _, lines = rest.strip().partition(b"\n")
    digits = b"".join(lines.split())
    if not name.strip() or not length.strip().isdigit():
        return None
    try:
        return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii")) or None
    except ValueError:
        return None


def _density(phys: bytes) -> tuple[float, float] | None:
    """Dots per inch, of pixels a metre across and down."""
    if len(phys) != 9 or phys[8] != 1:
        return None
    across, down = struct.unpack_from(">II", phys)
    return across * 0.0254, down * 0.0254


def encode(
    pixels: Pixels,
    dpi: tuple[float, float] | None,
    texts: Iterable[tuple[str, bytes | None]],
) -> list[bytes | memoryview]:
    """The encoded picture with its chunks after the header: profile, resolution, EXIF, XMP, IPTC.

    texts: "EXIF", "XMP", "IPTC" and "profile" with their content.
    """
    # Room that is not touched costs nothing, and the encoder's own would be copied. Level 3 is
    # three times as quick as the usual 6, for 5 % more.
    room = np.empty(pixels.nbytes + pixels.nbytes // 100 + len(pixels) + 65536, np.uint8)
    content = memoryview(imagecodecs.png_encode(pixels, level=3, out=room))  # type: ignore[arg-type]
    header_end = _SIGNATURE + 25
    found = {name: text for name, text in texts if text}
    parts: list[bytes | memoryview] = [bytes(content[:header_end])]
    if profile := found.get("profile"):
        parts.append(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile)))
    if dpi:
        per_metre = (round(value / 0.0254) for value in dpi)
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if exif := found.get("EXIF"):
        parts.append(_chunk(b"eXIf", exif))
    if xmp := found.get("XMP"):
        parts.append(_chunk(b"iTXt", _XMP_KEY + bytes(5) + xmp))
    if records := found.get("IPTC"):
        lines = "\n".join(records[at : at + 36].hex() for at in range(0, len(records), 36))
        text = f"\niptc\n{len(records):8}\n{lines}\n".encode()
        parts.append(_chunk(b"zTXt", _RAW_IPTC + b"\0\0" + zlib.compress(text)))
    return [*parts, content[header_end:]]


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
