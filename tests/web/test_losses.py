"""What the page says is lost of a picture file."""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.web.browser import Driver, choose, text
from tests.web.pictures import PICTURES, picture, png, saved

pytestmark = pytest.mark.browser


def test_what_is_lost_of_a_file_is_said(page: Driver, tmp_path: Path) -> None:
    deep = Image.fromarray(np.arange(6000, dtype=np.uint16).reshape(60, 100) * 10)
    choose(page, saved(tmp_path, "deep.png", deep))
    assert "16 bits a channel" in text(page, "notes")
    frames = {"save_all": True, "append_images": [picture("coffee")]}
    choose(page, saved(tmp_path, "moving.gif", picture("chelsea"), **frames))
    assert "the first frame was taken" in text(page, "notes")
    choose(page, saved(tmp_path, "moving.webp", picture("chelsea"), **frames))
    assert "the first frame was taken" in text(page, "notes")
    choose(page, PICTURES / "chelsea.png")
    assert "converted to sRGB" in text(page, "notes")
    assert "metadata (EXIF or the like) is not written" in text(page, "notes")
    choose(page, saved(tmp_path, "plain.png", picture("chelsea")))
    assert text(page, "notes") == ""


def test_a_gain_map_is_said(page: Driver, tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" hdrgm:Version="1.0"/>'
    choose(page, saved(tmp_path, "ultra.jpg", picture("coffee"), xmp=xmp))
    assert "Its HDR gain map is not used." in text(page, "notes")
    choose(page, saved(tmp_path, "plain.jpg", picture("coffee"), xmp=b"<x:xmpmeta/>"))
    assert "gain map" not in text(page, "notes")
    assert "metadata (EXIF or the like) is not written" in text(page, "notes")


@pytest.mark.parametrize("brand", [b"avif", b"mif1"])
def test_the_bits_of_an_avif_are_said(page: Driver, tmp_path: Path, brand: bytes) -> None:
    deep = np.asarray(picture("coffee")).astype(np.uint16) * 4
    content = imagecodecs.avif_encode(deep, bitspersample=10)
    assert content[4:12] == b"ftypavif"
    # The first brand may be that of its container; those it agrees with stand after it.
    path = tmp_path / "deep.avif"
    path.write_bytes(content[:8] + brand + content[12:])
    choose(page, path)
    assert text(page, "name") == "deep.avif"
    assert "It has 10 bits a channel; here it is read and saved with 8." in text(page, "notes")


def test_the_colours_that_a_png_names_are_said(page: Driver, tmp_path: Path) -> None:
    named = bytes([12, 13, 0, 1])  # Display P3 with sRGB's curve
    chunk = b"cICP" + named
    whole = png(picture("coffee"))
    at = whole.index(b"IDAT") - 4
    path = tmp_path / "p3.png"
    length, check = struct.pack(">I", 4), struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(whole[:at] + length + chunk + check + whole[at:])
    choose(page, path)
    assert text(page, "notes").endswith("converted to sRGB.")


def test_of_a_kind_that_is_not_known_nothing_is_promised(page: Driver, tmp_path: Path) -> None:
    choose(page, saved(tmp_path, "old.bmp", picture("coffee")))
    assert text(page, "name") == "old.bmp"
    assert text(page, "notes") == "What else such a file holds, and is lost here, is not known."


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_webp_that_lies_on_its_side_is_said(
    page: Driver, tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    choose(page, saved(tmp_path, "lying.webp", picture("coffee"), exif=exif))
    assert ("It says that it is to be turned" in text(page, "notes")) == (orientation == 6)
