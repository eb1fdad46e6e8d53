"""Metrics between pictures, one module each; every module is a specification first.

All take (3, H, W) or (B, 3, H, W) sRGB in [0, 1] and return one value a picture: () or (B,). Open
psnr.py first; ../metric_specs.py has their names, units and versions.
"""

from ..metric_specs import METRICS
from ._pairs import Undefined
from .delta_e import delta_e_76, delta_e_2000, delta_e_both
from .grid_artefact import grid_artefact
from .lpips import lpips, lpips_squeeze, lpips_vgg
from .psnr import psnr
from .ssim import ssim

__all__ = [
    "METRICS",
    "Undefined",
    "delta_e_76",
    "delta_e_2000",
    "delta_e_both",
    "grid_artefact",
    "lpips",
    "lpips_squeeze",
    "lpips_vgg",
    "psnr",
    "ssim",
]
