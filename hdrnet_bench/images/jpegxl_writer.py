"""Writing JPEG XL by libjxl (imagecodecs), under a header and in boxes of its own."""

from __future__ import annotations

import struct
from typing import cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from .colour_tags import BT709, PRIMARIES, Primaries, profile_of_gamma
from .jpegxl import CONTAINER, need_imagecodecs, parts
from .jpegxl_bits import BitWriter, enum_bits
from .jpegxl_header import BT2100, P3, RGB, SRGB_PRIMARIES, colour_bits, with_header
from .jpegxl_icc import usual_icc_header
from .pixels import Pixels

# How far, and for which share of pixels, colours may lie outside of Display P3 when it is chosen.
_HAIR, _FEW = 0.002, 1e-4
_ROWS = 256


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
    need_imagecodecs()
    bits = 8 * pixels.dtype.itemsize
    if lossless:
        coded = imagecodecs.jpegxl_encode(np.ascontiguousarray(pixels), lossless=True)
        # imagecodecs says sRGB of 8 bits, and linear light of 16.
        colours = _icc_bits(profile) if profile else colour_bits(SRGB_PRIMARIES)
    else:
        light, primaries = _linear(pixels, profile)
        coded = imagecodecs.jpegxl_encode(light, lossless=False, distance=_distance(quality))
        colours = colour_bits(primaries)
    codestream, others = parts(bytes(coded))
    boxed = [(kind, content) for kind, content in others if kind == b"jxll"]
    boxed.append((b"jxlc", with_header(codestream, bits, colours)))
    if exif:
        boxed.append((b"Exif", bytes(4) + exif))
    if xmp:
        boxed.append((b"xml ", xmp))
    return b"".join(
        [CONTAINER, struct.pack(">I", 20), b"ftypjxl ", bytes(4), b"jxl "]
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
    in_p3 = np.linalg.solve(_to_xyz(PRIMARIES[12]), _to_xyz(BT709)).T.astype(np.float32)
    outside = 0
    for start in range(0, len(pixels), _ROWS):
        rows = np.ascontiguousarray(pixels[start : start + _ROWS, :, :3])
        try:
            linear = imagecodecs.cms_transform(
                rows, source, target, colorspace="rgb", outcolorspace="rgb", outdtype="float32"
            )
        except (imagecodecs.CmsError, ValueError):
            raise ValueError("its ICC profile cannot be used") from None
        light[start : start + _ROWS, :, :3] = linear
        if profile:
            narrow = linear.reshape(-1, 3) @ in_p3
            outside += int(((narrow < -_HAIR) | (narrow > 1 + _HAIR)).any(axis=1).sum())
    if not profile:
        return light, SRGB_PRIMARIES
    return light, P3 if outside <= _FEW * pixels.shape[0] * pixels.shape[1] else BT2100


def _to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """(3, 3): linear RGB to XYZ, white having Y = 1."""
    white, *colours = ((x / y, 1.0, (1 - x - y) / y) for x, y in primaries)
    columns = np.array(colours).T
    return cast(NDArray[np.float64], columns * np.linalg.solve(columns, np.array(white)))


def _icc_bits(profile: bytes) -> BitWriter:
    """Colours that an ICC profile says, and the profile as a stream of its own (annex E.4): its
    header as what differs from a usual one, the rest as it is, each byte by a code of 8 bits."""
    if profile[16:20] != b"RGB ":
        raise ValueError("its ICC profile is none of RGB")
    commands = b"\0\x01" + _varint(len(profile) - 128)
    content = _varint(len(profile)) + _varint(len(commands)) + commands
    usual = usual_icc_header(len(profile), profile)
    content += bytes(
        (byte - expected) & 255 for byte, expected in zip(profile[:128], usual, strict=True)
    )
    content += profile[128:]
    tail = BitWriter()
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
    writer = BitWriter()
    writer.write((1, 0), (1, 1), enum_bits(RGB))
    writer.tail = tail.bits
    return writer


def _varint(number: int) -> bytes:
    parts = [number & 127]
    while number := number >> 7:
        parts[-1] |= 128
        parts.append(number & 127)
    return bytes(parts)
