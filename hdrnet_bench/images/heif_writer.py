"""Writing HEIC by libheif (pillow-heif), and AVIF by libavif (imagecodecs) in boxes of its own."""

from __future__ import annotations

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from .heif import need_avif, pillow_heif
from .isobmff import Property, item_bytes, read_boxes
from .pixels import Pixels

# Without them imagecodecs' AVIF takes 25 to 60 times as long, for the same size (losslessly 15 %
# less), and libheif's HEIC twice as long, for 2 % less.
_AVIF_SPEED, _HEIC_PRESET = 6, "fast"


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
    library = pillow_heif()
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
    options: dict[str, Any] = {"metadata": metadata, "enc_params": {"preset": _HEIC_PRESET}}
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

    Raises ValueError for uint16 losslessly, which AV1 has not the bits for; CapabilityError without
    an encoder.
    """
    need_avif()
    deep = pixels.dtype == np.uint16
    if deep and lossless:
        raise ValueError("an AVIF holds at most 12 bits: 16 cannot be kept losslessly")
    # By 100 imagecodecs means lossless.
    coded = imagecodecs.avif_encode(
        np.ascontiguousarray(_to_bits(pixels, 10) if deep else pixels),
        level=100 if lossless else min(max(quality, 0), 99),
        speed=_AVIF_SPEED,
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
    meta, _ = read_boxes(content)
    pictures = [meta.primary, *meta.refer_to(meta.primary, b"auxl")]
    entries = [(meta.items[item].kind, b"", item_bytes(content, meta, item)) for item in pictures]
    if exif:
        entries.append((b"Exif", b"", bytes(4) + exif))
    if xmp:
        entries.append((b"mime", b"application/rdf+xml\0", xmp))

    known: list[bytes] = []
    associations = struct.pack(">I", len(pictures))
    for index, item in enumerate(pictures):
        properties = list(meta.items[item].properties)
        if index == 0 and profile:
            properties.append(Property(b"colr", b"prof" + profile, False))
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
