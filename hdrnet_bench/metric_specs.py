"""Each metric's name, unit, direction, decimals, version and meaning; computes none (no torch).

A change of what a metric computes is a new version: results carry the version they were computed
with, and one that no longer matches is stale.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

# As statistics.Bounds: a similarity and a share of two signs; and what is a distance.
_EITHER_SIGN, _FROM_ZERO = (-1.0, 1.0), (0.0, None)


class Metric(NamedTuple):
    """decimals: how many are shown. version: of the definition. meaning: what the label stands for,
    as listings print it. bounds: the least value that can be, and the greatest, or None where there
    is none; None for neither. needs: what not every dataset has: masks of the pictures, or groups
    of them; a metric that needs groups has a value for each group, and none for a picture."""

    label: str
    unit: str
    higher_is_better: bool
    decimals: int
    version: int
    meaning: str
    bounds: tuple[float, float | None] | None = None
    needs: Literal["masks", "groups"] | None = None

    @property
    def of_groups(self) -> bool:
        return self.needs == "groups"

    @property
    def sign(self) -> int:
        """The sign that a gain has: 1 where higher is better, else -1."""
        return 1 if self.higher_is_better else -1


METRICS = {
    "psnr": Metric("PSNR", "dB", True, 2, 1, "peak signal-to-noise ratio of 8-bit rounded RGB"),
    "ssim": Metric(
        "SSIM", "", True, 4, 1, "structural similarity, gaussian window 11, sigma 1.5", _EITHER_SIGN
    ),
    "lpips": Metric(
        "LPIPS", "", False, 4, 1, "learned perceptual distance, AlexNet, v0.1", _FROM_ZERO
    ),
    "delta_e_76": Metric("ΔE76", "", False, 2, 1, "mean CIE 1976 colour difference", _FROM_ZERO),
    "delta_e_2000": Metric("ΔE00", "", False, 2, 2, "mean CIEDE2000 colour difference", _FROM_ZERO),
    "grid_artefact": Metric(
        "grid artefact",
        "",
        False,
        3,
        1,
        "how much the error's gradient stands out along cell borders",
        _EITHER_SIGN,
    ),
    "inversions": Metric(
        "inversions",
        "",
        False,
        4,
        1,
        "share of pixels and channels that come out darker where the input gets lighter",
        (0.0, 1.0),
    ),
    "lpips_vgg": Metric(
        "LPIPS-VGG", "", False, 4, 1, "learned perceptual distance, VGG-16, v0.1", _FROM_ZERO
    ),
    "lpips_squeeze": Metric(
        "LPIPS-Squeeze",
        "",
        False,
        4,
        1,
        "learned perceptual distance, SqueezeNet 1.1, v0.1",
        _FROM_ZERO,
    ),
    "psnr_hc": Metric(
        "PSNR_HC",
        "dB",
        True,
        2,
        1,
        "PSNR with the errors outside the mask of the person halved",
        needs="masks",
    ),
    "delta_e_hc": Metric(
        "ΔE_HC",
        "",
        False,
        2,
        1,
        "mean CIE76 colour difference, halved outside the mask of the person",
        _FROM_ZERO,
        "masks",
    ),
    "glc": Metric(
        "GLC",
        "",
        False,
        2,
        1,
        "group-level consistency, the variance of the mean a* and b* of a group's outputs; over "
        "groups, not pictures",
        _FROM_ZERO,
        "groups",
    ),
}
# The metrics of a recipe that names none; LPIPS once, with its usual backbone. They are part of
# such recipes' digests, so they never change.
CANONICAL = ("psnr", "ssim", "lpips", "delta_e_76", "delta_e_2000")


class PublishedMetrics(NamedTuple):
    """How a family of papers measured. source: whose code or text says so; values: by name."""

    source: str
    values: dict[str, Metric]


_PSNR = Metric("PSNR", "dB", True, 2, 1, "of 8-bit rounded RGB; the mean of the pictures' decibels")
_SSIM = Metric(
    "SSIM", "", True, 4, 1, "gaussian window 11, sigma 1.5, of 8-bit rounded RGB", _EITHER_SIGN
)

# By mode. Never in one column with the canonical metrics: the same names stand for other numbers.
PUBLISHED = {
    "zeng": PublishedMetrics(
        "3D-LUT, PPR10K, AdaInt, SepLUT, BPAM, SVDLUT, LUTwithBGrid: MATLAB scripts of 3D-LUT's "
        "authors",
        {
            "psnr": _PSNR,
            "ssim": _SSIM._replace(
                meaning="Wang's ssim.m on H x W x 3: channels side by side, box filtered and "
                "subsampled by round(min(H, 3 W) / 256)"
            ),
            "delta_e": Metric(
                "ΔE76", "", False, 2, 1, "mean CIE76 in MATLAB's rgb2lab, D65", _FROM_ZERO
            ),
        },
    ),
    "llf-lut": PublishedMetrics(
        "LLF-LUT: scikit-image's functions on 0 to 255, not rounded",
        {
            "psnr": _PSNR._replace(meaning="of clamped, not rounded RGB"),
            "ssim": _SSIM._replace(meaning="uniform window 7 x 7, sample covariance"),
            "lpips": Metric("LPIPS", "", False, 4, 1, "AlexNet, v0.1", _FROM_ZERO),
        },
    ),
    "csrnet": PublishedMetrics(
        "CSRNet, NeurOp: calculate_metrics.py of CSRNet's authors",
        {
            "psnr": _PSNR,
            "ssim": _SSIM,
            "l2_lab": Metric(
                "L2-Lab",
                "",
                False,
                2,
                1,
                "mean distance in OpenCV's 8-bit Lab, which is no CIELAB",
                _FROM_ZERO,
            ),
        },
    ),
    "deeplpf": PublishedMetrics(
        "DeepLPF, CURL: ImageProcessing.compute_psnr and compute_ssim of their authors",
        {
            "psnr": _PSNR._replace(meaning="of clamped, not rounded RGB"),
            "ssim": _SSIM._replace(
                meaning="gaussian window 11, sample covariance, data range max - min of the output"
            ),
        },
    ),
    "namedcurves": PublishedMetrics(
        "NamedCurves: torchmetrics, and colour differences in scikit-image's L*a*b*",
        {
            "psnr": _PSNR._replace(meaning="of RGB neither rounded nor clamped, data range 1"),
            "ssim": _SSIM._replace(
                meaning="gaussian window 11, where it fits (torchmetrics before 1.5), data range "
                "the larger max - min of the two"
            ),
            "delta_e_76": Metric(
                "ΔE76", "", False, 2, 1, "mean CIE 1976 colour difference", _FROM_ZERO
            ),
            "delta_e_2000": Metric(
                "ΔE00", "", False, 2, 1, "mean CIEDE2000 colour difference", _FROM_ZERO
            ),
        },
    ),
    "hdrnet": PublishedMetrics(
        "HDRNet: metrics.py of the reference (PSNR); the paper's table (L*a*b*)",
        {
            "mse": Metric(
                "MSE", "", False, 6, 1, "of RGB neither rounded nor clamped, in [0, 1]", _FROM_ZERO
            ),
            "psnr": _PSNR._replace(
                meaning="of the mean of all pictures' MSE, not the mean of their decibels"
            ),
            "l2_lab": Metric(
                "L2-Lab", "", False, 2, 1, "mean distance in L*a*b*: CIE76", _FROM_ZERO
            ),
        },
    ),
}
# A recipe names published values as <mode>.<value>. The reference's PSNR is not among them: it is
# that of the mean of all pictures' `hdrnet.mse`, so that no single picture has one.
METRICS |= {
    f"{mode}.{name}": metric._replace(label=f"{metric.label} ({mode})")
    for mode, published in PUBLISHED.items()
    for name, metric in published.values.items()
    if (mode, name) != ("hdrnet", "psnr")
}


def heading(name: str) -> str:
    """A metric's label and unit, with an arrow to where it is better."""
    metric = METRICS[name]
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.label}{unit} {'↑' if metric.higher_is_better else '↓'}"


def metric_text(name: str, value: float) -> str:
    """A metric's value as it is read: PSNR 23.45 dB."""
    spec = METRICS[name]
    return f"{spec.label} {value:.{spec.decimals}f} {spec.unit or ''}".rstrip()
