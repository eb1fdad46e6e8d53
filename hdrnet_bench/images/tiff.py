"""TIFF: the picture of its first directory by tifffile.

What a TIFF means is in its tags (TIFF 6.0; Adobe's Photoshop notes for alpha). Pillow, which uses
libtiff, decodes what tifffile leaves as it is: YCbCr that is no JPEG.
"""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import simplejpeg
import tifffile
from numpy.typing import NDArray
from PIL import Image

from . import colour_tags, exif
from .decoded import Decoded, only_as_large
from .hearing import warnings_of
from .jpeg_markers import END, SCAN, walk
from .limits import check_size
from .pixels import Pixels, full_scale
from .stored import picture_bytes
from .tiff_file import check_coding, check_together, open_tiff

_MINISWHITE, _MINISBLACK, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_CFA, _LINEAR_RAW = 32803, 34892
_REFUSED = {
    4: "a mask",
    8: "CIE Lab",
    9: "ICC Lab",
    10: "ITU Lab",
    _CFA: "a camera's raw photograph: only DNGs, named .dng, are developed",
    _LINEAR_RAW: "a camera's raw photograph: only DNGs, named .dng, are developed",
    32844: "LogL",
    32845: "LogLuv",
}
_CHANNELS = {_MINISWHITE: 1, _MINISBLACK: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_JPEG, _OLD_JPEG = 7, 6
_SMALLER, _MASK = 1, 4  # bits of a directory's subfile type
_ORIENTATION, _X, _Y, _UNIT, _INKS = 274, 282, 283, 296, 332
XMP, IPTC, _PROFILE = 700, 33723, 34675
_JPEG_TABLES = 347
_MOST_TABLES = 1 << 16  # bytes, copied for each tile; all that a JPEG can have are some 3000
_TRANSFER, _WHITE, _COLOURS = 301, 318, 319
_MOST_BYTES = 64 << 20  # of a profile or a text
_MOST_CHANNELS = 16


class Texts(NamedTuple):
    """What `Decoded` says of them."""

    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None


def decode(path: Path) -> Decoded:
    """`decode_bytes` of a file. Raises DataError besides, as `picture_bytes`."""
    return decode_bytes(picture_bytes(path))


def decode_bytes(content: bytes, *, pixels: bool = True) -> Decoded:
    """The picture of a TIFF, 8 or 16 bits; fewer or others up to 16 are brought to these. Without
    `pixels` they are only as large.

    Raises ValueError for what has no certain meaning, and for pixels that are damaged or missing.
    """
    with warnings_of("tifffile") as heard, open_tiff(content) as tiff:
        page = tiff.pages.first
        _check_pages(tiff)
        _check_kind(page)
        check_size(page.imagewidth, page.imagelength)
        notes: list[str] = []
        # Bit 0 of the subfile type marks a smaller copy, bit 2 a mask.
        others = len(tiff.pages) - 1
        if others:
            notes.append(f"left behind: {others} smaller copies or masks in the file")
        photometric = int(page.photometric)
        colours = {1: "gray", 3: "rgb", 4: "cmyk"}[
            3 if photometric == _PALETTE else _CHANNELS[photometric]
        ]
        if pixels:
            _check_whole(tiff, page)
            picture, alpha = _with_meaning(_stored(content, page), page, notes)
        else:
            picture, alpha = only_as_large(page.imagewidth, page.imagelength, 3), False
            colours = "rgb"
        left_out: list[str] = []
        if _bytes(tiff, _PROFILE) is None and _says_colours(page.tags):
            notes.append(
                "colour tags left out: WhitePoint, PrimaryChromaticities or TransferFunction"
            )
        tags, about = page.tags, _texts(content, tiff, left_out)
        return Decoded(
            picture,
            colours,  # type: ignore[arg-type]
            alpha=alpha,
            profile=_bytes(tiff, _PROFILE),
            orientation=_whole_number(tags.valueof(_ORIENTATION)) if _ORIENTATION in tags else None,
            exif=about.exif,
            xmp=about.xmp,
            iptc=about.iptc,
            dpi=_density(tags),
            notes=notes,
            left_out=left_out + _about_tags(heard),
        )


def _check_pages(tiff: tifffile.TiffFile) -> None:
    kinds = [_whole_number(getattr(page, "subfiletype", 0)) for page in tiff.pages]
    pages = sum(not kind & (_SMALLER | _MASK) for kind in kinds)
    if kinds[0] & (_SMALLER | _MASK):
        raise ValueError("its first picture is a smaller copy or a mask")
    if pages > 1:
        raise ValueError(f"it holds {pages} pages, and one picture is wanted")


def _check_kind(page: tifffile.TiffPage) -> None:
    photometric = int(page.photometric) if page.photometric is not None else -1
    if photometric in _REFUSED:
        raise ValueError(f"its colours are {_REFUSED[photometric]}, which is not read")
    if photometric not in _CHANNELS:
        raise ValueError(f"its colours are of an unknown kind ({photometric})")
    bits = page.bitspersample
    if page.dtype is None or page.dtype.kind == "f" or page.sampleformat == 3:
        raise ValueError(
            f"it is a TIFF of {bits}-bit floating-point samples: whole numbers of up to 16 bits "
            "are read"
        )
    if page.dtype.kind == "i":
        raise ValueError(f"it is a TIFF of signed samples ({page.dtype}), which are not read")
    if page.dtype.kind not in "bu" or not 1 <= bits <= 16:
        raise ValueError(f"it is a TIFF of {bits}-bit {page.dtype} samples: up to 16 bits are read")
    if not _CHANNELS[photometric] <= page.samplesperpixel <= _MOST_CHANNELS:
        raise ValueError(f"it has {page.samplesperpixel} channels, which its colours do not fit")
    if photometric == _CMYK and _whole_number(page.tags.valueof(_INKS, 1)) != 1:
        raise ValueError("its inks are not cyan, magenta, yellow and black")
    if page.ndim > 3:
        raise ValueError("it holds a volume, and one picture is wanted")
    if int(page.compression) == _OLD_JPEG:
        raise ValueError("it is a TIFF of the old JPEG kind (compression 6), which is not read")
    check_coding(page)


def _check_whole(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    """Raises ValueError where pixels are not in the file: they would decode as black."""
    size = tiff.filehandle.size
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    lengths = {len(page.dataoffsets), len(page.databytecounts), len(segments)}
    if not segments or len(lengths) > 1 or any(not count for _, count in segments):
        raise ValueError("some of its pixels are not in the file")
    end = max(offset + count for offset, count in segments)
    if end > size:
        raise ValueError(f"the file is truncated: {size} bytes, its pixels end at {end}")
    check_together(tiff, page)
    if int(page.compression) == _JPEG:
        # Further ones are never decoded.
        _hear_jpegs(tiff, page, segments[: math.prod(page.chunked)])


def _hear_jpegs(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage, segments: list[tuple[int, int]]
) -> None:
    """Raises ValueError for what libjpeg warns of, and tifffile's decoder passes over; and for more
    scans than any JPEG has."""
    tables = _bytes(tiff, _JPEG_TABLES) or b"\xff\xd8\xff\xd9"
    # Whole, so that what follows begins where it is decoded from.
    tag = page.tags.get(_JPEG_TABLES)
    walked = walk(tables) if tag is None or tag.valuebytecount <= _MOST_TABLES else []
    whole = [each.end for each in walked if each.marker == END] == [len(tables)]
    if not whole or any(each.marker == SCAN for each in walked):
        raise ValueError("the tables of its JPEGs are damaged")
    # Subsampled rows and columns are whole blocks.
    sides = page.tilelength, page.tilewidth
    sides = sides if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    most = sides[0] + 32, sides[1] + 32
    for offset, count in segments:
        tiff.filehandle.seek(offset)
        # A JPEG of a TIFF is without the tables that it shares with the others.
        content = tables[:-2] + tiff.filehandle.read(count)[2:]
        try:
            walk(content)
            height, width, components = simplejpeg.decode_jpeg_header(content)[:3]
            if height > most[0] or width > most[1]:
                raise ValueError(f"it has {width} x {height} pixels")
            space = {"CMYK": "CMYK", "YCCK": "CMYK", "GRAY": "GRAY", "Gray": "GRAY"}
            simplejpeg.decode_jpeg(content, space.get(components, "RGB"), strict=True)
        except ValueError as error:
            raise ValueError(f"the TIFF's JPEG data is damaged: {error}") from None


def _stored(content: bytes, page: tifffile.TiffPage) -> NDArray[Any]:
    """(H, W, samples) as the file has them; YCbCr converted."""
    if int(page.photometric) == _YCBCR and int(page.compression) != _JPEG:
        with Image.open(io.BytesIO(content), formats=("TIFF",)) as image:
            image.getexif()[_ORIENTATION] = 1  # Pillow would turn it, and so would the reader
            return np.asarray(image.convert("RGB"))
    stored = page.asarray()
    if stored.ndim == 2:
        return stored[:, :, None]
    return stored.transpose(1, 2, 0) if page.axes.startswith("S") else stored


def _with_meaning(
    stored: NDArray[Any], page: tifffile.TiffPage, notes: list[str]
) -> tuple[Pixels, bool]:
    """(H, W, channels) of 8 or 16 bits, and whether the last channel is alpha."""
    photometric, bits = int(page.photometric), int(page.bitspersample)
    count = _CHANNELS[photometric]
    colours, extra = stored[:, :, :count], stored[:, :, count:]
    if photometric == _PALETTE:
        colours = _from_palette(colours[:, :, 0], page.colormap)
    else:
        colours = full_scale(colours, bits)
        if photometric == _MINISWHITE:
            colours = np.iinfo(colours.dtype).max - colours
    kinds = [int(kind) for kind in page.extrasamples]
    place = next((i for i, kind in enumerate(kinds) if kind in (1, 2)), None)
    others = extra.shape[2] - (place is not None)
    if others:
        notes.append(f"left behind: {others} channels that are neither colour nor alpha")
    if place is None:
        return cast(Pixels, np.ascontiguousarray(colours)), False
    alpha = full_scale(extra[:, :, place : place + 1], bits)
    if kinds == [2] and bits in (8, 16) and photometric == _RGB:
        return cast(Pixels, np.ascontiguousarray(stored)), True
    if kinds[place] == 1 and not (alpha == np.iinfo(alpha.dtype).max).all():
        notes.append("colours divided by the alpha that they were multiplied by")
        colours = _divided(colours, alpha)
    if alpha.dtype != colours.dtype:
        raise ValueError("its palette and its alpha have different depths")
    return cast(Pixels, np.concatenate([colours, alpha], axis=2)), True


def _divided(colours: Pixels, alpha: Pixels) -> Pixels:
    """Colours without the alpha that was multiplied in, rounded once; black where it was 0."""
    white, whole = np.iinfo(alpha.dtype).max, alpha.astype(np.uint64)
    divided = (colours.astype(np.uint64) * (2 * white) + whole) // np.maximum(2 * whole, 1)
    return cast(Pixels, np.where(whole > 0, divided.clip(0, white), 0).astype(colours.dtype))


def _from_palette(places: NDArray[Any], palette: NDArray[np.uint16] | None) -> Pixels:
    """(H, W, 3). A palette has 16 bits: of colours of 8 writers fill the upper 8 and the lower with
    the same or nothing, old ones the lower alone."""
    if palette is None or places.max(initial=0) >= palette.shape[1]:
        raise ValueError("it has pixels whose colour its palette does not have")
    upper, lower = palette >> 8, palette & 255
    colours: NDArray[Any] = palette
    if not upper.any():
        colours = palette.astype(np.uint8)
    elif not lower.any() or (upper == lower).all():
        colours = upper.astype(np.uint8)
    return cast(Pixels, colours.T[places.astype(np.intp)])


def texts(content: bytes, notes: list[str]) -> Texts:
    """EXIF, XMP and IPTC of a TIFF or DNG; what is left out is noted."""
    with warnings_of("tifffile"), open_tiff(content) as tiff:
        return _texts(content, tiff, notes)


def _texts(content: bytes, tiff: tifffile.TiffFile, left_out: list[str]) -> Texts:
    block = None
    try:
        gathered = exif.gather(content)
        left_out += gathered.left_out
        block = exif.build(gathered) or None
    except ValueError as error:
        left_out.append(f"EXIF left out: {error}")
    return Texts(block, _bytes(tiff, XMP), _records(tiff))


def _bytes(tiff: tifffile.TiffFile, code: int) -> bytes | None:
    """A tag's bytes as they lie in the file, whatever type they are said to have."""
    tag = tiff.pages.first.tags.get(code)
    if tag is None or tag.valuebytecount > _MOST_BYTES:
        return None
    tiff.filehandle.seek(tag.valueoffset)
    return bytes(tiff.filehandle.read(tag.valuebytecount)).rstrip(b"\0") or None


def _records(tiff: tifffile.TiffFile) -> bytes | None:
    """IPTC, which some writers count in fours, and turn over with the byte order."""
    content = _bytes(tiff, IPTC)
    if content and content[:1] != b"\x1c" and content[3:4] == b"\x1c":
        whole = content + bytes(-len(content) % 4)
        content = b"".join(whole[at : at + 4][::-1] for at in range(0, len(whole), 4)).rstrip(b"\0")
    return content


def _whole_number(value: Any) -> int:
    if isinstance(value, bytes):
        return value[0] if value else 0
    try:
        return int(np.atleast_1d(value)[0])
    except (TypeError, ValueError, IndexError):
        return 0


def _density(tags: tifffile.TiffTags) -> tuple[float, float] | None:
    factor = {2: 1.0, 3: 2.54}.get(_whole_number(tags.valueof(_UNIT, 2)))
    values = [tags.valueof(code) for code in (_X, _Y)]
    if factor is None or not all(
        isinstance(value, tuple) and len(value) == 2 and value[1] for value in values
    ):
        return None
    across, down = (factor * value[0] / value[1] for value in values)
    return across, down


def _says_colours(tags: tifffile.TiffTags) -> bool:
    """Whether TIFF's own tags say other colours than sRGB's."""
    if _TRANSFER in tags:
        return True
    said = [
        _fractions(tags.valueof(code)) if code in tags and tags[code].count <= 6 else []
        for code in (_WHITE, _COLOURS)
    ]
    known = [value for xy in colour_tags.BT709[1:] for value in xy]
    pairs = zip(said, (colour_tags.BT709.white, known), strict=True)
    return any(
        len(ours) == len(theirs) and not np.allclose(ours, theirs, atol=0.002)
        for ours, theirs in pairs
    )


def _fractions(value: Any) -> list[float]:
    """Of numerator, denominator, numerator, …"""
    numbers = np.atleast_1d(value).tolist()
    return [
        above / under for above, under in zip(numbers[::2], numbers[1::2], strict=False) if under
    ]


def _about_tags(heard: list[str]) -> list[str]:
    """A note of the tags that tifffile passes over; an orientation is noted where it is applied."""
    codes = sorted({int(code) for text in heard for code in re.findall(r"TiffTag (\d+)", text)})
    rest = [re.sub(r"<[^>]*> ?", "", text) for text in heard if "TiffTag" not in text]
    tags = [str(code) for code in codes if code != _ORIENTATION] + rest[:3]
    return [f"damaged tags: {', '.join(tags)}"] if tags else []
