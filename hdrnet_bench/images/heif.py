"""HEIC and AVIF: what their boxes say, and the pixels by libheif (pillow-heif) or libavif
(imagecodecs).

What is said of a picture is read here from the boxes (isobmff.py), before anything is decoded.
"""

from __future__ import annotations

import struct
from types import ModuleType
from typing import Any, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import CapabilityError
from ..install import install_advice
from . import av1
from .av1 import Sequence
from .colour_tags import HDR, profile_of_cicp
from .decoded import Decoded
from .isobmff import (
    PICTURES,
    Item,
    Meta,
    aux_type,
    check_item,
    item_bytes,
    leaf_of,
    read_boxes,
    tiff_of,
)
from .limits import check_size
from .pixels import TURNS, AnyPixels, Pixels, full_scale, upright

_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_DEPTH = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth", b"urn:mpeg:hevc:2015:auxid:2")
_PREMULTIPLIED = (
    "its colours are multiplied by alpha (premultiplied), and cannot be had back exactly"
)
_HEIC_ERRORS = (ValueError, RuntimeError, EOFError, SyntaxError, OSError)


def decode_heic(content: bytes) -> Decoded:
    """The primary picture of a HEIC, upright; 10 and 12 bits as uint16 of full scale.

    Raises ValueError for sequences, HDR (PQ, HLG), premultiplied alpha, too many pixels, and damage
    that libheif sees; CapabilityError without pillow-heif.
    """
    return _decode(content)


def decode_avif(content: bytes) -> Decoded:
    """The primary picture of an AVIF, upright; 10 and 12 bits as uint16 of full scale.

    Raises ValueError for sequences, HDR (PQ, HLG), premultiplied alpha, layers that add up to
    more bits ("sato"), too many pixels, and damage.
    """
    return _decode(content)


def _decode(content: bytes) -> Decoded:
    """The codec decides and not the name: HEIF's boxes are the same for all."""
    meta, notes = read_boxes(content)
    primary = meta.items[meta.primary]
    leaf = leaf_of(meta)
    alpha = [
        item for item in meta.refer_to(meta.primary, b"auxl") if aux_type(meta, item) in _ALPHA
    ]
    if any(
        meta.primary in (origin, *to) for kind, origin, to in meta.references if kind == b"prem"
    ):
        raise ValueError(_PREMULTIPLIED)
    for item in {meta.primary, leaf, *meta.inputs(meta.primary), *alpha}:
        check_item(content, meta, item)
    sequence = None
    if meta.items[leaf].kind == b"av01":
        sequence = av1.sequence_header(item_bytes(content, meta, leaf))
        check_size(sequence.width, sequence.height)
    left_out: list[str] = []
    profile, profile_from = _colours(primary, meta.items[leaf], sequence, notes)
    notes += _left_behind(meta)
    if sequence is None:
        pixels = _heic_pixels(content, meta.items[leaf].kind)
    else:
        pixels = _turned(_avif_pixels(content, meta, sequence.bits), primary)
    channels = pixels.shape[2]
    if channels in (1, 3) and _tiles_have_alpha(meta):
        notes.append("left behind: alpha that only the picture's tiles have")
    code = _orientation(primary)
    if code != 1:
        notes.append(f"orientation {code} applied")
    return Decoded(
        pixels,
        "gray" if channels < 3 else "rgb",
        alpha=channels in (2, 4),
        profile=profile,
        profile_from=profile_from,
        # HEIF turns pictures by its own properties, which are applied; EXIF's tag does not count.
        orientation=1,
        exif=_exif(content, meta, left_out),
        xmp=_xmp(content, meta, left_out),
        lossless=False,  # The coded frames alone could tell.
        notes=notes,
        left_out=left_out,
    )


def _colours(
    primary: Item, leaf: Item, sequence: Sequence | None, notes: list[str]
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
    if icc and transfer not in HDR:
        return icc, None
    profile = profile_of_cicp(primaries, transfer)
    unsaid = (primaries, transfer) == (2, 2)
    return profile, None if unsaid else "nclx"


def _left_behind(meta: Meta) -> list[str]:
    notes: list[str] = []
    gain_maps = {item for item, found in meta.items.items() if found.kind == b"tmap"}
    parts = {to for kind, _, targets in meta.references if kind == b"dimg" for to in targets}
    roles: dict[int, set[bytes]] = {}
    for kind, origin, _ in meta.references:
        roles.setdefault(origin, set()).add(kind)
    thumbnails, others, depth = 0, 0, 0
    for item, found in meta.items.items():
        if found.kind not in PICTURES or item == meta.primary:
            continue
        kinds = roles.get(item, set())
        urn = aux_type(meta, item)
        if b"auxl" in kinds:
            if urn in _DEPTH:
                depth += 1
            elif b"gainmap" in urn.lower():
                gain_maps.add(item)
            elif urn not in _ALPHA:
                name = urn.decode("ascii", "replace").rpartition(":")[2][:40]
                notes.append(f"left behind: an auxiliary picture ({name})")
        elif b"thmb" in kinds:
            thumbnails += 1
        elif found.kind != b"tmap" and item not in parts and not found.hidden:
            others += 1
    if gain_maps:
        notes.append("left behind: a gain map")
    for count, name in (
        (depth, "depth map"),
        (thumbnails, "thumbnail"),
        (others, "further picture"),
    ):
        if count:
            number = "a" if count == 1 else str(count)
            notes.append(f"left behind: {number} {name}{'s' if count > 1 else ''}")
    return notes


def _tiles_have_alpha(meta: Meta) -> bool:
    return any(
        aux_type(meta, item) in _ALPHA
        for tile in meta.inputs(meta.primary)
        for item in meta.refer_to(tile, b"auxl")
    )


def _metadata(
    content: bytes, meta: Meta, kind: bytes, what: str, left_out: list[str]
) -> bytes | None:
    """The first item of a kind that describes the primary picture, or that describes none."""
    ours = set(meta.refer_to(meta.primary, b"cdsc"))
    described = {origin for name, origin, _ in meta.references if name == b"cdsc"}
    for item, found in meta.items.items():
        if kind in (found.kind, found.content_type) and (item in ours or item not in described):
            try:
                return item_bytes(content, meta, item)
            except ValueError:
                left_out.append(f"{what} left out: it cannot be read")
    return None


def _exif(content: bytes, meta: Meta, left_out: list[str]) -> bytes | None:
    block = _metadata(content, meta, b"Exif", "EXIF", left_out)
    if block is None:
        return None
    tiff = tiff_of(block)
    if tiff is None:
        left_out.append("EXIF left out: it cannot be read")
    return tiff


def _xmp(content: bytes, meta: Meta, left_out: list[str]) -> bytes | None:
    return _metadata(content, meta, b"application/rdf+xml", "XMP", left_out) or None


def _turned(pixels: Pixels, item: Item) -> Pixels:
    """Cropped, turned and mirrored in the order in which the item's properties say so, which
    libavif leaves to its caller. Raises ValueError for a crop between pixels."""
    for kind, payload, _ in item.properties:
        pixels = _cropped(pixels, payload) if kind == b"clap" else _turn(pixels, kind, payload)
    return cast(Pixels, np.ascontiguousarray(pixels))


def _turn(pixels: AnyPixels, kind: bytes, payload: bytes) -> AnyPixels:
    """By one property; a view."""
    if kind == b"irot" and payload:
        return cast(AnyPixels, np.rot90(pixels, payload[0] & 3))
    if kind == b"imir" and payload:
        return cast(AnyPixels, pixels[:, ::-1] if payload[0] & 1 else pixels[::-1])
    return pixels


def _orientation(item: Item) -> int:
    """EXIF's code for all that the item's properties turn and mirror."""
    corners = np.arange(4).reshape(2, 2)
    turned = corners
    for kind, payload, _ in item.properties:
        turned = _turn(turned, kind, payload)
    return next(code for code in TURNS if np.array_equal(upright(corners, code), turned))


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


def _avif_pixels(content: bytes, meta: Meta, bits: int) -> Pixels:
    """(H, W, channels), not turned. Raises ValueError for damage."""
    need_avif()
    try:
        pixels = imagecodecs.avif_decode(content, index=0)
    except (imagecodecs.AvifError, ValueError, IndexError):
        raise ValueError("the AVIF is damaged or cut off") from None
    if (pixels.dtype == np.uint8) != (bits == 8):
        raise ValueError(f"its pixels are not of the {bits} bits that its header says")
    size = meta.items[meta.primary].first(b"ispe")
    assert size is not None  # check_item has seen it.
    if struct.unpack_from(">II", size, 4) != (pixels.shape[1], pixels.shape[0]):
        raise ValueError("its pixels are not of the size that its header says")
    return full_scale(pixels if pixels.ndim == 3 else pixels[:, :, None], bits)


def need_avif() -> None:
    if not imagecodecs.AVIF.available:
        raise CapabilityError(
            "AVIF goes by imagecodecs, whose build here has none: pip install -U imagecodecs"
        )


def pillow_heif() -> ModuleType:
    """The library. Raises CapabilityError without it."""
    try:
        import pillow_heif
    except ImportError:
        raise CapabilityError(
            "HEIC is read and written by pillow-heif, which is not installed: "
            f"{install_advice('heif')}"
        ) from None
    return pillow_heif


def _heic_pixels(content: bytes, kind: bytes) -> Pixels:
    """(H, W, channels), turned by libheif. Raises ValueError for damage that libheif sees.

    libheif takes up to three times the pixels' memory, of which one is left when it is done.
    """
    library = pillow_heif()
    try:
        # As stored: its 16 bits are shifted ones, whose white is not full scale.
        file = library.open_heif(content, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    except _HEIC_ERRORS as error:
        raise _heic_error(error) from None
    # Pictures that it cannot read are missing, and then it names another one the primary.
    picture = next((each for each in file if each.info["primary"]), None)
    if picture is None:
        raise ValueError(
            f"its picture is coded as {kind.decode('latin1')!r}, which libheif here does not read"
        )
    width, height = picture.size
    check_size(width, height)
    if picture.premultiplied_alpha:
        raise ValueError(_PREMULTIPLIED)
    try:
        # A view of memory that ends with the file.
        pixels: NDArray[Any] = np.asarray(picture)
    except _HEIC_ERRORS as error:
        raise _heic_error(error) from None
    bits = picture.info["bit_depth"]
    if (pixels.dtype == np.uint8) != (bits == 8) or bits > 16:
        raise ValueError(f"its pixels are not of the {bits} bits that its header says")
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    # libheif gives grey with alpha as three equal colours; "chroma" is told of colours alone.
    if pixels.shape[2] == 4 and "chroma" not in picture.info and _is_grey(pixels):
        pixels = pixels[:, :, ::3]
    return np.array(pixels, order="C") if bits in (8, 16) else full_scale(pixels, bits)


def _heic_error(error: Exception) -> ValueError:
    """In words of our own, by the kinds that pillow-heif makes of libheif's errors."""
    if isinstance(error, SyntaxError):
        return ValueError("the HEIC is damaged, or has something that libheif does not read")
    if isinstance(error, OSError):
        return ValueError("the HEIC is damaged, or takes more memory than libheif allows")
    return ValueError("the HEIC is damaged or cut off")


def _is_grey(pixels: NDArray[Any]) -> bool:
    return bool((pixels[:, :, :1] == pixels[:, :, 1:3]).all())
