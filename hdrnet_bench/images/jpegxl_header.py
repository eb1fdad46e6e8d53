"""The header of a JPEG XL's codestream: size, depth, orientation, channels and colours.

Source: ISO/IEC 18181-1 (annexes D, image header; E, colour).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .colour_tags import BT709, PRIMARIES
from .jpegxl_bits import Bits, BitWriter, enum_bits
from .jpegxl_icc import read_icc

ALPHA, SPOT, BLACK = 0, 2, 4
GREY, RGB = 1, 0
D65, _CUSTOM, _DCI = 1, 2, 11
_WHITES = {D65: BT709.white, 10: (1 / 3, 1 / 3), _DCI: PRIMARIES[11].white}
SRGB_PRIMARIES, BT2100, P3 = 1, 9, 11
LINEAR, SRGB_CURVE, BT709_CURVE, DCI_CURVE = 8, 13, 1, 17


@dataclass
class Colours:
    """The header's numbers; transfer 0: a gamma, as an exponent of light."""

    icc: bool = False
    space: int = RGB
    white: int = D65
    primaries: int = SRGB_PRIMARIES
    points: list[tuple[float, float]] = field(default_factory=list)
    white_point: tuple[float, float] = _WHITES[D65]
    transfer: int = SRGB_CURVE
    gamma: float = 1.0


@dataclass
class Header:
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
    colours: Colours = field(default_factory=Colours)
    depth_at: tuple[int, int] = (0, 0)
    colours_at: tuple[int, int] = (0, 0)


def image_header(bits: Bits) -> Header:
    """To what says how frames are transformed. Raises ValueError where it ends early."""
    header = Header()
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


def _size(bits: Bits) -> tuple[int, int]:
    """(width, height)"""
    small = bits.read(1)
    ways = ((1, 9), (1, 13), (1, 18), (1, 30))

    def side() -> int:
        return 8 * (bits.read(5) + 1) if small else bits.u32(*ways)

    return _with_ratio(bits, side)


def _preview_size(bits: Bits) -> None:
    eighths = bits.read(1)

    def side() -> int:
        if eighths:
            return 8 * bits.u32((16, 0), (32, 0), (1, 5), (33, 9))
        return bits.u32((1, 6), (65, 8), (321, 10), (1345, 12))

    _with_ratio(bits, side)


def _with_ratio(bits: Bits, side: Callable[[], int]) -> tuple[int, int]:
    height = side()
    ratio = bits.read(3)
    if not ratio:
        return side(), height
    across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * across // down, height


def _depth(bits: Bits) -> tuple[bool, int]:
    """Whether numbers have a floating point, and their bits."""
    if not bits.read(1):
        return False, bits.u32((8, 0), (10, 0), (12, 0), (1, 6))
    depth = bits.u32((32, 0), (16, 0), (24, 0), (1, 6))
    bits.read(4)
    return True, depth


def _extra_channel(bits: Bits) -> tuple[int, bool]:
    """Its kind, and whether colours are multiplied by it."""
    if bits.read(1):
        return ALPHA, False
    kind = bits.enum()
    _depth(bits)
    bits.u32((0, 0), (3, 0), (4, 0), (1, 3))
    bits.read(8 * bits.u32((0, 0), (0, 4), (16, 5), (48, 10)))
    premultiplied = bool(bits.read(1)) if kind == ALPHA else False
    if kind == SPOT:
        bits.read(4 * 16)
    if kind == 5:
        bits.u32((1, 0), (0, 2), (3, 4), (19, 8))
    return kind, premultiplied


def _read_colours(bits: Bits) -> Colours:
    colours = Colours()
    if bits.read(1):
        return colours
    colours.icc = bool(bits.read(1))
    colours.space = bits.enum()
    if colours.icc or colours.space not in (RGB, GREY):
        return colours
    colours.white = bits.enum()
    colours.white_point = _point(bits) if colours.white == _CUSTOM else _known(colours.white)
    if colours.space == RGB:
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


def _point(bits: Bits) -> tuple[float, float]:
    def coordinate() -> float:
        number = bits.u32((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
        return (number >> 1 ^ -(number & 1)) / 1e6

    return coordinate(), coordinate()


def first_frame_is_modular(bits: Bits) -> bool:
    """Of the header that begins on the next byte; False where it cannot be told."""
    bits.read(-bits.place % 8)
    if bits.read(1):
        return False
    bits.read(2)
    return bool(bits.read(1))


def colour_bits(primaries: int, space: int = RGB) -> BitWriter:
    """No ICC profile; D65, these primaries, no gamma but sRGB's curve, relative intent."""
    writer = BitWriter()
    writer.write((1, 0), (1, 0), enum_bits(space), enum_bits(D65))
    writer.write(*([enum_bits(primaries)] if space == RGB else []))
    writer.write((1, 0), enum_bits(SRGB_CURVE), enum_bits(1))
    return writer


def with_header(codestream: bytes, depth: int, colours: BitWriter) -> bytes:
    """Another depth and other colours. What follows the header begins on a byte, and stays.

    colours: their bits, and as `tail` those of an ICC profile, which stands at the header's end.
    """
    bits = Bits(codestream[2:])
    header = image_header(bits)
    if not bits.read(1):
        raise ValueError("its ICC profile stands behind a rare header, which is not read")
    kept = bits.place
    if header.colours.icc:
        read_icc(bits)
    end = 2 + -(-bits.place // 8)
    old = np.unpackbits(np.frombuffer(codestream[2:end], np.uint8), bitorder="little").tolist()
    new = BitWriter()
    new.bits = old[: header.depth_at[0]]
    new.write((1, 0), *([(2, 0)] if depth == 8 else [(2, 3), (6, depth - 1)]))
    new.bits += old[header.depth_at[1] : header.colours_at[0]]
    new.bits += colours.bits
    new.bits += old[header.colours_at[1] : kept]
    new.bits += colours.tail
    return codestream[:2] + new.bytes() + codestream[end:]
