"""EXIF as bytes: what is read of it, and what must change once its picture has been changed.

EXIF is a TIFF structure without pixels: a header, and directories of entries (tag, type, count, and
the value or its place in the block). A block is changed where it lies, so that every byte that is
not about the pixels passes through, whatever it holds: text in any encoding, tags unknown here, and
a maker's note, whose values are found by their place in the block. Only between a TIFF, whose own
directories these are, and the other formats the entries are gathered and laid out anew.

Sources: EXIF 3.0 (CIPA DC-008), TIFF 6.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# Bytes of a value of each type: TIFF 6.0's, and 129, EXIF 3.0's text in UTF-8.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
# Bytes of what changes places between byte orders: of a fraction each of its two numbers.
_WORDS = _SIZES | {5: 4, 10: 4}
_SHORT, _LONG = 3, 4
_MOST_ENTRIES = 4096
_MOST_BYTES = 16 << 20  # of all values of a directory together

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 274, 282, 283, 296
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY = 34665, 34853, 40965
COLOR_SPACE, WIDTH, HEIGHT, MAKER_NOTE = 40961, 40962, 40963, 37500
_FIRST_WIDTH, _FIRST_HEIGHT = 256, 257
_SUBJECTS = (37396, 41492)  # SubjectArea, SubjectLocation: places in the picture
_USER_COMMENT, _PATTERN = 37510, 41730
_INTEROPERABILITY_INDEX = 1
_THUMBNAIL_PLACE, _THUMBNAIL_SIZE = 513, 514
# Tags of a TIFF's first directory that are about the photograph and not its storage: descriptions,
# maker, model, page name, software, dates, people, copyright, rating, titles of Windows.
DESCRIPTIVE_TAGS = frozenset(
    (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 18246, 18249, *range(40091, 40096))
)


# Tags of a TIFF's first directory that are about its storage, its colours or its place on a page,
# or kept elsewhere (XMP, IPTC, the profile). From 50706 on they are a DNG's.
_STORAGE_TAGS = frozenset(
    (
        *range(254, 260), *range(262, 267), 273, 274, *range(277, 285), *range(286, 294), 296, 297,
        317, *range(320, 326), 330, *range(332, 335), *range(336, 348), *range(400, 436),
        *range(512, 522), *range(529, 533), 559, 700, 33421, 33422, 33723, 34675, 37398,
        *range(50706, 53000), EXIF_DIRECTORY, GPS_DIRECTORY,
    )
)  # fmt: skip


class Entry(NamedTuple):
    """number: of values of that type; place: of the first one in the block; value: their bytes, in
    the block's byte order, empty where the directory has more bytes than any photograph's."""

    tag: int
    type: int
    number: int
    place: int
    value: bytes


class Directory(NamedTuple):
    """next: the place of the directory that follows it, 0 without one; end: of its own bytes."""

    entries: dict[int, Entry]
    next: int
    end: int


class Gathered(NamedTuple):
    """Entries about the photograph, in little-endian order.

    left_out: what is not among them, in words.
    """

    first: list[Entry]
    exif: list[Entry]
    gps: list[Entry]
    left_out: list[str]


def byte_order(block: bytes | bytearray) -> str:
    """struct's sign for the order of a block's bytes. Raises ValueError where it is no block."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    version = struct.unpack_from(order + "H", block, 2)[0] if order and len(block) >= 8 else 0
    if order is None or version != 42:
        what = "it is of a BigTIFF" if version == 43 else "it does not begin as a TIFF structure"
        raise ValueError(what)
    return order


def first_directory(block: bytes | bytearray) -> Directory:
    """Raises ValueError where the block has none."""
    return directory(block, struct.unpack_from(byte_order(block) + "I", block, 4)[0])


def directory(block: bytes | bytearray, place: int) -> Directory:
    """The directory at a place, without entries whose type is unknown or whose value is not there.

    Raises ValueError where no directory can be.
    """
    order = byte_order(block)
    if not 8 <= place <= len(block) - 2:
        raise ValueError("a directory lies outside")
    (count,) = struct.unpack_from(order + "H", block, place)
    table = place + 2
    end = table + 12 * count
    if count > _MOST_ENTRIES or end > len(block):
        raise ValueError("a directory is cut off")
    entries: dict[int, Entry] = {}
    room = _MOST_BYTES
    for at in range(table, end, 12):
        tag, type_, values = struct.unpack_from(order + "HHI", block, at)
        size = _SIZES.get(type_, 0) * values
        start = at + 8 if size <= 4 else struct.unpack_from(order + "I", block, at + 8)[0]
        if size and start + size <= len(block):
            value = bytes(block[start : start + size]) if size <= room else b""
            room -= len(value)
            entries[tag] = Entry(tag, type_, values, start, value)
    following = struct.unpack_from(order + "I", block, end)[0] if end + 4 <= len(block) else 0
    return Directory(entries, following, min(end + 4, len(block)))


def below(block: bytes | bytearray, parent: Directory, tag: int) -> Directory | None:
    """The directory that an entry points to; None where there is none that can be read."""
    place = number(block, parent, tag)
    if place is None:
        return None
    try:
        return directory(block, place)
    except ValueError:
        return None


def number(block: bytes | bytearray, where: Directory, tag: int) -> int | None:
    """An entry's first whole number; None without one."""
    entry = where.entries.get(tag)
    code = {1: "B", _SHORT: "H", _LONG: "I", 13: "I"}.get(entry.type) if entry else None
    if entry is None or code is None or not entry.value:
        return None
    value: int = struct.unpack_from(byte_order(block) + code, entry.value)[0]
    return value


def orientation(block: bytes) -> int | None:
    """EXIF's code as the block has it, which may mean nothing; None without one."""
    return number(block, first_directory(block), ORIENTATION)


def says_adobe_rgb(block: bytes) -> bool:
    """Whether the colours are Adobe RGB as DCF says it: "uncalibrated", and option file R03. Some
    writers say it by a colour space of 2."""
    first = first_directory(block)
    shot = below(block, first, EXIF_DIRECTORY)
    space = number(block, shot, COLOR_SPACE) if shot else None
    if shot is None or space not in (2, 65535):
        return False
    option = below(block, shot, INTEROPERABILITY)
    index = option.entries.get(_INTEROPERABILITY_INDEX) if option else None
    return space == 2 or (index is not None and index.value[:3] == b"R03")


def has_places(block: bytes) -> bool:
    """Whether it says where something is in the picture, which is wrong once that is turned."""
    shot = below(block, first_directory(block), EXIF_DIRECTORY)
    return shot is not None and any(tag in shot.entries for tag in _SUBJECTS)


def dots_per_inch(block: bytes | bytearray) -> tuple[float, float] | None:
    """Across and down, of the first directory; None without both."""
    first = first_directory(block)
    unit = {None: 1.0, 2: 1.0, 3: 2.54}.get(number(block, first, RESOLUTION_UNIT))
    values = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        entry = first.entries.get(tag)
        if entry is None or entry.type != 5 or unit is None or not entry.value:
            return None
        above, under = struct.unpack_from(byte_order(block) + "II", entry.value)
        values.append(unit * above / under if under else 0.0)
    return values[0], values[1]


def for_upright(block: bytes, turned: bool, width: int, height: int, srgb: bool) -> bytes:
    """The block of a picture that has been turned upright, without the old thumbnail.

    Args:
        block: EXIF, whose first directory can be read.
        turned: whether across and down have changed places.
        width, height: of the upright picture.
        srgb: whether its colours have been converted to sRGB.
    """
    result = bytearray(block)
    first = first_directory(block)
    _set(result, first, ORIENTATION, 1)
    _set(result, first, _FIRST_WIDTH, width)
    _set(result, first, _FIRST_HEIGHT, height)
    if turned and {X_RESOLUTION, Y_RESOLUTION} <= first.entries.keys():
        across, down = first.entries[X_RESOLUTION], first.entries[Y_RESOLUTION]
        if len(across.value) == len(down.value):
            _put(result, across.place, down.value)
            _put(result, down.place, across.value)
    shot = below(block, first, EXIF_DIRECTORY)
    if shot:
        _set(result, shot, WIDTH, width)
        _set(result, shot, HEIGHT, height)
        if srgb:
            _set(result, shot, COLOR_SPACE, 1)
            option = below(block, shot, INTEROPERABILITY)
            index = option.entries.get(_INTEROPERABILITY_INDEX) if option else None
            if index and index.value[:3] == b"R03":
                _put(result, index.place, b"R98")
    return _without_thumbnail(result, first)


def _without_thumbnail(block: bytearray, first: Directory) -> bytes:
    """Unlink the second directory, which is the thumbnail's; its bytes are blanked, and cut off
    where they are the last."""
    if not first.next:
        return bytes(block)
    old = bytes(block)
    _put(block, first.end - 4, bytes(4))
    try:
        small = directory(old, first.next)
    except ValueError:
        return bytes(block)
    place, size = (number(old, small, tag) for tag in (_THUMBNAIL_PLACE, _THUMBNAIL_SIZE))
    if place and size and place + size <= len(block) and _free(old, place, size):
        _put(block, place, bytes(size))
        # Behind it may lie what a maker's note refers to.
        if place + size >= len(block) - 1:
            return bytes(block[:place])
    return bytes(block)


def _free(block: bytes, place: int, size: int) -> bool:
    return all(end <= place or start >= place + size for start, end in _ranges(block))


def _ranges(block: bytes) -> Iterable[tuple[int, int]]:
    """Start and end of all that the directories (but the thumbnail's) consist of."""
    first = first_directory(block)
    shot = below(block, first, EXIF_DIRECTORY)
    found = [first, shot, below(block, first, GPS_DIRECTORY)]
    found.append(below(block, shot, INTEROPERABILITY) if shot else None)
    for one in found:
        if one is not None:
            yield one.end - 4 - 12 * len(one.entries), one.end
            yield from ((e.place, e.place + len(e.value)) for e in one.entries.values())


def _set(block: bytearray, where: Directory, tag: int, value: int) -> None:
    """Write a whole number into an entry that is there."""
    entry = where.entries.get(tag)
    code = {1: "B", _SHORT: "H", _LONG: "I"}.get(entry.type) if entry else None
    if entry and code and value < 256 ** _SIZES[entry.type]:
        _put(block, entry.place, struct.pack(byte_order(block) + code, value))


def _put(block: bytearray, place: int, value: bytes) -> None:
    block[place : place + len(value)] = value


def gather(block: bytes | bytearray) -> Gathered:
    """The entries about the photograph. The first directory may also be that of a TIFF's pixels:
    only its descriptive tags are meant.

    Raises ValueError where the block cannot be read.
    """
    order = byte_order(block)
    first = first_directory(block)
    shot, place = (below(block, first, tag) for tag in (EXIF_DIRECTORY, GPS_DIRECTORY))
    left_out = [
        f"{name} left out: it cannot be read"
        for name, tag, found in (("EXIF", EXIF_DIRECTORY, shot), ("GPS", GPS_DIRECTORY, place))
        if tag in first.entries and found is None
    ]
    own = {tag: e for tag, e in first.entries.items() if tag in DESCRIPTIVE_TAGS and e.value}
    if lost := sorted(first.entries.keys() - own.keys() - _STORAGE_TAGS):
        left_out.append(f"tags left out: {_list(lost)}")
    entries = {tag: entry for tag, entry in shot.entries.items() if entry.value} if shot else {}
    entries.pop(INTEROPERABILITY, None)  # a place in the old block
    note = entries.get(MAKER_NOTE)
    if note and _is_by_place(note.value):
        del entries[MAKER_NOTE]
        left_out.append(
            "maker's note left out: its values are found by their place in the old file"
        )
    return Gathered(
        _in_little_endian(own, order),
        _in_little_endian(entries, order),
        _in_little_endian(
            {t: e for t, e in place.entries.items() if e.value} if place else {}, order
        ),
        left_out,
    )


def _list(tags: list[int]) -> str:
    more = f" and {len(tags) - 6} more" if len(tags) > 6 else ""
    return ", ".join(map(str, tags[:6])) + more


# Makers whose notes count places from their own beginning.
_OWN_BEGINNING = (
    b"Nikon\0\x02",
    b"OLYMPUS\0",
    b"OM SYSTEM\0",
    b"FUJIFILM",
    b"Apple iOS\0",
    b"PENTAX ",
)


def _is_by_place(note: bytes) -> bool:
    """Whether a maker's note is a directory with values outside it, which are found by their place
    in the whole block: moved, it would point at anything."""
    if note.startswith(_OWN_BEGINNING):
        return False
    for start in (0, 6, 8, 10, 12):  # behind the maker's name, where there is one
        for order in "<>":
            if _is_directory(note, start, order):
                return True
    return False


def _is_directory(note: bytes, start: int, order: str) -> bool:
    if len(note) < start + 14:
        return False
    (count,) = struct.unpack_from(order + "H", note, start)
    if not 0 < count <= 1024 or start + 2 + 12 * count > len(note):
        return False
    types = [struct.unpack_from(order + "H", note, start + 4 + 12 * i)[0] for i in range(count)]
    return all(type_ in _SIZES for type_ in types)


def _in_little_endian(entries: Mapping[int, Entry], order: str) -> list[Entry]:
    result = []
    for tag, entry in sorted(entries.items()):
        size = _WORDS[entry.type]
        value = entry.value
        if order == ">" and size > 1:
            words = (value[at : at + size][::-1] for at in range(0, len(value), size))
            value = b"".join(words)
        elif order == ">" and tag == _USER_COMMENT and value.startswith(b"UNICODE\0"):
            value = value[:8] + b"".join(value[at : at + 2][::-1] for at in range(8, len(value), 2))
        elif order == ">" and tag == _PATTERN:  # two numbers of two bytes, then bytes
            value = value[1::-1] + value[3:1:-1] + value[4:]
        result.append(entry._replace(tag=tag, value=value))
    return result


def build(gathered: Gathered) -> bytes:
    """A block of these entries; empty without any."""
    parts = ((EXIF_DIRECTORY, gathered.exif), (GPS_DIRECTORY, gathered.gps))
    lower = [(tag, entries) for tag, entries in parts if entries]
    if not gathered.first and not lower:
        return b""
    # The first directory's size is known before the places of those that it points to.
    pointers = [Entry(tag, _LONG, 1, 0, bytes(4)) for tag, _ in lower]
    room = len(lay_out([*gathered.first, *pointers], 8))
    content = b""
    for index, (tag, entries) in enumerate(lower):
        place = 8 + room + len(content)
        pointers[index] = Entry(tag, _LONG, 1, 0, struct.pack("<I", place))
        content += lay_out(entries, place)
    return b"II*\0\x08\0\0\0" + lay_out([*gathered.first, *pointers], 8) + content


def lay_out(entries: Iterable[Entry], place: int) -> bytes:
    """A little-endian directory that lies at `place`, the last one, with its values behind it, of
    an even length."""
    ordered = sorted(entries, key=lambda entry: entry.tag)
    table, values = struct.pack("<H", len(ordered)), b""
    start = place + 2 + 12 * len(ordered) + 4
    for entry in ordered:
        head = struct.pack("<HHI", entry.tag, entry.type, entry.number)
        if len(entry.value) <= 4:
            table += head + entry.value.ljust(4, b"\0")
        else:
            table += head + struct.pack("<I", start + len(values))
            values += entry.value + bytes(len(entry.value) % 2)
    return table + bytes(4) + values
