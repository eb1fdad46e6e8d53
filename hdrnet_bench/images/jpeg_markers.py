"""A JPEG's markers as libjpeg meets them: it decodes no more of a file than has been seen here.

Sources: ITU-T T.81, annex B; libjpeg's jdmarker.c, for what it passes over.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SCAN, END = 0xDA, 0xD9
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame's header
# Each scan takes the time of a whole picture. libjpeg's own cjpeg takes lists of so many at most;
# encoders write about ten.
_MOST_SCANS = 100
_MOST_SEGMENTS = 100_000  # a hundred scans with their tables, and 6 GB of metadata
# The others are no markers in coded data (00, FF), have no length (restarts), or have no meaning,
# and libjpeg looks for the next one.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")


class Segment(NamedTuple):
    """start, end: of its content in the file."""

    marker: int
    start: int
    end: int


def walk(content: bytes) -> list[Segment]:
    """All segments to the end of the first picture, whose marker is the last one; it is not there
    where the file is cut off, or damaged so that a segment reaches beyond it.

    Raises ValueError for more scans or segments than any JPEG has.
    """
    found: list[Segment] = []
    place, scans = 2, 0
    while match := _MARKER.search(content, place):
        place = match.end()
        marker = content[place - 1]
        if marker == END:
            found.append(Segment(marker, place, place))
            break
        end = place + max(2, int.from_bytes(content[place : place + 2], "big"))
        if end > len(content):
            break
        found.append(Segment(marker, place + 2, end))
        scans += marker == SCAN
        if scans > _MOST_SCANS:
            raise ValueError(
                "it has more scans than any JPEG: each takes the time of a whole picture"
            )
        if len(found) > _MOST_SEGMENTS:
            raise ValueError("it has more segments than any JPEG")
        place = end
    return found
