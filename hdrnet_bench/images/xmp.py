"""XMP as bytes: the orientation that it may say, and what is no longer true of the picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree

_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)(\d)")
# Two properties that change places where a picture is turned on its side.
_SIDES = (
    (b"tiff:ImageWidth", b"tiff:ImageLength"),
    (b"exif:PixelXDimension", b"exif:PixelYDimension"),
)
# Ultra HDR's gain map, depth, motion photos: each a further picture behind the first one.
_OTHERS = (
    rb"(?:hdrgm|GContainer|Container|Item|GDepth|GImage|GCamera:(?:MotionPhoto|MicroVideo)\w*)"
)
_ATTRIBUTE = re.compile(rb"\s" + _OTHERS + rb"(?::\w+)?\s*=\s*(\"[^\"]*\"|'[^']*')")
_ELEMENT = re.compile(rb"<(" + _OTHERS + rb"(?::\w+)?)(?:\s[^>]*)?(?:/>|>.*?</\1>)", re.DOTALL)
_OTHER = re.compile(_OTHERS)
_MOST_SEARCHED = 1 << 27  # bytes, some seconds
_PLACES = (b"mwg-rs:", b"MPReg:", b"stArea:")


def orientation(packet: bytes) -> int | None:
    """EXIF's code as the packet says it; None where it says none."""
    match = _ORIENTATION.search(packet)
    return int(match[2]) if match else None


def upright(packet: bytes, turned: bool) -> bytes:
    """The packet of a picture that has been turned upright; `turned`: on its side."""
    packet = _ORIENTATION.sub(rb"\g<1>1", packet)
    for names in _SIDES if turned else ():
        found = [re.search(name + rb"(?:\s*=\s*[\"']|>)\s*(\d+)", packet) for name in names]
        if all(found):
            first, second = sorted(match.span(1) for match in found if match)
            packet = (
                packet[: first[0]] + packet[slice(*second)] + packet[first[1] : second[0]]
                + packet[slice(*first)] + packet[second[1] :]
            )  # fmt: skip
    return packet


def has_places(packet: bytes) -> bool:
    """Whether it says where something (a face) is in the picture, which turning makes wrong."""
    return any(name in packet for name in _PLACES)


def without_other_pictures(packet: bytes) -> bytes | None:
    """The packet without what it says of pictures behind the first one, itself where that is
    nothing; None where it cannot be told from the rest."""
    # For each name the rest may be searched for its end.
    if sum(1 for _ in _OTHER.finditer(packet)) * len(packet) > _MOST_SEARCHED:
        return None
    shorter = _ATTRIBUTE.sub(b"", _ELEMENT.sub(b"", packet))
    if shorter == packet:
        return packet
    try:
        if b"<!" in shorter.replace(b"<!--", b""):
            return None  # entities, which no packet has
        ElementTree.fromstring(shorter.strip(b"\0 \n"))
    except ElementTree.ParseError:
        return None
    return shorter
