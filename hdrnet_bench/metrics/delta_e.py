"""Colour differences in CIE L*a*b* (D65, 2 degrees).

Space: sRGB as encoded, in [0, 1], clamped, not rounded; L* in [0, 100]. The mean over the pixels
of a picture; 0 where identical, lower is better. CIE76 is the Euclidean distance; CIEDE2000
follows Sharma, Wu and Dalal (Color Research and Application 2005) with kL = kC = kH = 1. Agrees
with skimage.color.rgb2lab, deltaE_cie76 and deltaE_ciede2000. Computed in float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._lab import Lab, above, srgb_to_lab
from ._pairs import as_pair, per_picture, strips


def delta_e_76(output: Tensor, target: Tensor) -> Tensor:
    """Mean CIE76 of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float64."""
    return _means(output, target, cie76=True)[0]


def delta_e_2000(output: Tensor, target: Tensor) -> Tensor:
    """Mean CIEDE2000 of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float64."""
    return _means(output, target, ciede2000=True)[0]


def delta_e_both(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """delta_e_76 and delta_e_2000 of the same pictures, which share the way to L*a*b*."""
    first, second = _means(output, target, cie76=True, ciede2000=True)
    return first, second


def _means(
    output: Tensor, target: Tensor, cie76: bool = False, ciede2000: bool = False
) -> list[Tensor]:
    x, y, batched = as_pair(output, target)
    differences = [cie76_of] * cie76 + [ciede2000_of] * ciede2000
    totals = [x.new_zeros(len(x), dtype=torch.float64) for _ in differences]
    for a, b in strips(x, y):
        lab1, lab2 = srgb_to_lab(a), srgb_to_lab(b)
        for total, difference in zip(totals, differences, strict=True):
            total += difference(lab1, lab2).sum(dim=(1, 2))
    return [per_picture(total / x[0, 0].numel(), batched) for total in totals]


def cie76_of(lab1: Lab, lab2: Lab) -> Tensor:
    """CIE76 per pixel: two L*, a*, b*, each of any shape -> that shape."""
    l, a, b = (first - second for first, second in zip(lab1, lab2, strict=True))  # noqa: E741
    return l.square_().addcmul_(a, a).addcmul_(b, b).sqrt_()


def ciede2000_of(lab1: Lab, lab2: Lab) -> Tensor:
    """CIEDE2000 per pixel: two L*, a*, b*, each of any shape -> that shape. Names as in the paper.

    Written for speed: no power, no remainder and no choice of branches but by weights of 0 and 1.
    """
    l1, a1, b1 = lab1
    l2, a2, b2 = lab2

    c_mean = _length(a1, b1).add_(_length(a2, b2)).div_(2)
    g = _saturation(c_mean).mul_(-0.5).add_(1.5)  # 1 + G: a* of greyish colours is stretched
    a1, a2 = g * a1, g * a2
    c1, c2 = _length(a1, b1), _length(a2, b2)
    h1, h2 = _hue(a1, b1), _hue(a2, b2)

    # With a grey one of the pair the hue has no say: c1 c2 is 0, and so is the difference in hue.
    dh = h2 - h1
    apart = above(dh.abs(), math.pi)  # by more than half a turn: the other way round is shorter
    dh -= torch.copysign(apart * (2 * math.pi), dh)
    dl, dc = l2 - l1, c2 - c1
    dh_big = (c1 * c2).sqrt_().mul_(dh.div_(2).sin_()).mul_(2)

    l_mean, c_mean = (l1 + l2).div_(2), (c1 + c2).div_(2)
    # Hues that lie far apart have their mean on the other side. Where the sum is a whole turn the
    # formula's mean is 0, not 2 pi, which the rotation tells apart.
    h_sum = h1 + h2
    h_mean = (h_sum + apart * (2 * math.pi * (1 - 2 * _at_least(h_sum, 2 * math.pi)))).div_(2)
    grey = 1 - above(c1 * c2, 0)  # the paper takes the sum there, not its half
    h_mean = torch.lerp(h_mean, h_sum, grey)

    # The weights of lightness, chroma and hue; hue's by a series in the mean hue.
    def cosine(multiple: int, degrees: float) -> Tensor:
        return (h_mean * multiple).add_(math.radians(degrees)).cos_()

    t = cosine(1, -30).mul_(-0.17).add_(1)
    t.add_(cosine(2, 0), alpha=0.24).add_(cosine(3, 6), alpha=0.32)
    t.add_(cosine(4, -63), alpha=-0.20)
    offset = l_mean.sub_(50).square_()
    s_l = (offset * 0.015).div_((offset + 20).sqrt_()).add_(1)
    s_c = (c_mean * 0.045).add_(1)
    s_h = t.mul_(c_mean).mul_(0.015).add_(1)
    # The rotation of chroma and hue against each other, around blue (275 degrees).
    turn = h_mean.mul_(180 / math.pi).sub_(275).div_(25).square_().neg_().exp_()
    r_t = turn.mul_(2 * math.radians(30)).sin_().mul_(_saturation(c_mean)).mul_(-2)

    l_term, c_term, h_term = dl.div_(s_l), dc.div_(s_c), dh_big.div_(s_h)
    cross = r_t.mul_(c_term).mul_(h_term)
    total = l_term.square_().addcmul_(c_term, c_term).addcmul_(h_term, h_term).add_(cross)
    return total.clamp_(min=0).sqrt_()


def _length(a: Tensor, b: Tensor) -> Tensor:
    return (a * a).addcmul_(b, b).sqrt_()


def _hue(a: Tensor, b: Tensor) -> Tensor:
    """The angle of (a, b) in [0, 2 pi)."""
    angle = torch.atan2(b, a)
    return angle.add_(torch.lt(angle, 0, out=torch.empty_like(angle)), alpha=2 * math.pi)


def _at_least(x: Tensor, threshold: float) -> Tensor:
    """1 where x is at or above the threshold, else 0."""
    return torch.ge(x, threshold, out=torch.empty_like(x))


def _saturation(c: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7))."""
    c2 = c * c
    c7 = (c2 * c2).mul_(c2).mul_(c)
    return c7.div_(c7 + 25.0**7).sqrt_()
