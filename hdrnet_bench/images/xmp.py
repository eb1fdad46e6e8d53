"""XMP as bytes: the orientation that it may say, and what it says of pictures left behind."""

from __future__ import annotations

import re

_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)(\d)")
# Ultra HDR's gain map, depth, motion photos: each a further picture behind the first one.
_OTHER_PICTURES = (
    b"Container:Directory",
    b"hdrgm:Version",
    b"GDepth:",
    b"MotionPhoto",
    b"MicroVideo",
)


def orientation(packet: bytes) -> int | None:
    """EXIF's code as the packet says it; None where it says none."""
    match = _ORIENTATION.search(packet)
    return int(match[2]) if match else None


def upright(packet: bytes) -> bytes:
    """The packet of a picture that has been turned upright: as long as it was."""
    return _ORIENTATION.sub(rb"\g<1>1", packet)


def describes_other_pictures(packet: bytes) -> bool:
    """Whether it is about pictures behind the first one, and wrong without them."""
    return any(name in packet for name in _OTHER_PICTURES)
