"""Colour differences in CIE L*a*b* (D65, 2 degrees).

Space: sRGB as encoded, in [0, 1], clamped, not rounded; L* in [0, 100]. The mean over the pixels
of a picture; 0 where identical, lower is better. CIE76 is the Euclidean distance; CIEDE2000
follows Sharma, Wu and Dalal (Color Research and Application 2005) with kL = kC = kH = 1. Agrees
with skimage.color.rgb2lab, deltaE_cie76 and deltaE_ciede2000.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..color import srgb_to_lab
from ._pairs import as_pair, per_picture


def delta_e_76(output: Tensor, target: Tensor) -> Tensor:
    """Mean CIE76 of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float64."""
    x, y, batched = as_pair(output, target)
    difference = srgb_to_lab(x.clamp(0, 1)) - srgb_to_lab(y.clamp(0, 1))
    return per_picture(difference.square().sum(1).sqrt().mean(dim=(1, 2)), batched)


def delta_e_2000(output: Tensor, target: Tensor) -> Tensor:
    """Mean CIEDE2000 of (3, H, W) or (B, 3, H, W) sRGB in [0, 1]: () or (B,), float64."""
    x, y, batched = as_pair(output, target)
    difference = ciede2000(srgb_to_lab(x.clamp(0, 1)), srgb_to_lab(y.clamp(0, 1)))
    return per_picture(difference.mean(dim=(1, 2)), batched)


def ciede2000(lab1: Tensor, lab2: Tensor) -> Tensor:
    """CIEDE2000 per pixel: two (B, 3, H, W) in L*a*b* -> (B, H, W). Names as in the paper."""
    l1, a1, b1 = lab1.unbind(1)
    l2, a2, b2 = lab2.unbind(1)

    c_mean = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    g = 0.5 * (1 - torch.sqrt(c_mean**7 / (c_mean**7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1 = torch.atan2(b1, a1) % (2 * math.pi)
    h2 = torch.atan2(b2, a2) % (2 * math.pi)

    grey = c1 * c2 == 0
    dh = h2 - h1
    dh = torch.where(dh > math.pi, dh - 2 * math.pi, dh)
    dh = torch.where(dh < -math.pi, dh + 2 * math.pi, dh)
    dh = torch.where(grey, 0.0, dh)
    dl, dc = l2 - l1, c2 - c1
    dh_big = 2 * torch.sqrt(c1 * c2) * torch.sin(dh / 2)

    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2
    h_sum = h1 + h2
    far = (h1 - h2).abs() > math.pi
    turn_back = torch.where(h_sum < 2 * math.pi, 2 * math.pi, -2 * math.pi)
    h_mean = (h_sum + torch.where(far, turn_back, 0.0)) / 2
    h_mean = torch.where(grey, h_sum, h_mean)

    def cosine(multiple: int, degrees: float) -> Tensor:
        return torch.cos(multiple * h_mean + math.radians(degrees))

    t = 1 - 0.17 * cosine(1, -30) + 0.24 * cosine(2, 0) + 0.32 * cosine(3, 6)
    t = t - 0.20 * cosine(4, -63)
    l_off = (l_mean - 50) ** 2
    s_l = 1 + 0.015 * l_off / torch.sqrt(20 + l_off)
    s_c = 1 + 0.045 * c_mean
    s_h = 1 + 0.015 * c_mean * t
    turn = torch.exp(-(((torch.rad2deg(h_mean) - 275) / 25) ** 2))
    r_c = 2 * torch.sqrt(c_mean**7 / (c_mean**7 + 25.0**7))
    r_t = -torch.sin(2 * math.radians(30) * turn) * r_c

    l_term, c_term, h_term = dl / s_l, dc / s_c, dh_big / s_h
    squared = l_term**2 + c_term**2 + h_term**2 + r_t * c_term * h_term
    return squared.clamp(min=0).sqrt()
