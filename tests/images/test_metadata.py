"""What belongs to a picture comes out with it, whatever format it was in and goes to."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hdrnet_bench.images import icc
from hdrnet_bench.images.kinds import SUFFIXES, Kind
from hdrnet_bench.images.photo import MEASURING, read_photo
from hdrnet_bench.images.photo_writer import write_photo
from tests import pictures
from tests.conftest import smooth_picture
from tests.memory_use import takes_at_most
from tests.pictures.kinds import png, tiff, with_segment, xmp

EIGHT = smooth_picture(1, 24, 36)
IPTC = b"\x1c\x02\x78\x00\x09a caption\x1c\x02\x50\x00\x06J\xf6rg!!\x1c\x02\x5a\x00\x02Ul"
PLAIN: tuple[Kind, ...] = ("jpeg", "png", "tiff", "webp")


def photoshop(iptc: bytes) -> bytes:
    """Two resources, of which the second is IPTC."""
    other = b"8BIM\x03\xed\0\0" + (16).to_bytes(4, "big") + bytes(16)
    own = b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
    return b"Photoshop 3.0\0" + other + own


def source(kind: str, artist: bytes) -> bytes:
    """A picture with EXIF, whose artist has these bytes, XMP and, where the kind has it, IPTC."""
    tags = pictures.exif(6)
    tags[315] = "A" * len(artist)
    block = tags.tobytes().replace(b"A" * len(artist), artist)
    packet = xmp(6)
    if kind == "tiff":
        extra = [
            (315, 2, len(artist) + 1, artist + b"\0", True), (274, 3, 1, 6, True),
            (700, 7, len(packet), packet, True), (33723, 7, len(IPTC), IPTC, True),
        ]  # fmt: skip
        return tiff(EIGHT, extratags=extra)
    if kind == "png":
        return png(EIGHT, (b"eXIf", block[6:]), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    stream = io.BytesIO()
    if kind == "webp":
        Image.fromarray(EIGHT).save(stream, "WEBP", lossless=True, exif=block, xmp=packet)
        return stream.getvalue()
    Image.fromarray(EIGHT).save(stream, "JPEG", exif=block, quality=95)
    content = with_segment(stream.getvalue(), 0xED, photoshop(IPTC))
    return with_segment(content, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)


def found(path: Path) -> dict[str, object]:
    """What Pillow and tifffile find in a file that was written."""
    content = path.read_bytes()
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            tags = file.pages.first.tags
            return {
                "artist": _bytes_of(content, tags[315]),
                "orientation": tags.valueof(274, 1),
                "xmp": bytes(tags[700].value),
                "iptc": bytes(tags[33723].value) if 33723 in tags else None,
                "shot": tags[34665].value.get("DateTimeOriginal") if 34665 in tags else None,
            }
    with Image.open(path) as image:
        block = image.info["exif"]
        tags = image.getexif()
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp", "").encode()
        shot = tags.get_ifd(0x8769).get(0x9003)
        return {
            "artist": block, "orientation": tags.get(274, 1), "xmp": packet, "iptc": content,
            "shot": shot,
        }  # fmt: skip


def _bytes_of(content: bytes, tag: tifffile.TiffTag) -> bytes:
    return content[tag.valueoffset : tag.valueoffset + tag.count]


@pytest.mark.parametrize("target", PLAIN)
@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize(
    "artist", ["写真家".encode(), "Jörg".encode("latin1")], ids=["UTF-8", "8 bits"]
)
def test_texts_come_out_as_the_bytes_that_they_were(
    tmp_path: Path, kind: Kind, target: Kind, artist: bytes
) -> None:
    path = tmp_path / f"in{SUFFIXES[kind]}"
    path.write_bytes(source(kind, artist))
    photo = read_photo(path)
    assert photo.pixels.shape == (36, 24, 3)
    out = tmp_path / f"out{SUFFIXES[target]}"
    write_photo(out, photo, target, 95, overwrite=False)
    result = found(out)
    assert artist in result["artist"]
    assert result["orientation"] == 1
    assert b'tiff:Orientation="1"' in result["xmp"]
    if kind != "tiff":  # whose fixture has no such directory
        assert result["shot"] == "2020:02:03 04:05:06"
    assert read_photo(out).pixels.shape == (36, 24, 3)
    if kind in ("jpeg", "tiff"):
        assert photo.iptc == IPTC
        if target == "webp":
            assert "IPTC left out: the format has no place for it" in photo.notes
        else:
            assert read_photo(out).iptc == IPTC


@pytest.mark.parametrize("target", PLAIN)
def test_tags_that_are_broken_cost_no_picture(tmp_path: Path, target: Kind) -> None:
    """Types unknown, values outside, a directory in a circle, text without an end."""
    entries = b"\x01\x0f\0\x02\0\0\0\xff\xff\0\0\0" + b"\x87\x69\0\x04\0\0\0\x01\0\0\0\x08"
    block = b"MM\0*\0\0\0\x08\0\x03" + entries + b"\x82\x98\x07\x77\0\0\0\x01abcd" + b"\xff" * 4
    stream = io.BytesIO()
    Image.fromarray(EIGHT).save(stream, "JPEG", quality=95)
    path = tmp_path / "in.jpg"
    path.write_bytes(with_segment(stream.getvalue(), 0xE1, b"Exif\0\0" + block))
    photo = read_photo(path)
    write_photo(tmp_path / f"out{SUFFIXES[target]}", photo, target, 95, overwrite=False)
    assert read_photo(tmp_path / f"out{SUFFIXES[target]}").pixels.shape == EIGHT.shape


def test_what_is_not_carried_on_is_said_where_it_was_to_be_kept(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(EIGHT).save(stream, "JPEG", quality=95, comment=b"a word")
    content = with_segment(stream.getvalue(), 0xE1, b"FLIR\0" + bytes(20))
    content = with_segment(content, 0xE1, b"Exif\0\0no tags at all")
    path = tmp_path / "in.jpg"
    path.write_bytes(content)
    assert read_photo(path).notes == [
        "left out: FLIR, a comment",
        "EXIF left out: it does not begin as a TIFF structure",
    ]
    assert read_photo(path, MEASURING).notes == []
    path = tmp_path / "in.png"
    path.write_bytes(png(EIGHT, (b"tEXt", b"Title\0a title"), (b"iTXt", b"Author\0\0\0\0\0me")))
    assert read_photo(path).notes == ['left out: the text "Title", the text "Author"']
    assert read_photo(path, MEASURING).notes == []


def test_texts_of_any_type_come_out_as_their_bytes(tmp_path: Path) -> None:
    """XMP and IPTC of a TIFF that calls them text, and of a PNG as ExifTool writes them."""
    packet = xmp(1).replace(b"<rdf:RDF", "<!-- Žlý 日本 --><rdf:RDF".encode())
    path = tmp_path / "in.tif"
    extra = [
        (700, 2, len(packet) + 1, packet + b"\0", True),
        (33723, 4, len(IPTC) // 4, IPTC, True),
    ]
    assert len(IPTC) % 4 == 0
    path.write_bytes(tiff(EIGHT, extratags=extra))
    photo = read_photo(path)
    assert (photo.xmp, photo.iptc) == (packet, IPTC)
    assert photo.notes == []
    wrapped = photoshop(IPTC).removeprefix(b"Photoshop 3.0\0")
    for content in (IPTC, wrapped):
        text = f"\nIPTC profile\n{len(content):8}\n{content.hex()}\n".encode()
        chunk = b"Raw profile type iptc\0\0" + zlib.compress(text)
        path = tmp_path / "in.png"
        path.write_bytes(png(EIGHT, (b"zTXt", chunk)))
        assert read_photo(path).iptc == IPTC
    text = f"\nxmp\n{len(packet):8}\n{packet.hex()}\n".encode()
    path.write_bytes(png(EIGHT, (b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(text))))
    assert read_photo(path).xmp == packet


def test_a_tiff_of_many_large_tags_takes_little_memory(tmp_path: Path) -> None:
    """A thousand tags that all point to the same eight megabytes."""
    path = tmp_path / "in.tif"
    content = bytearray(tiff(EIGHT[:8, :8]))
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    own = bytes(content[place + 2 : place + 2 + 12 * count])
    large = len(content)
    content += bytes(8 << 20)
    more = b"".join(struct.pack("<HHII", 40000 + i, 7, 8 << 20, large) for i in range(1000))
    content[4:8] = struct.pack("<I", len(content))
    content += struct.pack("<H", count + 1000) + own + more + bytes(4)
    path.write_bytes(content)
    with takes_at_most(100):
        photo = read_photo(path)
    assert photo.pixels.shape == (8, 8, 3)
    assert any(note.startswith("tags left out: 40000") for note in photo.notes)


def test_what_a_jpeg_cannot_hold_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    packet = xmp(1) + bytes(70_000)
    path.write_bytes(png(EIGHT, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)))
    photo = read_photo(path)
    write_photo(tmp_path / "out.jpg", photo, "jpeg", 95, overwrite=False)
    assert photo.notes == ["XMP left out: larger than a JPEG can hold"]


@pytest.mark.parametrize("target", ["webp", "avif", "jxl"])
def test_a_resolution_without_a_place_is_said(tmp_path: Path, target: Kind) -> None:
    path = tmp_path / "in.png"
    Image.fromarray(EIGHT).save(path, dpi=(300, 300))
    photo = read_photo(path)
    write_photo(tmp_path / "out.jpg", photo, "jpeg", 95, overwrite=False)
    assert photo.notes == []
    write_photo(tmp_path / f"out.{target}", photo, target, 95, overwrite=False)
    assert photo.notes == ["resolution left out: the format has no place for it but EXIF"]


def test_of_xmp_only_what_is_about_pictures_left_behind_is_left_out(tmp_path: Path) -> None:
    about = (
        b' hdrgm:Version="1.0" xmlns:hdrgm="h" xmlns:Container="c" xmp:Rating="4" '
        b'xmlns:xmp="x"><Container:Directory><rdf:Seq/></Container:Directory></rdf:Description>'
    )
    packet = xmp(1).replace(b"/></rdf:RDF>", about + b"</rdf:RDF>")
    stream = io.BytesIO()
    Image.fromarray(EIGHT).save(stream, "JPEG", quality=95)
    heading = b"http://ns.adobe.com/xap/1.0/\0"
    content = with_segment(stream.getvalue(), 0xE1, heading + packet)
    path = tmp_path / "in.jpg"
    path.write_bytes(content + stream.getvalue())
    photo = read_photo(path)
    write_photo(tmp_path / "out.jpg", photo, "jpeg", 95, overwrite=False)
    assert photo.notes == [
        "left behind: a gain map",
        "left out: of XMP about pictures that are left behind",
    ]
    written = (tmp_path / "out.jpg").read_bytes()
    assert b"hdrgm:Version" not in written
    assert b"Container:Directory" not in written
    assert b'xmp:Rating="4"' in written
    broken = xmp(1).replace(b"<rdf:RDF", b'<a hdrgm:Version="1.0"><rdf:RDF')
    path.write_bytes(with_segment(stream.getvalue(), 0xE1, heading + broken))
    photo = read_photo(path)
    write_photo(tmp_path / "out.jpg", photo, "jpeg", 95, overwrite=True)
    assert photo.notes == ["left out: XMP about pictures that are left behind"]


@pytest.mark.parametrize("kind", ["webp"])
def test_lossless_stays_lossless(tmp_path: Path, kind: Kind) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    path = tmp_path / "in.webp"
    Image.fromarray(noise).save(path, lossless=True, exact=True)
    photo = read_photo(path)
    write_photo(tmp_path / "out.webp", photo, kind, 80, overwrite=False)
    assert (read_photo(tmp_path / "out.webp").pixels == noise).all()
    Image.fromarray(noise).save(path, quality=80)
    assert not read_photo(path).lossless


def test_a_profile_without_a_way_back_is_known() -> None:
    """As XYB's, whose tables of the way back are another thing than those of the way here."""
    for profile in (pictures.DISPLAY_P3, pictures.ADOBE_RGB, pictures.PROPHOTO, icc.LINEAR):
        assert icc.can_write(profile)
    assert icc.can_write(pictures.SRGB_OF_PILLOW)
    assert not icc.can_write(pictures.ONE_WAY)
