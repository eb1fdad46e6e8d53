"""Finding which part of an input its finished target shows, and which way up.

A camera's finished picture is a turned, digitally zoomed and tone-mapped rendition of its raw
frame. All eight orientations and zooms of 1.02^k are tried; the one whose gradients of log luma
correlate best with the target's is taken, then the zoom between two steps that correlates best, all
averaged to 256 pixels on the long edge. Gradients of the logarithm do not depend on exposure, and
local tone mapping changes their size more than their sign. What may be left, a shift, is measured
and never corrected: a pair that is shifted, or that nothing fits, is one to leave out.

What the target shows is taken to be the middle of the frame, in the target's own shape: a frame of
another shape is cut, never stretched.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, sparse

from ...color import LUMINANCE, srgb_to_linear
from ...images.files import Pixels, upright
from ...images.resize import SizeRule, curve, resized

Float = NDArray[np.float64]
Gradients = tuple[Float, Float]
Shape = tuple[int, ...]

LONG_EDGE = 256
ZOOMS = tuple(1.02**k for k in range(71))
MIN_CORRELATION = 0.3
# Along either axis, in pixels of LONG_EDGE: up to here the best whole shift is none.
MAX_SHIFT = 0.5
# How far a shift is looked for, in the same pixels. One that is larger leaves no correlation.
_REACH = 16
# A shift makes a neighbouring zoom seem to fit better: so many steps to either side are looked at
# with their shifts.
_STEPS = 3
# A step is up to 2.6 pixels of LONG_EDGE at the borders: in these parts of one the zoom is looked
# for between the best step and its neighbours, and taken where it correlates better by so much that
# a zoom that is none stays none.
_PARTS, _FINER = 16, 1e-3
# Smoothing at LONG_EDGE, so that a zoom between two steps, which puts the borders a pixel off,
# still correlates.
_SIGMA = 1.0
# Added to luma before the logarithm, as a share of its mean: what is far darker is noise.
_FLOOR = 0.02
# Scores closer than this are equal: sums over a mirrored picture differ in their last bits.
_TIE = 1e-9
# Root mean square of gradients below which a picture is flat: rounding makes less than this.
_FLAT = 1e-5


class Alignment(NamedTuple):
    """orientation: EXIF's code to apply to the input (images.upright).
    zoom: 1.02^k, k in sixteenths, into the largest part of the turned input that has the target's
        shape.
    correlation: of the gradients of log luma, in [-1, 1], to six digits; 0 where there are none.
    shift: (x, y) by which the target's content lies to the right of and below the input's, turned
        and cropped; in pixels of 256 on the long edge, to three digits.
    crop: (left, top, width, height) in the turned input's pixels, which the target shows.
    """

    orientation: int
    zoom: float
    correlation: float
    shift: tuple[float, float]
    crop: tuple[int, int, int, int]


class _Fit(NamedTuple):
    """height: the highest correlation over all shifts, which is at `shift`; score: without one."""

    height: float
    shift: tuple[float, float]
    score: float
    zoom: float


def align(input_pixels: NDArray[np.uint16], target_pixels: NDArray[np.uint8]) -> Alignment:
    """Find the target in the input. Of equals, those that cut the least off the input to have the
    target's shape come first, then the lower orientation, then the smaller zoom.

    Args:
        input_pixels: (H, W, 3) linear light, whatever the primaries and the white.
        target_pixels: (H', W', 3) sRGB, of any size and shape.
    """
    decoded = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
    target = _smooth_log(_small(target_pixels, decoded, LONG_EDGE).astype(np.float64))
    # A mirrored input against the target is the input against the mirrored target.
    mirrored = [_gradients(upright(target, code)) for code in (1, 2, 3, 4)]
    # So large that there are as many pixels as in the target where the zoom is strongest.
    small = _small(input_pixels, curve(), round(LONG_EDGE * ZOOMS[-1]))
    found = []
    for turn in (0, 4):  # as it lies, and transposed; every orientation mirrors one of these
        shape = _turned(input_pixels.shape, turn + 1)
        sums = _summed(upright(small, turn + 1))
        fitted = _fitted(shape, target_pixels.shape)
        lost = round(1 - fitted[0] * fitted[1] / (shape[0] * shape[1]), 9)
        for zoom in ZOOMS:
            seen = _gradients(_seen(sums, shape, target_pixels.shape, zoom, target.shape))
            for code, other in enumerate(mirrored, turn + 1):
                found.append((_correlation(seen, other), (lost, code, zoom)))
    best = max(score for score, _ in found)
    _, (_, orientation, first) = min(
        (one for one in found if one[0] >= best - _TIE), key=lambda one: one[1]
    )
    shape = _turned(input_pixels.shape, orientation)
    sums = _summed(upright(small, orientation))

    def fit(zoom: float) -> _Fit:
        seen = _gradients(_seen(sums, shape, target_pixels.shape, zoom, target.shape))
        score = _correlation(seen, mirrored[0])
        return _Fit(*(_shift(seen, mirrored[0]) if score else (0.0, (0.0, 0.0))), score, zoom)

    if best < MIN_CORRELATION:
        found_at = fit(first)
    else:
        steps = [fit(zoom) for zoom in _near(first)]
        found_at = max(steps, key=lambda one: (round(one.height, 9), -abs(one.zoom - first)))
        finest = max(map(fit, _between_steps(found_at.zoom)), key=lambda one: one.height)
        if finest.height > found_at.height + _FINER:
            found_at = finest
    _, shift, score, zoom = found_at
    height, width = (max(1, round(side / zoom)) for side in _fitted(shape, target_pixels.shape))
    scale = LONG_EDGE / max(target.shape)
    return Alignment(
        orientation,
        zoom,
        round(score, 6),
        (round(scale * shift[0], 3), round(scale * shift[1], 3)),
        ((shape[1] - width) // 2, (shape[0] - height) // 2, width, height),
    )


def problem(alignment: Alignment) -> str | None:
    """Why the two are not to be taken for a pair, or None."""
    x, y = alignment.shift
    if alignment.correlation < MIN_CORRELATION:
        why = f"correlate by less than {MIN_CORRELATION}"
    elif max(abs(x), abs(y)) > MAX_SHIFT:
        why = f"are shifted by more than {MAX_SHIFT} of {LONG_EDGE} pixels"
    else:
        return None
    return (
        f"input and target {why}: correlation {alignment.correlation:.3f}, shift ({x:+.2f}, "
        f"{y:+.2f}), at orientation {alignment.orientation}, zoom {alignment.zoom:.3f}"
    )


def applied(input_pixels: NDArray[np.uint16], alignment: Alignment) -> NDArray[np.uint16]:
    """(height, width, 3): the input turned and cropped, its pixels as they were."""
    left, top, width, height = alignment.crop
    turned = upright(input_pixels, alignment.orientation)
    return np.ascontiguousarray(turned[top : top + height, left : left + width])


def _turned(shape: Shape, orientation: int) -> tuple[int, int]:
    """(height, width) of a picture once it is upright."""
    return (shape[1], shape[0]) if orientation > 4 else (shape[0], shape[1])


def _fitted(shape: Shape, of: Shape) -> tuple[float, float]:
    """(height, width) of the largest part of a picture that has the shape of another."""
    scale = min(shape[0] / of[0], shape[1] / of[1])
    return of[0] * scale, of[1] * scale


def _small(pixels: Pixels, table: NDArray[np.float32], edge: int) -> NDArray[np.float32]:
    """(h, w) luma in linear light, `edge` on the long edge or as it was where that is less."""
    height, width = pixels.shape[:2]
    luma = np.zeros((height, width), np.float32)
    for channel, weight in enumerate(LUMINANCE):
        luma += (table * np.float32(weight))[pixels[:, :, channel]]
    return resized(luma, SizeRule(edge="long", pixels=edge).target(width, height))


def _summed(luma: NDArray[np.float32]) -> Float:
    """(h + 1, w + 1): the sum of all that is above and left of each corner of a pixel."""
    sums = luma.astype(np.float64).cumsum(0).cumsum(1)
    return np.ascontiguousarray(np.pad(sums, ((1, 0), (1, 0))))


def _seen(sums: Float, shape: Shape, target_shape: Shape, zoom: float, grid: Shape) -> Float:
    """The middle of a picture of that shape, zoomed into and averaged to `grid`; its smooth log.

    Between corners the sums are interpolated, which is exact for pixels that are squares of one
    colour: any part goes to any grid, also a finer one.
    """
    fitted = _fitted(shape, target_shape)
    down, across = (
        _averaging(length - 1, side / whole / zoom, count)
        for length, side, whole, count in zip(sums.shape, fitted, shape, grid, strict=True)
    )
    averaged = across @ np.ascontiguousarray((down @ sums).T)
    return _smooth_log(np.ascontiguousarray(averaged.T))


def _averaging(length: int, share: float, count: int) -> sparse.csr_array:
    """(count, length + 1): from sums up to each corner to means over `count` equal pieces of the
    middle `share` of the length."""
    places = length * (0.5 + share * (np.arange(count + 1) / count - 0.5))
    before = np.clip(places.astype(int), 0, length - 1)
    after_weight = places - before
    columns = np.stack([before, before + 1])
    weights = np.stack([1 - after_weight, after_weight]) * (count / (length * share))
    # A piece's mean is the sum up to its end less that up to its beginning.
    of = np.broadcast_to(np.arange(count), (4, count))
    entries = np.concatenate([weights[:, 1:], -weights[:, :-1]])
    where = np.concatenate([columns[:, 1:], columns[:, :-1]])
    return sparse.csr_array(
        (entries.ravel(), (of.ravel(), where.ravel())), shape=(count, length + 1)
    )


def _smooth_log(luma: Float) -> Float:
    mean = luma.mean()
    if mean <= 0:
        return np.zeros_like(luma)
    # Differences of sums may be a last bit below 0.
    return ndimage.gaussian_filter(np.log(np.maximum(luma / mean, 0.0) + _FLOOR), _SIGMA)


def _gradients(image: Float) -> Gradients:
    """Differences of neighbours, across and down."""
    return np.diff(image, axis=1), np.diff(image, axis=0)


def _correlation(one: Gradients, other: Gradients) -> float:
    energies = _product(one, one), _product(other, other)
    if min(energies) <= _FLAT**2 * (one[0].size + one[1].size):
        return 0.0
    return _product(one, other) / float(np.sqrt(energies[0] * energies[1]))


def _product(one: Gradients, other: Gradients) -> float:
    return sum(float((a * b).sum()) for a, b in zip(one, other, strict=True))


def _near(zoom: float) -> tuple[float, ...]:
    """The zooms whose scores a shift might have made change places."""
    place = ZOOMS.index(zoom)
    return ZOOMS[max(0, place - _STEPS) : place + _STEPS + 1]


def _between_steps(zoom: float) -> list[float]:
    """Zooms nearer to a step than its neighbours, from the nearest on."""
    parts = (sign * part for part in range(1, _PARTS) for sign in (-1, 1))
    finer = (zoom * 1.02 ** (part / _PARTS) for part in parts)
    return [one for one in finer if one >= 1]


def _shift(seen: Gradients, target: Gradients) -> tuple[float, tuple[float, float]]:
    """The highest cross-correlation and the shift (x, y) there, between pixels by a parabola."""
    # Padded by what is looked at, so that nothing comes round from the other side.
    size = [fft.next_fast_len(side + 1 + _REACH, real=True) for side in seen[0].shape]
    surface = sum(
        fft.irfft2(fft.rfft2(b, size) * fft.rfft2(a, size).conj(), size)
        for a, b in zip(seen, target, strict=True)
    )
    near = np.roll(surface, (_REACH, _REACH), (0, 1))[: 2 * _REACH + 1, : 2 * _REACH + 1]
    y, x = (int(i) for i in np.unravel_index(near.argmax(), near.shape))
    energies = _product(seen, seen) * _product(target, target)
    shift = x - _REACH + _between(near[y], x), y - _REACH + _between(near[:, x], y)
    return float(near[y, x] / np.sqrt(energies)), shift


def _between(line: Float, place: int) -> float:
    """How far from a highest value, in [-1/2, 1/2], the parabola through it and its neighbours has
    its top."""
    if not 0 < place < len(line) - 1:
        return 0.0
    before, top, after = line[place - 1 : place + 2]
    curvature = 2 * top - before - after
    return float((after - before) / (2 * curvature)) if curvature > 0 else 0.0
