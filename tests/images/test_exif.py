"""EXIF's bytes: what must change changes, all else passes through."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from hdrnet_bench.images import exif
from tests import pictures

BLOCK = pictures.exif(orientation=6).tobytes().removeprefix(b"Exif\0\0")


def by_pillow(block: bytes) -> Image.Exif:
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + block)
    return tags


def block_of(entries: list[tuple[int, int, bytes]], order: str = ">") -> bytes:
    """One directory, whose values of more than four bytes lie behind it."""
    mark = {"<": b"II", ">": b"MM"}[order]
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}
    table, values = struct.pack(order + "H", len(entries)), b""
    start = 8 + 2 + 12 * len(entries) + 4
    for tag, type_, value in sorted(entries):
        table += struct.pack(order + "HHI", tag, type_, len(value) // sizes[type_])
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", start + len(values))
            values += value + bytes(len(value) % 2)
    return mark + struct.pack(order + "HI", 42, 8) + table + bytes(4) + values


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("code", [0, 1, 6, 9])
def test_orientation_in_both_byte_orders(order: str, code: int) -> None:
    block = block_of([(274, 3, struct.pack(order + "H", code)), (315, 2, b"name of it\0")], order)
    assert exif.orientation(block) == code
    changed = exif.for_upright(block, False, 5, 7, False)
    assert exif.orientation(changed) == 1
    assert len(changed) == len(block)
    assert sum(a != b for a, b in zip(block, changed, strict=True)) == (code != 1)


@pytest.mark.parametrize(
    "text", ["写真家".encode(), "© José".encode("latin1"), "Ж".encode("koi8-r"), b"\xff\xfe\0\x80"]
)
@pytest.mark.parametrize("order", "<>")
def test_text_in_any_encoding_passes_through(text: bytes, order: str) -> None:
    block = block_of([(315, 2, text + b"\0"), (33432, 2, text * 3 + b"\0")], order)
    assert text * 3 in exif.for_upright(block, True, 5, 7, True)
    gathered = exif.gather(block)
    assert {e.tag: e.value for e in gathered.first} == {315: text + b"\0", 33432: text * 3 + b"\0"}
    again = exif.gather(exif.build(gathered))
    assert [e[:3] + e[4:] for e in again.first] == [e[:3] + e[4:] for e in gathered.first]


def test_sides_and_resolution_change_places_with_the_picture() -> None:
    entries = [
        (282, 5, struct.pack(">II", 300, 1)),
        (283, 5, struct.pack(">II", 480, 2)),
        (296, 3, struct.pack(">H", 2)),
    ]
    block = block_of(entries)
    assert exif.dots_per_inch(block) == (300, 240)
    assert exif.dots_per_inch(exif.for_upright(block, True, 5, 7, False)) == (240, 300)
    assert exif.dots_per_inch(exif.for_upright(block, False, 5, 7, False)) == (300, 240)
    shot = by_pillow(exif.for_upright(BLOCK, True, 5, 7, False)).get_ifd(ExifTags.IFD.Exif)
    assert (shot[0xA002], shot[0xA003]) == (5, 7)


def test_adobe_rgb_becomes_srgb_only_where_the_pixels_did() -> None:
    tags = Image.Exif()
    tags[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}}
    block = tags.tobytes().removeprefix(b"Exif\0\0")
    assert exif.says_adobe_rgb(block)
    assert exif.says_adobe_rgb(exif.for_upright(block, False, 5, 7, False))
    converted = exif.for_upright(block, False, 5, 7, True)
    assert not exif.says_adobe_rgb(converted)
    shot = by_pillow(converted).get_ifd(ExifTags.IFD.Exif)
    assert shot[0xA001] == 1
    tags[0x8769] = {0xA001: 65535}
    assert not exif.says_adobe_rgb(tags.tobytes().removeprefix(b"Exif\0\0"))


def maker_note(places: bool) -> bytes:
    """A directory as Canon's: its longer values by places in the whole block."""
    entry = struct.pack("<HHII", 1, 4, 40 if places else 1, 900 if places else 7)
    return struct.pack("<H", 2) + entry * 2 + bytes(4)


@pytest.mark.parametrize(
    ("note", "kept"),
    [
        (b"maker's own bytes", True),
        (b"Nikon\0\x02\x10\0\0MM\0*\0\0\0\x08" + bytes(30), True),
        (b"Apple iOS\0\0\x01MM" + bytes(40), True),
        (maker_note(True), False),
        (b"SONY DSC \0\0\0" + maker_note(True), False),
    ],
)
def test_a_makers_note_is_whole_where_it_stays_and_moved_only_where_it_can_be(
    note: bytes, kept: bool
) -> None:
    tags = pictures.exif(6)
    tags[0x8769] = {0x9003: "2020:02:03 04:05:06", 0x927C: note}
    block = tags.tobytes().removeprefix(b"Exif\0\0")
    unmoved = exif.for_upright(block, True, 5, 7, False)
    assert unmoved.index(note) == block.index(note)
    gathered = exif.gather(block)
    assert any(e.tag == 0x927C and e.value == note for e in gathered.exif) == kept
    assert any("maker's note left out" in line for line in gathered.left_out) != kept


def test_the_thumbnail_goes_and_what_lies_behind_it_stays() -> None:
    with_small = pictures.with_thumbnail(b"\xff\xd8\xff\xd9")
    block = with_small[with_small.index(b"Exif\0\0") + 6 : -2]
    assert block.count(b"JFIF") == 1
    upright = exif.for_upright(block, False, 5, 7, False)
    assert b"JFIF" not in upright
    assert len(upright) < len(block)
    assert by_pillow(upright)[0x010F] == "Maker"
    behind = exif.for_upright(block + b"something that a tag may mean", False, 5, 7, False)
    assert b"JFIF" not in behind


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_block_is_refused_or_read_and_never_grows(data: st.DataObject) -> None:
    block = bytearray(BLOCK)
    for _ in range(data.draw(st.integers(0, 4))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(block[: data.draw(st.integers(0, len(block)))])
    try:
        exif.first_directory(changed)
    except ValueError:
        return
    exif.orientation(changed)
    exif.says_adobe_rgb(changed)
    exif.dots_per_inch(changed)
    assert len(exif.for_upright(changed, True, 5, 7, True)) <= len(changed)
    built = exif.build(exif.gather(changed))
    if built:
        exif.gather(built)


def test_directories_are_laid_out_in_order_and_on_even_places() -> None:
    gathered = exif.gather(BLOCK)
    built = exif.build(gathered)
    for tag in (None, exif.EXIF_DIRECTORY, exif.GPS_DIRECTORY):
        first = exif.first_directory(built)
        where = first if tag is None else exif.below(built, first, tag)
        assert where is not None
        tags = list(where.entries)
        assert all(a < b for a, b in pairwise(tags))
        assert all(e.place % 2 == 0 for e in where.entries.values() if len(e.value) > 4)
    shot = by_pillow(built).get_ifd(ExifTags.IFD.Exif)
    assert float(shot[0x829A]) == pytest.approx(1 / 250)
    place = by_pillow(built).get_ifd(ExifTags.IFD.GPSInfo)
    assert np.allclose([float(v) for v in place[2]], [48, 8, 12.5])
