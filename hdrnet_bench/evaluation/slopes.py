"""Slopes of the tone curves that a method's coefficients make of a picture, and which are inverted.

A method with coefficients makes them of a picture once, here a bilateral grid or one transform, and
then treats every pixel by itself. Its slope, at a pixel and in an output channel, is what the
channel rises by where the pixel gets lighter, per what it gets lighter by, with the coefficients
held:
    slope = (f(x + s / 2) - f(x - s / 2)) / s,  s = 1 / 255
x is the whole picture, all three channels of which get half a level of 8-bit sRGB lighter and
darker; f makes guide, slice and matrix of it, before clamping and rounding. So 1 keeps contrast, 2
doubles it, 0 is flat, and less than 0 turns it round: what is lighter comes out darker, as in a
negative. Linear light and camera colours get lighter on sRGB's curve, below black there is nothing,
and a model that encodes its input itself is given the same. A pyramid's levels all get lighter at
once, each with its grid held; how far a pixel reaches into its neighbours plays no part.

Of a picture of n values (pixels x 3 channels), in float32:
    inversions  the share of the slopes below `FLAT`, from 0 to 1; lower is better. A fall so slow
                that all of an 8-bit range loses less than three levels is flat, and nothing else is
                within reach of float32's rounding (about 1e-4, divided by s).
    low, high   the slopes that 0.1 % of all lie at or below, and at or above. Extremes would be of
                single pixels, and farther apart the more pixels a picture has. Neither is better
                for being higher: what a target asks for decides.

Not looked at are the three linear coefficients of a row alone, whose sum is the slope with the
guide held too: where the guide follows the picture, a matrix and an offset share the work in ways
that no output shows. Half of them may be negative where every pixel's curve rises, as a constant -1
with an offset that rises by 2 along the grid's depth is the identity. The least-squares grids of
the demo's pictures had up to 24 % negative sums, and 4 % inverted curves.

A target may ask for inversions (a local operator that darkens edges), and the best grid of a
picture has some: compare with `oracle-grid-…`, not with 0 alone. Where the output is clipped, they
are counted though they do not show. No published metric; defined here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..color import linear_to_srgb, srgb_to_linear
from ..config import HDRNetConfig
from ..data.pairs import Pair
from ..model.encoding import to_model_input
from ..model.hdrnet import HDRNet
from ..model.lowres import make_lowres

STEP = 1 / 255
FLAT = -0.01
TAIL = 1000  # one of so many slopes is at or below `low`, one at or above `high`

# What is added to the picture's sRGB -> the output (3, H, W), with the coefficients held.
Held = Callable[[float], Tensor]


@dataclass(frozen=True)
class WithCoefficients:
    """A method (score.Method) whose coefficients can be held. both: a pair at its size -> the
    output (3, H, W), and the method with the coefficients of that picture."""

    both: Callable[[Pair], tuple[Tensor, Held]]

    def __call__(self, pair: Pair) -> Tensor:
        return self.both(pair)[0]


class Slopes(NamedTuple):
    """Of one picture; see above."""

    inversions: float
    low: float
    high: float


def slopes(held: Held) -> Slopes:
    """Of a picture by what makes it lighter. Raises ValueError where the output is not finite."""
    darker, lighter = held(-STEP / 2), held(STEP / 2)
    values = ((lighter - darker) / STEP).flatten().cpu().numpy()
    if not np.isfinite(values).all():
        raise ValueError(
            "a picture half a level lighter or darker gives values that are not finite"
        )
    beyond = (len(values) - 1) // TAIL
    places = (beyond, len(values) - 1 - beyond)
    inversions = float((values < FLAT).mean())
    values.partition(places)
    return Slopes(inversions, *(float(values[place]) for place in places))


def of_model(model: HDRNet) -> WithCoefficients:
    """A model as a method."""
    config = model.config

    def both(pair: Pair) -> tuple[Tensor, Held]:
        @functools.cache  # once for both pictures, and not where nobody asks for a slope
        def grid() -> Tensor:
            given = to_model_input(pair.input, config)[None]
            return model.coefficients(
                make_lowres(given, config.net_input_size, config.lowres_resize)
            )

        @torch.no_grad()
        def held(shift: float) -> Tensor:
            return model.render_fast(grid(), lighter_input(pair.input, config, shift)[None])[0]

        return model.enhance(pair.input), held

    return WithCoefficients(both)


def lighter_input(image: Tensor, config: HDRNetConfig, shift: float) -> Tensor:
    """What a model is given of a picture whose sRGB is lighter by `shift`.

    Args:
        image: (3, H, W) in the encoding that the configuration names.
    """
    if "srgb" in (config.input_encoding, config.input_transfer):
        return to_model_input(image, config) + shift
    return srgb_to_linear(linear_to_srgb(image) + shift)
