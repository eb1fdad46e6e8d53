"""Metrics as families of papers computed them, by name, to compare with what they published.

MODES[name] takes two pictures, (3, H, W) or (B, 3, H, W) sRGB as encoded in [0, 1], the output
first, and returns one value a picture for each of metric_specs.PUBLISHED[name], where range,
direction and source stand. What is said of rounding and clamping there is done here, so that the
pictures go in as they are. All is float64, where the papers' own programs are partly float32. The
errors are those of the canonical metrics. The two that do not clamp, `namedcurves` and `hdrnet`,
take any_range=True for an output that is known to be a network's, however far outside [0, 1].

Not theirs is what is done where a definition fails. An SSIM whose data range is taken from a
picture is NaN where that is constant; and in zeng's, pictures with fewer than 384 rows (or 128
columns), which MATLAB's filter refuses, have their channels side by side like all others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..color import XYZ_FROM_LINEAR, srgb_to_linear
from ._lab import matlab, srgb_to_lab
from ._pairs import as_float64, as_pair, per_picture, strips
from .delta_e import cie76_of, delta_e_76, delta_e_both
from .lpips import BACKBONES, lpips
from .psnr import levels, psnr
from .ssim import gaussian, mean_similarity

Values = dict[str, Tensor | None]


def zeng(output: Tensor, target: Tensor) -> Values:
    """psnr, ssim, delta_e of the 3D-LUT family; on PPR10K its calculate_metrics.m gives the first
    and the last. Raises Undefined under 11 rows or 4 columns."""
    x, y, batched = as_pair(output, target)
    # ssim.m's factor: rows and columns of what it takes for one grey picture, halves rounded up.
    f = max(1, int(min(x.shape[2], 3 * x.shape[3]) / 256 + 0.5))
    similarity = mean_similarity(
        _side_by_side(x, f), _side_by_side(y, f), gaussian(), data_range=255
    )
    # Strip by strip: the float64 planes of one stay in a core's cache.
    total = x.new_zeros(len(x), dtype=torch.float64)
    for a, b in strips(x, y):
        labs = (srgb_to_lab(levels(picture) / 255, matlab()) for picture in (a, b))
        total += cie76_of(*labs).sum(dim=(1, 2))
    return {
        "psnr": psnr(output, target),
        "ssim": per_picture(similarity, batched),
        "delta_e": per_picture(total / x[0, 0].numel(), batched),
    }


def _side_by_side(picture: Tensor, f: int) -> Tensor:
    """8-bit levels of (B, 3, H, W) as (B, 1, ceil(H / f), ceil(3 W / f)): each channel averaged in
    boxes of f x f, mirrored at its borders; red, green and blue side by side; every f-th sample.

    Of an even box, the one more sample lies below and to the right, as MATLAB's imfilter has it.
    Only what is sampled is computed; sums of integers are exact.
    """
    width = picture.shape[3]
    before, after = (f - 1) // 2, f // 2
    channels = []
    for c in range(3):
        rows = _mirror(levels(as_float64(picture[:, c])), before, after, dim=1)
        sums = rows.unfold(1, f, f).sum(-1)  # (B, ceil(H / f), W)
        # A box's sum is the difference of two sums from the row's beginning, the first of them 0.
        cumulative = _mirror(sums, before, after, dim=2).cumsum(2)
        cumulative = torch.nn.functional.pad(cumulative, (1, 0))
        # The samples f, 2 f, … run on from one channel into the next.
        starts = torch.arange(-c * width % f, width, f, device=picture.device)
        channels.append(cumulative[..., starts + f] - cumulative[..., starts])
    return torch.cat(channels, dim=2)[:, None] / f**2


def _mirror(x: Tensor, before: int, after: int, dim: int) -> Tensor:
    """x with its border samples mirrored outwards, the outermost first."""
    end = x.shape[dim]
    parts = [x.narrow(dim, 0, before).flip(dim), x, x.narrow(dim, end - after, after).flip(dim)]
    return torch.cat(parts, dim)


def llf_lut(output: Tensor, target: Tensor, with_lpips: bool = True) -> Values:
    """psnr, ssim, lpips of LLF-LUT; lpips is None where its weights are not on this machine, or it
    is not asked for.

    Raises Undefined where a side is under 7 pixels, with LPIPS's weights under 32.
    """
    x, y, batched = _clamp_pair(output, target)
    # Weights 1 / 7 along both axes; a sample of 49.
    similarity = mean_similarity(x, y, [1 / 7] * 7, covariance=49 / 48)
    return {
        "psnr": per_picture(_psnr_of(_mse(x, y)), batched),
        "ssim": per_picture(similarity, batched),
        "lpips": llf_lut_lpips(output, target) if with_lpips and _has_weights() else None,
    }


def llf_lut_lpips(output: Tensor, target: Tensor) -> Tensor:
    """What `llf_lut` gives as lpips, alone. Raises as metrics.lpips."""
    return lpips(output, target)


def _has_weights() -> bool:
    return BACKBONES["alex"].path.is_file()


def csrnet(output: Tensor, target: Tensor) -> Values:
    """psnr, ssim, l2_lab of CSRNet and NeurOp. Raises Undefined where a side is under 11."""
    x, y, batched = as_pair(output, target)
    total = x.new_zeros(len(x), dtype=torch.float64)
    for a, b in strips(x, y):
        difference = opencv_lab(levels(a).long()) - opencv_lab(levels(b).long())
        total += difference.square().sum(1).double().sqrt_().sum(dim=(1, 2))
    x8, y8 = (levels(as_float64(picture)).div_(255) for picture in (x, y))  # as saved
    return {
        "psnr": psnr(output, target),
        "ssim": per_picture(mean_similarity(x8, y8, gaussian()), batched),
        "l2_lab": per_picture(total / x[0, 0].numel(), batched),
    }


def opencv_lab(rgb: Tensor) -> Tensor:
    """OpenCV's L*a*b* of 8-bit RGB, (B, 3, H, W) integers: L* 255 / 100, a* + 128, b* + 128.

    In its fixed-point arithmetic: light in 1 / 8 of a level, sums in 1 / 2^12, cube roots looked up
    in 1 / 2^15.
    """
    light, roots, matrix = (table.to(rgb.device) for table in _opencv_tables())
    linear = light[rgb]
    # Half of the last place is added before bits are shifted out: rounding to nearest.
    x, y, z = (
        roots[(sum(row[i] * linear[:, i] for i in range(3)) + (1 << 11)) >> 12] for row in matrix
    )
    half, one = 1 << 14, 1 << 15
    scale, shift = (116 * 255 + 50) // 100, -((16 * 255 * one + 50) // 100)
    lightness = (scale * y + shift + half) >> 15
    a = (500 * (x - y) + 128 * one + half) >> 15
    b = (200 * (y - z) + 128 * one + half) >> 15
    return torch.stack([lightness, a, b], 1).clamp_(0, 255)


@lru_cache(maxsize=1)
def _opencv_tables() -> tuple[Tensor, Tensor, Tensor]:
    """Light by level, cube root by light, and the matrix to relative XYZ, as integers; the cube
    roots are rounded from float32."""
    white = (0.950456, 1.0, 1.088754)
    light = np.rint(255 * 8 * srgb_to_linear(np.arange(256) / 255))
    # Up to 1.5 times white's light: rounded, a row of the matrix may exceed white a little.
    t = np.arange(256 * 3 // 2 * 8, dtype=np.float32) / np.float32(255 * 8)
    roots = np.where(t < 216 / 24389, t * (841 / 108) + 16 / 116, np.cbrt(t))
    matrix = np.rint(np.array(XYZ_FROM_LINEAR) / np.array(white)[:, None] * (1 << 12))
    light, roots, matrix = (
        table.astype(np.int64) for table in (light, np.rint(roots * (1 << 15)), matrix)
    )
    return torch.from_numpy(light), torch.from_numpy(roots), torch.from_numpy(matrix)


def deeplpf(output: Tensor, target: Tensor) -> Values:
    """psnr, ssim of DeepLPF and CURL. Raises Undefined where a side is under 11 pixels."""
    x, y, batched = _clamp_pair(output, target)
    # scikit-image takes the window's 11 x 11 places for the size of the sample.
    similarity = mean_similarity(x, y, gaussian(), _range(x), covariance=121 / 120)
    return {
        "psnr": per_picture(_psnr_of(_mse(x, y)), batched),
        "ssim": per_picture(_nan_where_constant(similarity, _range(x)), batched),
    }


def namedcurves(output: Tensor, target: Tensor, any_range: bool = False) -> Values:
    """psnr, ssim, delta_e_76, delta_e_2000 of NamedCurves. Raises Undefined where a side is under
    11 pixels."""
    x, y, batched = as_pair(output, target, any_range)
    data_range = torch.maximum(_range(x), _range(y))
    similarity = mean_similarity(x, y, gaussian(), data_range)
    cie76, ciede2000 = delta_e_both(x.clamp(0, 1), y.clamp(0, 1))
    return {
        "psnr": per_picture(_psnr_of(_mse(x, y)), batched),
        "ssim": per_picture(_nan_where_constant(similarity, data_range), batched),
        "delta_e_76": per_picture(cie76, batched),
        "delta_e_2000": per_picture(ciede2000, batched),
    }


def hdrnet(output: Tensor, target: Tensor, any_range: bool = False) -> Values:
    """mse and l2_lab of each picture, psnr of all in the batch together: ().

    For more pictures than a batch, the PSNR is -10 log10 of the mean of their mse.
    """
    x, y, batched = as_pair(output, target, any_range)
    mse = _mse(x, y)
    return {
        "mse": per_picture(mse, batched),
        "psnr": _psnr_of(mse.mean()),
        "l2_lab": per_picture(delta_e_76(x.clamp(0, 1), y.clamp(0, 1)), batched),
    }


def _clamp_pair(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, bool]:
    x, y, batched = as_pair(output, target)
    return x.clamp(0, 1), y.clamp(0, 1), batched


def _mse(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each picture of (B, 3, H, W): (B,) float64."""
    total = x.new_zeros(len(x), dtype=torch.float64)
    for a, b in strips(x, y):
        total += (a - b).square_().sum(dim=(1, 2, 3))
    return total / x[0].numel()


def _psnr_of(mse: Tensor) -> Tensor:
    """In dB, for a peak of 1."""
    return -10 * torch.log10(mse)


def _range(x: Tensor) -> Tensor:
    """Largest less smallest value of each picture: (B,) float64."""
    flat = x.flatten(1)
    return flat.amax(1).double() - flat.amin(1).double()


def _nan_where_constant(similarity: Tensor, data_range: Tensor) -> Tensor:
    return similarity.masked_fill(data_range == 0, torch.nan)


MODES: dict[str, Callable[[Tensor, Tensor], Values]] = {
    "zeng": zeng,
    "llf-lut": llf_lut,
    "csrnet": csrnet,
    "deeplpf": deeplpf,
    "namedcurves": namedcurves,
    "hdrnet": hdrnet,
}
