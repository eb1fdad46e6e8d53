"""The fingerprint of a picture: some 400 bytes from which no picture can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ..color import srgb_to_linear
from ..images.jpeg_markers import FRAMES, walk
from ..images.photo import CHECKED, Photo, read_photo
from ..images.pixels import Pixels, pixels_sha256, white_level
from ..images.stored import picture_bytes

CELLS = 17  # a side, of the means whose differences are hashed
_ROWS = 512  # of a picture of 100 megapixels at once
_QUANTISATION = 0xDB  # a JPEG's marker (ITU-T T.81, annex B.2.4.1)
# Sum of the luma table of ITU-T T.81, annex K.1, which libjpeg scales by its quality.
_LUMA_TABLE = 3688
_BLOCK = 8
_LUMA = (0.299, 0.587, 0.114)  # ITU-T T.871, as JPEGs have it

Side = Literal["input", "target"]
_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
_Channels = Annotated[tuple[_Share, _Share, _Share], Field(strict=False)]
_LONGEST = 1 << 20  # pixels of a side, in a file that somebody hands in


class Fingerprint(BaseModel):
    """Of one upright picture, its numbers as the file has them, white at 1.

    quality: that of libjpeg which has a JPEG's luma table, about; None for other files.
    chroma: of a JPEG's colour, 2x2 where one value stands for four pixels; None for other files.
    mean, std: per channel. light: mean of the numbers as light, sRGB's curve undone.
    detail: mean of |Laplacian| of luma (as a JPEG has it: 4:2:0 leaves it alone), in levels of 8
        bits.
    blocking: mean step of luma across the columns where JPEG's blocks meet, over that of all
        others; about 1 where nothing shows.
    hash: 512 bits as hexadecimal digits: whether each of 17 x 17 cells' mean grey is over that of
        its left neighbour, then over that of the upper one (a difference hash).
    pixels_sha256: as `pixels.pixels_sha256`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(min_length=1, max_length=100)
    side: Side
    width: int = Field(ge=1, le=_LONGEST)
    height: int = Field(ge=1, le=_LONGEST)
    bits: Literal[8, 16]
    quality: Annotated[int, Field(ge=1, le=100)] | None
    chroma: Annotated[str, Field(pattern=r"^[1-4]x[1-4]$")] | None
    mean: _Channels
    std: _Channels
    light: _Channels
    detail: FiniteFloat = Field(ge=0, le=2040)
    blocking: FiniteFloat = Field(ge=0, le=1e6)
    hash: str = Field(pattern=r"^[0-9a-f]{128}$")
    pixels_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def fingerprint(path: Path, id_: str, side: Side) -> tuple[Fingerprint, Photo]:
    """A file's fingerprint, and the picture, decoded once. Raises as `read_photo`."""
    content = picture_bytes(path)
    photo = read_photo(path, CHECKED, content=content)
    found = of_pixels(photo.pixels, id_, side)
    return found.model_copy(update=jpeg_facts(content)._asdict()), photo


def of_pixels(pixels: Pixels, id_: str, side: Side) -> Fingerprint:
    """The fingerprint of (H, W, 3) pixels, upright, without what only a file tells."""
    height, width = pixels.shape[:2]
    mean, std, light = statistics(pixels)
    detail, blocking = _texture(grey_of(pixels, _LUMA))
    return Fingerprint(
        id=id_,
        side=side,
        width=width,
        height=height,
        bits=8 if pixels.dtype == np.uint8 else 16,
        quality=None,
        chroma=None,
        mean=mean,
        std=std,
        light=light,
        detail=round(detail, 4),
        blocking=round(blocking, 4),
        hash=_hexadecimal(differences(cell_means(grey_of(pixels)))),
        pixels_sha256=pixels_sha256(pixels),
    )


def statistics(pixels: Pixels) -> tuple[_Channels, _Channels, _Channels]:
    """Mean and standard deviation of each channel, and mean of its light, to six digits; exact,
    from how often each number occurs."""
    white = white_level(pixels)
    values = np.arange(white + 1) / white
    lights = srgb_to_linear(values)
    means, stds, light = [], [], []
    for channel in range(3):
        counts = np.bincount(pixels[:, :, channel].ravel(), minlength=white + 1) / (
            pixels.shape[0] * pixels.shape[1]
        )
        mean = float(counts @ values)
        means.append(round(mean, 6))
        stds.append(round(float(np.sqrt(counts @ (values - mean) ** 2)), 6))
        light.append(round(float(counts @ lights), 6))
    return tuple(means), tuple(stds), tuple(light)  # type: ignore[return-value]


def grey_of(
    pixels: Pixels, weights: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
) -> NDArray[np.float32]:
    """(H, W): a mean of the channels in levels of 8 bits. By default it does not change where red
    and blue have changed places, and the hash then still says which picture it is."""
    scaled = np.array(weights, np.float32) * np.float32(255 / white_level(pixels))
    grey = np.empty(pixels.shape[:2], np.float32)
    for start in range(0, len(grey), _ROWS):
        grey[start : start + _ROWS] = pixels[start : start + _ROWS].astype(np.float32) @ scaled
    return grey


def cell_means(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """(17, 17): means over cells of equal size, which share pixels at their borders."""
    return box_means(integral(grey), *_borders(grey.shape))


def _borders(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return tuple(np.linspace(0, side, CELLS + 1) for side in shape[:2])  # type: ignore[return-value]


def integral(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """(H + 1, W + 1): sums of all that lies above and to the left."""
    sums = np.zeros((grey.shape[0] + 1, grey.shape[1] + 1))
    np.cumsum(grey, axis=0, out=sums[1:, 1:], dtype=np.float64)
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    return sums


def box_means(
    sums: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Means between neighbouring borders, which may lie within pixels."""
    along = _between(sums, rows, 0)
    corners = _between(along, columns, 1)
    boxes = np.diff(np.diff(corners, axis=0), axis=1)
    return boxes / (np.diff(rows)[:, None] * np.diff(columns)[None, :])


def _between(
    sums: NDArray[np.float64], places: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """The sums at places between whole ones: a pixel counts by the part of it that lies inside."""
    low = np.clip(np.floor(places).astype(int), 0, sums.shape[axis] - 2)
    share = np.expand_dims(places - low, 1 - axis)
    return sums.take(low, axis) * (1 - share) + sums.take(low + 1, axis) * share


def differences(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """(512,): of neighbouring cells, first from left to right, then downwards."""
    across = np.diff(means, axis=1)[: CELLS - 1]
    down = np.diff(means, axis=0)[:, : CELLS - 1]
    return np.concatenate([across.ravel(), down.ravel()])


def _hexadecimal(values: NDArray[np.float64]) -> str:
    return np.packbits(values > 0).tobytes().hex()


def hash_bits(text: str) -> NDArray[np.bool_]:
    """(512,): whether each difference is over zero."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)).astype(bool)


def _texture(grey: NDArray[np.float32]) -> tuple[float, float]:
    """`detail` and `blocking`; of a picture that is too small for either, 0 and 1."""
    height, width = grey.shape
    if min(height, width) < 3:
        return 0.0, 1.0
    total, steps = 0.0, np.zeros(width - 1)
    for start in range(0, height, _ROWS):
        rows = grey[max(start - 1, 0) : start + _ROWS + 1]
        if len(rows) >= 3:
            inner = rows[1:-1, 1:-1]
            around = rows[:-2, 1:-1] + rows[2:, 1:-1] + rows[1:-1, :-2] + rows[1:-1, 2:]
            total += float(np.abs(4 * inner - around).sum(dtype=np.float64))
        own = grey[start : start + _ROWS]
        steps += np.abs(np.diff(own, axis=1)).sum(axis=0, dtype=np.float64)
    detail = total / ((height - 2) * (width - 2))
    at_blocks = np.arange(1, width) % _BLOCK == 0
    if not at_blocks.any() or not (elsewhere := steps[~at_blocks].mean()):
        return detail, 1.0
    return detail, min(float(steps[at_blocks].mean() / elsewhere), 1e6)


class JpegFacts(NamedTuple):
    """As `Fingerprint` has them; None of what is no JPEG, or does not say it."""

    quality: int | None = None
    chroma: str | None = None


def jpeg_facts(content: bytes) -> JpegFacts:
    """What a JPEG's tables and frame say of how it was written."""
    if not content.startswith(b"\xff\xd8"):
        return JpegFacts()
    segments = walk(content)
    tables = (content[start:end] for marker, start, end in segments if marker == _QUANTISATION)
    table = next((t for segment in tables if (t := _luma_table(segment)) is not None), None)
    frame = next((content[start:end] for marker, start, end in segments if marker in FRAMES), b"")
    return JpegFacts(None if table is None else _quality(table), _chroma(frame))


def _quality(table: NDArray[np.integer]) -> int:
    """The quality at which libjpeg would have a luma table as coarse.

    Lightroom, Photoshop and cameras have tables of their own: of two files of one writer the finer
    one has the higher number, and 100 is where nothing is rounded beyond whole numbers.
    """
    if table.max() <= 1:
        return 100
    percent = 100 * int(table.sum()) / _LUMA_TABLE
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return min(max(round(quality), 1), 99)


def _chroma(frame: bytes) -> str | None:
    """How many pixels, across and down, one value of colour stands for in a frame of three
    components: 1x1 (4:4:4), 2x1 (4:2:2), 2x2 (4:2:0). None for any other."""
    if len(frame) < 15 or frame[5] != 3:
        return None
    factors = [(frame[place] >> 4, frame[place] & 15) for place in (7, 10, 13)]
    if not all(1 <= factor <= 4 for pair in factors for factor in pair):
        return None
    across, down = (max(f[i] for f in factors) // factors[1][i] for i in (0, 1))
    return f"{across}x{down}"


def _luma_table(segment: bytes) -> NDArray[np.integer] | None:
    """The table of the first number in a segment of tables; None where it is not in this one."""
    place = 0
    while place < len(segment):
        wide, number = segment[place] >> 4, segment[place] & 15
        size = 128 if wide else 64
        if number == 0 and place + 1 + size <= len(segment):
            return np.frombuffer(segment, ">u2" if wide else np.uint8, 64, place + 1)
        place += 1 + size
    return None
