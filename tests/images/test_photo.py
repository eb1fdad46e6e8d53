import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.images import icc
from hdrnet_bench.images.photo import Photo, read_photo
from hdrnet_bench.images.photo_writer import write_photo
from tests import pictures
from tests.conftest import smooth_picture


def padded_profile(length: int) -> bytes:
    """Display P3 with bytes behind it that repeat nowhere, its length said in its header."""
    plain = pictures.DISPLAY_P3
    filling = np.random.default_rng(0).bytes(length - len(plain))
    return struct.pack(">I", length) + plain[4:] + filling


def jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker before the coded data, with what its segment holds."""
    assert content[:2] == b"\xff\xd8"
    place = 2
    while content[place + 1] != 0xDA:
        start, marker, length = struct.unpack(">BBH", content[place : place + 4])
        assert start == 0xFF
        yield marker, content[place + 4 : place + 2 + length]
        place += 2 + length


# What a segment can hold beside its two bytes of length, the identifier, number and count.
ROOM = 65535 - 2 - 14


@pytest.mark.parametrize("length", [1000, ROOM - 2, ROOM, ROOM + 1, 2 * ROOM + 1, 150_000, 600_000])
def test_a_jpeg_numbers_the_parts_of_a_profile_from_one(tmp_path: Path, length: int) -> None:
    """ICC.1, annex B.4: each part says which it is, counted from 1, and how many there are."""
    profile = padded_profile(length)
    assert icc.colour_space(profile) == "rgb"
    path = tmp_path / "a.jpg"
    pixels = smooth_picture(0, 16, 24)
    write_photo(path, Photo(pixels, profile), "jpeg", 95, overwrite=False)

    segments = list(jpeg_segments(path.read_bytes()))
    parts = [content for marker, content in segments if marker == 0xE2]
    assert all(content[:12] == b"ICC_PROFILE\0" for content in parts)
    fewest = math.ceil(length / ROOM)
    assert len(parts) in (fewest, fewest + 1)  # room need not be used to the last byte
    assert [content[12] for content in parts] == list(range(1, len(parts) + 1))
    assert [content[13] for content in parts] == [len(parts)] * len(parts)
    assert all(len(content) > 14 for content in parts)
    assert b"".join(content[14:] for content in parts) == profile

    with Image.open(path) as image:
        assert image.info["icc_profile"] == profile
        assert image.size == (24, 16)
    assert read_photo(path).profile == profile
