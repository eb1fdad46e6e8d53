"""Raw photographs and experts' TIFFs as FiveK has them, made of a known scene.

A scene is linear light with sRGB primaries, (H, W, 3) in [0, 1], upright. LibRaw truly develops
the DNGs: a small preview first and the raw picture below it, as Adobe's converter lays them out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

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
        extra: tags of the raw picture, as tifffile takes them.
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
    packed = compression == "lossless-jpeg"
    tiles = {"tile": (_TILE, _TILE), "compression": 7} if packed else {}
    plain = {"metadata": None, "software": False}
    with tifffile.TiffWriter(path) as tiff:
        if preview:
            small = np.zeros((8, 8, 3), np.uint8)
            tiff.write(
                small, photometric="rgb", subfiletype=1, subifds=1, extratags=camera, **plain
            )
            camera = []
        tiff.write(
            _jpeg_tiles(stored) if packed else stored,
            shape=stored.shape,
            dtype=stored.dtype,
            photometric=32803 if mosaic else 34892,
            planarconfig=None if mosaic else "contig",
            subfiletype=0,
            extratags=[*camera, *raw, *(extra or [])],
            **plain,
            **tiles,
        )


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


def _jpeg_tiles(stored: np.ndarray) -> Iterator[bytes]:
    for y in range(0, stored.shape[0], _TILE):
        for x in range(0, stored.shape[1], _TILE):
            tile = stored[y : y + _TILE, x : x + _TILE]
            missing = [(0, _TILE - side) for side in tile.shape]
            whole = np.ascontiguousarray(np.pad(tile, missing, mode="edge"))
            yield imagecodecs.ljpeg_encode(whole, bitspersample=14)


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
