"""From a picture's colours to sRGB or linear light and back, a strip of rows at a time.

Under a profile of three curves and a matrix a number's curve gives its channel's own light, and the
matrix makes linear sRGB of it. Little CMS, which takes 150 ns a colour, is asked for curves and
matrix once, with a few thousand colours; converting a picture is look-ups and products, here by
numpy, in enhance/colours.py by the native kernels. Whether a profile is of this kind is tried, by
comparing with Little CMS; one with tables of its own is left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..color import linear_to_srgb, srgb_to_linear
from . import icc
from .pixels import Pixels

# Steps of a table over [0, 1] that is looked up at the nearest: a quarter of a level of 16 bits.
_STEPS = 1 << 18
# Steps of the way back, between which lie straight lines, and numbers of 16 bits from one that
# Little CMS is asked for to the next (65535 is 15 times 4369): curves are smooth, and between so
# near neighbours straight to a third of a level of 16 bits, but for the steep beginning of a power
# curve's way back, where it is two levels.
_ENCODE_STEPS = 1 << 11
_APART = 15
# How far from Little CMS, of 1: a quarter of a level of 8 bits. Where a power curve begins,
# steeply, float32 itself is no better.
_AGREEMENT = 1e-3
_TRIED = 200  # colours
# How far a number may be, of 1, after the way to light and back, as in `icc.can_write`.
_ROUND_TRIP = 4 / 255
_STRIP_PIXELS = 1 << 18  # at a time: what is between fits a core's cache
ToModel = Callable[[Pixels], NDArray[np.float32]]
Back = Callable[[NDArray[np.float32], np.dtype], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Curves:
    """A profile of three curves and a matrix.

    decode: (1 or 3, levels), a channel's own light for each number, with 1 for the largest; one for
        all three where they are alike. matrix: (3, 3), linear sRGB from each channel's own light.
    encode: (1 or 3, _ENCODE_STEPS + 1), the number in [0, 1] for the square of each step of light:
        squares are finer where the dark needs it.
    """

    decode: NDArray[np.float32]
    matrix: NDArray[np.float32]
    encode: NDArray[np.float32]

    @cached_property
    def alone(self) -> NDArray[np.float32]:
        """(3, levels, 3): the linear sRGB that each number of each channel gives alone."""
        return _of_each(self.decode)[:, :, None] * self.matrix.T[:, None]

    @cached_property
    def inverse(self) -> NDArray[np.float32]:
        """Each channel's own light from linear sRGB."""
        return np.linalg.inv(self.matrix.astype(np.float64)).astype(np.float32)

    def encoded(self, steps: int) -> NDArray[np.float32]:
        """`encode` at other steps: (1 or 3, steps + 1)."""
        places = np.linspace(0, _ENCODE_STEPS, steps + 1)
        known = np.arange(_ENCODE_STEPS + 1)
        return np.stack([np.interp(places, known, row) for row in self.encode]).astype(np.float32)

    @cached_property
    def finely_encoded(self) -> NDArray[np.float32]:
        return self.encoded(_STEPS)


def to_srgb(profile: bytes, dtype: np.dtype, linear: bool = False) -> ToModel:
    """What converts (H, W, 3) integers under a profile to float32 sRGB, or linear light with its
    primaries, in [0, 1]."""
    curves = curves_of(profile, dtype)
    target = icc.LINEAR if linear else icc.SRGB
    if curves is None:
        return lambda rows: icc.convert(rows, profile, target, np.float32)

    return lambda rows: _to_light(curves, rows) if linear else _to_srgb(curves, rows)


def _to_light(curves: Curves, rows: Pixels) -> NDArray[np.float32]:
    red, green, blue = curves.alone
    light = np.take(red, rows[:, :, 0], axis=0, mode="clip")
    light += np.take(green, rows[:, :, 1], axis=0, mode="clip")
    light += np.take(blue, rows[:, :, 2], axis=0, mode="clip")
    return light.clip(0, 1, out=light)


def _to_srgb(curves: Curves, rows: Pixels) -> NDArray[np.float32]:
    light = _to_light(curves, rows)
    return _looked_up(_srgb_of_root(), np.sqrt(light, out=light))


def integers_to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """(H, W, 3) under a profile to sRGB in the same depth, clipped and rounded once."""
    convert = to_srgb(profile, pixels.dtype)
    white = np.float32(np.iinfo(pixels.dtype).max)
    result = np.empty(pixels.shape, pixels.dtype)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for first in range(0, len(pixels), rows):
        strip = convert(pixels[first : first + rows])
        result[first : first + rows] = np.rint(strip * white)
    return result


def from_srgb(profile: bytes) -> Back:
    """What converts (H, W, 3) float32 sRGB in [0, 1] to integers of a type under a profile, clipped
    and rounded once."""
    curves = curves_of(profile, np.dtype(np.uint8))
    if curves is None:
        return lambda rows, dtype: icc.convert(rows, icc.SRGB, profile, dtype)

    return lambda rows, dtype: _back(curves, rows, dtype)


def _back(curves: Curves, rows: NDArray[np.float32], dtype: np.dtype) -> NDArray[np.float32]:
    light = _looked_up(_linear_of_srgb(), rows)
    # Not by BLAS, whose threads wait for each other while every strip has a thread of its own.
    light = np.einsum("oi,hwi->hwo", curves.inverse, light)
    np.sqrt(light.clip(0, 1, out=light), out=light)
    for channel, curve in enumerate(_of_each(curves.finely_encoded)):
        light[:, :, channel] = _looked_up(curve, light[:, :, channel])
    light *= np.float32(np.iinfo(dtype).max)
    return np.rint(light, out=light)


def _looked_up(table: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A table over [0, 1] at the step nearest to each value."""
    places = values * np.float32(len(table) - 1) + np.float32(0.5)
    return np.take(table, places.astype(np.int32), mode="clip")


@lru_cache(1)
def _srgb_of_root() -> NDArray[np.float32]:
    """sRGB of the square of each step."""
    return linear_to_srgb(np.linspace(0, 1, _STEPS) ** 2).astype(np.float32)


@lru_cache(1)
def _linear_of_srgb() -> NDArray[np.float32]:
    return srgb_to_linear(np.linspace(0, 1, _STEPS)).astype(np.float32)


def curves_of(profile: bytes, dtype: np.dtype) -> Curves | None:
    """A profile's curves for numbers of a type; None where it is no three curves and a matrix, or
    its way back leads elsewhere."""
    return _curves(profile, dtype.name)


class _Answers(NamedTuple):
    """What Little CMS says of a profile.

    light: (3, known, 3), the linear sRGB that each known number of each channel gives alone.
    encode: (_ENCODE_STEPS + 1, 3), the numbers of `greys`.
    tried: (_TRIED, 3) numbers, and `there` their linear sRGB; tried_back: sRGB, and `back` its
        numbers; none of them clipped.
    """

    light: NDArray[np.float64]
    greys: NDArray[np.float32]
    encode: NDArray[np.float32]
    tried: NDArray[np.int64]
    there: NDArray[np.float32]
    tried_back: NDArray[np.float32]
    back: NDArray[np.float32]


@lru_cache(8)
def _curves(profile: bytes, dtype: str) -> Curves | None:
    white = int(np.iinfo(dtype).max)
    # A profile without a white gives numbers that are none, and then nothing agrees.
    with np.errstate(all="ignore"):
        try:
            answers = _ask(profile, white)
            curves = _derived(answers, white)
        except (imagecodecs.CmsError, np.linalg.LinAlgError):
            return None
        return curves if _agrees(curves, answers) else None


def _ask(profile: bytes, white: int) -> _Answers:
    """In one call each way: making a transform costs as much as a thousand colours."""
    known = np.arange(0, white + 1, _APART if white > 255 else 1)
    alone = np.zeros((3, len(known), 3), np.float32)
    for channel in range(3):
        alone[channel, :, channel] = known / white
    generator = np.random.default_rng(0)
    tried = generator.integers(0, white + 1, (_TRIED, 3))
    tried_back = generator.random((_TRIED, 3), np.float32)
    # Grey light is grey under every profile: white of one is white of the other.
    greys = linear_to_srgb(np.linspace(0, 1, _ENCODE_STEPS + 1) ** 2).astype(np.float32)
    there = icc.unbounded(_row(alone, tried / white), profile, icc.LINEAR)[0]
    back = icc.unbounded(_row(greys.repeat(3), tried_back), icc.SRGB, profile)[0]
    light = there[:-_TRIED].reshape(alone.shape).astype(np.float64)
    return _Answers(
        light, greys, back[: len(greys)], tried, there[-_TRIED:], tried_back, back[-_TRIED:]
    )


def _derived(answers: _Answers, white: int) -> Curves:
    """Raises LinAlgError where the colours of the three channels lie in a plane."""
    columns = answers.light[:, -1]
    np.linalg.inv(columns)
    own = (answers.light @ columns[:, :, None])[:, :, 0] / (columns**2).sum(axis=1)[:, None]
    # White is white under every profile, whose numbers are rounded and miss it by a hair.
    matrix = columns.T / columns.sum(axis=0)[:, None]
    encode = (answers.encode.T / answers.encode.T[:, -1:]).clip(0, 1)
    # One for all three, which caches hold more easily, where they differ by rounding alone.
    if np.allclose(own, own[:1], rtol=1e-6, atol=1e-8):
        own, encode = (curves.mean(axis=0, keepdims=True) for curves in (own, encode))
    decode = _between(own, white).astype(np.float32)
    return Curves(decode, matrix.astype(np.float32), np.ascontiguousarray(encode))


def _agrees(curves: Curves, answers: _Answers) -> bool:
    """Whether white is white, colours are those of Little CMS both ways, and the way back leads to
    where the way there came from."""
    whites = np.concatenate([answers.light[:, -1].sum(axis=0), answers.encode[-1]])
    ours = _of_each(curves.decode)[np.arange(3), answers.tried] @ curves.matrix.T
    light = (srgb_to_linear(answers.tried_back) @ curves.inverse.T).clip(0, 1)
    places = np.arange(_ENCODE_STEPS + 1)
    levels = np.linspace(0, 1, curves.decode.shape[1])
    encodes, decodes = _of_each(curves.encode), _of_each(curves.decode)
    root = np.sqrt(light) * _ENCODE_STEPS
    numbers = [np.interp(root[:, i], places, encode) for i, encode in enumerate(encodes)]
    again = [np.interp(e, levels, d) for e, d in zip(encodes, decodes, strict=True)]
    return (
        _near(whites, np.ones(6))
        and _near(linear_to_srgb(ours.clip(0, 1)), linear_to_srgb(answers.there.clip(0, 1)))
        and _near(np.stack(numbers, axis=1), answers.back.clip(0, 1))
        and bool(np.abs(linear_to_srgb(np.stack(again)) - answers.greys).max() < _ROUND_TRIP)
    )


def _of_each(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1 or 3, N), a curve of every channel, as (3, N)."""
    return np.broadcast_to(rows, (3, rows.shape[1]))


def _row(*colours: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([part.reshape(-1, 3) for part in colours]).astype(np.float32)[None]


def _near(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    return bool(np.abs(ours - theirs).max() < _AGREEMENT)


def _between(known: NDArray[np.float64], white: int) -> NDArray[np.float64]:
    """Curves at all numbers, by straight lines between those known at equal distances."""
    apart = white // (known.shape[1] - 1)
    steps = np.arange(apart) / apart
    lines = known[:, :-1, None] + (known[:, 1:] - known[:, :-1])[:, :, None] * steps
    return np.concatenate([lines.reshape(len(known), white), known[:, -1:]], axis=1)
