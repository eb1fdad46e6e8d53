"""HEIC, AVIF and JPEG XL: written by their libraries' own encoders, read exactly or refused."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.errors import CapabilityError
from hdrnet_bench.images import (
    heif,
    heif_writer,
    isobmff,
    jpegxl,
    jpegxl_header,
    jpegxl_icc,
    jpegxl_writer,
)
from hdrnet_bench.images.colour_tags import (
    ADOBE_PRIMARIES,
    ADOBE_RGB,
    PRIMARIES,
    profile_of_cicp,
    profile_of_gamma,
)
from hdrnet_bench.images.decoded import Decoded
from hdrnet_bench.images.jpegxl_bits import Bits
from hdrnet_bench.images.pixels import upright
from hdrnet_bench.install import install_advice
from tests.memory_use import takes_at_most

pillow_heif = pytest.importorskip("pillow_heif")

LIMIT = 10**6
LIBRARY_WORDS = re.compile("Decode|returned|plugin|JXL_|Item ID")
EXIF = b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x04\0\0\0abc\0\0\0\0\0"
XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
P3 = profile_of_cicp(12, 13)


def dateless(profile: bytes | None) -> bytes | None:
    """Without when it was made: profiles here are made when they are asked for."""
    return profile and profile[:24] + bytes(12) + profile[36:]


Decoder = Callable[[bytes], Decoded]
DECODERS: dict[str, Decoder] = {
    "heic": heif.decode_heic,
    "avif": heif.decode_avif,
    "jxl": jpegxl.decode_jxl,
}


def noise(channels: int, bits: int = 8, height: int = 64, width: int = 80) -> np.ndarray:
    rng = np.random.default_rng(channels * 100 + bits)
    kind = np.uint8 if bits <= 8 else np.uint16
    pixels = rng.integers(0, 2**bits, (height, width, channels)).astype(kind)
    pixels[0, 0], pixels[0, 1] = 0, 2**bits - 1
    return pixels


def scaled(pixels: np.ndarray, bits: int) -> np.ndarray:
    """To full scale, in floating point: the decoders do it in integers."""
    white = 255 if bits <= 8 else 65535
    return np.rint(pixels.astype(np.float64) * white / (2**bits - 1)).astype(pixels.dtype)


def heic(pixels: np.ndarray, bits: int = 8, lossless: bool = True, **options: Any) -> bytes:
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    mode += "" if bits == 8 else f";{bits}"
    if lossless:
        options = {"quality": -1, "chroma": 444, "matrix_coefficients": 0} | options
    file = pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes())
    stream = io.BytesIO()
    file.save(stream, **options)
    return stream.getvalue()


def avif(pixels: np.ndarray, bits: int = 8, **options: Any) -> bytes:
    squeezed = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return bytes(
        imagecodecs.avif_encode(
            squeezed, level=100, speed=9, bitspersample=bits if bits > 8 else None, **options
        )
    )


def pillow_avif(pixels: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "AVIF", speed=9, **options)
    return stream.getvalue()


def jxl(pixels: np.ndarray, bits: int = 8) -> bytes:
    squeezed = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return bytes(imagecodecs.jpegxl_encode(squeezed, lossless=True, bitspersample=bits))


class BitWriter:
    def __init__(self) -> None:
        self.bits: list[int] = []

    def write(self, *fields: tuple[int, int]) -> None:
        """Each (bits, number), least significant first."""
        for count, number in fields:
            self.bits += [number >> place & 1 for place in range(count)]

    def bytes(self) -> bytes:
        return np.packbits(self.bits, bitorder="little").tobytes()


SRGB = [(1, 1)]


def jxl_header(
    content: bytes,
    orientation: int = 1,
    animated: bool = False,
    colours: list[tuple[int, int]] | None = None,
    size: tuple[int, int] | None = None,
    premultiplied: bool = False,
    extra: int | None = None,
) -> bytes:
    """A losslessly coded picture of 8 bits under another header, written from the standard."""
    bits = Bits(content[2:])
    old = jpegxl_header.image_header(bits)
    assert bits.read(1)
    frames = content[2 + -(-bits.place // 8) :]
    width, height = size or (old.width, old.height)
    new = BitWriter()
    new.write((1, 0), (2, 3), (30, height - 1), (3, 0), (2, 3), (30, width - 1))
    new.write((1, 0), (1, 1), (3, orientation - 1), (1, 0), (1, 0), (1, int(animated)))
    if animated:
        new.write((2, 0), (2, 0), (2, 0), (1, 0))
    new.write((1, 0), (2, 0), (1, 1), (2, len(old.extras)))
    for kind, _ in old.extras:
        # Not as usual, kind, 8 bits, as large as the picture, no name, premultiplied.
        kind = kind if extra is None else extra
        new.write((1, 0), (2, 2), (4, kind - 2)) if kind > 1 else new.write((1, 0), (2, kind))
        new.write((1, 0), (2, 0), (2, 0), (2, 0))
        new.write(*([(1, int(premultiplied))] if kind == 0 else []))
    new.write((1, 0), *(colours or SRGB), (1, 1), (2, 0), (1, 1))
    return b"\xff\x0a" + new.bytes() + frames


def enum(number: int) -> tuple[int, int]:
    """As JPEG XL writes one: 2 bits say how, and 4 more its distance from 2, or 6 from 18."""
    if number < 2:
        return 2, number
    return (6, 2 | number - 2 << 2) if number < 18 else (8, 3 | number - 18 << 2)


def colour_bits(primaries: int, transfer: int, gamma: int = 0) -> list[tuple[int, int]]:
    """No ICC profile, RGB, D65; a gamma counts in units of 1e-7."""
    curve = [(1, 1), (24, gamma)] if gamma else [(1, 0), enum(transfer)]
    return [(1, 0), (1, 0), enum(0), enum(1), enum(primaries), *curve, enum(1)]


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_depth_and_kind_of_heic_and_avif_comes_exactly(channels: int, bits: int) -> None:
    pixels = noise(channels, bits)
    for kind, content in (("heic", heic(pixels, bits)), ("avif", avif(pixels, bits))):
        decoded = DECODERS[kind](content)
        np.testing.assert_array_equal(decoded.pixels, scaled(pixels, bits), err_msg=kind)
        assert decoded.pixels.flags.c_contiguous
        assert decoded.colours == ("gray" if channels < 3 else "rgb")
        assert decoded.alpha == (channels in (2, 4))
        assert (decoded.profile, decoded.orientation, decoded.damage) == (None, 1, None)


@pytest.mark.parametrize("bits", [1, 4, 7, 8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_depth_and_kind_of_jxl_comes_exactly(channels: int, bits: int) -> None:
    pixels = noise(channels, bits, 20, 24)
    decoded = jpegxl.decode_jxl(jxl(pixels, bits))
    np.testing.assert_array_equal(decoded.pixels, scaled(pixels, bits))
    assert decoded.colours == ("gray" if channels < 3 else "rgb")
    assert decoded.alpha == (channels in (2, 4))
    assert decoded.lossless
    assert decoded.orientation == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_once(orientation: int) -> None:
    pixels = noise(3, 8, 40, 64)
    turned = upright(pixels, orientation)
    tag = Image.Exif()
    tag[274] = orientation
    exif = tag.tobytes()
    whole = exif.removeprefix(b"Exif\0\0")
    of_avif = pillow_avif(pixels, quality=100, subsampling="4:4:4", exif=exif)
    notes = [] if orientation == 1 else [f"orientation {orientation} applied"]
    files = {
        "heic": heic(pixels, exif=exif),
        "jxl": jxl_container(jxl_header(jxl(pixels), orientation), Exif=bytes(4) + whole),
    }
    for kind, content in files.items():
        decoded = DECODERS[kind](content)
        np.testing.assert_array_equal(decoded.pixels, turned, err_msg=kind)
        assert (decoded.orientation, decoded.notes) == (1, notes)
        assert decoded.exif == whole
    decoded = heif.decode_avif(of_avif)
    # Pillow's AVIF is not lossless by its matrix: what is asked for is the order of the pixels.
    assert decoded.pixels.shape == turned.shape
    assert np.abs(decoded.pixels.astype(int) - turned).max() <= 8
    assert (decoded.orientation, decoded.notes) == (1, notes)


def test_turns_and_mirrors_add_up_to_one_orientation() -> None:
    """In the order of the properties; what undoes itself needs no note."""
    item = isobmff.Item(b"hvc1")
    turn, mirror = (b"irot", b"\x01"), (b"imir", b"\x01")
    for given, code in (
        ([], 1),
        ([turn], 8),
        ([mirror], 2),
        ([turn, mirror], 7),
        ([mirror, turn], 5),
        ([mirror, mirror], 1),
    ):
        item.properties = [isobmff.Property(*each, True) for each in given]
        assert heif._orientation(item) == code
        np.testing.assert_array_equal(heif._turned(noise(3), item), upright(noise(3), code))


def test_a_crop_is_applied_exactly_or_refused() -> None:
    pixels = noise(3)
    item = isobmff.Item(b"av01")

    def cropped(*numbers: int) -> np.ndarray:
        item.properties = [isobmff.Property(b"clap", struct.pack(">IIIIiIiI", *numbers), True)]
        return heif._turned(pixels, item)

    np.testing.assert_array_equal(cropped(30, 1, 20, 1, 0, 1, 0, 1), pixels[22:42, 25:55])
    np.testing.assert_array_equal(cropped(30, 1, 20, 1, -25, 1, 22, 1), pixels[44:64, :30])
    np.testing.assert_array_equal(cropped(31, 1, 20, 1, 1, 2, 0, 1), pixels[22:42, 25:56])
    for numbers in ((31, 1, 20, 1, 0, 1, 0, 1), (99, 1, 20, 1, 0, 1, 0, 1), (1, 0) * 4):
        with pytest.raises(ValueError, match="clap"):
            cropped(*numbers)


def jxl_container(codestream: bytes, **contents: bytes) -> bytes:
    """The codestream in two parts, with boxes behind it."""
    parts = [(b"ftyp", b"jxl \0\0\0\0jxl "), (b"jxlp", bytes(4) + codestream[:20])]
    parts.append((b"jxlp", b"\x80\0\0\x01" + codestream[20:]))
    parts += [(name.ljust(4).encode(), content) for name, content in contents.items()]
    return jpegxl.CONTAINER + b"".join(
        struct.pack(">I4s", 8 + len(content), name) + content for name, content in parts
    )


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
def test_profile_exif_and_xmp_come_unchanged(kind: str) -> None:
    pixels = noise(3)
    if kind == "heic":
        content = heic(pixels, exif=b"Exif\0\0" + EXIF, xmp=XMP, icc_profile=ADOBE_RGB)
    elif kind == "avif":
        content = pillow_avif(pixels, exif=EXIF, xmp=XMP, icc_profile=ADOBE_RGB)
    else:
        options: Any = {"quality": 90, "lossless": True}
        content = jpegxl_writer.encode_jxl(pixels, profile=ADOBE_RGB, exif=EXIF, xmp=XMP, **options)
    decoded = DECODERS[kind](content)
    assert (decoded.exif, decoded.xmp) == (EXIF, XMP)
    assert (decoded.profile, decoded.profile_from) == (ADOBE_RGB, None)
    assert decoded.notes == []


def test_packed_metadata_of_jxl() -> None:
    packed = b"xml " + bytes(imagecodecs.brotli_encode(XMP))
    decoded = jpegxl.decode_jxl(jxl_container(jxl(noise(3)), brob=packed))
    assert decoded.xmp == XMP
    decoded = jpegxl.decode_jxl(jxl_container(jxl(noise(3)), brob=b"xml nonsense"))
    assert decoded.xmp is None
    assert decoded.left_out == ["XMP left out: it cannot be unpacked"]


@pytest.mark.fault("hostile pictures")
def test_packed_metadata_of_jxl_that_becomes_too_much() -> None:
    bomb = b"xml " + bytes(imagecodecs.brotli_encode(bytes(100 << 20)))
    content = jxl_container(jxl(noise(3)), brob=bomb)
    with takes_at_most(64):
        decoded = jpegxl.decode_jxl(content)
    assert (decoded.xmp, decoded.left_out) == (None, ["XMP left out: it cannot be unpacked"])
    box = struct.pack(">I4s", 8 + len(bomb), b"brob") + bomb
    started = time.process_time()
    assert jpegxl.decode_jxl(content + box * 1000).xmp is None
    assert time.process_time() - started < 2


@pytest.mark.fault("hostile pictures")
def test_a_profile_of_jxl_that_is_too_large() -> None:
    # U64: 2, then 60 bits in groups that say whether there are more; here all bits are set.
    with pytest.raises(ValueError, match="ICC profile is too large"):
        jpegxl_icc.read_icc(Bits(b"\xff" * 32))


def full_box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4sI", 12 + len(payload), kind, 0) + payload


def heif_of(*parts: bytes) -> bytes:
    """A HEIF of one item and further boxes of items."""
    item = struct.pack(">I4sBBHHH", 21, b"infe", 2, 0, 0, 1, 0) + b"hvc1\0"
    boxes_ = full_box(b"pitm", b"\0\1"), full_box(b"iinf", b"\0\1" + item), *parts
    return b"\0\0\0\x10ftypheic\0\0\0\0" + full_box(b"meta", b"".join(boxes_))


def test_a_made_heif_is_read() -> None:
    meta, notes = isobmff.read_boxes(heif_of())
    assert ([each.kind for each in meta.items.values()], notes) == ([b"hvc1"], [])


def _many_items() -> bytes:
    infe = b"".join(
        struct.pack(">I4sBBHHH", 21, b"infe", 2, 0, 0, number, 0) + b"hvc1\0"
        for number in range(5000)
    )
    return b"\0\0\0\x10ftypheic\0\0\0\0" + full_box(
        b"meta", full_box(b"iinf", struct.pack(">H", 5000) + infe)
    )


_REFERENCE = struct.pack(">I4sHH", 12 + 2 * 20_000, b"dimg", 1, 20_000) + bytes(40_000)
_PROPERTIES = struct.pack(">I4s", 16, b"ipco") + struct.pack(">I4s", 8, b"abcd")
_OF_ITEM = struct.pack(">I", 2) + (struct.pack(">HB", 1, 200) + b"\1" * 200) * 2
_PLACES = b"\x44\0" + struct.pack(">HHHH", 1, 1, 0, 20_000) + bytes(8 * 20_000)
UNBOUNDED = {
    "boxes": (
        b"\0\0\0\x10ftypheic\0\0\0\0"
        + full_box(b"meta", struct.pack(">I4s", 8, b"free") * 100_001),
        "too many boxes",
    ),
    "items": (_many_items(), "more than 4096 parts"),
    "references": (heif_of(full_box(b"iref", _REFERENCE)), "more references"),
    "properties": (
        heif_of(
            struct.pack(">I4s", 24 + 12 + len(_OF_ITEM), b"iprp")
            + _PROPERTIES
            + full_box(b"ipma", _OF_ITEM)
        ),
        "more properties",
    ),
    "places": (heif_of(full_box(b"iloc", _PLACES)), "more pieces"),
}


@pytest.mark.fault("hostile pictures")
@pytest.mark.parametrize("name", UNBOUNDED)
def test_a_heif_with_more_of_something_than_any_picture(name: str) -> None:
    content, words = UNBOUNDED[name]
    with pytest.raises(ValueError, match=words):
        isobmff.read_boxes(content)


def nclx(kind: str, primaries: int, transfer: int) -> bytes:
    pixels = noise(3)
    if kind == "heic":
        return heic(pixels, color_primaries=primaries, transfer_characteristics=transfer)
    if kind == "avif":
        return avif(pixels, primaries=primaries, transfer=transfer)
    named = {12: 11}.get(primaries, primaries)
    return jxl_header(jxl(pixels), colours=colour_bits(named, transfer))


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
def test_colours_that_numbers_say(kind: str) -> None:
    decoded = DECODERS[kind](nclx(kind, 12, 13))
    assert dateless(decoded.profile) == dateless(P3)
    assert decoded.profile_from == ("JPEG XL" if kind == "jxl" else "nclx")
    for transfer in (13, 1):
        decoded = DECODERS[kind](nclx(kind, 1, transfer))
        assert decoded.profile is None
        assert decoded.profile_from == ("JPEG XL" if kind == "jxl" else "nclx")
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        with pytest.raises(ValueError, match=name):
            DECODERS[kind](nclx(kind, 9, transfer))


def test_a_profile_does_not_hide_pq() -> None:
    content = heic(
        noise(3), icc_profile=P3, color_primaries=9, transfer_characteristics=16, lossless=True
    )
    tags = [
        each.payload[:4]
        for each in isobmff.read_boxes(content)[0].items[1].properties
        if each.kind == b"colr"
    ]
    if tags == [b"prof", b"nclx"] or tags == [b"nclx", b"prof"]:
        with pytest.raises(ValueError, match="PQ"):
            heif.decode_heic(content)


def test_av1_says_its_colours_where_the_boxes_do_not() -> None:
    """PQ in the sequence header alone, and the box's name overwritten."""
    content = nclx("avif", 9, 16).replace(b"colr", b"free")
    with pytest.raises(ValueError, match="PQ"):
        heif.decode_avif(content)


def test_hevc_without_colours_in_its_boxes_has_a_note() -> None:
    decoded = heif.decode_heic(heic(noise(3)).replace(b"colr", b"free"))
    assert any("taken as sRGB" in note for note in decoded.notes)


def test_rare_colours_of_jxl() -> None:
    """Gammas as profiles of gammas, of grey too; primaries of its own are refused."""
    gamma = jpegxl.decode_jxl(jxl_header(jxl(noise(3)), colours=colour_bits(1, 0, gamma=4545455)))
    assert gamma.profile is not None
    assert gamma.profile_from == "JPEG XL"
    dci = jpegxl.decode_jxl(jxl_header(jxl(noise(3)), colours=colour_bits(11, 17)))
    assert dci.profile is not None
    grey = [(1, 0), (1, 0), enum(1), enum(1), (1, 0), enum(8), enum(1)]
    linear = jpegxl.decode_jxl(jxl_header(jxl(noise(1)), colours=grey))
    assert linear.profile is not None
    assert linear.profile[16:20] == b"GRAY"
    own = [(1, 0), (1, 0), enum(0), enum(1), enum(2), *[(2, 0), (19, 600000)] * 6]
    content = jxl_header(jxl(noise(3)), colours=[*own, (1, 0), enum(13), enum(1)])
    with pytest.raises(ValueError, match="rare"):
        jpegxl.decode_jxl(content)
    unknown = jxl_header(jxl(noise(3)), colours=[(1, 0), (1, 0), enum(0), enum(7)])
    with pytest.raises(ValueError, match="white point 7"):
        jpegxl.decode_jxl(unknown)


# 16 x 16, the upper half (20, 250, 10) and the lower (120, 130, 140) in Adobe RGB: `cjxl -d 0.1`
# of a PNG with ADOBE_RGB, which makes XYB and keeps the profile.
XYB_WITH_PROFILE = """
{|ZAu3a<?V66OI=)kt1qi|V{?*T)wv_!2cNw1^|T1eseOVfV?Pi-qB|kq~x{(49kKwDyFIMx&)?@Nt9z$U53OBfwYO
t7gV3ceYpqFyQ~f(u%*}VW{gw0LuoFzKWIsN*)RUL5a!9!Abm0=J(lwEbI6NIQj~kE1P<XN{0nlJ6i^5DqC90nnUfi
@&I(2#xqoaTfP1F-+9X0d?(O;A^rE?eM9~C-+o1KmJ0>yLOF}z(-K_DhnPfI$b<U2fzURfp!er!-pYshk;%7rM^R;4
emMa;>J_BiA+<wjt;5$v^Uan6027D+3<CfEssaE|p)$(2!OOXxFF$lxOxw85&{o?PmL!UdW0Q0Oha|Bi)X6S>5;_Fi
OPD7gS8cpc%Q<=Ncq!R)Iu-^L0xG1y62=(B7_2fcFEisY<HgJvW7Y!*0MzY#YI_M<?u9F@Gl~Z*Ze}&`#z0$ME=L_6
SQ|to%mz|$Wdzng0R
"""


def test_lossy_jxl_with_a_profile_keeps_colours_outside_srgb() -> None:
    content = base64.b85decode(XYB_WITH_PROFILE.replace("\n", ""))
    decoded = jpegxl.decode_jxl(content)
    assert decoded.pixels.dtype == np.uint16
    assert dateless(decoded.profile) == dateless(profile_of_cicp(9, 13))
    assert any("profile left out" in note for note in decoded.notes)
    matrix = np.linalg.solve(
        jpegxl_writer._to_xyz(PRIMARIES[9]), jpegxl_writer._to_xyz(ADOBE_PRIMARIES)
    )
    for row, colour in ((3, (20, 250, 10)), (12, (120, 130, 140))):
        linear = matrix @ (np.array(colour) / 255) ** (563 / 256)
        expected = 65535 * (1.055 * linear ** (1 / 2.4) - 0.055)
        # A lossy file: within a level of the 8 bits it was made of.
        assert np.abs(decoded.pixels[row, 8] - expected).max() < 257


# The same picture by `cjxl -d 0` with a profile of 480 bytes, which libjxl codes by ANS.
LOSSLESS_WITH_PROFILE = """
{|ZAu2yY4l66OKWrlx!Cc^%VGh{1V9%TU8ZV3oZzC=WEd1rs5xb(o6AokpSoH}(tQ)l{NYY8K6Nu-#VTt3BNY<_v-!
m!L2ombw83ErY%*ux29+>;wC}0V3^$zqMSwa#eBw2m%2Bd;m)rixmLWiWg(Nc)CCc00{#`SLl=kX*MxPQcVC00s
"""
DIGEST = "752544d0e0ed4bbb0fdff24aaa211146bb5290040a1b2f9ad4f76cdc97b34b33"


def test_profile_that_libjxl_wrote() -> None:
    decoded = jpegxl.decode_jxl(base64.b85decode(LOSSLESS_WITH_PROFILE.replace("\n", "")))
    assert decoded.profile is not None
    assert hashlib.sha256(decoded.profile).hexdigest() == DIGEST
    assert decoded.lossless
    np.testing.assert_array_equal(decoded.pixels[3, 3], (20, 250, 10))


def test_a_long_profile_is_written_and_read() -> None:
    """Of more than 4096 bytes, whose number JPEG XL writes in steps."""
    rng = np.random.default_rng(3)
    profile = ADOBE_RGB + rng.integers(0, 256, 70_000, np.uint8).tobytes()
    options: Any = {"quality": 90, "lossless": True, "exif": None, "xmp": None}
    decoded = jpegxl.decode_jxl(jpegxl_writer.encode_jxl(noise(3), profile=profile, **options))
    assert decoded.profile == profile


def test_lossy_jxl_without_a_profile_is_srgb_of_its_depth() -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
    content = imagecodecs.jpegxl_encode(smooth, lossless=False, distance=0.2)
    decoded = jpegxl.decode_jxl(bytes(content))
    assert decoded.profile is None
    assert decoded.pixels.dtype == np.uint8
    assert not decoded.lossless
    assert np.abs(decoded.pixels.astype(int) - smooth).max() <= 3


def heic_of(pictures: list[np.ndarray], **options: Any) -> bytes:
    file = pillow_heif.HeifFile()
    for pixels in pictures:
        file.add_frombytes("RGB", pixels.shape[1::-1], pixels.tobytes())
    stream = io.BytesIO()
    file.save(stream, quality=-1, chroma=444, matrix_coefficients=0, **options)
    return stream.getvalue()


def test_of_several_pictures_the_primary_one_is_read() -> None:
    pictures = [noise(3, 8, 64, 64 + 2 * index) for index in range(3)]
    for index in range(3):
        decoded = heif.decode_heic(heic_of(pictures, primary_index=index))
        np.testing.assert_array_equal(decoded.pixels, pictures[index])
        assert decoded.notes == ["left behind: 2 further pictures"]


def test_thumbnails_are_noted() -> None:
    decoded = heif.decode_heic(heic(noise(3), thumbnails=[32, 16]))
    assert decoded.notes == ["left behind: 2 thumbnails"]


@pytest.mark.parametrize(
    ("urn", "note"),
    [
        (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", []),
        (b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth", ["left behind: a depth map"]),
        (b"urn:com:apple:photo:2020:aux:hdrgainmap", ["left behind: a gain map"]),
        (
            b"urn:com:apple:photo:2018:aux:portraiteffectsmatte",
            ["left behind: an auxiliary picture (portraiteffectsmatte)"],
        ),
    ],
)
def test_auxiliary_pictures_are_noted(urn: bytes, note: list[str]) -> None:
    """As boxes say it: no encoder here writes these."""
    meta = isobmff.Meta(primary=1, items={1: isobmff.Item(b"hvc1"), 2: isobmff.Item(b"hvc1")})
    meta.items[2].properties = [isobmff.Property(b"auxC", bytes(4) + urn + b"\0", True)]
    meta.references = [(b"auxl", 2, [1])]
    assert heif._left_behind(meta) == note


def test_sequences_are_refused() -> None:
    frames = [Image.fromarray(noise(3, 8, 32, 32)) for _ in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "AVIF", save_all=True, append_images=frames[1:], speed=9)
    with pytest.raises(ValueError, match=r"3 frames .*: one picture is wanted"):
        heif.decode_avif(stream.getvalue())
    moving = bytes(imagecodecs.jpegxl_encode(np.stack([noise(3)] * 2), lossless=True))
    for content in (moving, jxl_header(jxl(noise(3)), animated=True)):
        with pytest.raises(ValueError, match=r"frames .*: one picture is wanted"):
            jpegxl.decode_jxl(content)


def test_premultiplied_alpha_is_refused() -> None:
    pixels = noise(4)
    file = pillow_heif.from_bytes("RGBa", pixels.shape[1::-1], pixels.tobytes())
    stream = io.BytesIO()
    file.save(stream, quality=-1)
    with pytest.raises(ValueError, match="premultiplied"):
        heif.decode_heic(stream.getvalue())
    with pytest.raises(ValueError, match="premultiplied"):
        heif.decode_avif(pillow_avif(pixels, alpha_premultiplied=True))
    with pytest.raises(ValueError, match="premultiplied"):
        jpegxl.decode_jxl(jxl_header(jxl(pixels), premultiplied=True))


def test_what_jxl_holds_and_is_not_read() -> None:
    for kind in (np.float32, np.float16):
        content = imagecodecs.jpegxl_encode((noise(3) / 255).astype(kind), lossless=True)
        with pytest.raises(ValueError, match="floating-point"):
            jpegxl.decode_jxl(bytes(content))
    with pytest.raises(ValueError, match="CMYK"):
        jpegxl.decode_jxl(jxl_header(jxl(noise(4)), extra=4))


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_of_jxl_are_noted(channels: int) -> None:
    pixels = noise(channels)
    source = jxl(pixels)
    old = jpegxl_header.image_header(Bits(source[2:]))
    grey = [(1, 0), (1, 0), enum(1), enum(1), (1, 0), enum(13), enum(1)]
    content = jxl_header(
        source, extra=1, colours=grey if old.colours.space == jpegxl_header.GREY else None
    )
    decoded = jpegxl.decode_jxl(content)
    np.testing.assert_array_equal(decoded.pixels, pixels[:, :, :-1])
    assert not decoded.alpha
    assert decoded.notes == ["left behind: an extra channel (depth)"]


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
def test_size_is_refused_before_decoding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(3)
    content = {"heic": heic, "avif": avif, "jxl": jxl}[kind](pixels)
    monkeypatch.setenv("HDRBENCH_MAX_MEGAPIXELS", "0.005")
    with pytest.raises(
        ValueError, match=r"80 x 64 pixels.* over the limit of 0\.005: HDRBENCH_MAX"
    ):
        DECODERS[kind](content)
    monkeypatch.delenv("HDRBENCH_MAX_MEGAPIXELS")
    large = 1 << 29
    if kind == "jxl":
        content = jxl_header(content, size=(large, large))
    else:
        content = content.replace(struct.pack(">II", 80, 64), struct.pack(">II", large, large))
    with pytest.raises(ValueError, match=f"{large} x {large} pixels.* over the limit"):
        DECODERS[kind](content)


def test_a_jxl_lying_on_its_side_is_named_as_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDRBENCH_MAX_MEGAPIXELS", "0.005")
    with pytest.raises(ValueError, match="it has 64 x 80 pixels"):
        jpegxl.decode_jxl(jxl_header(jxl(noise(3)), orientation=6))


def samples() -> dict[str, list[bytes]]:
    colours, alpha = noise(3, 8, 64, 64), noise(4, 10, 64, 64)
    extras: Any = {"exif": EXIF, "xmp": XMP}
    return {
        "heic": [
            heic(colours, lossless=False, quality=50, icc_profile=P3, **extras),
            heic(alpha, 10, lossless=False, quality=50),
            heic(colours, lossless=False, quality=50, tile_size=32),
        ],
        "avif": [pillow_avif(colours, icc_profile=P3, **extras), avif(alpha, 10)],
        "jxl": [
            jpegxl_writer.encode_jxl(colours, quality=90, lossless=True, profile=P3, **extras),
            base64.b85decode(LOSSLESS_WITH_PROFILE.replace("\n", "")),
            jxl_container(jxl(noise(3)), Exif=bytes(4) + EXIF),
            base64.b85decode(XYB_WITH_PROFILE.replace("\n", "")),
        ],
    }


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
def test_cut_off_files_are_refused(kind: str) -> None:
    messages: set[str] = set()
    for content in samples()[kind]:
        whole = DECODERS[kind](content)
        lengths = {*range(0, len(content), max(len(content) // 60, 1)), *range(20)}
        lengths |= {len(content) - back for back in (1, 2, 5, 20)}
        refused = 0
        for length in sorted(lengths - {len(content)}):
            try:
                decoded = DECODERS[kind](content[:length])
            except ValueError as error:
                messages.add(str(error))
                refused += 1
                continue
            # What lacks nothing but what describes it.
            np.testing.assert_array_equal(decoded.pixels, whole.pixels)
        assert refused > 0.5 * len(lengths)
    assert not [message for message in messages if LIBRARY_WORDS.search(message)]


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
def test_damaged_files_end_in_an_error_or_a_picture(kind: str) -> None:
    rng = np.random.default_rng(7)
    messages: set[str] = set()
    for content in samples()[kind]:
        for _ in range(60):
            damaged = bytearray(content)
            reach = len(damaged) if rng.random() < 0.3 else min(len(damaged), 700)
            for _ in range(rng.integers(1, 4)):
                damaged[rng.integers(reach)] ^= 1 << int(rng.integers(8))
            try:
                decoded = DECODERS[kind](bytes(damaged))
            except ValueError as error:
                messages.add(str(error))
                continue
            assert decoded.pixels.shape[0] * decoded.pixels.shape[1] <= LIMIT
    assert not [message for message in messages if LIBRARY_WORDS.search(message)]


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\x0a", b"\0" * 100, b"\0\0\0\x1cftypheic" + bytes(12), b"no picture"]
)
def test_what_is_no_picture(kind: str, content: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        DECODERS[kind](content)


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {kind: files[0] for kind, files in samples().items()}
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(CapabilityError, match=re.escape(install_advice("heif"))):
        heif.decode_heic(content["heic"])
    options: Any = {"quality": 90, "lossless": False, "profile": None, "exif": None, "xmp": None}
    with pytest.raises(CapabilityError, match=re.escape(install_advice("heif"))):
        heif_writer.encode_heic(noise(3), **options)
    # What needs no extra goes on.
    jpegxl.decode_jxl(content["jxl"])
    heif.decode_avif(content["avif"])


ENCODERS: dict[str, Callable[..., bytes]] = {
    "heic": heif_writer.encode_heic,
    "avif": heif_writer.encode_avif,
    "jxl": jpegxl_writer.encode_jxl,
}


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
@pytest.mark.parametrize("channels", [3, 4])
def test_written_losslessly_and_read_again(kind: str, channels: int) -> None:
    pixels = noise(channels)
    content = ENCODERS[kind](
        pixels, quality=90, lossless=True, profile=ADOBE_RGB, exif=EXIF, xmp=XMP
    )
    decoded = DECODERS[kind](content)
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert (decoded.profile, decoded.exif, decoded.xmp) == (ADOBE_RGB, EXIF, XMP)
    if kind == "avif":  # Written here, but for the coded pixels: read by another reader.
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(np.asarray(image), pixels)
            assert image.info["icc_profile"] == ADOBE_RGB
            assert (image.info["exif"], image.info["xmp"]) == (EXIF, XMP)


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
@pytest.mark.parametrize("profile", [None, P3])
def test_written_with_loss_and_read_again(kind: str, profile: bytes | None) -> None:
    across = np.linspace(0, 65535, 96)[None, :, None]
    down = np.linspace(0, 65535, 64)[:, None, None]
    deep = np.concatenate([0 * down + across, down + 0 * across, (down + across) / 2], axis=2)
    for pixels in (deep.astype(np.uint16), (deep / 257).astype(np.uint8)):
        content = ENCODERS[kind](
            pixels, quality=95, lossless=False, profile=profile, exif=None, xmp=None
        )
        decoded = DECODERS[kind](content)
        assert decoded.pixels.dtype == pixels.dtype
        assert dateless(decoded.profile) == dateless(profile)
        assert (decoded.exif, decoded.xmp) == (None, None)
        error = np.abs(decoded.pixels.astype(np.int64) - pixels) / np.iinfo(pixels.dtype).max
        assert error.mean() < 0.004
        assert error.max() < 0.09


def test_jxl_with_loss_keeps_colours_outside_srgb() -> None:
    """Adobe RGB's green lies outside Display P3 too."""
    pixels = np.full((64, 64, 3), (20, 250, 10), np.uint8)
    pixels[32:] = (120, 130, 140)
    content = jpegxl_writer.encode_jxl(
        pixels, quality=97, lossless=False, profile=ADOBE_RGB, exif=None, xmp=None
    )
    decoded = jpegxl.decode_jxl(content)
    assert dateless(decoded.profile) == dateless(profile_of_cicp(9, 13))
    assert decoded.notes == []
    matrix = np.linalg.solve(
        jpegxl_writer._to_xyz(PRIMARIES[9]), jpegxl_writer._to_xyz(ADOBE_PRIMARIES)
    )
    for row in (10, 50):
        linear = matrix @ (pixels[row, 0] / 255) ** (563 / 256)
        expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
        assert np.abs(decoded.pixels[row, 30] - expected).max() < 2.5
    with pytest.raises(ValueError, match="profile"):
        jpegxl_writer.encode_jxl(
            pixels, quality=90, lossless=False, profile=b"none", exif=None, xmp=None
        )


@pytest.mark.parametrize("kind", ["heic", "avif", "jxl"])
def test_an_orientation_in_metadata_turns_nothing(kind: str) -> None:
    pixels = noise(3)
    tag = Image.Exif()
    tag[274] = 6
    xmp = XMP.replace(b"/>", b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>')
    exif = tag.tobytes().removeprefix(b"Exif\0\0")
    for exif_given in (exif, None):
        content = ENCODERS[kind](
            pixels, quality=90, lossless=True, profile=None, exif=exif_given, xmp=xmp
        )
        decoded = DECODERS[kind](content)
        np.testing.assert_array_equal(decoded.pixels, pixels)
        assert (decoded.exif, decoded.xmp, decoded.orientation) == (exif_given, xmp, 1)


def test_16_bits_are_kept_losslessly_by_jxl_alone() -> None:
    pixels = noise(3, 16)
    options: Any = {"quality": 90, "lossless": True, "profile": None, "exif": None, "xmp": None}
    decoded = jpegxl.decode_jxl(jpegxl_writer.encode_jxl(pixels, **options))
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert decoded.profile is None
    for encode in (heif_writer.encode_heic, heif_writer.encode_avif):
        with pytest.raises(ValueError, match="losslessly"):
            encode(pixels, **options)


def test_reading_holds_the_pixels_at_most_twice() -> None:
    """Of numpy's: libheif's own is not counted."""
    for kind, content in (
        ("heic", heic(noise(3, 10, 512, 512), 10)),
        ("jxl", jxl(noise(3, 12), 12)),
    ):
        tracemalloc.start()
        decoded = DECODERS[kind](content)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2 * decoded.pixels.nbytes + 2**20 + len(content), kind


def test_avif_is_not_written_at_the_slowest_speed() -> None:
    """Which takes 8 s for this picture; 0.2 s is usual."""
    start = time.process_time()
    heif_writer.encode_avif(
        noise(3, 8, 400, 600), quality=90, lossless=False, profile=None, exif=None, xmp=None
    )
    assert time.process_time() - start < 4


@pytest.mark.parametrize("profile", [None, profile_of_gamma(PRIMARIES[1], 1.0)])
def test_lossless_jxl_of_another_writer_is_kept_to_the_last_bit(profile: bytes | None) -> None:
    """imagecodecs says linear light of 16 bits: its numbers come, and are written, as they are."""
    pixels = np.arange(65536, dtype=np.uint16).reshape(128, 512, 1).repeat(3, axis=2)
    decoded = jpegxl.decode_jxl(jxl(pixels, 16))
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert decoded.profile is not None
    again = jpegxl_writer.encode_jxl(
        decoded.pixels, quality=90, lossless=True, profile=profile, exif=None, xmp=None
    )
    np.testing.assert_array_equal(jpegxl.decode_jxl(again).pixels, pixels)


def test_decoding_in_threads() -> None:
    jobs = [(kind, content) for kind, files in samples().items() for content in files] * 4
    alone = [DECODERS[kind](content).pixels for kind, content in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda job: DECODERS[job[0]](job[1]).pixels, jobs)
        for pixels, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(pixels, expected)
