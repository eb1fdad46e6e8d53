"""JPEG XL: its boxes, and its pixels by libjxl (imagecodecs).

imagecodecs says nothing of a file but its pixels, so that the header is read here
(jpegxl_header.py). Source of the boxes: ISO/IEC 18181-2.

What colours decoded pixels have is libjxl's rule: those that the header says. Only where a file has
both XYB, its lossy colour space, and an ICC profile are they linear sRGB, since libjxl does not
convert to a profile: of 8 bits, that would be too few, and colours outside sRGB would be cut off.
XYB is absolute, so that such a file is decoded under a header that says BT.2020 of 16 bits instead.
"""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import CapabilityError
from .colour_tags import (
    HDR,
    PRIMARIES,
    Primaries,
    profile_of_cicp,
    profile_of_gamma,
    undated,
)
from .decoded import Decoded
from .isobmff import boxes, tiff_of
from .jpegxl_bits import Bits
from .jpegxl_header import (
    ALPHA,
    BLACK,
    BT709_CURVE,
    BT2100,
    D65,
    DCI_CURVE,
    GREY,
    LINEAR,
    P3,
    RGB,
    SPOT,
    SRGB_CURVE,
    SRGB_PRIMARIES,
    Header,
    colour_bits,
    first_frame_is_modular,
    image_header,
    with_header,
)
from .jpegxl_icc import read_icc
from .limits import check_size
from .pixels import Pixels, full_scale

CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_TEXTS = {b"Exif": "EXIF", b"xml ": "XMP"}
_MOST_METADATA = 1 << 24
_EXTRA = {1: "depth", 3: "selection", 5: "colour filter", 6: "thermal"}
# The chromaticities of red, green and blue.
_COLOURS = {code: PRIMARIES[code][1:] for code in (SRGB_PRIMARIES, BT2100, P3)}


def decode_jxl(content: bytes) -> Decoded:
    """The picture of a JPEG XL, upright; 9 to 16 bits as uint16 of full scale.

    Lossy pictures with an ICC profile come as 16 bits in BT.2020's colours, with a note.

    Raises ValueError for animations, HDR (PQ, HLG), floating point, CMYK, premultiplied alpha, too
    many pixels, rare colours without an ICC profile, and damage, which libjxl does not read past.
    """
    codestream, boxed = parts(content)
    bits = Bits(codestream[2:])
    header = image_header(bits)
    if header.orientation > 4:
        # The numbers are those of the picture as stored, and pixels come turned.
        header.width, header.height = header.height, header.width
    check_size(header.width, header.height)
    _refuse(header)
    usual = bool(bits.read(1))  # Neither custom upsampling nor another XYB.
    icc = read_icc(bits) if header.colours.icc and usual else None
    modular = usual and not header.previewed and first_frame_is_modular(bits)
    notes: list[str] = []
    if header.xyb and header.colours.icc:
        profile, profile_from = _instead_of_icc(header, notes)
        codestream = with_header(codestream, 16, colour_bits(BT2100, header.colours.space))
        header.bits = 16
    else:
        profile, profile_from = _profile(header, icc)
    pixels = _pixels(codestream, header)
    for kind, _ in header.extras:
        if kind == SPOT:
            notes.append("spot colour drawn into the picture")
        elif kind != ALPHA:
            notes.append(f"left behind: an extra channel ({_EXTRA.get(kind, 'unknown')})")
    if header.orientation != 1:
        notes.append(f"orientation {header.orientation} applied")
    left_out: list[str] = []
    exif, xmp = _metadata(boxed, left_out)
    return Decoded(
        pixels,
        "gray" if header.colours.space == GREY else "rgb",
        alpha=_has_alpha(header),
        profile=profile,
        profile_from=profile_from,
        # libjxl turns by the codestream's orientation; EXIF's does not count in JPEG XL.
        orientation=1,
        exif=exif,
        xmp=xmp,
        lossless=modular and not header.xyb,
        notes=notes,
        left_out=left_out,
    )


def _has_alpha(header: Header) -> bool:
    return any(kind == ALPHA for kind, _ in header.extras)


def _refuse(header: Header) -> None:
    """Raises ValueError for what is not read."""
    if header.animated:
        raise ValueError("it holds several frames (an animated JPEG XL): one picture is wanted")
    if header.floating or header.bits > 16:
        kind = "floating-point numbers" if header.floating else "integers"
        raise ValueError(f"its pixels are {kind} of {header.bits} bits, and up to 16 bits are read")
    if any(kind == BLACK for kind, _ in header.extras):
        raise ValueError("it is a CMYK picture, which libjxl does not bring to RGB")
    if any(premultiplied for _, premultiplied in header.extras):
        raise ValueError(
            "its colours are multiplied by alpha (premultiplied), and cannot be had back exactly"
        )
    if header.colours.space not in (RGB, GREY):
        raise ValueError("its colours are neither grey nor RGB")
    if not header.colours.icc and header.colours.transfer in HDR:
        profile_of_cicp(header.colours.primaries, header.colours.transfer)


def parts(content: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The codestream, and (kind, content) of the boxes of metadata and level.

    Raises ValueError where the file is cut off between boxes, or has no codestream.
    """
    if content.startswith(b"\xff\x0a"):
        return content, []
    if not content.startswith(CONTAINER):
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
    boxed: list[tuple[bytes, bytes]], left_out: list[str]
) -> tuple[bytes | None, bytes | None]:
    """EXIF and XMP, the first of each."""
    exif, xmp = None, None
    unpacked: set[bytes] = set()  # of each kind one: a small box can become a large text
    for kind, payload in boxed:
        if kind == b"brob":
            kind, packed = payload[:4], payload[4:]
            if kind not in _TEXTS or kind in unpacked:
                continue
            unpacked.add(kind)
            try:
                payload = bytes(imagecodecs.brotli_decode(packed, out=_MOST_METADATA))
            except (imagecodecs.BrotliError, ValueError):
                left_out.append(f"{_TEXTS[kind]} left out: it cannot be unpacked")
                continue
        if kind == b"Exif" and exif is None:
            exif = tiff_of(payload)
            if exif is None:
                left_out.append("EXIF left out: it cannot be read")
        elif kind == b"xml " and xmp is None:
            xmp = payload or None
    return exif, xmp


def _profile(header: Header, icc: bytes | None) -> tuple[bytes | None, str | None]:
    """The profile of decoded pixels, and what said so where that was no profile.

    Raises ValueError for colours that no profile here says.
    """
    colours = header.colours
    if colours.icc:
        if not icc:
            raise ValueError("its ICC profile stands behind a rare header, which is not read")
        return icc, None
    srgb_like = colours.transfer in (SRGB_CURVE, BT709_CURVE)
    d65 = colours.white == D65
    gammas = {0: 1 / max(colours.gamma, 1e-3), LINEAR: 1.0, DCI_CURVE: 2.6}
    if colours.space == GREY and d65 and srgb_like:
        return None, "JPEG XL"
    if colours.space == GREY and d65 and colours.transfer in gammas:
        grey = imagecodecs.cms_profile("gray", gamma=gammas[colours.transfer])
        return undated(grey), "JPEG XL"
    if colours.space == GREY:
        raise ValueError("its grey has a rare curve and no ICC profile")
    if d65 and srgb_like and colours.primaries in _COLOURS:
        code = 12 if colours.primaries == P3 else colours.primaries
        profile = profile_of_cicp(code, colours.transfer)
    elif colours.transfer in gammas and (colours.points or colours.primaries in _COLOURS):
        points = _COLOURS.get(colours.primaries) or colours.points
        primaries = Primaries(colours.white_point, *points)
        profile = profile_of_gamma(primaries, gammas[colours.transfer])
    else:
        raise ValueError("its colours are rare ones and have no ICC profile")
    return profile, "JPEG XL"


def _instead_of_icc(header: Header, notes: list[str]) -> tuple[bytes | None, str | None]:
    """Of lossy pictures with an ICC profile: what they are decoded to."""
    grey = header.colours.space == GREY
    notes.append(f"profile left out: a lossy JPEG XL is decoded to {'sRGB' if grey else 'BT.2020'}")
    profile = None if grey else profile_of_cicp(BT2100, SRGB_CURVE)
    return profile, "JPEG XL"


# Pixels


def need_imagecodecs() -> None:
    if not imagecodecs.JPEGXL.available:
        raise CapabilityError(
            "JPEG XL is read by imagecodecs, whose build here has none: pip install -U imagecodecs"
        )


def _pixels(content: bytes, header: Header) -> Pixels:
    """(H, W, channels), turned. Raises ValueError for damage."""
    need_imagecodecs()
    try:
        pixels = imagecodecs.jpegxl_decode(content, index=0)
    except (imagecodecs.JpegxlError, RuntimeError, ValueError):
        raise ValueError("the JPEG XL is damaged or cut off") from None
    if header.extras and header.colours.space == GREY and not _has_alpha(header):
        pixels = pixels[0]  # imagecodecs puts other channels than alpha behind grey, as planes.
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    _check_shape(pixels, header)
    if (pixels.dtype == np.uint8) != (header.bits <= 8):
        raise ValueError(f"its pixels are not of the {header.bits} bits that its header says")
    return full_scale(np.ascontiguousarray(pixels), header.bits)


def _check_shape(pixels: NDArray[Any], header: Header) -> None:
    channels = (1 if header.colours.space == GREY else 3) + _has_alpha(header)
    if pixels.shape != (header.height, header.width, channels):
        raise ValueError("its pixels are not of the size that its header says")
