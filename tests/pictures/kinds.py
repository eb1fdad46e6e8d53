"""Kinds of picture files, each made here, with its exact right pixels or what refuses it.

`right` is what measuring is given: sRGB, upright, three channels. `own` is what enhancing works on
before and after: the file's own numbers, upright, alpha behind them. Both by other means than the
reader's: NumPy, formulas of the standards, and the arrays that the files were made of.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from PIL import Image, ImageCms

from tests import pictures

Array = np.ndarray
RANDOM = np.random.default_rng(0)
# Muted, so that other spaces' numbers lie inside sRGB; no two pixels alike in a row.
EIGHT = RANDOM.integers(100, 160, (12, 20, 3), dtype=np.uint8)
SIXTEEN = RANDOM.integers(100 * 257, 160 * 257, (12, 20, 3), dtype=np.uint16)
GREY = EIGHT[:, :, :1]
ALPHA = RANDOM.integers(1, 255, (12, 20, 1), dtype=np.uint8)
SMOOTH = np.asarray(
    Image.fromarray(RANDOM.integers(100, 160, (3, 4, 3), dtype=np.uint8)).resize(
        (48, 32), Image.Resampling.BICUBIC
    )
)


class Case(NamedTuple):
    """name: of the file. refused: words of the error that measuring and enhancing give; `damaged`:
    measuring alone, and enhancing notes it. levels: how far pixels may be, of the file's depth.
    says: words that a note of reading it must have. silent: whether there must be no note."""

    name: str
    content: bytes
    right: Array | None = None
    own: Array | None = None
    refused: str | None = None
    damaged: str | None = None
    levels: int = 0
    says: str | None = None
    needs: str | None = None


def three(grey: Array) -> Array:
    return grey.repeat(3, axis=2)


def saved(pixels: Array, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(flat).save(stream, kind, **options)
    return stream.getvalue()


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += 12 + length


def png(
    pixels: Array, *extra: tuple[bytes, bytes], behind: tuple[bytes, bytes] | None = None
) -> bytes:
    """A PNG with further chunks before its pixels, and one behind them."""
    flat = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    first, *rest, last = chunks(imagecodecs.png_encode(flat))
    parts = [first, *extra, *rest, *([behind] if behind else []), last]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, value) for name, value in parts)


def chunk(name: bytes, value: bytes) -> bytes:
    return (
        struct.pack(">I", len(value)) + name + value + struct.pack(">I", zlib.crc32(name + value))
    )


def tiff(pixels: Array, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **({"photometric": "rgb", "metadata": None} | options))
    return stream.getvalue()


def with_segment(jpeg: bytes, marker: int, value: bytes) -> bytes:
    return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(value) + 2) + value + jpeg[2:]


def decoded(jpeg: bytes) -> Array:
    """As Pillow's libjpeg has it."""
    with Image.open(io.BytesIO(jpeg)) as image:
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def srgb_curve(light: Array) -> Array:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_light(numbers: Array) -> Array:
    return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)


def matrix(primaries: list[tuple[float, float]]) -> Array:
    """Linear RGB with these primaries and D65 to XYZ."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


SRGB = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)]
P3 = [(0.68, 0.32), (0.265, 0.69), (0.15, 0.06)]
ADOBE = [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)]


def in_srgb(pixels: Array, primaries: list[tuple[float, float]], gamma: float | None) -> Array:
    """The same colours in sRGB; without a gamma the curve is sRGB's."""
    white = np.iinfo(pixels.dtype).max
    numbers = pixels.astype(np.float64) / white
    light = srgb_light(numbers) if gamma is None else numbers**gamma
    light = light @ (np.linalg.inv(matrix(SRGB)) @ matrix(primaries)).T
    return np.rint(srgb_curve(light.clip(0, 1)) * white).astype(pixels.dtype)


def exif_with_adobe_rgb() -> bytes:
    tags = Image.Exif()
    tags[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}}
    return tags.tobytes()


def xmp(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/'
        '22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        f'tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def turned(pixels: Array) -> Array:
    """As orientation 6 is to be shown: a quarter turn clockwise."""
    return np.rot90(pixels, -1)


def _jpegs() -> Iterator[Case]:
    plain = saved(SMOOTH, "JPEG", quality=90, subsampling=0)
    right = decoded(plain)
    yield Case("plain.jpg", plain, right)
    for name, options in (
        ("420", {"subsampling": 2}),
        ("progressive", {"progressive": True}),
        ("restarts", {"restart_marker_rows": 1}),
    ):
        content = saved(SMOOTH, "JPEG", quality=90, **options)
        yield Case(f"{name}.jpg", content, decoded(content))
    grey = saved(SMOOTH[:, :, :1], "JPEG")
    yield Case("grey.jpg", grey, three(decoded(grey)), says="grey repeated")
    cmyk = io.BytesIO()
    Image.fromarray(SMOOTH).convert("CMYK").save(cmyk, "JPEG", quality=100)
    inks = 255 - decoded(cmyk.getvalue()).astype(np.int64)
    unpainted = ((inks[:, :, :3] * inks[:, :, 3:] * 2 + 255) // 510).astype(np.uint8)
    yield Case("cmyk.jpg", cmyk.getvalue(), unpainted, says="CMYK converted without its profile")
    second = io.BytesIO()
    Image.fromarray(SMOOTH).save(
        second, "MPO", save_all=True, quality=90, subsampling=0,
        append_images=[Image.fromarray(SMOOTH[::2, ::2])],
    )  # fmt: skip
    yield Case("two-pictures.jpg", second.getvalue(), right, says="left behind: a second picture")
    yield Case("bytes-behind.jpg", plain + b"something else", right, says="left behind: 14 bytes")
    yield Case("film-behind.jpg", plain + b"\0\0\0\x18ftypmp42" + bytes(99), right, says="a film")
    for code in (0, 9):
        content = saved(SMOOTH, "JPEG", quality=90, subsampling=0, exif=pictures.exif(code))
        says = f"orientation {code} means nothing"
        yield Case(f"orientation-{code}.jpg", content, right, says=says)
    content = saved(SMOOTH, "JPEG", quality=90, subsampling=0, exif=pictures.exif(6))
    yield Case("orientation-6.jpg", content, turned(right), says="orientation 6 applied")
    content = with_segment(plain, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(6))
    yield Case("xmp-orientation-6.jpg", content, turned(right), says="orientation 6 applied")
    content = saved(SMOOTH, "JPEG", quality=90, subsampling=0, exif=exif_with_adobe_rgb())
    adobe = in_srgb(right, ADOBE, 563 / 256)
    yield Case("exif-adobe-rgb.jpg", content, adobe, right, levels=1, says="Adobe RGB")
    content = saved(SMOOTH, "JPEG", quality=90, subsampling=0, icc_profile=pictures.DISPLAY_P3)
    yield Case("p3.jpg", content, in_srgb(right, P3, 2.2), right, levels=1)
    content = saved(SMOOTH, "JPEG", quality=90, subsampling=0, icc_profile=b"no profile" * 30)
    yield Case("broken-profile.jpg", content, right, says="profile left out: unreadable")
    ink_profile = b"".join((b"\0" * 16, b"CMYK", b"Lab ", b"\0" * 300))
    grey_with_inks = saved(SMOOTH[:, :, :1], "JPEG", icc_profile=ink_profile)
    yield Case(
        "grey-with-a-profile-of-inks.jpg", grey_with_inks, three(decoded(grey_with_inks)),
        says="profile left out",
    )  # fmt: skip
    rare = _rare_subsampling(plain)
    yield Case("rare-subsampling.jpg", rare, _by_pillow(rare), says="its subsampling is rare")
    content = with_segment(plain, 0xE1, b"Exif\0\0no tags at all")
    yield Case("broken-exif.jpg", content, right)
    middle = (plain.index(b"\xff\xda") + len(plain)) // 2
    yield Case("cut.jpg", plain[:middle], refused="truncated")
    yield Case("cut-with-end.jpg", plain[:middle] + b"\xff\xd9", damaged="premature end")
    place = plain.index(b"\xff\xc0")
    deep = plain[: place + 4] + b"\x0c" + plain[place + 5 :]
    yield Case("12-bit.jpg", deep, refused="it is a 12-bit JPEG")
    lossless = imagecodecs.ljpeg_encode(SIXTEEN[:, :, 0].copy(), bitspersample=16)
    yield Case("lossless.jpg", lossless, refused="lossless JPEG")
    yield Case("named-png.png", plain, right, says="named .png: it is a JPEG")


def _rare_subsampling(jpeg: bytes) -> bytes:
    """Every channel twice as tall in a block's count: the same pixels, which is rare to say."""
    pixels = np.ascontiguousarray(SMOOTH)
    stream = io.BytesIO()
    Image.fromarray(pixels[:, :, :1].repeat(3, axis=2)).save(stream, "JPEG", subsampling=0)
    content = bytearray(stream.getvalue())
    place = content.index(b"\xff\xc0")
    for component in range(3):
        content[place + 11 + 3 * component] = 0x31 if component == 0 else 0x11
    return bytes(content)


def _pngs() -> Iterator[Case]:
    yield Case("rgb.png", png(EIGHT), EIGHT)
    yield Case("rgb16.png", png(SIXTEEN), SIXTEEN)
    yield Case("grey.png", png(GREY), three(GREY), says="grey repeated")
    yield Case("grey16.png", png(SIXTEEN[:, :, :1]), three(SIXTEEN[:, :, :1]))
    both = np.dstack([GREY, ALPHA])
    own = np.dstack([three(GREY), ALPHA])
    yield Case("grey-alpha.png", png(both), three(GREY), own, says="grey repeated")
    with_alpha = np.dstack([EIGHT, ALPHA])
    yield Case("alpha.png", png(with_alpha), EIGHT, with_alpha)
    deep = np.dstack([SIXTEEN, ALPHA.astype(np.uint16) * 257])
    yield Case("alpha16.png", png(deep), SIXTEEN, deep)
    palette = Image.fromarray(EIGHT).quantize(16)
    colours = np.asarray(palette.convert("RGB"))
    for bits in (4, 8):
        stream = io.BytesIO()
        palette.save(stream, "PNG", bits=bits)
        yield Case(f"palette-{bits}.png", stream.getvalue(), colours)
    stream = io.BytesIO()
    palette.save(stream, "PNG", transparency=3)
    own = np.dstack([colours, np.where(np.asarray(palette)[:, :, None] == 3, 0, 255)])
    yield Case("palette-alpha.png", stream.getvalue(), colours, own.astype(np.uint8))
    for bits in (1, 2, 4):
        levels = RANDOM.integers(0, 2**bits, (12, 16)).astype(np.uint8)
        expected = (levels[:, :, None] * (255 // (2**bits - 1))).astype(np.uint8)
        yield Case(f"grey-{bits}.png", _small_greys(levels, bits), three(expected))
    key = struct.pack(">HHH", *map(int, EIGHT[0, 0]))
    own = np.dstack([EIGHT, np.where((EIGHT[0, 0] == EIGHT).all(2), 0, 255).astype(np.uint8)])
    yield Case("transparent-colour.png", png(EIGHT, (b"tRNS", key)), EIGHT, own)
    linear = in_srgb(SIXTEEN, SRGB, 1.0)
    content = png(SIXTEEN, (b"gAMA", struct.pack(">I", 100_000)))
    yield Case("linear.png", content, linear, SIXTEEN, levels=2, says="gamma 1")
    content = png(EIGHT, (b"gAMA", struct.pack(">I", 45455)))
    yield Case("gamma-of-srgb.png", content, EIGHT)
    content = png(EIGHT, (b"gAMA", bytes(4)))
    yield Case("gamma-0.png", content, EIGHT, says="colour tags left out")
    numbers = [31270, 32900, *(round(100_000 * value) for xy in ADOBE for value in xy)]
    primaries = (b"cHRM", struct.pack(">8I", *numbers))
    content = png(EIGHT, (b"gAMA", struct.pack(">I", 45455)), primaries)
    adobe = in_srgb(EIGHT, ADOBE, 100_000 / 45455)
    yield Case("adobe-rgb-by-chunks.png", content, adobe, EIGHT, levels=1, says="Adobe RGB")
    content = png(EIGHT, (b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000)), primaries)
    yield Case("srgb-chunk-counts-more.png", content, EIGHT)
    p3 = in_srgb(EIGHT, P3, None)
    for name, pixels, right in (("", EIGHT, p3), ("16", SIXTEEN, in_srgb(SIXTEEN, P3, None))):
        content = png(pixels, (b"cICP", bytes((12, 13, 0, 1))))
        levels = 4 if name else 1
        yield Case(f"cicp-p3{name}.png", content, right, pixels, levels=levels, says="Display P3")
    content = png(EIGHT, (b"cICP", bytes((12, 13, 0, 1))), (b"gAMA", struct.pack(">I", 100_000)))
    yield Case("cicp-counts-most.png", content, p3, EIGHT, levels=1, says="Display P3")
    yield Case("cicp-srgb.png", png(EIGHT, (b"cICP", bytes((1, 13, 0, 1)))), EIGHT)
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        content = png(SIXTEEN, (b"cICP", bytes((9, transfer, 0, 1))))
        yield Case(f"{name}.png", content, refused=f"HDR picture ({name})")
    exif = exif_with_adobe_rgb().removeprefix(b"Exif\0\0")
    content = png(EIGHT, (b"sRGB", b"\0"), (b"eXIf", exif))
    yield Case("srgb-chunk-counts-more-than-exif.png", content, EIGHT)
    right = in_srgb(EIGHT, ADOBE, 563 / 256)
    content = png(EIGHT, (b"eXIf", exif))
    yield Case("exif-adobe-rgb.png", content, right, EIGHT, levels=1, says="Adobe RGB")
    iccp = b"a name\0\0" + zlib.compress(pictures.DISPLAY_P3)
    right = in_srgb(EIGHT, P3, 2.2)
    yield Case("p3.png", png(EIGHT, (b"iCCP", iccp)), right, EIGHT, levels=1)
    right16 = in_srgb(SIXTEEN, P3, 2.2)
    yield Case("p3-16.png", png(SIXTEEN, (b"iCCP", iccp)), right16, SIXTEEN, levels=4)
    content = png(EIGHT, (b"iCCP", b"srgb\0\0" + zlib.compress(pictures.SRGB_OF_PILLOW)))
    yield Case("srgb-profile.png", content, EIGHT)
    content = png(EIGHT, (b"iCCP", b"name\0\0" + b"not packed at all"))
    yield Case("broken-profile.png", content, EIGHT, says="profile left out")
    exif = pictures.exif(6).tobytes().removeprefix(b"Exif\0\0")
    for name, content in (
        ("before", png(EIGHT, (b"eXIf", exif))),
        ("behind", png(EIGHT, behind=(b"eXIf", exif))),
        ("xmp", png(EIGHT, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)))),
    ):
        yield Case(f"orientation-{name}.png", content, turned(EIGHT), says="orientation 6 applied")
    deep = png(SIXTEEN, (b"eXIf", exif))
    yield Case("orientation-16.png", deep, turned(SIXTEEN), says="orientation 6 applied")
    stream = io.BytesIO()
    Image.fromarray(EIGHT).save(
        stream, "PNG", save_all=True, append_images=[Image.fromarray(255 - EIGHT)]
    )
    yield Case("animated.png", stream.getvalue(), refused="it holds 2 frames")
    content = bytearray(png(EIGHT))
    content[content.index(b"IDAT") + 40] ^= 1
    yield Case("damaged.png", bytes(content), refused="damaged or cut off")
    content = bytearray(png(EIGHT, (b"tEXt", b"Comment\0hello")))
    content[content.index(b"hello")] ^= 1
    yield Case(
        "damaged-text.png", bytes(content), EIGHT, damaged="chunk tEXt with a wrong checksum"
    )
    yield Case("cut.png", png(EIGHT)[:-200], refused="the PNG is cut off")
    yield Case("bytes-behind.png", png(EIGHT) + b"more", EIGHT, says="left behind: 4 bytes")
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    yield Case("huge.png", huge, refused="HDRBENCH_MAX_MEGAPIXELS=400")


def _small_greys(levels: Array, bits: int) -> bytes:
    per = 8 // bits
    rows = b""
    for row in levels:
        packed = sum(row[k::per].astype(int) << (8 - bits * (k + 1)) for k in range(per))
        rows += b"\0" + bytes(packed.tolist())
    height, width = levels.shape
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, value) for name, value in parts)


def _tiffs() -> Iterator[Case]:
    for name, options in (
        ("plain", {}),
        ("lzw", {"compression": "lzw", "predictor": True}),
        ("deflate", {"compression": "zlib", "predictor": True}),
        ("packbits", {"compression": "packbits"}),
        ("strips", {"rowsperstrip": 5}),
        ("tiles", {"tile": (16, 16)}),
        ("big-endian", {"byteorder": ">"}),
        ("bigtiff", {"bigtiff": True}),
    ):
        yield Case(f"{name}.tif", tiff(EIGHT, **options), EIGHT)
        yield Case(f"{name}16.tif", tiff(SIXTEEN, **options), SIXTEEN)
    planar = tiff(SIXTEEN.transpose(2, 0, 1), planarconfig="separate")
    yield Case("planar.tif", planar, SIXTEEN)
    grey = tiff(GREY[:, :, 0], photometric="minisblack")
    yield Case("grey.tif", grey, three(GREY), says="grey repeated")
    inverted = tiff(SIXTEEN[:, :, 0], photometric="miniswhite")
    yield Case("miniswhite.tif", inverted, three(65535 - SIXTEEN[:, :, :1]))
    bits = Image.fromarray(EIGHT).convert("1")
    black_and_white = three(np.asarray(bits.convert("L"))[:, :, None])
    for name, options in (("bilevel", {}), ("group4", {"compression": "group4"})):
        stream = io.BytesIO()
        bits.save(stream, "TIFF", **options)
        yield Case(f"{name}.tif", stream.getvalue(), black_and_white, says="grey repeated")
        stream = io.BytesIO()
        bits.save(stream, "TIFF", tiffinfo={274: 6}, **options)
        says = "orientation 6 applied"
        yield Case(f"{name}-6.tif", stream.getvalue(), turned(black_and_white), says=says)
    palette = Image.fromarray(EIGHT).quantize(16)
    inks = Image.fromarray(EIGHT).convert("CMYK")
    left = 255 - np.asarray(inks).astype(np.int64)
    unpainted = ((left[:, :, :3] * left[:, :, 3:] * 2 + 255) // 510).astype(np.uint8)
    ycbcr = Image.fromarray(SMOOTH).convert("YCbCr")
    for name, image, right in (
        ("rgb", Image.fromarray(EIGHT), EIGHT),
        ("palette", palette, np.asarray(palette.convert("RGB"))),
        ("cmyk", inks, unpainted),
        ("ycbcr", ycbcr, np.asarray(ycbcr.convert("RGB"))),
    ):
        for code in (1, 6):
            stream = io.BytesIO()
            image.save(stream, "TIFF", tiffinfo={274: code})
            wanted = right if code == 1 else turned(right)
            says = None if code == 1 else "orientation 6 applied"
            yield Case(f"{name}-{code}.tif", stream.getvalue(), wanted, says=says)
    deep = tiff(SIXTEEN, extratags=[(274, 3, 1, 6, True)])
    yield Case("rgb16-6.tif", deep, turned(SIXTEEN), says="orientation 6 applied")
    packet = xmp(6)
    content = tiff(EIGHT, extratags=[(700, 7, len(packet), packet, True)])
    yield Case("xmp-orientation.tif", content, turned(EIGHT), says="orientation 6 applied")
    odd = tiff(EIGHT, extratags=[(274, 3, 1, 9, True)])
    yield Case("orientation-9.tif", odd, EIGHT, says="orientation 9 means nothing")
    jpeg = io.BytesIO()
    Image.fromarray(SMOOTH).save(jpeg, "TIFF", compression="jpeg", quality=90)
    yield Case("jpeg.tif", jpeg.getvalue(), _by_pillow(jpeg.getvalue()))
    with_alpha = np.dstack([EIGHT, ALPHA])
    content = tiff(with_alpha, extrasamples=["unassalpha"])
    yield Case("alpha.tif", content, EIGHT, with_alpha)
    multiplied = (EIGHT * (ALPHA / 255)).round().astype(np.uint8)
    content = tiff(np.dstack([multiplied, ALPHA]), extrasamples=["assocalpha"])
    whole = ALPHA.astype(np.int64)
    right = (
        ((multiplied.astype(np.int64) * 510 + whole) // (2 * whole)).clip(0, 255).astype(np.uint8)
    )
    own = np.dstack([right, ALPHA])
    yield Case("multiplied-alpha.tif", content, right, own, says="colours divided by the alpha")
    ramp = np.linspace(0, 65535, 256).round()
    deep = np.stack([ramp + 3, ramp + 5, ramp + 7]).clip(0, 65535).astype(np.uint16)
    content = tiff(GREY[:, :, 0], photometric="palette", colormap=deep)
    yield Case("palette16.tif", content, deep.T[GREY[:, :, 0]])
    content = tiff(EIGHT, extratags=[(274, 1, 1, b"\6", True)])
    yield Case("orientation-byte.tif", content, turned(EIGHT), says="orientation 6 applied")
    white = (313, 1000, 329, 1000)
    primaries = (64, 100, 33, 100, 21, 100, 71, 100, 15, 100, 6, 100)  # Adobe RGB's
    content = tiff(EIGHT, extratags=[(318, 5, 2, white, True), (319, 5, 6, primaries, True)])
    yield Case("colour-tags.tif", content, EIGHT, says="colour tags left out")
    opaque = np.dstack([EIGHT, np.full_like(ALPHA, 255)])
    content = tiff(opaque, extrasamples=["assocalpha"])
    yield Case("opaque-alpha.tif", content, EIGHT, opaque)
    content = tiff(with_alpha, extrasamples=["unspecified"])
    yield Case("extra-channel.tif", content, EIGHT, says="left behind: 1 channels")
    content = tiff(EIGHT, iccprofile=pictures.DISPLAY_P3)
    yield Case("p3.tif", content, in_srgb(EIGHT, P3, 2.2), EIGHT, levels=1)
    for name, pixels, photometric in (
        ("float32", EIGHT.astype(np.float32), "rgb"),
        ("float16", EIGHT.astype(np.float16), "rgb"),
    ):
        content = tiff(pixels, photometric=photometric)
        yield Case(f"{name}.tif", content, refused="floating-point samples")
    yield Case("signed.tif", tiff(EIGHT.astype(np.int16)), refused="signed samples (int16)")
    yield Case("uint32.tif", tiff(EIGHT.astype(np.uint32)), refused="32-bit uint32 samples")
    yield Case("raw.tif", tiff(SIXTEEN[:, :, 0], photometric="cfa"), refused="raw photograph")
    lab = io.BytesIO()
    ImageCms.applyTransform(Image.fromarray(EIGHT), _to_lab()).save(lab, "TIFF")
    yield Case("lab.tif", lab.getvalue(), refused="CIE Lab")
    pages = io.BytesIO()
    inks.save(pages, "TIFF", save_all=True, append_images=[inks])
    yield Case("two-pages.tif", pages.getvalue(), refused="it holds 2 pages")
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(EIGHT, photometric="rgb", metadata=None)
        writer.write(EIGHT[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    yield Case("smaller-copy.tif", stream.getvalue(), EIGHT, says="left behind: 1 smaller copies")
    yield Case("circle.tif", _circle(tiff(EIGHT)), refused="go in a circle")
    yield Case("cut.tif", tiff(EIGHT)[:-300], refused="truncated")
    packed = tiff(SMOOTH, compression="zlib")
    yield Case("damaged.tif", _flipped(packed, len(packed) - 60), refused="cannot be decoded")
    hole = tiff(EIGHT, rowsperstrip=4)
    yield Case("hole.tif", _without_a_strip(hole), refused="not in the file")


def _by_pillow(content: bytes) -> Array:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def _to_lab() -> ImageCms.ImageCmsTransform:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(srgb, lab, "RGB", "LAB")


def _circle(content: bytes) -> bytes:
    """The first directory followed by itself."""
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    end = place + 2 + 12 * count
    return content[:end] + struct.pack("<I", place) + content[end + 4 :]


def _without_a_strip(content: bytes) -> bytes:
    """The length of the first strip set to nothing."""
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    for at in range(place + 2, place + 2 + 12 * count, 12):
        tag, _, number, where = struct.unpack_from("<HHII", content, at)
        if tag == 279:
            assert number > 2
            return content[:where] + bytes(4) + content[where + 4 :]
    raise AssertionError("no strips")


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes((content[place] ^ 0x10,)) + content[place + 1 :]


def _webps() -> Iterator[Case]:
    with_alpha = np.dstack([EIGHT, ALPHA])
    yield Case("lossless.webp", saved(EIGHT, "WEBP", lossless=True), EIGHT)
    lossy = saved(SMOOTH, "WEBP", quality=80)
    yield Case("lossy.webp", lossy, decoded(lossy))
    content = saved(with_alpha, "WEBP", lossless=True, exact=True)
    yield Case("alpha.webp", content, EIGHT, with_alpha)
    content = saved(EIGHT, "WEBP", lossless=True, icc_profile=pictures.DISPLAY_P3)
    yield Case("p3.webp", content, in_srgb(EIGHT, P3, 2.2), EIGHT, levels=1)
    content = saved(EIGHT, "WEBP", lossless=True, exif=pictures.exif(6))
    yield Case("orientation.webp", content, turned(EIGHT), says="orientation 6 applied")
    stream = io.BytesIO()
    Image.fromarray(EIGHT).save(
        stream, "WEBP", save_all=True, append_images=[Image.fromarray(255 - EIGHT)], lossless=True
    )
    yield Case("animated.webp", stream.getvalue(), refused="it holds 2 frames")
    yield Case("cut.webp", lossy[:-50], refused="cut off")


def _modern() -> Iterator[Case]:
    jxl = imagecodecs.jpegxl_encode(SIXTEEN, lossless=True)
    # imagecodecs writes 16 bits as linear light, and says so.
    linear = in_srgb(SIXTEEN, SRGB, 1.0)
    yield Case("lossless.jxl", jxl, linear, SIXTEEN, levels=2)
    yield Case("cut.jxl", jxl[: len(jxl) // 2], refused="cannot be decoded")
    avif = imagecodecs.avif_encode(EIGHT, level=100, pixelformat="444", speed=8)
    yield Case("lossless.avif", avif, EIGHT, levels=2)
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(SMOOTH)).save(stream, quality=90, chroma=444)
    heic = stream.getvalue()
    right = np.array(pillow_heif.open_heif(heic))
    yield Case("plain.heic", heic, right)
    yield Case("heic-named.jpg", heic, right, says="named .jpg: it is a HEIC")
    yield Case("cut.heic", heic[: len(heic) // 2], refused="cannot be decoded")
    stream = io.BytesIO()
    Image.fromarray(SMOOTH).save(
        stream, "AVIF", quality=90, subsampling="4:4:4", exif=pictures.exif(6)
    )
    right = np.asarray(Image.open(io.BytesIO(stream.getvalue())))
    says = "orientation 6 applied"
    yield Case("orientation.avif", stream.getvalue(), turned(right), levels=2, says=says)
    yield Case("cut.avif", avif[: len(avif) // 2], refused="cannot be decoded")


def _others() -> Iterator[Case]:
    stream = io.BytesIO()
    Image.fromarray(EIGHT).save(stream, "GIF")
    yield Case("gif-named.png", stream.getvalue(), refused="it is a GIF, which is not read")
    stream = io.BytesIO()
    Image.fromarray(EIGHT).save(stream, "BMP")
    yield Case("bmp-named.jpg", stream.getvalue(), refused="it is a BMP, which is not read")
    yield Case("cr2-named.tif", b"II*\0\x10\0\0\0CR\2\0" + bytes(50), refused="Canon raw")
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n"
    yield Case("postscript-named.png", script, refused="it is a PostScript file")
    yield Case("text.png", b"no picture at all, but words", refused="no picture of a known kind")
    yield Case("empty.jpg", b"", refused="it is empty")
    yield Case("zeros.tif", bytes(4000), refused="nothing but zeros")
    film = struct.pack(">I4s4sI", 16, b"ftyp", b"mp42", 0) + bytes(100)
    yield Case("film.jpg", film, refused="a film")
    yield Case("pointer.jpg", b"version https://git-lfs.github.com/spec/v1\n", refused="Git LFS")


_FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    *(_jpegs, _pngs, _tiffs, _webps, _modern, _others),
)
CASES = [case for family in _FAMILIES for case in family()]
