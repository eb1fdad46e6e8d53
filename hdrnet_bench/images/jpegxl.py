"""JPEG XL: its header, and its pixels by libjxl (imagecodecs).

imagecodecs says nothing of a file but its pixels, so that the header is read here: size, depth,
orientation, what channels there are and what their colours mean. Sources: ISO/IEC 18181-1 (annexes
C, entropy coding; D, image header; E, colour) and 18181-2 (boxes).

What colours decoded pixels have is libjxl's rule: those that the header says. Only where a file has
both XYB, its lossy colour space, and an ICC profile are they linear sRGB, since libjxl does not
convert to a profile: of 8 bits, that would be too few, and colours outside sRGB would be cut off.
XYB is absolute, so that such a file is decoded under a header that says BT.2020 of 16 bits instead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import CapabilityError
from .colour_tags import BT709, Primaries, profile_of_cicp, profile_of_gamma
from .decoded import Decoded
from .heif import boxes, check_limit, full_scale, tiff_of
from .limits import max_pixels
from .pixels import Pixels

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_MOST_METADATA = 1 << 24
# Read in Python: a second for each 100 KB.
_MOST_ICC = 1 << 20
_BAD_ICC = "it is cut off or damaged: its ICC profile cannot be read"
_ALPHA, _SPOT, _BLACK = 0, 2, 4
_EXTRA = {1: "depth", 3: "selection", 5: "colour filter", 6: "thermal"}
_GREY, _RGB = 1, 0
_D65, _CUSTOM, _DCI = 1, 2, 11
_WHITES = {_D65: (0.3127, 0.3290), 10: (1 / 3, 1 / 3), _DCI: (0.314, 0.351)}
_SRGB_PRIMARIES, _BT2100, _P3 = 1, 9, 11
_BT2020 = Primaries(_WHITES[_D65], (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_COLOURS: dict[int, tuple[tuple[float, float], ...]] = {
    _SRGB_PRIMARIES: BT709[1:],
    _BT2100: _BT2020[1:],
    _P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_P3_D65 = Primaries(_WHITES[_D65], *_COLOURS[_P3])
# How far, and for which share of pixels, colours may lie outside of Display P3 when it is chosen.
_HAIR, _FEW = 0.002, 1e-4
_LINEAR, _SRGB_CURVE, _BT709_CURVE, _DCI_CURVE = 8, 13, 1, 17
_HDR = (16, 18)
_ROWS = 256


@dataclass
class _Colours:
    """The header's numbers; transfer 0: a gamma, as an exponent of light."""

    icc: bool = False
    space: int = _RGB
    white: int = _D65
    primaries: int = _SRGB_PRIMARIES
    points: list[tuple[float, float]] = field(default_factory=list)
    white_point: tuple[float, float] = _WHITES[_D65]
    transfer: int = _SRGB_CURVE
    gamma: float = 1.0


@dataclass
class _Header:
    """extras: (kind, whether multiplied by alpha) of each channel that is no colour. depth_at,
    colours_at: from which to which bit the header says so, 0 where all of it is as usual."""

    width: int = 0
    height: int = 0
    orientation: int = 1
    previewed: bool = False
    animated: bool = False
    bits: int = 8
    floating: bool = False
    extras: list[tuple[int, bool]] = field(default_factory=list)
    xyb: bool = True
    colours: _Colours = field(default_factory=_Colours)
    depth_at: tuple[int, int] = (0, 0)
    colours_at: tuple[int, int] = (0, 0)


def decode_jxl(content: bytes, limit_pixels: int | None = None) -> Decoded:
    """The picture of a JPEG XL, upright; 9 to 16 bits as uint16 of full scale.

    Lossy pictures with an ICC profile come as 16 bits in BT.2020's colours, with a note.

    Raises ValueError for animations, HDR (PQ, HLG), floating point, CMYK, premultiplied alpha, more
    than `limit_pixels` pixels, rare colours without an ICC profile, and damage, which libjxl does
    not read past.
    """
    codestream, boxed = _parts(content)
    bits = _Bits(codestream[2:])
    header = _image_header(bits)
    if header.orientation > 4:
        # The numbers are those of the picture as stored, and pixels come turned.
        header.width, header.height = header.height, header.width
    check_limit(header.width, header.height, max_pixels() if limit_pixels is None else limit_pixels)
    _refuse(header)
    usual = bool(bits.read(1))  # Neither custom upsampling nor another XYB.
    icc = _read_icc(bits) if header.colours.icc and usual else None
    modular = usual and not header.previewed and _first_frame_is_modular(bits)
    notes: list[str] = []
    if header.xyb and header.colours.icc:
        profile, profile_from = _instead_of_icc(header, notes)
        codestream = _with_header(codestream, 16, _colour_bits(_BT2100, header.colours.space))
        header.bits = 16
    else:
        profile, profile_from = _profile(header, icc)
    pixels = _pixels(codestream, header)
    for kind, _ in header.extras:
        if kind == _SPOT:
            notes.append("spot colour drawn into the picture")
        elif kind != _ALPHA:
            notes.append(f"extra channel left behind ({_EXTRA.get(kind, 'unknown')})")
    exif, xmp = _metadata(boxed, notes)
    return Decoded(
        pixels,
        "gray" if header.colours.space == _GREY else "rgb",
        alpha=_has_alpha(header),
        profile=profile,
        profile_from=profile_from,
        # libjxl turns by the codestream's orientation; EXIF's does not count in JPEG XL.
        orientation=1,
        exif=exif,
        xmp=xmp,
        lossless=modular and not header.xyb,
        notes=notes,
    )


def _has_alpha(header: _Header) -> bool:
    return any(kind == _ALPHA for kind, _ in header.extras)


def _refuse(header: _Header) -> None:
    """Raises ValueError for what is not read."""
    if header.animated:
        raise ValueError("it holds several frames (an animated JPEG XL): one picture is wanted")
    if header.floating or header.bits > 16:
        kind = "floating-point numbers" if header.floating else "integers"
        raise ValueError(f"its pixels are {kind} of {header.bits} bits, and up to 16 bits are read")
    if any(kind == _BLACK for kind, _ in header.extras):
        raise ValueError("it is a CMYK picture, which libjxl does not bring to RGB")
    if any(premultiplied for _, premultiplied in header.extras):
        raise ValueError(
            "its colours are multiplied by alpha (premultiplied), and cannot be had back exactly"
        )
    if header.colours.space not in (_RGB, _GREY):
        raise ValueError("its colours are neither grey nor RGB")
    if not header.colours.icc and header.colours.transfer in _HDR:
        profile_of_cicp(header.colours.primaries, header.colours.transfer)


# Boxes


def _parts(content: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The codestream, and (kind, content) of the boxes of metadata and level.

    Raises ValueError where the file is cut off between boxes, or has no codestream.
    """
    if content.startswith(b"\xff\x0a"):
        return content, []
    if not content.startswith(_CONTAINER):
        raise ValueError("it is no JPEG XL")
    codestream: list[bytes] = []
    others: list[tuple[bytes, bytes]] = []
    for kind, start, end in boxes(content, 0, len(content)):
        if kind in (b"jxlc", b"jxlp"):
            codestream.append(content[start + 4 if kind == b"jxlp" else start : end])
        elif kind in (b"Exif", b"xml ", b"brob", b"jxll"):
            others.append((kind, content[start:end]))
    whole = b"".join(codestream)
    if not whole.startswith(b"\xff\x0a"):
        raise ValueError("it is damaged: it has no codestream")
    return whole, others


def _metadata(
    boxed: list[tuple[bytes, bytes]], notes: list[str]
) -> tuple[bytes | None, bytes | None]:
    """EXIF and XMP, the first of each."""
    exif, xmp = None, None
    for kind, payload in boxed:
        if kind == b"brob":
            kind, packed = payload[:4], payload[4:]
            if kind not in (b"Exif", b"xml "):
                continue
            try:
                payload = bytes(imagecodecs.brotli_decode(packed, out=_MOST_METADATA))
            except (imagecodecs.BrotliError, ValueError):
                notes.append(f"{kind.decode().strip()} left behind: it cannot be unpacked")
                continue
        if kind == b"Exif" and exif is None:
            exif = tiff_of(payload)
            if exif is None:
                notes.append("EXIF left behind: it cannot be read")
        elif kind == b"xml " and xmp is None:
            xmp = payload or None
    return exif, xmp


# The header


class _Bits:
    """Numbers of bits, least significant first. Raises ValueError past the end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def peek(self, count: int) -> int:
        """With zeros past the end."""
        first, last = self.place >> 3, self.place + count + 7 >> 3
        number = int.from_bytes(self.content[first:last], "little")
        return number >> (self.place & 7) & ((1 << count) - 1)

    def read(self, count: int) -> int:
        if self.place + count > 8 * len(self.content):
            raise ValueError("it is cut off or damaged: its header ends early")
        number = self.peek(count)
        self.place += count
        return number

    def u32(self, *ways: tuple[int, int]) -> int:
        """One of four ways to say a number, each (what is added, bits that follow)."""
        plus, count = ways[self.read(2)]
        return plus + self.read(count)

    def u64(self) -> int:
        way = self.read(2)
        if way < 3:
            return (0, 1, 17)[way] + self.read((0, 4, 8)[way])
        number, shift = self.read(12), 12
        while self.read(1):
            number |= self.read(4 if shift == 60 else 8) << shift
            if shift == 60:
                break
            shift += 8
        return number

    def enum(self) -> int:
        return self.u32((0, 0), (1, 0), (2, 4), (18, 6))


def _image_header(bits: _Bits) -> _Header:
    """To what says how frames are transformed. Raises ValueError where it ends early."""
    header = _Header()
    header.width, header.height = _size(bits)
    if bits.read(1):  # All is as usual.
        return header
    extra_fields = bits.read(1)
    if extra_fields:
        header.orientation = bits.read(3) + 1
        if bits.read(1):
            _size(bits)
        header.previewed = bool(bits.read(1))
        if header.previewed:
            _preview_size(bits)
        header.animated = bool(bits.read(1))
        if header.animated:
            bits.u32((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.u32((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.u32((0, 0), (0, 3), (0, 16), (0, 32))
            bits.read(1)
    start = bits.place
    header.floating, header.bits = _depth(bits)
    header.depth_at = start, bits.place
    bits.read(1)
    for _ in range(bits.u32((0, 0), (1, 0), (2, 4), (1, 12))):
        header.extras.append(_extra_channel(bits))
    header.xyb = bool(bits.read(1))
    start = bits.place
    header.colours = _read_colours(bits)
    header.colours_at = start, bits.place
    if extra_fields and not bits.read(1):
        bits.read(16 + 16 + 1 + 16)
    extensions = bits.u64()
    bits.read(sum(bits.u64() for each in range(64) if extensions >> each & 1))
    return header


def _size(bits: _Bits) -> tuple[int, int]:
    """(width, height)"""
    small = bits.read(1)
    ways = ((1, 9), (1, 13), (1, 18), (1, 30))

    def side() -> int:
        return 8 * (bits.read(5) + 1) if small else bits.u32(*ways)

    return _with_ratio(bits, side)


def _preview_size(bits: _Bits) -> None:
    eighths = bits.read(1)

    def side() -> int:
        if eighths:
            return 8 * bits.u32((16, 0), (32, 0), (1, 5), (33, 9))
        return bits.u32((1, 6), (65, 8), (321, 10), (1345, 12))

    _with_ratio(bits, side)


def _with_ratio(bits: _Bits, side: Callable[[], int]) -> tuple[int, int]:
    height = side()
    ratio = bits.read(3)
    if not ratio:
        return side(), height
    across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * across // down, height


def _depth(bits: _Bits) -> tuple[bool, int]:
    """Whether numbers have a floating point, and their bits."""
    if not bits.read(1):
        return False, bits.u32((8, 0), (10, 0), (12, 0), (1, 6))
    depth = bits.u32((32, 0), (16, 0), (24, 0), (1, 6))
    bits.read(4)
    return True, depth


def _extra_channel(bits: _Bits) -> tuple[int, bool]:
    """Its kind, and whether colours are multiplied by it."""
    if bits.read(1):
        return _ALPHA, False
    kind = bits.enum()
    _depth(bits)
    bits.u32((0, 0), (3, 0), (4, 0), (1, 3))
    bits.read(8 * bits.u32((0, 0), (0, 4), (16, 5), (48, 10)))
    premultiplied = bool(bits.read(1)) if kind == _ALPHA else False
    if kind == _SPOT:
        bits.read(4 * 16)
    if kind == 5:
        bits.u32((1, 0), (0, 2), (3, 4), (19, 8))
    return kind, premultiplied


def _read_colours(bits: _Bits) -> _Colours:
    colours = _Colours()
    if bits.read(1):
        return colours
    colours.icc = bool(bits.read(1))
    colours.space = bits.enum()
    if colours.icc or colours.space not in (_RGB, _GREY):
        return colours
    colours.white = bits.enum()
    colours.white_point = _point(bits) if colours.white == _CUSTOM else _known(colours.white)
    if colours.space == _RGB:
        colours.primaries = bits.enum()
        if colours.primaries == _CUSTOM:
            colours.points = [_point(bits) for _ in range(3)]
    if bits.read(1):
        colours.transfer = 0
        colours.gamma = bits.read(24) / 1e7
    else:
        colours.transfer = bits.enum()
    bits.enum()  # Rendering intent.
    return colours


def _known(white: int) -> tuple[float, float]:
    if white not in _WHITES:
        raise ValueError(f"its colours are not known (white point {white})")
    return _WHITES[white]


def _point(bits: _Bits) -> tuple[float, float]:
    def coordinate() -> float:
        number = bits.u32((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
        return (number >> 1 ^ -(number & 1)) / 1e6

    return coordinate(), coordinate()


def _first_frame_is_modular(bits: _Bits) -> bool:
    """Of the header that begins on the next byte; False where it cannot be told."""
    bits.read(-bits.place % 8)
    if bits.read(1):
        return False
    bits.read(2)
    return bool(bits.read(1))


# The ICC profile


def _read_icc(bits: _Bits) -> bytes:
    """The profile that stands at the header's end (annex E.4). Raises ValueError for damage."""
    size = bits.u64()
    if size > _MOST_ICC:
        raise ValueError(f"its ICC profile is too large ({size} bytes)")
    numbers = _Entropy(bits, 41)
    content = bytearray()
    last, before = 0, 0
    for place in range(size):
        context = 0 if place <= 128 else 1 + _letter_kind(last) + 8 * _number_kind(before)
        before, last = last, numbers.read(context) & 255
        content.append(last)
    numbers.check_end()
    return _unpredicted(bytes(content))


def _letter_kind(byte: int) -> int:
    if bytes([byte]).isalpha():
        return 0
    if bytes([byte]).isdigit() or byte in b".,":
        return 1
    if byte < 16:
        return (2, 3, 4)[min(byte, 2)]
    return 6 if byte == 255 else 5 if byte > 240 else 7


def _number_kind(byte: int) -> int:
    if bytes([byte]).isalpha():
        return 0
    if bytes([byte]).isdigit() or byte in b".,":
        return 1
    return 2 if byte < 16 else 3 if byte > 240 else 4


_TAGS = (
    *(b"cprt", b"wtpt", b"bkpt", b"rXYZ", b"gXYZ", b"bXYZ", b"kXYZ", b"rTRC", b"gTRC", b"bTRC"),
    *(b"kTRC", b"chad", b"desc", b"chrm", b"dmnd", b"dmdd", b"lumi"),
)
_XYZ_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ", b"kXYZ", b"wtpt", b"bkpt", b"lumi")
_TYPES = (b"XYZ ", b"desc", b"text", b"mluc", b"para", b"curv", b"sf32", b"gbd ")


class _Bytes:
    """Bytes in order. Raises ValueError past the end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, count: int) -> bytes:
        if self.place + count > len(self.content):
            raise ValueError(_BAD_ICC)
        self.place += count
        return self.content[self.place - count : self.place]

    def varint(self) -> int:
        number = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)[0]
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError(_BAD_ICC)

    def left(self) -> int:
        return len(self.content) - self.place


def _unpredicted(content: bytes) -> bytes:
    """A profile from how it differs from what is expected: a list of commands, then their data."""
    data = _Bytes(content)
    size = data.varint()
    commands = _Bytes(data.take(data.varint()))
    if size > _MOST_ICC:
        raise ValueError(_BAD_ICC)
    profile = bytearray()
    for place in range(min(size, 128)):
        usual = _usual_icc_header(size, bytes(profile))[place]
        profile.append(usual + data.take(1)[0] & 255)
    if commands.left():
        profile += _tag_list(commands, data)
    while commands.left() and len(profile) <= size:
        _run_command(commands, data, profile)
    if len(profile) != size or data.left() or commands.left():
        raise ValueError(_BAD_ICC)
    return bytes(profile)


def _tag_list(commands: _Bytes, data: _Bytes) -> bytes:
    count = commands.varint() - 1
    if count < 0:
        return b""
    tags = struct.pack(">I", count)
    start, size = 128 + 12 * count, 0
    while commands.left():
        command = commands.take(1)[0]
        code = command & 63
        if code == 0:
            break
        if code - 4 >= len(_TAGS):
            raise ValueError(_BAD_ICC)
        name = data.take(4) if code == 1 else {2: b"rTRC", 3: b"rXYZ"}.get(code) or _TAGS[code - 4]
        start = commands.varint() if command & 64 else start + size
        size = 20 if name in _XYZ_TAGS else size
        size = commands.varint() if command & 128 else size
        names = {2: (name, b"gTRC", b"bTRC"), 3: (name, b"gXYZ", b"bXYZ")}.get(code, (name,))
        for index, each in enumerate(names):
            place = start + (index * size if code == 3 else 0)
            if max(place, size) >> 32:
                raise ValueError(_BAD_ICC)
            tags += each + struct.pack(">II", place, size)
    return tags


def _run_command(commands: _Bytes, data: _Bytes, profile: bytearray) -> None:
    command = commands.take(1)[0]
    if command == 1:
        profile += data.take(commands.varint())
    elif command in (2, 3):
        profile += _unshuffled(data.take(commands.varint()), 2 if command == 2 else 4)
    elif command == 4:
        flags = commands.take(1)[0]
        width, order = (flags & 3) + 1, flags >> 2 & 3
        stride = commands.varint() if flags & 16 else width
        if width == 3 or order == 3 or stride < width or 4 * stride >= len(profile):
            raise ValueError(_BAD_ICC)
        differences = _unshuffled(data.take(commands.varint()), width)
        for start in range(0, len(differences), width):
            place = len(profile)
            one, two, three = (
                int.from_bytes(profile[place - back * stride :][:width], "big")
                for back in (1, 2, 3)
            )
            usual = (one, 2 * one - two, 3 * one - 3 * two + three)[order] % (1 << 8 * width)
            for byte, difference in zip(
                usual.to_bytes(width, "big"), differences[start : start + width], strict=False
            ):
                profile.append(byte + difference & 255)
    elif command == 10:
        profile += b"XYZ " + bytes(4) + data.take(12)
    elif 16 <= command < 16 + len(_TYPES):
        profile += _TYPES[command - 16] + bytes(4)
    else:
        raise ValueError(_BAD_ICC)


def _unshuffled(content: bytes, width: int) -> bytes:
    """From all first bytes of numbers, then all second ones, to number by number."""
    rows = -(-len(content) // width)
    return b"".join(content[start::rows] for start in range(rows)) if rows else b""


class _Entropy:
    """Numbers by context, coded by ANS or prefix codes (annex C)."""

    def __init__(self, bits: _Bits, contexts: int, nested: bool = False) -> None:
        self.bits = bits
        self.least_copy: int | None = None
        if bits.read(1):
            if nested and contexts == 1:
                raise ValueError(_BAD_ICC)
            self.least_copy = bits.u32((224, 0), (512, 0), (4096, 0), (8, 15))
            self.least_length = bits.u32((3, 0), (4, 0), (5, 2), (9, 8))
            self.length_config = _number_config(bits, 8)
            contexts += 1
        self.map = _context_map(bits, contexts) if contexts > 1 else [0]
        self.prefix = bool(bits.read(1))
        alphabet = 15 if self.prefix else bits.read(2) + 5
        count = max(self.map) + 1
        self.configs = [_number_config(bits, alphabet) for _ in range(count)]
        if self.prefix:
            sizes = [_varlen(bits, 4) + 1 for _ in range(count)]
            self.codes = [_prefix_code(bits, size) for size in sizes]
        else:
            self.entry_bits = 12 - alphabet
            self.aliases = [_alias_table(_histogram(bits), alphabet) for _ in range(count)]
            self.state = bits.read(32)
        self.window: list[int] = []
        self.copies, self.source = 0, 0

    def read(self, context: int) -> int:
        if not self.copies:
            kind = self.map[context]
            token = self._symbol(kind)
            if self.least_copy is None or token < self.least_copy:
                number = self._number(self.configs[kind], token)
                if self.least_copy is not None:
                    self.window.append(number)
                return number
            self.copies = self.least_length + self._number(
                self.length_config, token - self.least_copy
            )
            kind = self.map[-1]
            back = self._number(self.configs[kind], self._symbol(kind)) + 1
            self.source = max(len(self.window) - min(back, 1 << 20), 0)
        self.copies -= 1
        number = self.window[self.source] if self.source < len(self.window) else 0
        self.source += 1
        self.window.append(number)
        return number

    def check_end(self) -> None:
        """ANS ends in the state that its writer began with."""
        if not self.prefix and self.state != 0x130000:
            raise ValueError(_BAD_ICC)

    def _symbol(self, kind: int) -> int:
        if self.prefix:
            code, words = 1, self.codes[kind]
            while code not in words:
                if code >> 15:
                    raise ValueError(_BAD_ICC)
                code = code << 1 | self.bits.read(1)
            return words[code]
        counts, table = self.aliases[kind]
        index = (self.state & 4095) >> self.entry_bits
        place = self.state & ((1 << self.entry_bits) - 1)
        cutoff, other, offset = table[index]
        if place >= cutoff:
            index, place = other, place + offset
        self.state = counts[index] * (self.state >> 12) + place
        if self.state < 65536:
            self.state = self.state << 16 | self.bits.read(16)
        return index

    def _number(self, config: tuple[int, int, int], token: int) -> int:
        exponent, high, low = config
        if token < 1 << exponent:
            return token
        count = exponent - high - low + (token - (1 << exponent) >> high + low)
        if count > 29:
            raise ValueError(_BAD_ICC)
        top = 1 << high | token >> low & ((1 << high) - 1)
        return (top << count | self.bits.read(count)) << low | token & ((1 << low) - 1)


def _number_config(bits: _Bits, alphabet: int) -> tuple[int, int, int]:
    """How tokens stand for numbers: exponent of the first that is split, bits kept high and low."""
    exponent = bits.read(alphabet.bit_length())
    if exponent == alphabet:
        return exponent, 0, 0
    high = bits.read(exponent.bit_length())
    low = bits.read((exponent - high).bit_length()) if high <= exponent else 0
    if high + low > exponent:
        raise ValueError(_BAD_ICC)
    return exponent, high, low


def _varlen(bits: _Bits, size: int) -> int:
    if not bits.read(1):
        return 0
    count = bits.read(size)
    return (1 << count) + bits.read(count)


def _context_map(bits: _Bits, contexts: int) -> list[int]:
    if bits.read(1):
        size = bits.read(2)
        found = [bits.read(size) for _ in range(contexts)]
    else:
        moved = bits.read(1)
        numbers = _Entropy(bits, 1, nested=contexts <= 2)
        found = [numbers.read(0) for _ in range(contexts)]
        numbers.check_end()
        if max(found) > 255:
            raise ValueError(_BAD_ICC)
        if moved:
            order = list(range(256))
            for place, index in enumerate(found):
                found[place] = order.pop(index)
                order.insert(0, found[place])
    if set(found) != set(range(max(found) + 1)):
        raise ValueError(_BAD_ICC)
    return found


def _prefix_code(bits: _Bits, size: int) -> dict[int, int]:
    """Symbols by their words, each with a 1 in front."""
    if size == 1:
        return {1: 0}
    skipped = bits.read(2)
    if skipped == 1:
        width = (size - 1).bit_length()
        symbols = [bits.read(width) for _ in range(bits.read(2) + 1)]
        if len(set(symbols)) < len(symbols) or max(symbols) >= size:
            raise ValueError(_BAD_ICC)
        lengths = ((0,), (1, 1), (1, 2, 2), (2, 2, 2, 2))[len(symbols) - 1]
        if len(symbols) == 4 and bits.read(1):
            lengths = (1, 2, 3, 3)
        return _words(dict(zip(symbols, lengths, strict=True)))
    coded, space = {}, 32
    for symbol in (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)[skipped:]:
        if space <= 0:
            break
        short = bits.read(2)
        length = (0, 4, 3)[short] if short < 3 else 2 if not bits.read(1) else 1 + 4 * bits.read(1)
        if length:
            coded[symbol] = length
            space -= 32 >> length
    if len(coded) != 1 and space:
        raise ValueError(_BAD_ICC)
    words = _words(dict.fromkeys(coded, 0) if len(coded) == 1 else coded)
    return _words(_code_lengths(bits, words, size))


def _code_lengths(bits: _Bits, words: dict[int, int], size: int) -> dict[int, int]:
    lengths: list[int] = []
    space, last, repeat, repeated = 32768, 8, 0, 0
    while len(lengths) < size and space > 0:
        word = 1
        while word not in words:
            if word >> 6:
                raise ValueError(_BAD_ICC)
            word = word << 1 | bits.read(1)
        length = words[word]
        if length < 16:
            lengths.append(length)
            repeat = 0
            if length:
                last = length
                space -= 32768 >> length
            continue
        more = length - 14
        length = last if length == 16 else 0
        if repeated != length:
            repeat, repeated = 0, length
        old = repeat
        repeat = ((repeat - 2) << more if repeat else 0) + bits.read(more) + 3
        lengths += [length] * (repeat - old)
        space -= (repeat - old) * (32768 >> length) if length else 0
    if space or len(lengths) > size:
        raise ValueError(_BAD_ICC)
    return {symbol: length for symbol, length in enumerate(lengths) if length}


def _words(lengths: dict[int, int]) -> dict[int, int]:
    """The canonical code of these lengths."""
    words, word, before = {}, 0, 0
    for symbol, length in sorted(lengths.items(), key=lambda each: (each[1], each[0])):
        word <<= length - before
        words[1 << length | word] = symbol
        word, before = word + 1, length
    return words


# A fixed code of the logarithms of counts in ANS's histograms, its words of up to 7 bits read from
# the least significant one.
_LOG_WORDS = {
    (3, 0): 10,
    (3, 2): 7,
    (3, 4): 6,
    (3, 5): 8,
    (3, 6): 9,
    (4, 3): 3,
    (4, 7): 5,
    (4, 9): 4,
    (4, 11): 1,
    (4, 15): 2,
    (5, 17): 0,
    (6, 33): 11,
    (7, 1): 12,
    (7, 65): 13,
}


def _histogram(bits: _Bits) -> list[int]:
    """How often of 4096 each symbol comes."""
    if bits.read(1):
        symbols = [_varlen(bits, 3) for _ in range(bits.read(1) + 1)]
        counts = [0] * (max(symbols) + 1)
        counts[symbols[0]] = bits.read(12) if len(symbols) == 2 else 4096
        if len(symbols) == 2:
            counts[symbols[1]] = 4096 - counts[symbols[0]]
        if len(set(symbols)) < len(symbols):
            raise ValueError(_BAD_ICC)
        return counts
    if bits.read(1):
        size = _varlen(bits, 3) + 1
        return [4096 // size + (index < 4096 % size) for index in range(size)]
    ones = 0
    while ones < 3 and bits.read(1):
        ones += 1
    shift = (bits.read(ones) | 1 << ones) - 1
    size = _varlen(bits, 3) + 3
    logs: list[int] = []
    runs: dict[int, int] = {}
    while len(logs) < size:
        code = next(
            (
                (length, number)
                for (length, word), number in _LOG_WORDS.items()
                if bits.peek(length) == word
            ),
            None,
        )
        if code is None:
            raise ValueError(_BAD_ICC)
        bits.read(code[0])
        logs.append(code[1] - 1)
        if code[1] == 13:
            run = _varlen(bits, 3) + 4
            runs[len(logs) - 1] = run
            logs += [-1] * (run - 1)
    omitted = max(
        (place for place in range(size) if place not in runs and logs[place] < 12),
        key=lambda place: (logs[place], -place),
        default=-1,
    )
    if omitted < 0 or shift > 13 or len(logs) > size or omitted + 1 in runs:
        raise ValueError(_BAD_ICC)
    counts = []
    while len(counts) < size:
        place = len(counts)
        if place in runs:
            counts += [counts[-1] if counts else 0] * runs[place]
        elif place == omitted or logs[place] < 0:
            counts.append(0)
        else:
            log = logs[place]
            kept = max(min(log, shift - (12 - log >> 1)), 0)
            counts.append((1 << log) + (bits.read(kept) << log - kept))
    counts[omitted] = 4096 - sum(counts)
    if counts[omitted] <= 0:
        raise ValueError(_BAD_ICC)
    return counts


def _alias_table(counts: list[int], alphabet: int) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Counts, and of each of 2**alphabet equal parts: from where on it belongs to another symbol,
    which, and what is added to the place there."""
    parts, size = 1 << alphabet, 4096 >> alphabet
    if len(counts) > parts:
        raise ValueError(_BAD_ICC)
    counts = counts + [0] * (parts - len(counts))
    if max(counts) == 4096:
        symbol = counts.index(4096)
        return counts, [(0, symbol, size * index) for index in range(parts)]
    cutoffs, other, offsets = list(counts), [0] * parts, [0] * parts
    over = [index for index in range(parts) if cutoffs[index] > size]
    under = [index for index in range(parts) if cutoffs[index] < size]
    while over:
        large, small = over.pop(), under.pop()
        cutoffs[large] -= size - cutoffs[small]
        other[small], offsets[small] = large, cutoffs[large]
        if cutoffs[large] < size:
            under.append(large)
        elif cutoffs[large] > size:
            over.append(large)
    return counts, [
        (0, index, 0)
        if cutoffs[index] == size
        else (cutoffs[index], other[index], offsets[index] - cutoffs[index])
        for index in range(parts)
    ]


# Colours


def _profile(header: _Header, icc: bytes | None) -> tuple[bytes | None, str | None]:
    """The profile of decoded pixels, and what said so where that was no profile.

    Raises ValueError for colours that no profile here says.
    """
    colours = header.colours
    if colours.icc:
        if not icc:
            raise ValueError("its ICC profile stands behind a rare header, which is not read")
        return icc, None
    srgb_like = colours.transfer in (_SRGB_CURVE, _BT709_CURVE)
    d65 = colours.white == _D65
    gammas = {0: 1 / max(colours.gamma, 1e-3), _LINEAR: 1.0, _DCI_CURVE: 2.6}
    if colours.space == _GREY and d65 and srgb_like:
        return None, None
    if colours.space == _GREY and d65 and colours.transfer in gammas:
        grey = imagecodecs.cms_profile("gray", gamma=gammas[colours.transfer])
        return bytes(grey), "JPEG XL"
    if colours.space == _GREY:
        raise ValueError("its grey has a rare curve and no ICC profile")
    if d65 and srgb_like and colours.primaries in _COLOURS:
        code = 12 if colours.primaries == _P3 else colours.primaries
        profile = profile_of_cicp(code, colours.transfer)
    elif colours.transfer in gammas and (colours.points or colours.primaries in _COLOURS):
        points = _COLOURS.get(colours.primaries) or colours.points
        primaries = Primaries(colours.white_point, *points)
        profile = profile_of_gamma(primaries, gammas[colours.transfer])
    else:
        raise ValueError("its colours are rare ones and have no ICC profile")
    return profile, "JPEG XL" if profile else None


def _instead_of_icc(header: _Header, notes: list[str]) -> tuple[bytes | None, str | None]:
    """Of lossy pictures with an ICC profile: what they are decoded to."""
    grey = header.colours.space == _GREY
    notes.append(
        f"ICC profile left behind: lossy JPEG XL is decoded to {'sRGB' if grey else 'BT.2020'}"
    )
    profile = None if grey else profile_of_cicp(_BT2100, _SRGB_CURVE)
    return profile, "JPEG XL" if profile else None


# Pixels


def _need_imagecodecs() -> None:
    if not imagecodecs.JPEGXL.available:
        raise CapabilityError(
            "JPEG XL is read by imagecodecs, whose build here has none: pip install -U imagecodecs"
        )


def _pixels(content: bytes, header: _Header) -> Pixels:
    """(H, W, channels), turned. Raises ValueError for damage."""
    _need_imagecodecs()
    try:
        pixels = imagecodecs.jpegxl_decode(content, index=0)
    except (imagecodecs.JpegxlError, RuntimeError, ValueError) as error:
        raise ValueError(f"the JPEG XL is damaged or cut off: {error}") from None
    if header.extras and header.colours.space == _GREY and not _has_alpha(header):
        pixels = pixels[0]  # imagecodecs puts other channels than alpha behind grey, as planes.
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    _check_shape(pixels, header)
    if (pixels.dtype == np.uint8) != (header.bits <= 8):
        raise ValueError(f"its pixels are not of the {header.bits} bits that its header says")
    return full_scale(np.ascontiguousarray(pixels), header.bits)


def _check_shape(pixels: NDArray[Any], header: _Header) -> None:
    channels = (1 if header.colours.space == _GREY else 3) + _has_alpha(header)
    if pixels.shape != (header.height, header.width, channels):
        raise ValueError("its pixels are not of the size that its header says")


def _to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """(3, 3): linear RGB to XYZ, white having Y = 1."""
    white, *colours = ((x / y, 1.0, (1 - x - y) / y) for x, y in primaries)
    columns = np.array(colours).T
    return cast(NDArray[np.float64], columns * np.linalg.solve(columns, np.array(white)))


# Writing


def encode_jxl(
    pixels: Pixels,
    *,
    quality: int,
    lossless: bool,
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
) -> bytes:
    """(H, W, 3 or 4) uint8 or uint16, upright, to a JPEG XL.

    Lossless, it has the profile. With loss its colours are absolute, and the profile is brought to
    numbers that every reader knows: Display P3, or BT.2020 where that is too narrow. (With an ICC
    profile most readers would show such a file wrongly, or in the 8 bits of linear light.)

    quality: 0 to 100, as libjxl's tools map it to a distance: 90 is a distance of 1, where a loss
    begins to be seen.

    Raises ValueError for a profile that is none of RGB.
    """
    _need_imagecodecs()
    bits = 8 * pixels.dtype.itemsize
    if lossless:
        coded = imagecodecs.jpegxl_encode(np.ascontiguousarray(pixels), lossless=True)
        # imagecodecs says sRGB of 8 bits, and linear light of 16.
        colours = _icc_bits(profile) if profile else _colour_bits(_SRGB_PRIMARIES)
    else:
        light, primaries = _linear(pixels, profile)
        coded = imagecodecs.jpegxl_encode(light, lossless=False, distance=_distance(quality))
        colours = _colour_bits(primaries)
    codestream, others = _parts(bytes(coded))
    boxed = [(kind, content) for kind, content in others if kind == b"jxll"]
    boxed.append((b"jxlc", _with_header(codestream, bits, colours)))
    if exif:
        boxed.append((b"Exif", bytes(4) + exif))
    if xmp:
        boxed.append((b"xml ", xmp))
    return b"".join(
        [_CONTAINER, struct.pack(">I", 20), b"ftypjxl ", bytes(4), b"jxl "]
        + [struct.pack(">I4s", 8 + len(content), kind) + content for kind, content in boxed]
    )


def _distance(quality: int) -> float:
    """libjxl's JxlEncoderDistanceFromQuality, but never 0, which would mean lossless."""
    quality = min(max(quality, 0), 100)
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return float(53 / 3000 * quality**2 - 23 / 20 * quality + 25)


def _linear(pixels: Pixels, profile: bytes | None) -> tuple[NDArray[np.float32], int]:
    """float32 in linear sRGB, reaching beyond 0 and 1 where colours lie outside, alpha as it is;
    and the primaries that hold all of them."""
    white = np.float32(np.iinfo(pixels.dtype).max)
    light = np.empty(pixels.shape, np.float32)
    light[..., 3:] = pixels[..., 3:] / white
    source = profile or bytes(imagecodecs.cms_profile("srgb"))
    target = profile_of_gamma(BT709, 1.0)
    in_p3 = np.linalg.solve(_to_xyz(_P3_D65), _to_xyz(BT709)).T.astype(np.float32)
    outside = 0
    for start in range(0, len(pixels), _ROWS):
        rows = np.ascontiguousarray(pixels[start : start + _ROWS, :, :3])
        try:
            linear = imagecodecs.cms_transform(
                rows, source, target, colorspace="rgb", outcolorspace="rgb", outdtype="float32"
            )
        except (imagecodecs.CmsError, ValueError) as error:
            raise ValueError(f"its ICC profile cannot be used: {error}") from None
        light[start : start + _ROWS, :, :3] = linear
        if profile:
            narrow = linear.reshape(-1, 3) @ in_p3
            outside += int(((narrow < -_HAIR) | (narrow > 1 + _HAIR)).any(axis=1).sum())
    if not profile:
        return light, _SRGB_PRIMARIES
    return light, _P3 if outside <= _FEW * pixels.shape[0] * pixels.shape[1] else _BT2100


class _BitWriter:
    """Numbers of bits, least significant first; tail: of what stands at the header's end."""

    def __init__(self) -> None:
        self.bits: list[int] = []
        self.tail: list[int] = []

    def write(self, *fields: tuple[int, int]) -> None:
        """Each (count of bits, number)."""
        for count, number in fields:
            self.bits += [number >> place & 1 for place in range(count)]

    def bytes(self) -> bytes:
        return np.packbits(self.bits, bitorder="little").tobytes()


def _enum_bits(number: int) -> tuple[int, int]:
    if number < 2:
        return 2, number
    return (6, 2 | number - 2 << 2) if number < 18 else (8, 3 | number - 18 << 2)


def _colour_bits(primaries: int, space: int = _RGB) -> _BitWriter:
    """No ICC profile; D65, these primaries, no gamma but sRGB's curve, relative intent."""
    writer = _BitWriter()
    writer.write((1, 0), (1, 0), _enum_bits(space), _enum_bits(_D65))
    writer.write(*([_enum_bits(primaries)] if space == _RGB else []))
    writer.write((1, 0), _enum_bits(_SRGB_CURVE), _enum_bits(1))
    return writer


def _with_header(codestream: bytes, depth: int, colours: _BitWriter) -> bytes:
    """Another depth and other colours. What follows the header begins on a byte, and stays.

    colours: their bits, and as `tail` those of an ICC profile, which stands at the header's end.
    """
    bits = _Bits(codestream[2:])
    header = _image_header(bits)
    if not bits.read(1):
        raise ValueError("its ICC profile stands behind a rare header, which is not read")
    kept = bits.place
    if header.colours.icc:
        _read_icc(bits)
    end = 2 + -(-bits.place // 8)
    old = np.unpackbits(np.frombuffer(codestream[2:end], np.uint8), bitorder="little").tolist()
    new = _BitWriter()
    new.bits = old[: header.depth_at[0]]
    new.write((1, 0), *([(2, 0)] if depth == 8 else [(2, 3), (6, depth - 1)]))
    new.bits += old[header.depth_at[1] : header.colours_at[0]]
    new.bits += colours.bits
    new.bits += old[header.colours_at[1] : kept]
    new.bits += colours.tail
    return codestream[:2] + new.bytes() + codestream[end:]


def _icc_bits(profile: bytes) -> _BitWriter:
    """Colours that an ICC profile says, and the profile as a stream of its own (annex E.4): its
    header as what differs from a usual one, the rest as it is, each byte by a code of 8 bits."""
    if profile[16:20] != b"RGB ":
        raise ValueError("its ICC profile is none of RGB")
    commands = b"\0\x01" + _varint(len(profile) - 128)
    content = _varint(len(profile)) + _varint(len(commands)) + commands
    usual = _usual_icc_header(len(profile), profile)
    content += bytes((a - b) & 255 for a, b in zip(profile[:128], usual, strict=True))
    content += profile[128:]
    tail = _BitWriter()
    tail.write((2, 3), (12, len(content) & 4095))
    rest = len(content) >> 12
    while rest:
        tail.write((1, 1), (8, rest & 255))
        rest >>= 8
    # No repetitions; one code for all; a prefix code; numbers to 255 as they are; 256 of them.
    tail.write((1, 0), (1, 0), (1, 1), (2, 0), (1, 1), (4, 8), (4, 0), (4, 0))
    tail.write((1, 1), (4, 7), (7, 127))
    # The code's lengths, coded by a code whose one word, of no bits, says 8: it is the 11th of 18.
    tail.write((2, 0), *[(2, 0)] * 10, (2, 1), *[(2, 0)] * 7)
    for byte in content:
        tail.write((8, int(f"{byte:08b}"[::-1], 2)))
    writer = _BitWriter()
    writer.write((1, 0), (1, 1), _enum_bits(_RGB))
    writer.tail = tail.bits
    return writer


def _varint(number: int) -> bytes:
    parts = [number & 127]
    while number := number >> 7:
        parts[-1] |= 128
        parts.append(number & 127)
    return bytes(parts)


def _usual_icc_header(size: int, begun: bytes) -> bytes:
    """What a profile's header is expected to be, where so much of it is known."""
    usual = bytearray(128)
    usual[:4] = struct.pack(">I", size)
    usual[8] = 4
    usual[12:24] = b"mntrRGB XYZ "
    usual[36:40] = b"acsp"
    usual[70:80] = b"\xf6\xd6\0\x01\0\0\0\0\xd3\x2d"
    if len(begun) >= 8:
        usual[80:84] = begun[4:8]
    for platform in (b"APPL", b"MSFT", b"SGI ", b"SUNW"):
        # Told apart by the first letter, and for S by the second.
        known = 2 if platform[:1] == b"S" else 1
        if begun[40 : 40 + known] == platform[:known]:
            usual[40 + known : 44] = platform[known:]
    return bytes(usual)
