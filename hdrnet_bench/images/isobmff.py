"""ISO base media files: the boxes of HEIC and AVIF, their items, and where these lie in the file.

Sources: ISO/IEC 14496-12 (boxes, items), 23008-12 (HEIF: properties, derived pictures), 23000-22
(MIAF).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .limits import check_size

PICTURES = {
    *(b"av01", b"avc1", b"evc1", b"hvc1", b"hvc2", b"j2k1", b"jpeg", b"unci", b"vvc1"),
    *(b"grid", b"iden", b"iovl", b"sato", b"tmap"),
}
_DERIVED = (b"grid", b"iden", b"iovl")
_SEQUENCE_BRANDS = (b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs")
_TIFF = (b"II*\0", b"MM\0*")
_MOST_BOXES, _MOST_ITEMS = 100_000, 4096
# Of a picture of many tiles: what refers to what, together; the pieces of an item; its properties.
_MOST_REFERENCES, _MOST_EXTENTS, _MOST_PROPERTIES = 1 << 14, 1 << 14, 256
_CUT_OFF = "it is cut off or damaged: a part of it lies beyond its end"


class Property(NamedTuple):
    kind: bytes
    payload: bytes
    essential: bool


@dataclass
class Item:
    """extents: (place, length) of its bytes, in the file or, where `inside`, in the meta box."""

    kind: bytes
    content_type: bytes = b""
    hidden: bool = False
    properties: list[Property] = field(default_factory=list)
    extents: list[tuple[int, int]] = field(default_factory=list)
    inside: bool = False
    readable: bool = True

    def first(self, kind: bytes) -> bytes | None:
        """The first property of this kind."""
        return next((each.payload for each in self.properties if each.kind == kind), None)


@dataclass
class Meta:
    """references: (kind, from, to)."""

    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    references: list[tuple[bytes, int, list[int]]] = field(default_factory=list)
    inside: bytes = b""

    def inputs(self, item: int) -> list[int]:
        """What a derived picture is made of."""
        return [
            to
            for kind, origin, targets in self.references
            if kind == b"dimg" and origin == item
            for to in targets
            if to in self.items
        ]

    def refer_to(self, item: int, kind: bytes) -> list[int]:
        """The items whose references of this kind name the item."""
        return [
            origin
            for name, origin, targets in self.references
            if name == kind and item in targets and origin in self.items
        ]


def boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each box's kind, and where its content begins and ends.

    Raises ValueError where a box reaches beyond `end`.
    """
    place = start
    for _ in range(_MOST_BOXES):
        if place == end:
            return
        if place + 8 > end:
            raise ValueError("it is cut off or damaged: a box reaches beyond its end")
        size, kind = struct.unpack_from(">I4s", content, place)
        head = 8
        if size == 1 and place + 16 <= end:
            (size,) = struct.unpack_from(">Q", content, place + 8)
            head = 16
        elif size == 0:
            size = end - place
        if size < head or place + size > end:
            raise ValueError("it is cut off or damaged: a box reaches beyond its end")
        yield kind, place + head, place + size
        place += size
    raise ValueError("it has too many boxes")


class _Reader:
    """Numbers, most significant byte first, from a part of the file."""

    def __init__(self, content: bytes, place: int, end: int) -> None:
        self.content, self.place, self.end = content, place, end

    def take(self, count: int) -> bytes:
        """Raises ValueError past the end."""
        if self.place + count > self.end:
            raise ValueError("it is damaged: a box is shorter than what it holds")
        self.place += count
        return self.content[self.place - count : self.place]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def text(self) -> bytes:
        """To the next zero, or to the end."""
        stop = self.content.find(b"\0", self.place, self.end)
        text = self.content[self.place : self.end if stop < 0 else stop]
        self.place = min(self.place + len(text) + 1, self.end)
        return text


def read_boxes(content: bytes) -> tuple[Meta, list[str]]:
    """The still pictures' boxes, and notes.

    Raises ValueError for sequences, and without a picture.
    """
    found: dict[bytes, tuple[int, int]] = {}
    try:
        for kind, start, end in boxes(content, 0, len(content)):
            found.setdefault(kind, (start, end))
    except ValueError:
        # What cameras append behind the last box is no box. That pixels are cut off, decoders say.
        if b"ftyp" not in found or b"meta" not in found:
            raise
    frames = _frames(content, *found[b"moov"]) if b"moov" in found else 0
    notes = []
    if frames > 1:
        start, end = found.get(b"ftyp", (0, 0))
        if content[start : min(start + 4, end)] in _SEQUENCE_BRANDS or b"meta" not in found:
            raise ValueError(f"it holds {frames} frames (an image sequence): one picture is wanted")
        notes.append(f"left behind: a sequence of {frames} frames")
    if b"meta" not in found:
        raise ValueError("it holds no still picture")
    meta = _meta(content, *found[b"meta"])
    if meta.primary not in meta.items or meta.items[meta.primary].kind not in PICTURES:
        raise ValueError("it names no primary picture")
    return meta, notes


def _frames(content: bytes, start: int, end: int) -> int:
    """The most samples of a track of pictures."""
    most = 0
    for kind, track, track_end in boxes(content, start, end):
        handler, samples = b"", 0
        inner = list(boxes(content, track, track_end)) if kind == b"trak" else []
        while inner:
            name, place, stop = inner.pop()
            if name in (b"mdia", b"minf", b"stbl"):
                inner += boxes(content, place, stop)
            elif name == b"hdlr":
                handler = content[place + 8 : place + 12]
            elif name in (b"stsz", b"stz2"):
                samples = int.from_bytes(content[place + 8 : place + 12], "big")
        if handler in (b"pict", b"vide"):
            most = max(most, samples)
    return most


def _meta(content: bytes, start: int, end: int) -> Meta:
    meta = Meta()
    parts: dict[bytes, tuple[int, int]] = {}
    for kind, place, stop in boxes(content, start + 4, end):
        parts.setdefault(kind, (place, stop))
    if b"pitm" in parts:
        reader = _Reader(content, *parts[b"pitm"])
        meta.primary = reader.number(2 if reader.number(4) >> 24 == 0 else 4)
    if b"iinf" in parts:
        _read_items(content, *parts[b"iinf"], meta)
    if b"iref" in parts:
        _read_references(content, *parts[b"iref"], meta)
    if b"iprp" in parts:
        _read_properties(content, *parts[b"iprp"], meta)
    if b"iloc" in parts:
        _read_places(_Reader(content, *parts[b"iloc"]), meta)
    if b"idat" in parts:
        meta.inside = content[slice(*parts[b"idat"])]
    return meta


def _read_items(content: bytes, start: int, end: int, meta: Meta) -> None:
    reader = _Reader(content, start, end)
    reader.number(2 if reader.number(4) >> 24 == 0 else 4)
    for kind, place, stop in boxes(content, reader.place, end):
        reader = _Reader(content, place, stop)
        version, flags = divmod(reader.number(4), 1 << 24)
        if kind != b"infe" or version < 2:
            continue
        item = reader.number(2 if version == 2 else 4)
        reader.number(2)
        made = Item(reader.take(4), hidden=bool(flags & 1))
        reader.text()
        if made.kind == b"mime":
            made.content_type = reader.text()
            made.readable = not reader.text()  # A packed one.
        meta.items.setdefault(item, made)
        if len(meta.items) > _MOST_ITEMS:
            raise ValueError(f"it has more than {_MOST_ITEMS} parts")


def _read_references(content: bytes, start: int, end: int, meta: Meta) -> None:
    size = 2 if _Reader(content, start, end).number(4) >> 24 == 0 else 4
    known = 0
    for kind, place, stop in boxes(content, start + 4, end):
        reader = _Reader(content, place, stop)
        origin = reader.number(size)
        to = [reader.number(size) for _ in range(reader.number(2))]
        meta.references.append((kind, origin, to))
        known += 1 + len(to)
        if known > _MOST_REFERENCES:
            raise ValueError("it has more references between its parts than any picture")


def _read_properties(content: bytes, start: int, end: int, meta: Meta) -> None:
    known: list[tuple[bytes, bytes]] = []
    for kind, place, stop in boxes(content, start, end):
        if kind == b"ipco":
            inner = boxes(content, place, stop)
            known = [(name, content[first:last]) for name, first, last in inner]
        if kind != b"ipma":
            continue
        reader = _Reader(content, place, stop)
        version, flags = divmod(reader.number(4), 1 << 24)
        size = 2 if flags & 1 else 1
        for _ in range(reader.number(4)):
            item = meta.items.get(reader.number(2 if version < 1 else 4))
            for _ in range(reader.number(1)):
                essential, index = divmod(reader.number(size), 1 << (8 * size - 1))
                if item is not None and 0 < index <= len(known):
                    item.properties.append(Property(*known[index - 1], bool(essential)))
            if item is not None and len(item.properties) > _MOST_PROPERTIES:
                raise ValueError("a part of it has more properties than any picture")


def _read_places(reader: _Reader, meta: Meta) -> None:
    version = reader.number(4) >> 24
    sizes = reader.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    for _ in range(reader.number(2 if version < 2 else 4)):
        item = meta.items.get(reader.number(2 if version < 2 else 4)) or Item(b"")
        method = reader.number(2) & 15 if version else 0
        elsewhere = reader.number(2)
        base = reader.number(base_size)
        count = reader.number(2)
        if count > 1 and not offset_size + length_size + index_size:
            raise ValueError("it is damaged: parts of a picture without a place")
        for _ in range(count):
            reader.number(index_size)
            place = base + reader.number(offset_size)
            item.extents.append((place, reader.number(length_size)))
        if len(item.extents) > _MOST_EXTENTS:
            raise ValueError("a part of it lies in more pieces than any picture")
        item.inside = method == 1
        item.readable = item.readable and method < 2 and not elsewhere


def item_bytes(content: bytes, meta: Meta, item: int) -> bytes:
    """Raises ValueError where they are not in the file."""
    found = meta.items[item]
    source = meta.inside if found.inside else content
    parts, total = [], 0
    for place, length in found.extents:
        part = source[place : place + length] if length else source[place:]
        total += len(part)
        if len(part) < length or total > len(content):
            raise ValueError(_CUT_OFF)
        parts.append(part)
    if not parts or not found.readable:
        raise ValueError("where a part of it lies cannot be read")
    return b"".join(parts)


def leaf_of(meta: Meta) -> int:
    """The primary picture, or the first of those that it is made of."""
    item = meta.primary
    for _ in range(8):
        kind, inputs = meta.items[item].kind, meta.inputs(item)
        if kind == b"sato" or any(other.kind == b"sato" for other in meta.items.values()):
            raise ValueError(
                "it adds up layers to more bits (a sample transform), which is not read"
            )
        if kind not in _DERIVED or not inputs:
            return item
        item = inputs[0]
    raise ValueError("it is damaged: a picture that is made of itself")


def aux_type(meta: Meta, item: int) -> bytes:
    payload = meta.items[item].first(b"auxC") or b""
    return payload[4:].split(b"\0")[0]


def check_item(content: bytes, meta: Meta, item: int) -> None:
    """Of the size that an item's property says, of the canvas that a derived one says, and of where
    its bytes lie: libheif leaves tiles blank that the file does not hold, without a word."""
    for place, length in meta.items[item].extents:
        if place + length > len(meta.inside if meta.items[item].inside else content):
            raise ValueError(_CUT_OFF)
    size = meta.items[item].first(b"ispe")
    if size is not None and len(size) >= 12:
        width, height = struct.unpack_from(">II", size, 4)
        check_size(width, height)
    elif item == meta.primary:
        raise ValueError("it does not say how large it is")
    if meta.items[item].kind in (b"grid", b"iovl"):
        payload = item_bytes(content, meta, item)
        place = 4 if meta.items[item].kind == b"grid" else 10
        form = ">II" if payload[1:2] and payload[1] & 1 else ">HH"
        if len(payload) < place + struct.calcsize(form):
            raise ValueError("it is damaged: a picture of parts without a size")
        width, height = struct.unpack_from(form, payload, place)
        check_size(width, height)


def tiff_of(block: bytes) -> bytes | None:
    """EXIF's TIFF structure in a block that says in 4 bytes how far behind them it begins, which
    some count wrongly; None without one."""
    tiff = block[4 + int.from_bytes(block[:4], "big") :]
    if tiff[:4] not in _TIFF:
        places = [block.find(start, 0, 64) for start in _TIFF]
        tiff = block[max(places) :] if max(places) >= 0 else b""
    return tiff or None
