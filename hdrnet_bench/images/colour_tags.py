"""Colours that a file tells by tags and not by an ICC profile, as the profile that says the same.

Sources: ITU-T H.273 (coding-independent code points: cICP in PNG, nclx in HEIC and AVIF); PNG,
third edition, clause 4.3 (which chunk counts before which) and 11.3.2; DCF 2.0 (Adobe RGB in EXIF).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import imagecodecs

_XY = tuple[float, float]


class Primaries(NamedTuple):
    """Chromaticities (x, y) of white, red, green and blue."""

    white: _XY
    red: _XY
    green: _XY
    blue: _XY


_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)
_SMPTE_170M = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
BT709 = Primaries(_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
# By the numbers of H.273, table 2; 2 says "unspecified", and is taken for what nearly all is.
PRIMARIES = {
    1: BT709,
    2: BT709,
    4: Primaries(_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    9: Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: Primaries((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: Primaries(_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_NAMES = {4: "BT.470 M", 5: "BT.601", 6: "BT.601", 7: "BT.601", 9: "BT.2020", 11: "DCI-P3"}
# Table 3: what the numbers mean as light. BT.709's curve and its like (1, 6, 14, 15) are a
# camera's, and displays show them by one near sRGB's, as decoders of pictures take them too.
_SRGB_CURVES = (1, 2, 6, 13, 14, 15)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_DATE = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
HDR = {16: "PQ", 18: "HLG"}


def profile_of_cicp(primaries: int, transfer: int) -> bytes | None:
    """The profile of H.273's code points; None where they say sRGB.

    Raises ValueError for HDR (PQ, HLG), whose rendering to a display nothing here defines, and for
    code points that are not known.
    """
    if transfer in HDR:
        raise ValueError(
            f"it is an HDR picture ({HDR[transfer]}), and how its light is to be brought to a "
            "display is not defined: convert it to an SDR one first"
        )
    if primaries not in PRIMARIES or transfer not in (*_SRGB_CURVES, *_GAMMAS):
        raise ValueError(f"its colours (primaries {primaries}, transfer {transfer}) are not known")
    if transfer in _SRGB_CURVES:
        if PRIMARIES[primaries] == BT709:
            return None
        name = "Display P3" if primaries == 12 else _NAMES[primaries]
        return _profile(PRIMARIES[primaries], None, name)
    return profile_of_gamma(PRIMARIES[primaries], _GAMMAS[transfer])


def profile_of_gamma(primaries: Primaries, gamma: float) -> bytes:
    """Light is the number to the power of gamma.

    Raises ValueError for what are no primaries, or no gamma.
    """
    if not 0.1 <= gamma <= 10:
        raise ValueError(f"a gamma of {gamma:.4g} means nothing")
    known = {BT709: "sRGB primaries", ADOBE_PRIMARIES: "Adobe RGB primaries"}
    name = f"{known.get(primaries, 'RGB')}, gamma {gamma:.4g}"
    return _profile(primaries, gamma, name)


def _profile(primaries: Primaries, gamma: float | None, name: str) -> bytes:
    """A profile of this name; without a gamma its curve is sRGB's."""
    white, *colours = ([x, y, 1.0] for x, y in primaries)
    try:
        profile: bytes = imagecodecs.cms_profile(
            "rgb",
            whitepoint=white,
            primaries=[number for colour in colours for number in colour],
            gamma=gamma or 1.0,
        )
    except imagecodecs.CmsError:
        raise ValueError("its primaries mean nothing") from None
    tags = _tags(profile)
    if gamma is None:
        srgb = _tags(imagecodecs.cms_profile("srgb"))
        tags |= {tag: srgb[tag] for tag in (b"rTRC", b"gTRC", b"bTRC")}
    text = name.encode("utf-16-be")
    # One text, in English: type, 4 empty bytes, count, size of a record, language, length, place.
    record = struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(text), 28)
    return _with_tags(profile, tags | {b"desc": record + text})


def undated(profile: bytes) -> bytes:
    """The same profile whenever it is made: Little CMS writes the time of day into its header."""
    return profile[:24] + _DATE + profile[36:]


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """By name: behind a header of 128 bytes lie their number, and of each its name, place, size."""
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(count))
    return {name: profile[place : place + size] for name, place, size in entries}


def _with_tags(profile: bytes, tags: dict[bytes, bytes]) -> bytes:
    """The profile's header with other tags, each on a multiple of four bytes."""
    place = 132 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, place + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    # A digest of the profile (16 bytes at 84) would be of the old one: none is allowed. The date
    # (12 at 24) would make every file that is written another one.
    header = profile[4:24] + _DATE + profile[36:84] + bytes(16) + profile[100:128]
    return struct.pack(">I", place + len(content)) + header + table + content


ADOBE_PRIMARIES = Primaries(_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_RGB = _profile(ADOBE_PRIMARIES, 563 / 256, "Adobe RGB (1998)")
