"""Metrics between pictures, one module each; every module is a specification first.

All take (3, H, W) or (B, 3, H, W) sRGB in [0, 1] and return one value a picture: () or (B,); but
for glc, which is of a group of pictures. Open psnr.py first; ../metric_specs.py has their names,
units and versions.
"""

from ..metric_specs import METRICS
from ._pairs import Undefined
from .delta_e import delta_e_76, delta_e_2000, delta_e_both
from .glc import glc, mean_ab
from .grid_artefact import grid_artefact
from .human_centred import delta_e_hc, psnr_hc
from .lpips import lpips, lpips_squeeze, lpips_vgg
from .psnr import psnr
from .ssim import ssim

__all__ = [
    "METRICS",
    "Undefined",
    "delta_e_76",
    "delta_e_2000",
    "delta_e_both",
    "delta_e_hc",
    "glc",
    "grid_artefact",
    "lpips",
    "lpips_squeeze",
    "lpips_vgg",
    "mean_ab",
    "psnr",
    "psnr_hc",
    "ssim",
]
