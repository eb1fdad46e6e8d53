"""What each metric is called and means, without computing it (light: no torch).

A change of what a metric computes is a new version: results carry the version they were computed
with, and one that no longer matches is stale.
"""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    label: str
    unit: str
    higher_is_better: bool
    decimals: int
    version: int
    meaning: str


METRICS = {
    "psnr": Metric("PSNR", "dB", True, 2, 1, "peak signal-to-noise ratio of 8-bit rounded RGB"),
    "ssim": Metric("SSIM", "", True, 4, 1, "structural similarity, gaussian window 11, sigma 1.5"),
    "lpips": Metric("LPIPS", "", False, 4, 1, "learned perceptual distance, AlexNet, v0.1"),
    "delta_e_76": Metric("ΔE76", "", False, 2, 1, "mean CIE 1976 colour difference"),
    "delta_e_2000": Metric("ΔE00", "", False, 2, 2, "mean CIEDE2000 colour difference"),
    "grid_artefact": Metric(
        "grid artefact",
        "",
        False,
        3,
        1,
        "how much the error's gradient stands out along cell borders",
    ),
}
# What a recipe measures that does not say: LPIPS once, with its usual backbone. Part of recipes'
# digests: it never changes.
CANONICAL = ("psnr", "ssim", "lpips", "delta_e_76", "delta_e_2000")
