"""What has been done to a picture's colours: each known mistake is undone, and its statistics then
compared with those of the fingerprint.

Of what explains the difference about as well as anything does, the simplest is believed first:
mistakes that leave nothing to choose (channels in another order, numbers of another colour space or
curve), then one number (light multiplied, or a power), then three (a gain for each channel).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..color import linear_to_srgb, srgb_to_linear
from ..images import icc
from ..images.colour_tags import ADOBE_PRIMARIES, profile_of_cicp, profile_of_gamma
from ..images.pixels import Pixels, white_level
from .picture import Fingerprint

Numbers = NDArray[np.float64]  # (N, 3) in [0, 1]

# Levels of 8 bits, of a channel's mean or deviation: what rounding and JPEG of high quality move.
ROUNDING = 0.5
# What an explanation may leave: a share of the difference, within two bounds; so much more than the
# best one leaves; and what one may leave where other pictures show what was done.
_SHARE, _LEAST, _MOST, _WORSE = 0.15, 0.35, 1.25, 0.5
_PLAUSIBLE, _PLAUSIBLE_SHARE = 4.0, 0.4
# Gains of three channels fit nearly anything: they are another white balance where they leave this
# share of what one gain leaves. On 40 photographs it was 0.06 to 0.19 of a white balance before a
# tone curve, and over 0.4 of a change of saturation.
_BALANCE = 0.3
_GAIN = 0.02  # of red or blue over green, from which it is one
_EV = 0.3  # stops, from which it is another exposure also where that does not explain all
_MOST_PIXELS = 1 << 18
_P3_PRIMARIES, _SRGB_CURVE = 12, 13  # of ITU-T H.273


class Change(NamedTuple):
    """kind: one of `WORDS`, "exposure", "gamma", "white balance", "exposure and white balance",
    "scale" (of numbers that are no sRGB) or "tones".
    residual: levels of 8 bits that it leaves unexplained; of tones, by how much they differ.
    explains: whether that is no more than 8-bit numbers leave.
    ev: by how much the picture is brighter, in stops. red, blue: its gains over green's. power:
    that its numbers are of the fingerprint's.
    """

    kind: str
    residual: float
    explains: bool
    ev: float | None = None
    red: float = 1.0
    blue: float = 1.0
    power: float | None = None


# Kind -> in words, of the picture at hand.
WORDS = {
    "bgr": "red and blue have changed places (BGR order)",
    "prophoto": "its numbers are ProPhoto RGB's, taken for sRGB's",
    "adobe-rgb": "its numbers are Adobe RGB's, taken for sRGB's",
    "display-p3": "its numbers are Display P3's, taken for sRGB's",
    "linear": "its numbers are linear light, without sRGB's curve",
    "encoded-twice": "sRGB's curve was applied twice",
    "gamma-1.8": "it has gamma 1.8 in place of sRGB's curve",
    "gamma-2.2": "it has gamma 2.2 in place of sRGB's curve",
}


def colour_distances(found: Fingerprint, wanted: Fingerprint) -> tuple[float, float]:
    """The largest difference of a channel's mean, and of one's deviation, in levels of 8 bits."""
    moved = np.abs(np.array([found.mean, found.std]) - np.array([wanted.mean, wanted.std])) * 255
    return float(moved[0].max()), float(moved[1].max())


def candidates(pixels: Pixels, wanted: Fingerprint, srgb: bool = True) -> list[Change]:
    """What may have been done to (H, W, 3) pixels, the most believable first; one of them is a
    description that always holds.

    srgb: what the numbers should be; of others, as XYZ, no mistake about sRGB is looked for, and
    their curve is not known.
    """
    numbers = _sample(pixels)
    before = _distance(_statistics(numbers), wanted)
    limit = min(_MOST, max(_LEAST, _SHARE * before))

    def change(kind: str, undone: Numbers, **told: float) -> Change:
        residual = _distance(_statistics(undone), wanted)
        return Change(kind, residual, residual <= limit, **told)

    mistakes = {kind: _UNDO[kind] for kind in (_UNDO if srgb else ("bgr",))}
    simple = [change(kind, undo(numbers)) for kind, undo in mistakes.items()]
    gain, exposed = _one_gain(numbers, wanted, srgb)
    one = change("exposure" if srgb else "scale", exposed, ev=-float(np.log2(gain)))
    simple.append(one)
    if srgb:
        exponent = _exponent(numbers, wanted)
        simple.append(change("gamma", numbers**exponent, power=1 / exponent))
    # Mistakes come before what has a number to choose; of either, what leaves the least.
    simple.sort(key=lambda each: (each.kind not in mistakes, each.residual))
    best = min(each.residual for each in simple)
    sure = [each for each in simple if each.explains and each.residual <= best + _WORSE]
    plausible = min(_PLAUSIBLE, _PLAUSIBLE_SHARE * before)
    unsure = [
        each
        for each in simple
        if each.kind in mistakes and each.residual <= plausible and each not in sure
    ]
    described = _description(numbers, wanted, one, before, srgb)
    return [*sure, *unsure, described] if sure else [described, *unsure]


def _description(
    numbers: Numbers, wanted: Fingerprint, one: Change, before: float, srgb: bool
) -> Change:
    """What is said where nothing explains the difference: another white balance where three gains
    do much better than one, another exposure where that is most of it, or other tones."""
    assert one.ev is not None
    if srgb:
        gains, balanced = _three_gains(numbers, wanted)
        residual = _distance(_statistics(balanced), wanted)
        red, blue = float(gains[1] / gains[0]), float(gains[1] / gains[2])
        is_balance = max(abs(red - 1), abs(blue - 1)) >= _GAIN
        if is_balance and residual <= min(_BALANCE * one.residual, _PLAUSIBLE):
            kind = "exposure and white balance" if abs(one.ev) >= _EV else "white balance"
            return Change(kind, residual, residual <= _MOST, one.ev, red, blue)
    if abs(one.ev) >= _EV and one.residual < before:
        return one._replace(explains=False)
    return Change("tones", before, False)


def _sample(pixels: Pixels) -> Numbers:
    """At most some 260,000 pixels, evenly over the picture."""
    height, width = pixels.shape[:2]
    step = max(1, round((height * width / _MOST_PIXELS) ** 0.5))
    return pixels[::step, ::step].reshape(-1, 3).astype(np.float64) / white_level(pixels)


def _statistics(numbers: Numbers) -> NDArray[np.float64]:
    """(2, 3): mean and deviation."""
    return np.array([numbers.mean(axis=0), numbers.std(axis=0)])


def _distance(statistics: NDArray[np.float64], wanted: Fingerprint) -> float:
    return float(np.abs(statistics - np.array([wanted.mean, wanted.std])).max() * 255)


def _exponent(numbers: Numbers, wanted: Fingerprint) -> float:
    """The power that brings the mean of all numbers to the wanted one, by halving."""
    target, low, high = np.mean(wanted.mean), 0.2, 5.0
    for _ in range(24):
        middle = (low * high) ** 0.5
        if float((numbers**middle).mean()) > target:
            low = middle
        else:
            high = middle
    return (low * high) ** 0.5


def _one_gain(numbers: Numbers, wanted: Fingerprint, srgb: bool) -> tuple[float, Numbers]:
    """The gain of all light that brings its mean to the wanted one, and the numbers then."""
    light = srgb_to_linear(numbers) if srgb else numbers
    gains = _gains(light.reshape(-1, 1), np.mean(wanted.light if srgb else wanted.mean))
    undone = np.clip(light * gains, 0, 1)
    return float(gains[0]), linear_to_srgb(undone) if srgb else undone


def _three_gains(numbers: Numbers, wanted: Fingerprint) -> tuple[NDArray[np.float64], Numbers]:
    """As `_one_gain`, of each channel by itself."""
    light = srgb_to_linear(numbers)
    gains = _gains(light, np.array(wanted.light))
    return gains, linear_to_srgb(np.clip(light * gains, 0, 1))


def _gains(light: NDArray[np.float64], target: Any) -> NDArray[np.float64]:
    """(C,): what the columns of light (N, C) are to be multiplied with, so that their means are the
    target when what is over white is cut off; within six stops."""
    gains = np.ones(light.shape[1])
    for _ in range(16):  # what is cut off does not become brighter
        now = np.clip(light * gains, 0, 1).mean(axis=0)
        gains *= np.where((now > 0) & (target > 0), target / np.maximum(now, 1e-9), 1.0)
        gains = np.clip(gains, 1 / 64, 64)
    return gains


def _from_profile(profile: Callable[[], bytes]) -> Callable[[Numbers], Numbers]:
    def undo(numbers: Numbers) -> Numbers:
        pixels = numbers[None].astype(np.float32)
        return icc.convert(pixels, profile(), icc.SRGB, np.float32)[0].astype(np.float64)

    return undo


@lru_cache(1)
def _adobe() -> bytes:
    return profile_of_gamma(ADOBE_PRIMARIES, 563 / 256)


@lru_cache(1)
def _p3() -> bytes:
    profile = profile_of_cicp(_P3_PRIMARIES, _SRGB_CURVE)
    assert profile is not None
    return profile


def _of_gamma(gamma: float) -> Callable[[Numbers], Numbers]:
    return lambda numbers: linear_to_srgb(numbers**gamma)


_UNDO: dict[str, Callable[[Numbers], Numbers]] = {
    "bgr": lambda numbers: numbers[:, ::-1],
    "prophoto": _from_profile(lambda: icc.ROMM),
    "adobe-rgb": _from_profile(_adobe),
    "display-p3": _from_profile(_p3),
    "linear": linear_to_srgb,
    "encoded-twice": srgb_to_linear,
    "gamma-1.8": _of_gamma(1.8),
    "gamma-2.2": _of_gamma(2.2),
}
