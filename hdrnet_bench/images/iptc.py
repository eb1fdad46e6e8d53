"""IPTC's records inside Photoshop's resources, as JPEGs and some PNGs hold them.

A resource is "8BIM", its number, a name (length, text, to an even size), the length of its content,
and that to an even size. Source: Adobe's Photoshop file formats specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_IPTC = 0x0404
# About the old file alone: resolution (kept otherwise), thumbnails, the digest of the records.
_UNNEEDED = (0x03ED, 0x0409, 0x040C, 0x0425)


def _resources(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while content[place : place + 4] == b"8BIM" and place + 8 <= len(content):
        (number,) = struct.unpack_from(">H", content, place + 4)
        name = content[place + 6] + 1
        start = place + 6 + name + name % 2
        if start + 4 > len(content):
            return
        (length,) = struct.unpack_from(">I", content, start)
        yield number, content[start + 4 : start + 4 + length]
        place = start + 4 + length + length % 2


def from_resources(content: bytes) -> tuple[bytes | None, list[str]]:
    """The records, and what else there is, in words."""
    found = list(_resources(content))
    records = [value for number, value in found if number == _IPTC and value]
    others = sorted({number for number, _ in found} - {_IPTC, *_UNNEEDED})
    left_out = ["a second block of IPTC"] if len(records) > 1 else []
    if others:
        left_out.append(f"Photoshop's resources {', '.join(map(str, others[:6]))}")
    return (records[0] if records else None), left_out


def as_resource(records: bytes) -> bytes:
    """One resource, without a name."""
    return (
        struct.pack(">4sHHI", b"8BIM", _IPTC, 0, len(records))
        + records
        + b"\0" * (len(records) % 2)
    )
