"""Lens shading: gains on a coarse grid, as a DNG's GainMap opcodes or a file beside it give them.

Sources: DNG specification 1.7, chapter 7 (opcode lists; always big-endian) and its GainMap; where a
pixel lies in relative coordinates, and that a gain's last plane serves the planes beyond it, as
Adobe's DNG SDK has them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_GAIN_MAP = 9
_OPTIONAL = 1  # the first of an opcode's flags
# A map is coarse (cameras' have some 20 points a side), with one for each place of a mosaic.
_MOST_POINTS, _MOST_OPCODES = 4096, 256
_HEADER = struct.Struct(">4I")  # identifier, version of the specification, flags, bytes
_AREA = struct.Struct(">4i4I")
_GRID = struct.Struct(">2I4dI")


class GainMap(NamedTuple):
    """Gains of some of a picture's pixels.

    top, left, bottom, right: the pixels' area in the active area; empty means all of it.
    plane, planes: the first of the picture's planes, and how many.
    pitch: every how many rows and columns.
    spacing, origin: of the grid, down and across, as parts of the active area's height and width.
    gains: (down, across, planes) float32.
    """

    top: int
    left: int
    bottom: int
    right: int
    plane: int
    planes: int
    pitch: tuple[int, int]
    spacing: tuple[float, float]
    origin: tuple[float, float]
    gains: NDArray[np.float32]


def read_opcodes(content: bytes, notes: list[str]) -> list[GainMap]:
    """The gain maps of a list of opcodes.

    Others are noted where the list says that they are optional. Raises ValueError where they are
    not, and where the list is malformed.
    """
    # Not copied with every opcode that is taken from it.
    (count,), rest = _take(struct.Struct(">I"), memoryview(content))
    if count > _MOST_OPCODES:
        raise ValueError(f"its list has {count} opcodes, more than any camera writes")
    maps = []
    for _ in range(count):
        (identifier, _, flags, size), rest = _take(_HEADER, rest)
        if size > len(rest):
            raise ValueError("its list of opcodes is truncated")
        if identifier == _GAIN_MAP:
            maps.append(_gain_map(rest[:size]))
        elif flags & _OPTIONAL:
            notes.append(f"opcode {identifier} not applied")
        else:
            raise ValueError(f"it demands opcode {identifier}, which is not known here")
        rest = rest[size:]
    if rest:
        raise ValueError(f"its list of opcodes goes on for {len(rest)} bytes after the last one")
    return maps


def _take(fields: struct.Struct, content: memoryview) -> tuple[tuple, memoryview]:
    """The fields that the content begins with, and what is behind them."""
    if len(content) < fields.size:
        raise ValueError("its list of opcodes is truncated")
    return fields.unpack_from(content), content[fields.size :]


def _gain_map(content: memoryview) -> GainMap:
    area, rest = _take(_AREA, content)
    top, left, bottom, right, plane, planes, *pitch = area
    grid, rest = _take(_GRID, rest)
    down, across, *places, map_planes = grid
    if not (planes and all(pitch) and down and across and map_planes):
        raise ValueError("its GainMap has no planes, no points or no pitch")
    if max(down, across, map_planes) > _MOST_POINTS:
        raise ValueError(f"its GainMap has {down} x {across} x {map_planes} gains")
    if (bottom <= top or right <= left) and pitch != [1, 1]:
        raise ValueError("its GainMap leaves out pixels of an empty area")
    # One point has no spacing, whatever is stored.
    spacing = [
        step if points > 1 else 1.0 for step, points in zip(places[:2], (down, across), strict=True)
    ]
    if not (np.isfinite(places[2:]).all() and np.isfinite(spacing).all() and min(spacing) > 0):
        raise ValueError("its GainMap's grid has no size or place")
    if len(rest) != 4 * down * across * map_planes:
        raise ValueError(
            f"its GainMap has {len(rest)} bytes for {down} x {across} x {map_planes} gains"
        )
    gains = np.frombuffer(rest, ">f4").astype(np.float32).reshape(down, across, map_planes)
    check_gains(gains)
    return GainMap(
        top,
        left,
        bottom,
        right,
        plane,
        planes,
        (pitch[0], pitch[1]),
        (spacing[0], spacing[1]),
        (places[2], places[3]),
        gains,
    )


def check_gains(gains: NDArray[np.float32]) -> None:
    if not (np.isfinite(gains).all() and gains.min() > 0):
        raise ValueError("not all of its lens shading's gains are positive numbers")


def over_bayer(
    shading: NDArray[np.float32], colours: NDArray[np.uint8], corner: tuple[int, int]
) -> list[GainMap]:
    """The gain maps of a shading map (h, w, 4: R, G beside R, G beside B, B), whose outer points
    lie on the edges of the active area.

    colours: (2, 2), 0 to 2, 3 for green too, of the pixels from `corner` of the active area on.
    """
    maps = []
    spacing = [1 / max(1, points - 1) for points in shading.shape[:2]]
    # A map for each place of the pattern: every second row and column from there on.
    for y in range(2):
        for x in range(2):
            colour = colours[y, x]
            # A green's channel is told by its row, which holds red or blue as well.
            channel = {0: 0, 2: 3}.get(colour, 1 if 0 in colours[y] else 2)
            maps.append(
                GainMap(
                    *((y + corner[0]) % 2, (x + corner[1]) % 2),
                    *(2**31 - 1, 2**31 - 1),  # to the last pixel
                    *(0, 1),
                    (2, 2),
                    (spacing[0], spacing[1]),
                    (0.0, 0.0),
                    shading[:, :, channel, None],
                )
            )
    return maps


def multiply(
    picture: NDArray[np.float32], gain: GainMap, active: tuple[int, int], corner: tuple[int, int]
) -> None:
    """Multiply a part of a picture by its gains, in place.

    Args:
        picture: (H, W, planes).
        gain: bilinear between its points, constant beyond them.
        active: height and width of the whole active area.
        corner: row and column of the part's first pixel in it.
    """
    ends = (gain.bottom, gain.right)
    if gain.bottom <= gain.top or gain.right <= gain.left:
        gain, ends = gain._replace(top=0, left=0), active
    slices, weights = [], []
    for axis, start in enumerate((gain.top, gain.left)):
        pitch, offset = gain.pitch[axis], corner[axis]
        # The map's pixels are start, start + pitch, …: the first that is not before this part.
        first = start + -(-max(0, offset - start) // pitch) * pitch
        last = min(ends[axis], offset + picture.shape[axis])
        places = np.arange(first, last, pitch, dtype=np.float64)
        if not places.size:
            return
        slices.append(slice(first - offset, last - offset, pitch))
        position = ((places + 0.5) / active[axis] - gain.origin[axis]) / gain.spacing[axis]
        position = position.clip(0, gain.gains.shape[axis] - 1)
        below = position.astype(np.intp)
        above = np.minimum(below + 1, gain.gains.shape[axis] - 1)
        weights.append((below, above, position - below))
    # Interpolated along the height first: the result has a row for each of the picture's rows, but
    # only the map's few columns.
    (top, bottom, down), (left, right, across) = weights
    for plane in range(gain.plane, min(gain.plane + gain.planes, picture.shape[2])):
        gains = gain.gains[:, :, min(plane, gain.gains.shape[2] - 1)].astype(np.float64)
        rows = gains[top] * (1 - down)[:, None] + gains[bottom] * down[:, None]
        factors = rows[:, left] * (1 - across) + rows[:, right] * across
        picture[slices[0], slices[1], plane] *= factors
