"""Raw photographs and experts' TIFFs as FiveK has them, made of a known scene.

A scene is linear light with sRGB primaries, (H, W, 3) in [0, 1], upright. LibRaw truly develops
the DNGs: a small preview first and the raw picture below it, as Adobe's converter lays them out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import imagecodecs
import numpy as np
import tifffile

from hdrnet_bench import color
from hdrnet_bench.images import icc

BLACK, WHITE = 512, 16383  # 14 bits
SENSITIVITY = (0.5, 1.0, 0.7)  # what the camera's R, G, B see of white light
# The same of R, G, B and E, a fourth colour that sees green and blue alike.
FOUR_SENSITIVITIES = (*SENSITIVITY, 0.4)
# XYZ (D65) to linear sRGB, in ten-thousandths.
_SRGB_FROM_XYZ = ((32405, -15372, -4985), (-9693, 18760, 416), (556, -2040, 10572))
_TILE = 32  # LibRaw misreads a picture narrower than its tiles
Sides = tuple[int, int, int, int]


class Stored(NamedTuple):
    """How the raw picture lies in the file: what tifffile writes and with which options, and tags
    that are changed afterwards, because tifffile does not write such a file."""

    data: Any
    options: Mapping[str, Any] = MappingProxyType({})
    changed: Mapping[int, Any] = MappingProxyType({})


Storage = Callable[[np.ndarray], Stored]


def sensor(scene: np.ndarray, orientation: int) -> np.ndarray:
    """What of an upright scene lies on the sensor, for a file with that orientation: the turn that
    undoes the tag's."""
    transposed = scene.transpose(1, 0, 2)
    return {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: transposed,
        6: transposed[::-1],
        7: transposed[::-1, ::-1],
        8: transposed[:, ::-1],
    }[orientation]


def write_dng(
    path: Path,
    scene: np.ndarray,
    *,
    orientation: int = 1,
    white_balance: bool = True,
    color_matrix: bool = True,
    border: Sides = (0, 0, 0, 0),
    masked: Sides = (0, 0, 0, 0),
    compression: Literal["none", "lossless-jpeg"] = "none",
    mosaic: bool = True,
    pattern: str = "RGGB",
    black: float | Sequence[float] = BLACK,
    white: int = WHITE,
    neutral: Sequence[float] = SENSITIVITY,
    shading: np.ndarray | None = None,
    preview: bool = True,
    extra: list[tuple] | None = None,
    storage: Storage | None = None,
    byteorder: Literal["<", ">"] = "<",
) -> None:
    """A DNG whose development is the scene.

    Args:
        path: file to write.
        scene: (H, W, 3).
        orientation: EXIF's code.
        white_balance: whether the file says that the light was white (AsShotNeutral).
        color_matrix: whether the file says what the camera's colours are.
        border: left, top, right, bottom: pixels beyond the scene, which DefaultCrop cuts off.
        masked: the same, of pixels beyond those that see no light, outside ActiveArea.
        compression: of the mosaic.
        mosaic: a Bayer pattern; else the camera has demosaiced (LinearRaw).
        pattern: the square mosaic's colours, row by row, from the corner of what sees light. One
            with an E has four colours, needs `neutral` of four, and for LibRaw no preview.
        black: the stored value of no light; four, row by row, for each place of the mosaic.
        white: the stored value of all light.
        neutral: what the camera sees of white light, and says so in AsShotNeutral.
        shading: by what the lens divides the light of each place that sees it.
        preview: whether a small picture comes first; else the raw one does, as phones write it.
        extra: tags of the raw picture, as tifffile takes them, in place of those of the same code.
        storage: how its numbers, (H, W) or (H, W, 3) uint16, are stored; in place of compression.
        byteorder: of the file.
    """
    colours = sensor(scene, orientation)
    if "E" in pattern:
        colours = np.dstack([colours, colours[:, :, 1:].mean(axis=2)])
    seen = colours * np.asarray(neutral)
    left, top, right, bottom = border
    active = np.pad(seen, ((top, bottom), (left, right), (0, 0)), mode="edge")
    if mosaic:
        single = np.empty(active.shape[:2])
        channels = ["RGBE".index(colour) for colour in pattern]
        period = math.isqrt(len(pattern))
        for place, channel in enumerate(channels):
            y, x = divmod(place, period)
            single[y::period, x::period] = active[y::period, x::period, channel]
        active = single[:, :, None]
    if shading is not None:
        active = active / shading.reshape(*active.shape[:2], -1)
    dark = ((masked[1], masked[3]), (masked[0], masked[2]), (0, 0))
    blacks = np.full(4, black) if np.isscalar(black) else np.asarray(black)
    light = np.pad(active, dark)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    offset = blacks[(y - masked[1]) % 2 * 2 + (x - masked[0]) % 2]
    stored = np.rint(offset[:, :, None] + light * (white - blacks.max()))
    stored = stored.astype(np.uint16).squeeze()
    rows: list[Sequence[float]] = list(_SRGB_FROM_XYZ)
    if "E" in pattern:
        rows.append([(green + blue) / 2 for green, blue in zip(*rows[1:], strict=True)])
    matrix = [
        n
        for row, seen_of_white in zip(rows, FOUR_SENSITIVITIES[: len(rows)], strict=True)
        for value in row
        for n in (round(value * seen_of_white), 10000)
    ]
    as_shot = [n for value in neutral for n in (round(value * 1000), 1000)]
    camera = [
        (271, "s", 0, "Maker", True),
        (272, "s", 0, "Model 1", True),
        (274, "H", 1, orientation, True),
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Maker Model 1", True),
    ]
    if color_matrix:
        camera += [(50721, "2i", len(matrix) // 2, matrix, True), (50778, "H", 1, 21, True)]  # D65
    if white_balance:
        camera.append((50728, "2I", len(neutral), as_shot, True))
    count = 1 if mosaic else 3
    raw = [(50717, "H", count, (white,) * count, True)]
    if np.isscalar(black):
        raw.append((50714, "H", count, (black,) * count, True))
    else:
        levels = [n for level in blacks for n in (round(level * 100), 100)]
        raw += [(50713, "H", 2, (2, 2), True), (50714, "2I", 4, levels, True)]
    if mosaic:
        raw += [
            (33421, "H", 2, (period, period), True),
            (33422, "B", len(pattern), channels, True),
        ]
    if any(masked):
        height, width = stored.shape[:2]
        area = (masked[1], masked[0], height - masked[3], width - masked[2])
        raw.append((50829, "I", 4, area, True))
    if any(border):
        height, width = seen.shape[:2]
        raw += [(50719, "H", 2, (left, top), True), (50720, "H", 2, (width, height), True)]
    codes = [tag[0] for tag in extra or []]
    raw = [tag for tag in raw if tag[0] not in codes]
    if storage is None:
        storage = lossless_tiles if compression == "lossless-jpeg" else Stored
    kept = storage(stored)
    plain = {"metadata": None, "software": False}
    with tifffile.TiffWriter(path, byteorder=byteorder) as tiff:
        if preview:
            small = np.zeros((8, 8, 3), np.uint8)
            tiff.write(
                small, photometric="rgb", subfiletype=1, subifds=1, extratags=camera, **plain
            )
            camera = []
        layout = {
            "photometric": 32803 if mosaic else 34892,
            "planarconfig": None if mosaic else "contig",
            "subfiletype": 0,
            "extratags": [*(tag for tag in camera if tag[0] not in codes), *raw, *(extra or [])],
        }
        if not isinstance(kept.data, np.ndarray):  # encoded already
            layout |= {"shape": stored.shape, "dtype": stored.dtype}
        tiff.write(kept.data, **(layout | plain | dict(kept.options)))
    for code, value in kept.changed.items():
        set_tag(path, code, value)


def set_tag(path: Path, code: int, value: Any) -> None:
    """Overwrite a tag of the raw picture."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        first = tiff.pages.first
        (first.pages[0] if first.pages else first).tags[code].overwrite(value)


def packed(bits: int, *, rows: int | None = None, tile: tuple[int, int] | None = None) -> Storage:
    """Uncompressed numbers of so many bits: in strips of so many rows, or in tiles; else in one
    strip."""

    def storage(stored: np.ndarray) -> Stored:
        changed = {259: 1, 258: (bits,) * 3 if stored.ndim == 3 else bits}
        # Tifffile packs few sizes: what it takes for compressed, it writes as it is.
        return coded(lambda piece: _pack(piece, bits), 8, tile=tile, rows=rows, changed=changed)(
            stored
        )

    return storage


def _pack(piece: np.ndarray, bits: int) -> bytes:
    """Rows begin at a byte; the highest bit is first. 16 bits are in the order of a file that is
    little-endian."""
    if bits == 16:
        return piece.astype("<u2").tobytes()
    rows = piece.reshape(len(piece), -1, 1) >> np.arange(bits - 1, -1, -1)
    return np.packbits((rows & 1).astype(np.uint8).reshape(len(piece), -1), axis=1).tobytes()


def lossless_tiles(stored: np.ndarray) -> Stored:
    return coded(lossless_jpeg, 7, tile=(_TILE, _TILE))(stored)


def _tiles(stored: np.ndarray, tile: tuple[int, int]) -> Iterator[np.ndarray]:
    down, across = tile
    for y in range(0, stored.shape[0], down):
        for x in range(0, stored.shape[1], across):
            piece = stored[y : y + down, x : x + across]
            missing = [(0, side - has) for side, has in zip(tile, piece.shape, strict=False)]
            yield np.pad(piece, missing + [(0, 0)] * (stored.ndim - 2), mode="edge")


def gain_map(
    gains: np.ndarray,
    area: Sides,
    *,
    pitch: tuple[int, int] = (2, 2),
    planes: tuple[int, int] = (0, 1),
    spacing: tuple[float, float] | None = None,
    origin: tuple[float, float] = (0.0, 0.0),
) -> bytes:
    """A GainMap's parameters: gains (down, across, planes), area (top, left, bottom, right)."""
    down, across, depth = gains.shape
    spacing = spacing or (1 / max(1, down - 1), 1 / max(1, across - 1))
    return (
        struct.pack(">4i4I", *area, *planes, *pitch)
        + struct.pack(">2I4dI", down, across, *spacing, *origin, depth)
        + gains.astype(">f4").tobytes()
    )


def opcode_list(*opcodes: tuple[int, int, bytes]) -> tuple:
    """OpcodeList2 as a tag: identifier, flags and parameters of each."""
    content = struct.pack(">I", len(opcodes)) + b"".join(
        struct.pack(">4I", identifier, 0x01030000, flags, len(parameters)) + parameters
        for identifier, flags, parameters in opcodes
    )
    return (51009, 7, len(content), content, True)


def stored_as(
    dtype: Any = None, changed: Mapping[int, Any] | None = None, **options: Any
) -> Storage:
    """Numbers of another type, with options of tifffile and tags changed; floating point from 0 to
    1 where that is the type."""

    def storage(stored: np.ndarray) -> Stored:
        kind = np.dtype(dtype or stored.dtype)
        data = stored / WHITE if kind.kind == "f" else stored
        return Stored(data.astype(kind), options, changed or {})

    return storage


def coded(
    encode: Callable[[np.ndarray], bytes],
    compression: int,
    *,
    tile: tuple[int, int] | None = None,
    rows: int | None = None,
    changed: Mapping[int, Any] | None = None,
) -> Storage:
    """Tiles, or strips of so many rows, encoded one by one."""

    def storage(stored: np.ndarray) -> Stored:
        if tile:
            pieces, layout = _tiles(stored, tile), {"tile": tile}
        else:
            step = rows or len(stored)
            pieces = (stored[y : y + step] for y in range(0, len(stored), step))
            layout = {"rowsperstrip": step}
        data = (encode(np.ascontiguousarray(piece)) for piece in pieces)
        return Stored(data, {"compression": compression, **layout}, changed or {})

    return storage


def lossless_jpeg(piece: np.ndarray, predictor: int = 1, bits: int = 14) -> bytes:
    return imagecodecs.jpeg8_encode(
        np.ascontiguousarray(piece), lossless=True, predictor=predictor, bitspersample=bits
    )


def in_components(number: int, rows: int = 1) -> Callable[[np.ndarray], bytes]:
    """Lossless JPEG of a mosaic: so many places of a row make one, and so many rows make one."""
    return lambda piece: lossless_jpeg(piece.reshape(len(piece) // rows, -1, number))


def lossy_jpeg(piece: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(piece.astype(np.uint8), level=100, subsampling="444")


def polynomial(
    plane: int, coefficients: Sequence[float], area: Sides, planes: int = 1
) -> tuple[int, int, bytes]:
    """A MapPolynomial for `opcode_list`; area: top, left, bottom, right."""
    head = struct.pack(">4i4I", *area, plane, planes, 1, 1)
    degree = len(coefficients) - 1
    return 8, 0, head + struct.pack(f">I{degree + 1}d", degree, *coefficients)


def linear_to_romm(rgb_linear: np.ndarray) -> np.ndarray:
    """Encode linear light with ROMM's own primaries (values below 0 are taken as 0)."""
    # The curve meets its toe at 16^(1.8 / (1 - 1.8)), which is 2^-9.
    rgb_linear = np.maximum(rgb_linear, 0)
    return np.where(rgb_linear < 1 / 512, rgb_linear * 16, rgb_linear ** (1 / 1.8))


def write_romm_tiff(
    path: Path,
    scene: np.ndarray,
    *,
    orientation: int = 1,
    profile: bytes | None = icc.ROMM,
    compression: str | None = None,
) -> None:
    """A 16-bit ProPhoto TIFF of a scene."""
    romm_from_linear = np.linalg.inv(np.array(color.LINEAR_FROM_ROMM))
    light = sensor(scene, orientation) @ romm_from_linear.T
    tifffile.imwrite(
        path,
        np.rint(linear_to_romm(light).clip(0, 1) * 65535).astype(np.uint16),
        photometric="rgb",
        compression=compression,
        rowsperstrip=16,
        iccprofile=profile,
        metadata=None,
        software=False,
        extratags=[(274, "H", 1, orientation, True)],
    )


def bayer(values: Sequence[int], size: tuple[int, int]) -> list[tuple]:
    """A mosaic's pattern as tags."""
    return [(33421, "H", 2, size, True), (33422, "B", len(values), tuple(values), True)]


def _tag(code: int, *values: int) -> dict[str, Any]:
    return {"extra": [(code, "H", len(values), values if len(values) > 1 else values[0], True)]}


def _jpeg(encode: Callable[[np.ndarray], bytes] = lossless_jpeg, **layout: Any) -> dict[str, Any]:
    return {"storage": coded(encode, 7, **layout)}


def lossy(*opcodes: tuple[int, int, bytes], white: int = 255, **more: Any) -> dict[str, Any]:
    """Parameters of `write_dng` for lossy JPEG with these opcodes."""
    extra = [opcode_list(*opcodes)] if opcodes else []
    storage = coded(lossy_jpeg, 34892, tile=(32, 32), changed={258: (8,) * 3})
    common = {"mosaic": False, "black": 0, "white": white, "storage": storage}
    return common | {"extra": extra + more.pop("extra", [])} | more


# What `write_dng` makes of a scene of 64 x 96 and LibRaw develops right, and what is refused, with
# the reason. Each was tried with LibRaw itself, which says nothing about most of the latter.
DEVELOPED: dict[str, dict[str, Any]] = {
    "big-endian": {"byteorder": ">"},
    **{
        f"{bits} bits, {name}": {
            "white": 2**bits - 1,
            "black": 0,
            "storage": packed(bits, **layout),
        }
        for bits in range(8, 17)
        for name, layout in (("", {}), ("strips", {"rows": 24}), ("tiles", {"tile": (32, 64)}))
    },
    "8 bits": {"white": 255, "black": 0, "storage": stored_as(np.uint8)},
    "tiles as wide as the picture": {"storage": stored_as(tile=(48, 96))},
    "one tile, higher than the picture": {"storage": stored_as(tile=(80, 96))},
    **{
        f"lossless, predictor {number}": _jpeg(
            lambda piece, number=number: lossless_jpeg(piece, number), tile=(32, 32)
        )
        for number in range(1, 8)
    },
    "lossless, 16 bits": {
        "white": 65535,
        **_jpeg(lambda piece: lossless_jpeg(piece, bits=16), tile=(32, 32)),
    },
    "lossless, tiles as wide as the picture": _jpeg(tile=(32, 96)),
    "lossless, one tile, higher": _jpeg(tile=(80, 96)),
    "lossless, one strip": _jpeg(),
    "lossless, more rows": _jpeg(lambda piece: lossless_jpeg(np.pad(piece, ((0, 8), (0, 0))))),
    "two components, three tiles": _jpeg(in_components(2), tile=(32, 32)),
    "two components, one and a half tiles": _jpeg(in_components(2), tile=(64, 64)),
    "two components, one strip": _jpeg(in_components(2)),
    "two components of two rows": _jpeg(in_components(2, rows=2), tile=(32, 32)),
    "one component of two rows": _jpeg(in_components(1, rows=2), tile=(32, 32)),
    "four components, three tiles": _jpeg(in_components(4), tile=(32, 32)),
    "four rows": {"extra": bayer((0, 1, 1, 2) * 2, (4, 2))},
    "eight rows": {"extra": bayer((0, 1, 1, 2) * 4, (8, 2))},
    "a round white level": {"white": 65535, "black": 0, "extra": [(50717, "I", 1, 65536, True)]},
    "plain order": _tag(50711, 1),
    "tiles of 1 x 1": _tag(50974, 1, 1),
    "rows as they come": _tag(50975, 1),
    "columns as they come": _tag(52547, 1),
    "planes by name": {"extra": [(50710, "B", 3, (0, 1, 2), True)]},
}
_WHOLE = (0, 0, 64, 96)
_CURVES = [polynomial(plane, (0, 0.5, 0.5), _WHOLE) for plane in range(3)]
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # Without a white level LibRaw takes 65535 of 1.0, and develops black.
    "float16": (
        {"storage": stored_as(np.float16, compression="adobe_deflate", predictor=3, tile=(32, 32))},
        "its samples are 16-bit floating point",
    ),
    "float32": ({"storage": stored_as(np.float32)}, "its samples are 32-bit floating point"),
    "float, demosaiced": (
        {"mosaic": False, "storage": stored_as(np.float32, tile=(32, 32))},
        "its samples are 32-bit floating point",
    ),
    "signed": ({"storage": stored_as(np.int16)}, "its samples are 16-bit signed numbers"),
    "32 bits": ({"storage": stored_as(np.uint32)}, "its samples have 32 bits"),
    "7 bits": ({"storage": stored_as(changed={258: 7})}, "its samples have 7 bits"),
    "17 bits": ({"storage": stored_as(changed={258: 17})}, "its samples have 17 bits"),
    "bits that differ": (
        {"mosaic": False, "storage": stored_as(changed={258: (8, 16, 8)})},
        "its samples have 8 to 16 bits",
    ),
    "deflate": (
        {"storage": stored_as(compression="adobe_deflate", tile=(32, 32))},
        "its pixels are deflate of whole numbers, which LibRaw 0.* cannot decode",
    ),
    **{
        name: ({"storage": stored_as(changed={259: code})}, f"its pixels are {name}, which LibRaw")
        for code, name in (
            (5, "LZW"),
            (9, r"VC-5 \(GoPro\)"),
            (32773, "PackBits"),
            (34712, "JPEG 2000"),
            (50002, "JPEG XL"),
            (52546, r"JPEG XL \(DNG 1.7\)"),
            (99, "compressed by code 99"),
        )
    },
    "two samples": (
        {"storage": stored_as(changed={277: 2})},
        "it has 2 samples in each pixel, 1 is",
    ),
    "four samples": (
        {"mosaic": False, "storage": stored_as(changed={277: 4})},
        "it has 4 samples in each pixel, 3 are",
    ),
    "monochrome": ({"storage": stored_as(changed={262: 34892})}, "it is not in colour"),
    "planes": (
        {"mosaic": False, "storage": stored_as(changed={284: 2})},
        "its PlanarConfiguration is 2",
    ),
    **{f"layout {n}": (_tag(50711, n), f"its CFALayout is {n}") for n in range(2, 10)},
    "tiles of 2 x 2": (_tag(50974, 2, 2), "its SubTileBlockSize is 2 x 2"),
    "rows interleaved": (_tag(50975, 2), "its RowInterleaveFactor is 2"),
    "columns interleaved": (_tag(52547, 2), "its ColumnInterleaveFactor is 2"),
    "tiles wider than the picture": (
        {"storage": stored_as(tile=(64, 112))},
        "its tiles are wider than the picture",
    ),
    "lossless, strips": (_jpeg(rows=32), "its JPEG lies in strips"),
    "lossless, too few rows": (
        _jpeg(lambda piece: lossless_jpeg(piece[:48])),
        "its lossless JPEG of 96 x 48 x 1 samples in tiles of 96 x 64",
    ),
    "lossless, too few columns": (
        _jpeg(lambda piece: lossless_jpeg(piece[:, :80])),
        "its lossless JPEG of 80 x 64 x 1 samples",
    ),
    "lossless, more columns": (
        _jpeg(lambda piece: lossless_jpeg(np.pad(piece, ((0, 0), (0, 8))))),
        "its lossless JPEG of 104 x 64 x 1 samples",
    ),
    "two components, two tiles": (
        _jpeg(in_components(2), tile=(48, 48)),
        "its lossless JPEG of 24 x 48 x 2 samples in tiles of 48 x 48, 96 across",
    ),
    "demosaiced, all in one component": (
        {"mosaic": False, **_jpeg(lambda piece: lossless_jpeg(piece.reshape(len(piece), -1)))},
        "its lossless JPEG of 288 x 64 x 1 samples",
    ),
    "lossy as lossless": (
        {"mosaic": False, "white": 255, **_jpeg(lossy_jpeg), "black": 0},
        "its pixels are lossy JPEG under the code of the lossless one",
    ),
    "lossy mosaic": (
        {"storage": coded(lossy_jpeg, 34892), "white": 255, "black": 0},
        "its pixels are lossy JPEG of a mosaic",
    ),
    **{
        f"lossy, {name}": (how, "its pixels are lossy JPEG with a curve that LibRaw")
        for name, how in {
            "no curve": lossy(),
            "two curves": lossy(*_CURVES[:2]),
            "one for all": lossy(polynomial(0, (0, 1), _WHOLE, planes=3)),
            "a part": lossy(*_CURVES[:2], polynomial(2, (0, 1), (0, 0, 64, 95))),
            "a white level": lossy(*_CURVES, white=254),
            "a table": lossy(*_CURVES, extra=[(50712, "H", 2, (0, 65535), True)]),
        }.items()
    },
    "2 x 4": ({"extra": bayer((0, 1, 0, 1, 1, 2, 1, 2), (2, 4))}, "repeats every 2 x 4 pixels"),
    "4 x 4": ({"extra": bayer((0, 1, 0, 1, 1, 2, 1, 2) * 2, (4, 4))}, "repeats every 4 x 4"),
    "3 x 2": ({"extra": bayer((0, 1, 2, 1, 0, 2), (3, 2))}, "repeats every 3 x 2 pixels"),
    "6 x 6": ({"extra": bayer(((0, 1) * 3 + (1, 2) * 3) * 3, (6, 6))}, "repeats every 6 x 6"),
    "a pattern cut off": ({"extra": bayer((0, 1, 1), (2, 2))}, "not said: 3 of 2 x 2 places"),
    "no blue": ({"extra": bayer((0, 1, 1, 0), (2, 2))}, "are not red, green and blue"),
    "blue first": ({"extra": [(50710, "B", 3, (2, 1, 0), True)]}, "are not red, green and blue"),
    "cyan": ({"extra": [(50710, "B", 3, (3, 4, 5), True)]}, "are not red, green and blue"),
    "white level": (
        {"extra": [(50717, "I", 1, 65537, True)]},
        "its white level is above what 16 bits can hold",
    ),
}
