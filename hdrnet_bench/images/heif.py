"""HEIC and AVIF: their boxes, and the pixels by libheif (pillow-heif) or libavif (imagecodecs).

What is said of a picture is read here from the boxes, before anything is decoded. Sources:
ISO/IEC 14496-12 (boxes, items), 23008-12 (HEIF: properties, derived pictures), 23000-22 (MIAF), and
AV1's specification 5.5 (sequence header).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import CapabilityError
from .colour_tags import profile_of_cicp
from .decoded import Decoded
from .limits import max_pixels
from .pixels import Pixels

_PICTURES = {
    *(b"av01", b"avc1", b"evc1", b"hvc1", b"hvc2", b"j2k1", b"jpeg", b"unci", b"vvc1"),
    *(b"grid", b"iden", b"iovl", b"sato", b"tmap"),
}
_DERIVED = (b"grid", b"iden", b"iovl")
_SEQUENCE_BRANDS = (b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs")
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_DEPTH = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth", b"urn:mpeg:hevc:2015:auxid:2")
_TIFF = (b"II*\0", b"MM\0*")
_MOST_BOXES, _MOST_ITEMS = 100_000, 4096
_PQ_AND_HLG = (16, 18)
_PREMULTIPLIED = (
    "its colours are multiplied by alpha (premultiplied), and cannot be had back exactly"
)
_CUT_OFF = "it is cut off or damaged: a part of it lies beyond its end"
_HEIC_ERRORS = (ValueError, RuntimeError, EOFError, SyntaxError, OSError)


class _Property(NamedTuple):
    kind: bytes
    payload: bytes
    essential: bool


@dataclass
class _Item:
    """extents: (place, length) of its bytes, in the file or, where `inside`, in the meta box."""

    kind: bytes
    content_type: bytes = b""
    hidden: bool = False
    properties: list[_Property] = field(default_factory=list)
    extents: list[tuple[int, int]] = field(default_factory=list)
    inside: bool = False
    readable: bool = True

    def first(self, kind: bytes) -> bytes | None:
        """The first property of this kind."""
        return next((each.payload for each in self.properties if each.kind == kind), None)


@dataclass
class _Meta:
    """references: (kind, from, to)."""

    primary: int = 0
    items: dict[int, _Item] = field(default_factory=dict)
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


class _Sequence(NamedTuple):
    """Of AV1's sequence header."""

    width: int
    height: int
    bits: int
    primaries: int
    transfer: int


def decode_heic(content: bytes, limit_pixels: int | None = None) -> Decoded:
    """The primary picture of a HEIC, upright; 10 and 12 bits as uint16 of full scale.

    Raises ValueError for sequences, HDR (PQ, HLG), premultiplied alpha, more than `limit_pixels`
    pixels, and damage that libheif sees; CapabilityError without pillow-heif.
    """
    return _decode(content, max_pixels() if limit_pixels is None else limit_pixels)


def decode_avif(content: bytes, limit_pixels: int | None = None) -> Decoded:
    """The primary picture of an AVIF, upright; 10 and 12 bits as uint16 of full scale.

    Raises ValueError for sequences, HDR (PQ, HLG), premultiplied alpha, layers that add up to
    more bits ("sato"), more than `limit_pixels` pixels, and damage.
    """
    return _decode(content, max_pixels() if limit_pixels is None else limit_pixels)


def _decode(content: bytes, limit_pixels: int) -> Decoded:
    """The codec decides and not the name: HEIF's boxes are the same for all."""
    meta, notes = _read_boxes(content)
    primary = meta.items[meta.primary]
    leaf = _leaf(meta)
    alpha = [
        item for item in meta.refer_to(meta.primary, b"auxl") if _aux_type(meta, item) in _ALPHA
    ]
    if any(
        meta.primary in (origin, *to) for kind, origin, to in meta.references if kind == b"prem"
    ):
        raise ValueError(_PREMULTIPLIED)
    for item in {meta.primary, leaf, *meta.inputs(meta.primary), *alpha}:
        _check_item(content, meta, item, limit_pixels)
    sequence = None
    if meta.items[leaf].kind == b"av01":
        sequence = _av1_sequence(_item_bytes(content, meta, leaf))
        check_limit(sequence.width, sequence.height, limit_pixels)
    profile, profile_from = _colours(primary, meta.items[leaf], sequence, notes)
    notes += _left_behind(meta)
    if sequence is None:
        pixels = _heic_pixels(content, meta.items[leaf].kind, limit_pixels)
    else:
        pixels = _turned(_avif_pixels(content, meta, sequence.bits), primary)
    channels = pixels.shape[2]
    if channels in (1, 3) and _tiles_have_alpha(meta):
        notes.append("transparency left behind, which only the picture's tiles have")
    return Decoded(
        pixels,
        "gray" if channels < 3 else "rgb",
        alpha=channels in (2, 4),
        profile=profile,
        profile_from=profile_from,
        # HEIF turns pictures by its own properties, which are applied; EXIF's tag does not count.
        orientation=1,
        exif=_exif(content, meta, notes),
        xmp=_xmp(content, meta, notes),
        lossless=False,  # The coded frames alone could tell.
        notes=notes,
    )


def check_limit(width: int, height: int, limit_pixels: int) -> None:
    """Raises ValueError for a size without pixels or of more than `limit_pixels`."""
    if min(width, height) < 1:
        raise ValueError(f"its header says {width} x {height} pixels")
    if width * height > limit_pixels:
        raise ValueError(
            f"{width} x {height} is over the limit of {limit_pixels / 1e6:g} megapixels"
        )


def full_scale(pixels: Pixels, bits: int) -> Pixels:
    """Numbers of up to 16 bits as uint8 (to 8 bits) or uint16, the largest one for white.

    Raises ValueError where a number has more bits.
    """
    if bits in (8, 16):
        return pixels
    white, stored = 2**bits - 1, 255 if bits < 8 else 65535
    if pixels.size and int(pixels.max()) > white:
        raise ValueError(f"its pixels have more than the {bits} bits that its header says")
    # Never a tie: white is odd, and twice `stored` is even.
    table = (np.arange(white + 1) * stored + white // 2) // white
    return cast(Pixels, table.astype(np.uint8 if bits < 8 else np.uint16)[pixels])


# Boxes


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


def _read_boxes(content: bytes) -> tuple[_Meta, list[str]]:
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
        notes.append(f"sequence of {frames} frames left behind")
    if b"meta" not in found:
        raise ValueError("it holds no still picture")
    meta = _meta(content, *found[b"meta"])
    if meta.primary not in meta.items or meta.items[meta.primary].kind not in _PICTURES:
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


def _meta(content: bytes, start: int, end: int) -> _Meta:
    meta = _Meta()
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


def _read_items(content: bytes, start: int, end: int, meta: _Meta) -> None:
    reader = _Reader(content, start, end)
    reader.number(2 if reader.number(4) >> 24 == 0 else 4)
    for kind, place, stop in boxes(content, reader.place, end):
        reader = _Reader(content, place, stop)
        version, flags = divmod(reader.number(4), 1 << 24)
        if kind != b"infe" or version < 2:
            continue
        item = reader.number(2 if version == 2 else 4)
        reader.number(2)
        made = _Item(reader.take(4), hidden=bool(flags & 1))
        reader.text()
        if made.kind == b"mime":
            made.content_type = reader.text()
            made.readable = not reader.text()  # A packed one.
        meta.items.setdefault(item, made)
        if len(meta.items) > _MOST_ITEMS:
            raise ValueError(f"it has more than {_MOST_ITEMS} parts")


def _read_references(content: bytes, start: int, end: int, meta: _Meta) -> None:
    size = 2 if _Reader(content, start, end).number(4) >> 24 == 0 else 4
    for kind, place, stop in boxes(content, start + 4, end):
        reader = _Reader(content, place, stop)
        origin = reader.number(size)
        to = [reader.number(size) for _ in range(reader.number(2))]
        meta.references.append((kind, origin, to))


def _read_properties(content: bytes, start: int, end: int, meta: _Meta) -> None:
    known: list[tuple[bytes, bytes]] = []
    for kind, place, stop in boxes(content, start, end):
        if kind == b"ipco":
            known = [(name, content[a:b]) for name, a, b in boxes(content, place, stop)]
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
                    item.properties.append(_Property(*known[index - 1], bool(essential)))


def _read_places(reader: _Reader, meta: _Meta) -> None:
    version = reader.number(4) >> 24
    sizes = reader.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    for _ in range(reader.number(2 if version < 2 else 4)):
        item = meta.items.get(reader.number(2 if version < 2 else 4)) or _Item(b"")
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
        item.inside = method == 1
        item.readable = item.readable and method < 2 and not elsewhere


def _item_bytes(content: bytes, meta: _Meta, item: int) -> bytes:
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


# What the boxes say


def _leaf(meta: _Meta) -> int:
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


def _aux_type(meta: _Meta, item: int) -> bytes:
    payload = meta.items[item].first(b"auxC") or b""
    return payload[4:].split(b"\0")[0]


def _check_item(content: bytes, meta: _Meta, item: int, limit_pixels: int) -> None:
    """Of the size that an item's property says, of the canvas that a derived one says, and of where
    its bytes lie: libheif leaves tiles blank that the file does not hold, without a word."""
    for place, length in meta.items[item].extents:
        if place + length > len(meta.inside if meta.items[item].inside else content):
            raise ValueError(_CUT_OFF)
    size = meta.items[item].first(b"ispe")
    if size is not None and len(size) >= 12:
        width, height = struct.unpack_from(">II", size, 4)
        check_limit(width, height, limit_pixels)
    elif item == meta.primary:
        raise ValueError("it does not say how large it is")
    if meta.items[item].kind in (b"grid", b"iovl"):
        payload = _item_bytes(content, meta, item)
        place = 4 if meta.items[item].kind == b"grid" else 10
        form = ">II" if payload[1:2] and payload[1] & 1 else ">HH"
        if len(payload) < place + struct.calcsize(form):
            raise ValueError("it is damaged: a picture of parts without a size")
        width, height = struct.unpack_from(form, payload, place)
        check_limit(width, height, limit_pixels)


def _colours(
    primary: _Item, leaf: _Item, sequence: _Sequence | None, notes: list[str]
) -> tuple[bytes | None, str | None]:
    """The profile, and what said so where that was no profile. Raises ValueError for HDR."""
    tags = [each.payload for each in primary.properties if each.kind == b"colr"]
    tags = tags or [each.payload for each in leaf.properties if each.kind == b"colr"]
    icc = next((tag[4:] for tag in tags if tag[:4] in (b"prof", b"rICC")), None)
    nclx = next((tag for tag in tags if tag[:4] == b"nclx" and len(tag) >= 8), None)
    if nclx is not None:
        primaries, transfer = struct.unpack_from(">HH", nclx, 4)
    elif sequence is not None:
        primaries, transfer = sequence.primaries, sequence.transfer
    else:
        primaries, transfer = 2, 2
        if not icc:
            notes.append("nothing in its boxes says what its colours are: taken as sRGB")
    if icc and transfer not in _PQ_AND_HLG:
        return icc, None
    profile = profile_of_cicp(primaries, transfer)
    return profile, "nclx" if profile else None


def _left_behind(meta: _Meta) -> list[str]:
    notes: list[str] = []
    gain_maps = {item for item, found in meta.items.items() if found.kind == b"tmap"}
    parts = {to for kind, _, targets in meta.references if kind == b"dimg" for to in targets}
    roles: dict[int, set[bytes]] = {}
    for kind, origin, _ in meta.references:
        roles.setdefault(origin, set()).add(kind)
    thumbnails, others, depth = 0, 0, 0
    for item, found in meta.items.items():
        if found.kind not in _PICTURES or item == meta.primary:
            continue
        kinds = roles.get(item, set())
        urn = _aux_type(meta, item)
        if b"auxl" in kinds:
            if urn in _DEPTH:
                depth += 1
            elif b"gainmap" in urn.lower():
                gain_maps.add(item)
            elif urn not in _ALPHA:
                name = urn.decode("ascii", "replace").rpartition(":")[2][:40]
                notes.append(f"auxiliary picture left behind ({name})")
        elif b"thmb" in kinds:
            thumbnails += 1
        elif found.kind != b"tmap" and item not in parts and not found.hidden:
            others += 1
    if gain_maps:
        notes.append("gain map left behind")
    for count, name in ((depth, "depth map"), (thumbnails, "thumbnail"), (others, "more picture")):
        if count:
            notes.append(
                f"{name} left behind"
                if count == 1 and name != "more picture"
                else f"{count} {name}{'s' if count > 1 else ''} left behind"
            )
    return notes


def _tiles_have_alpha(meta: _Meta) -> bool:
    return any(
        _aux_type(meta, item) in _ALPHA
        for tile in meta.inputs(meta.primary)
        for item in meta.refer_to(tile, b"auxl")
    )


def _metadata(
    content: bytes, meta: _Meta, kind: bytes, what: str, notes: list[str]
) -> bytes | None:
    """The first item of a kind that describes the primary picture, or that describes none."""
    ours = set(meta.refer_to(meta.primary, b"cdsc"))
    described = {origin for name, origin, _ in meta.references if name == b"cdsc"}
    for item, found in meta.items.items():
        if kind in (found.kind, found.content_type) and (item in ours or item not in described):
            try:
                return _item_bytes(content, meta, item)
            except ValueError:
                notes.append(f"{what} left behind: it cannot be read")
    return None


def _exif(content: bytes, meta: _Meta, notes: list[str]) -> bytes | None:
    block = _metadata(content, meta, b"Exif", "EXIF", notes)
    if block is None:
        return None
    tiff = tiff_of(block)
    if tiff is None:
        notes.append("EXIF left behind: it cannot be read")
    return tiff


def tiff_of(block: bytes) -> bytes | None:
    """EXIF's TIFF structure in a block that says in 4 bytes how far behind them it begins, which
    some count wrongly; None without one."""
    tiff = block[4 + int.from_bytes(block[:4], "big") :]
    if tiff[:4] not in _TIFF:
        places = [block.find(start, 0, 64) for start in _TIFF]
        tiff = block[max(places) :] if max(places) >= 0 else b""
    return tiff or None


def _xmp(content: bytes, meta: _Meta, notes: list[str]) -> bytes | None:
    return _metadata(content, meta, b"application/rdf+xml", "XMP", notes) or None


def _turned(pixels: Pixels, item: _Item) -> Pixels:
    """Cropped, turned and mirrored in the order in which the item's properties say so, which
    libavif leaves to its caller. Raises ValueError for a crop between pixels."""
    for kind, payload, _ in item.properties:
        if kind == b"irot" and payload:
            pixels = np.rot90(pixels, payload[0] & 3)
        elif kind == b"imir" and payload:
            pixels = pixels[:, ::-1] if payload[0] & 1 else pixels[::-1]
        elif kind == b"clap":
            pixels = _cropped(pixels, payload)
    return cast(Pixels, np.ascontiguousarray(pixels))


def _cropped(pixels: Pixels, payload: bytes) -> Pixels:
    """By a clean aperture: width, height, how far its centre is from the picture's; fractions."""
    if len(payload) < 32:
        raise ValueError("its crop (clap) cannot be read")
    numbers = struct.unpack_from(">IIIIiIiI", payload)
    if not all(numbers[1::2]):
        raise ValueError("its crop (clap) cannot be read")
    height, width = pixels.shape[:2]
    (wide, wide_by), (high, high_by), (x, x_by), (y, y_by) = zip(
        numbers[::2], numbers[1::2], strict=True
    )
    # left = (width - wide) / 2 + x; all over one denominator, so that nothing is rounded.
    left, left_rest = divmod((width * wide_by - wide) * x_by + 2 * x * wide_by, 2 * wide_by * x_by)
    top, top_rest = divmod((height * high_by - high) * y_by + 2 * y * high_by, 2 * high_by * y_by)
    if wide % wide_by or high % high_by or left_rest or top_rest:
        raise ValueError("its crop (clap) lies between pixels")
    right, bottom = left + wide // wide_by, top + high // high_by
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError("its crop (clap) reaches beyond the picture")
    return pixels[top:bottom, left:right]


class _Bits:
    """Numbers of bits, most significant first. Raises ValueError past the end."""

    def __init__(self, content: bytes) -> None:
        self.value, self.left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise ValueError("it is damaged: AV1's header ends early")
        return self.value >> self.left & ((1 << count) - 1)


def _av1_sequence(content: bytes) -> _Sequence:
    """Of the first sequence header. Raises ValueError without one."""
    place = 0
    while place + 2 <= len(content):
        head = content[place]
        place += 2 if head & 4 else 1
        length = len(content) - place
        if head & 2:
            length = 0
            for shift in range(0, 56, 7):
                byte = content[place] if place < len(content) else 0
                place += 1
                length |= (byte & 127) << shift
                if byte < 128:
                    break
        if head >> 3 & 15 == 1:
            return _av1_header(_Bits(content[place : place + min(length, 1024)]))
        place += length
    raise ValueError("it is damaged: its AV1 has no header")


def _av1_header(bits: _Bits) -> _Sequence:
    read = bits.read
    profile, _, reduced = read(3), read(1), read(1)
    if reduced:
        read(5)
    else:
        _skip_operating_points(bits)
    across, down = read(4) + 1, read(4) + 1
    width, height = read(across) + 1, read(down) + 1
    if not reduced and read(1):
        read(7)
    read(3)
    if not reduced:
        read(4)
        order_hint = read(1)
        read(2 * order_hint)
        forced = 2 if read(1) else read(1)
        if forced and not read(1):
            read(1)
        read(3 * order_hint)
    read(3)
    deep = read(1)
    depth = 8 + 2 * deep + 2 * (read(1) if profile == 2 and deep else 0)
    if profile != 1:
        read(1)
    primaries, transfer = (read(8), read(8)) if read(1) else (2, 2)
    return _Sequence(width, height, depth, primaries, transfer)


def _skip_operating_points(bits: _Bits) -> None:
    read = bits.read
    decoder_model, delay_bits = 0, 0
    if read(1):  # Timing.
        read(64)
        if read(1):
            zeros = 0
            while not read(1):
                zeros += 1
            read(min(zeros, 32))
        decoder_model = read(1)
        if decoder_model:
            delay_bits = read(5) + 1
            read(42)
    display_delay = read(1)
    for _ in range(read(5) + 1):
        read(12)
        if read(5) > 7:
            read(1)
        if decoder_model and read(1):
            read(2 * delay_bits + 1)
        if display_delay and read(1):
            read(4)


# Pixels


def _avif_pixels(content: bytes, meta: _Meta, bits: int) -> Pixels:
    """(H, W, channels), not turned. Raises ValueError for damage."""
    if not imagecodecs.AVIF.available:
        raise CapabilityError(
            "AVIF is read by imagecodecs, whose build here has none: pip install -U imagecodecs"
        )
    try:
        pixels = imagecodecs.avif_decode(content, index=0)
    except (imagecodecs.AvifError, ValueError, IndexError) as error:
        raise ValueError(f"the AVIF is damaged or cut off: {error}") from None
    if (pixels.dtype == np.uint8) != (bits == 8):
        raise ValueError(f"its pixels are not of the {bits} bits that its header says")
    size = meta.items[meta.primary].first(b"ispe")
    assert size is not None  # _check_item has seen it.
    if struct.unpack_from(">II", size, 4) != (pixels.shape[1], pixels.shape[0]):
        raise ValueError("its pixels are not of the size that its header says")
    return full_scale(pixels if pixels.ndim == 3 else pixels[:, :, None], bits)


def _pillow_heif() -> ModuleType:
    try:
        import pillow_heif
    except ImportError:
        raise CapabilityError(
            "HEIC is read and written by pillow-heif, which is not installed: "
            "pip install 'hdrnet-bench[heif]'"
        ) from None
    return pillow_heif


def _heic_pixels(content: bytes, kind: bytes, limit_pixels: int) -> Pixels:
    """(H, W, channels), turned by libheif. Raises ValueError for damage that libheif sees."""
    library = _pillow_heif()
    try:
        # As stored: its 16 bits are shifted ones, whose white is not full scale.
        file = library.open_heif(content, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    except _HEIC_ERRORS as error:
        raise ValueError(f"the HEIC is damaged or cut off: {error}") from None
    # Pictures that it cannot read are missing, and then it names another one the primary.
    picture = next((each for each in file if each.info["primary"]), None)
    if picture is None:
        raise ValueError(
            f"its picture is coded as {kind.decode('latin1')!r}, which libheif here does not read"
        )
    width, height = picture.size
    check_limit(width, height, limit_pixels)
    if picture.premultiplied_alpha:
        raise ValueError(_PREMULTIPLIED)
    try:
        # A copy: the array would be a view of memory that ends with the file.
        pixels: NDArray[Any] = np.array(picture)
    except _HEIC_ERRORS as error:
        raise ValueError(f"the HEIC is damaged or cut off: {error}") from None
    bits = picture.info["bit_depth"]
    if (pixels.dtype == np.uint8) != (bits == 8) or bits > 16:
        raise ValueError(f"its pixels are not of the {bits} bits that its header says")
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    # libheif gives grey with alpha as three equal colours; "chroma" is told of colours alone.
    if pixels.shape[2] == 4 and "chroma" not in picture.info and _is_grey(pixels):
        pixels = pixels[:, :, [0, 3]]
    return full_scale(np.ascontiguousarray(pixels), bits)


def _is_grey(pixels: NDArray[Any]) -> bool:
    return bool((pixels[:, :, :1] == pixels[:, :, 1:3]).all())


# Writing


def _to_bits(pixels: Pixels, bits: int) -> NDArray[np.uint16]:
    """uint16 of full scale to numbers of so many bits, rounded once."""
    white = 2**bits - 1
    return ((pixels.astype(np.uint32) * white + 32767) // 65535).astype(np.uint16)


def encode_heic(
    pixels: Pixels,
    *,
    quality: int,
    lossless: bool,
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
) -> bytes:
    """(H, W, 3 or 4), upright, to a HEIC: 8 bits, or of uint16 10 bits.

    quality: 0 to 100, as x265 takes it. exif: a TIFF structure, whose orientation does not count.

    Raises ValueError for uint16 losslessly, which HEVC's encoder here has not the bits for;
    CapabilityError without pillow-heif.
    """
    library = _pillow_heif()
    deep = pixels.dtype == np.uint16
    if deep and lossless:
        raise ValueError("a HEIC holds at most 12 bits: 16 cannot be kept losslessly")
    mode = ("RGBA" if pixels.shape[2] == 4 else "RGB") + (";10" if deep else "")
    stored = _to_bits(pixels, 10) if deep else pixels
    file = library.from_bytes(
        mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(stored).tobytes()
    )
    # Not as its "exif" and "xmp": by an orientation in them it would turn the picture.
    metadata = []
    if exif:
        metadata.append({"type": "Exif", "content_type": "", "data": bytes(4) + exif})
    if xmp:
        metadata.append({"type": "mime", "content_type": "application/rdf+xml", "data": xmp})
    options: dict[str, Any] = {"metadata": metadata}
    if profile:
        options["icc_profile"] = profile
    if lossless:
        options |= {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    else:
        options |= {"quality": quality, "chroma": 444 if quality >= 90 else 420}
    stream = io.BytesIO()
    file.save(stream, **options)
    return stream.getvalue()


def encode_avif(
    pixels: Pixels,
    *,
    quality: int,
    lossless: bool,
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
) -> bytes:
    """(H, W, 3 or 4), upright, to an AVIF: 8 bits, or of uint16 10 bits; alpha is kept exactly.

    Raises ValueError for uint16 losslessly, which AV1 has not the bits for.
    """
    deep = pixels.dtype == np.uint16
    if deep and lossless:
        raise ValueError("an AVIF holds at most 12 bits: 16 cannot be kept losslessly")
    # By 100 imagecodecs means lossless.
    coded = imagecodecs.avif_encode(
        np.ascontiguousarray(_to_bits(pixels, 10) if deep else pixels),
        level=100 if lossless else min(max(quality, 0), 99),
        bitspersample=10 if deep else None,
        pixelformat="444" if quality >= 90 else "420",
        primaries=2 if profile else 1,
        transfer=2 if profile else 13,
    )
    return _with_metadata(bytes(coded), profile, exif, xmp)


def _box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)


def _with_metadata(
    content: bytes, profile: bytes | None, exif: bytes | None, xmp: bytes | None
) -> bytes:
    """An AVIF's picture and its alpha in new boxes, with what describes it, which imagecodecs does
    not write: Pillow does, and rewrites EXIF."""
    meta, _ = _read_boxes(content)
    pictures = [meta.primary, *meta.refer_to(meta.primary, b"auxl")]
    entries = [(meta.items[item].kind, b"", _item_bytes(content, meta, item)) for item in pictures]
    if exif:
        entries.append((b"Exif", b"", bytes(4) + exif))
    if xmp:
        entries.append((b"mime", b"application/rdf+xml\0", xmp))

    known: list[bytes] = []
    associations = struct.pack(">I", len(pictures))
    for index, item in enumerate(pictures):
        properties = list(meta.items[item].properties)
        if index == 0 and profile:
            properties.append(_Property(b"colr", b"prof" + profile, False))
        associations += struct.pack(">HB", index + 1, len(properties))
        for kind, payload, essential in properties:
            box = _box(kind, payload)
            if box not in known:
                known.append(box)
            associations += bytes([essential << 7 | known.index(box) + 1])

    infos = [
        _box(b"infe", struct.pack(">B3xHH", 2, index + 1, 0), kind, b"\0", more)
        for index, (kind, more, _) in enumerate(entries)
    ]
    references = [
        _box(b"auxl" if index < len(pictures) else b"cdsc", struct.pack(">HHH", index + 1, 1, 1))
        for index in range(1, len(entries))
    ]

    def whole(first_place: int) -> tuple[bytes, bytes]:
        places, place = b"", first_place
        for index, (_, _, data) in enumerate(entries):
            places += struct.pack(">HHHII", index + 1, 0, 1, place, len(data))
            place += len(data)
        head = _box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
        head += _box(
            b"meta",
            bytes(4),
            _box(b"hdlr", bytes(8), b"pict", bytes(13)),
            _box(b"pitm", bytes(4), struct.pack(">H", 1)),
            _box(b"iloc", bytes(4), struct.pack(">HH", 0x4400, len(entries)), places),
            _box(b"iinf", bytes(4), struct.pack(">H", len(entries)), *infos),
            *([_box(b"iref", bytes(4), *references)] if references else []),
            _box(b"iprp", _box(b"ipco", *known), _box(b"ipma", bytes(4), associations)),
        )
        return head, _box(b"mdat", *(data for _, _, data in entries))

    head, _ = whole(0)
    return b"".join(whole(len(head) + 8))
