"""Finding which part of an input its finished target shows, and which way up.

A camera's finished picture is a turned, digitally zoomed and tone-mapped rendition of its raw
frame. Both are averaged to 256 pixels on the long edge. All eight orientations and zooms of 1.02^k
are tried; the one whose gradients of log luma correlate best with the target's is taken, then the
zoom between two steps that correlates best. Gradients of the logarithm do not depend on exposure,
and local tone mapping changes their size more than their sign. What may be left, a shift, is
measured and never corrected: a pair that is shifted, or that nothing fits, is one to leave out.

The target is taken to show the middle of the frame, in the target's own shape: a frame of another
shape is cut, never stretched.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, sparse

from ...color import LUMINANCE, srgb_to_linear
from ...images.pixels import Pixels, upright
from ...images.resize import SizeRule, average_channel, curve

Float = NDArray[np.float64]
Gradients = tuple[Float, Float]
Shape = tuple[int, ...]

LONG_EDGE = 256
ZOOMS = tuple(1.02**k for k in range(71))  # up to 4
# Unrelated photographs stay below 0.2, even where they fit best.
MIN_CORRELATION = 0.3
# Along either axis, in pixels of LONG_EDGE: up to here the best whole shift is none.
MAX_SHIFT = 0.5
# How far a shift is looked for, in the same pixels. One that is larger leaves no correlation.
_REACH = 16
# A shift makes a neighbouring zoom seem to fit better, so this many steps to either side of the
# best one are compared again, each at its best shift.
_NEIGHBOURS = 3
# One step of zoom moves the borders by up to 2.6 pixels of LONG_EDGE. So zooms are tried at these
# fractions of a step too, and one is taken where it correlates better by so much that a picture
# without zoom is not found to have a little of it.
_FRACTIONS, _MIN_GAIN = 16, 1e-3
# Standard deviation of the smoothing, in pixels of LONG_EDGE: a zoom between two steps, which puts
# the borders a pixel off, still correlates.
_SIGMA = 1.0
# Added to luma before the logarithm, as a share of its mean: what is far darker is noise, which the
# logarithm would make as large as detail.
_FLOOR = 0.02
# Scores closer than this are equal: sums over a mirrored picture differ in their last bits.
_TIE = 1e-9
# Root mean square of gradients below which a picture is flat. Rounding alone makes less than this,
# and is nothing to compare.
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
    """A zoom, how well it fits, and the shift (x, y), in pixels of the grid, at which it fits best.

    peak: the correlation at that shift. score: the correlation without a shift.
    """

    peak: float
    shift: tuple[float, float]
    score: float
    zoom: float


def align(input_pixels: NDArray[np.uint16], target_pixels: NDArray[np.uint8]) -> Alignment:
    """Find the target in the input.

    Of orientations and zooms with equal scores the one is taken that cuts the least off the input
    to have the target's shape, then the lower orientation, then the smaller zoom.

    Args:
        input_pixels: (H, W, 3) linear light, whatever the primaries and the white.
        target_pixels: (H', W', 3) sRGB, of any size and shape.
    """
    luma = _small(target_pixels, curve(srgb_to_linear, 8), LONG_EDGE)
    target = _smooth_log(luma.astype(np.float64))
    # A mirrored input against the target is the input against the mirrored target: that is computed
    # once, and not for every zoom.
    target_gradients = [_gradients(upright(target, code)) for code in (1, 2, 3, 4)]
    # So large that the part which the strongest zoom shows has as many pixels as the target's grid.
    small = _small(input_pixels, curve(), round(LONG_EDGE * ZOOMS[-1]))
    scores = []
    for turn in (0, 4):  # as it lies, and transposed; every orientation mirrors one of these
        shape = _upright_shape(input_pixels.shape, turn + 1)
        sums = _corner_sums(upright(small, turn + 1))
        part = _largest_part(shape, target_pixels.shape)
        # Rounded: where both turns cut the same, their products may differ in the last bits.
        cut = round(1 - part[0] * part[1] / (shape[0] * shape[1]), 9)
        for zoom in ZOOMS:
            view = _gradients(_view(sums, shape, target_pixels.shape, zoom, target.shape))
            for code, gradients in enumerate(target_gradients, turn + 1):
                scores.append((_correlation(view, gradients), (cut, code, zoom)))
    best = max(score for score, _ in scores)
    # Not the highest of all: a symmetric scene would come out mirrored by the sums' last bits.
    _, orientation, first = min(order for score, order in scores if score >= best - _TIE)
    shape = _upright_shape(input_pixels.shape, orientation)
    sums = _corner_sums(upright(small, orientation))

    def fit(zoom: float) -> _Fit:
        view = _gradients(_view(sums, shape, target_pixels.shape, zoom, target.shape))
        score = _correlation(view, target_gradients[0])
        # A flat picture has a score of exactly 0, and no energy to divide by.
        return _Fit(
            *(_shift(view, target_gradients[0]) if score else (0.0, (0.0, 0.0))), score, zoom
        )

    if best < MIN_CORRELATION:  # to be left out whatever a search would find
        result = fit(first)
    else:
        # Of zooms that fit equally well at their shifts, the nearest to the first.
        steps = [fit(zoom) for zoom in _neighbours(first)]
        result = max(steps, key=lambda step: (round(step.peak, 9), -abs(step.zoom - first)))
        finest = max(map(fit, _between_steps(result.zoom)), key=lambda step: step.peak)
        if finest.peak > result.peak + _MIN_GAIN:
            result = finest
    _, shift, score, zoom = result
    height, width = (
        max(1, round(side / zoom)) for side in _largest_part(shape, target_pixels.shape)
    )
    # A target that is smaller than LONG_EDGE is not enlarged: its grid's pixels are larger ones.
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
        fault = f"correlate by less than {MIN_CORRELATION}"
    elif max(abs(x), abs(y)) > MAX_SHIFT:
        fault = f"are shifted by more than {MAX_SHIFT} of {LONG_EDGE} pixels"
    else:
        return None
    return (
        f"input and target {fault}: correlation {alignment.correlation:.3f}, shift ({x:+.2f}, "
        f"{y:+.2f}), at orientation {alignment.orientation}, zoom {alignment.zoom:.3f}"
    )


def apply(input_pixels: NDArray[np.uint16], alignment: Alignment) -> NDArray[np.uint16]:
    """(height, width, 3): the input turned and cropped, its pixels as they were."""
    left, top, width, height = alignment.crop
    whole = upright(input_pixels, alignment.orientation)
    return np.ascontiguousarray(whole[top : top + height, left : left + width])


def _upright_shape(shape: Shape, orientation: int) -> tuple[int, int]:
    """(height, width) of a picture once it is upright."""
    return (shape[1], shape[0]) if orientation > 4 else (shape[0], shape[1])


def _largest_part(shape: Shape, target_shape: Shape) -> tuple[float, float]:
    """(height, width) of the largest part of a picture that has the target's aspect ratio."""
    scale = min(shape[0] / target_shape[0], shape[1] / target_shape[1])
    return target_shape[0] * scale, target_shape[1] * scale


def _small(pixels: Pixels, table: NDArray[np.float32], edge: int) -> NDArray[np.float32]:
    """(h, w) luma in linear light, `edge` on the long edge or as it was where that is less.

    table: linear light of each value that a pixel may have.
    """
    height, width = pixels.shape[:2]
    luma = np.zeros((height, width), np.float32)
    # Channel by channel, so that the whole picture is never there as floating point.
    for channel, weight in enumerate(LUMINANCE):
        luma += (table * np.float32(weight))[pixels[:, :, channel]]
    return average_channel(luma, SizeRule(edge="long", pixels=edge).target(width, height))


def _corner_sums(luma: NDArray[np.float32]) -> Float:
    """Summed-area table, (h + 1, w + 1): at each corner of a pixel the sum of all that is above and
    to the left of it. The sum over any rectangle is then that of four corners, so that the cost of
    a zoom does not depend on how many pixels it averages.
    """
    # In float64: differences of large sums would lose the small numbers in float32.
    sums = luma.astype(np.float64).cumsum(0).cumsum(1)
    return np.ascontiguousarray(np.pad(sums, ((1, 0), (1, 0))))


def _view(sums: Float, shape: Shape, target_shape: Shape, zoom: float, grid: Shape) -> Float:
    """What the target shows at this zoom: the middle of the picture, averaged to `grid`; its smooth
    log luma.

    Between corners the sums are interpolated, which is exact for pixels that are squares of one
    colour: any part goes to any grid, also a finer one.

    Args:
        sums: `_corner_sums` of the small picture.
        shape: of the turned picture in full size.
        target_shape: of the target in full size.
        zoom: at least 1.
        grid: (height, width) of the result.
    """
    # Averaging separates into rows and columns, so two thin matrices do it.
    part = _largest_part(shape, target_shape)
    down, across = (
        _averaging(length - 1, side / whole / zoom, count)
        for length, side, whole, count in zip(sums.shape, part, shape, grid, strict=True)
    )
    means = across @ np.ascontiguousarray((down @ sums).T)
    return _smooth_log(np.ascontiguousarray(means.T))


def _averaging(length: int, share: float, count: int) -> sparse.csr_array:
    """(count, length + 1): from sums up to each corner to means over `count` equal pieces of the
    middle `share` of the length."""
    borders = length * (0.5 + share * (np.arange(count + 1) / count - 0.5))
    # The last border may be the last corner itself, or a last bit beyond it: it is interpolated
    # from the corner before, since there is none behind.
    corner = np.clip(borders.astype(int), 0, length - 1)
    next_weight = borders - corner
    columns = np.stack([corner, corner + 1])
    weights = np.stack([1 - next_weight, next_weight]) * (count / (length * share))
    # A piece's mean is the sum up to its end less that up to its beginning, each interpolated
    # between two corners: four entries a row.
    rows = np.broadcast_to(np.arange(count), (4, count))
    entries = np.concatenate([weights[:, 1:], -weights[:, :-1]])
    row_columns = np.concatenate([columns[:, 1:], columns[:, :-1]])
    return sparse.csr_array(
        (entries.ravel(), (rows.ravel(), row_columns.ravel())), shape=(count, length + 1)
    )


def _smooth_log(luma: Float) -> Float:
    """Log luma without its exposure, smoothed; all 0 for a black picture."""
    mean = luma.mean()
    if mean <= 0:
        return np.zeros_like(luma)
    # Differences of sums may be a last bit below 0.
    return ndimage.gaussian_filter(np.log(np.maximum(luma / mean, 0.0) + _FLOOR), _SIGMA)


def _gradients(image: Float) -> Gradients:
    """Differences of neighbours, across and down."""
    return np.diff(image, axis=1), np.diff(image, axis=0)


def _correlation(a: Gradients, b: Gradients) -> float:
    """Normalised correlation of two fields of gradients, in [-1, 1]; 0 where one is flat. No mean
    is subtracted: over a whole frame that of a gradient is near 0."""
    energies = _product(a, a), _product(b, b)
    if min(energies) <= _FLAT**2 * (a[0].size + a[1].size):
        return 0.0
    return _product(a, b) / float(np.sqrt(energies[0] * energies[1]))


def _product(a: Gradients, b: Gradients) -> float:
    return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))


def _neighbours(zoom: float) -> tuple[float, ...]:
    """The zooms whose scores a shift might have made change places with this one's."""
    k = ZOOMS.index(zoom)
    return ZOOMS[max(0, k - _NEIGHBOURS) : k + _NEIGHBOURS + 1]


def _between_steps(zoom: float) -> list[float]:
    """Zooms between a step and its two neighbours, from the nearest on: of equals, `max` takes the
    first."""
    fractions = (sign * part / _FRACTIONS for part in range(1, _FRACTIONS) for sign in (-1, 1))
    zooms = (zoom * 1.02**fraction for fraction in fractions)
    return [finer for finer in zooms if finer >= 1]


def _shift(view: Gradients, target: Gradients) -> tuple[float, tuple[float, float]]:
    """The highest cross-correlation, and the shift (x, y) at which it is, between pixels by a
    parabola."""
    # The product of one spectrum with the other's conjugate is the spectrum of their correlation at
    # all shifts at once. It is periodic: padding by the reach keeps what leaves on one side from
    # coming back on the other. One more, since the gradient across, whose sides these are, is a
    # pixel narrower than the one down.
    size = [fft.next_fast_len(side + 1 + _REACH, real=True) for side in view[0].shape]
    surface = sum(
        fft.irfft2(fft.rfft2(b, size) * fft.rfft2(a, size).conj(), size)
        for a, b in zip(view, target, strict=True)
    )
    # Negative shifts lie at the far end of each axis: rolled, all within the reach are one block.
    block = np.roll(surface, (_REACH, _REACH), (0, 1))[: 2 * _REACH + 1, : 2 * _REACH + 1]
    y, x = (int(i) for i in np.unravel_index(block.argmax(), block.shape))
    energies = _product(view, view) * _product(target, target)
    shift = (
        x - _REACH + _parabola_top(block[y], x),
        y - _REACH + _parabola_top(block[:, x], y),
    )
    return float(block[y, x] / np.sqrt(energies)), shift


def _parabola_top(values: Float, index: int) -> float:
    """How far from the highest value, in [-1/2, 1/2], the parabola through it and its two
    neighbours has its top."""
    if not 0 < index < len(values) - 1:  # at the reach's end there is one neighbour only
        return 0.0
    before, top, after = values[index - 1 : index + 2]
    # Three equal values have no top, and would divide by 0.
    curvature = 2 * top - before - after
    return float((after - before) / (2 * curvature)) if curvature > 0 else 0.0
