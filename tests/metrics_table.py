"""The table of our metrics beside the reference libraries' on the same photographs:
`.venv/bin/python -m tests.metrics_table` prints it, with `--insert` it is put into the metrics'
chapter.

Each library takes sRGB in float64 (PSNR: 8 bits) to its own value; the photographs are
scikit-image's, against themselves made lighter and noisy.
"""

from __future__ import annotations

import sys

import colour
import lpips as package
import numpy as np
import torch
from skimage import data
from skimage.color import deltaE_cie76, deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional import image as torchmetrics

from hdrnet_bench import metrics
from hdrnet_bench.metric_specs import CANONICAL, METRICS
from hdrnet_bench.metrics.lpips import BACKBONES, check_backbone
from tests.conftest import ROOT

CHAPTER = ROOT / "hdrnet_bench/metrics/README.md"
MARKS = ("<!-- metrics -->", "<!-- /metrics -->")
PICTURES = ("astronaut", "coffee")
LIBRARIES = ("scikit-image", "colour-science", "torchmetrics", "lpips")
DECIMALS = {"psnr": 5, "ssim": 7, "lpips": 5, "delta_e_76": 4, "delta_e_2000": 4}


def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A photograph's lighter, noisy copy and itself, both of 8 bits, in [0, 1]: (H, W, 3)."""
    target = getattr(data, name)() / 255
    noise = np.random.default_rng(0).normal(0, 0.01, target.shape)
    return np.rint(np.clip(target**0.85 + noise, 0, 1) * 255) / 255, target


def values_of(a: np.ndarray, b: np.ndarray) -> dict[str, dict[str, float]]:
    """Each metric's value by library, ours first."""
    x, y = (torch.from_numpy(p.transpose(2, 0, 1).copy()) for p in (a, b))
    levels = [np.rint(p * 255).astype(np.uint8) for p in (a, b)]
    labs = [rgb2lab(p) for p in (a, b)]
    their_labs = [colour.XYZ_to_Lab(colour.sRGB_to_XYZ(p)) for p in (a, b)]
    ssim = structural_similarity(
        a,
        b,
        channel_axis=2,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    _, full = torchmetrics.structural_similarity_index_measure(
        x[None], y[None], data_range=1.0, return_full_image=True
    )
    found: dict[str, dict[str, float]] = {
        "psnr": {
            "scikit-image": peak_signal_noise_ratio(*levels),
            "torchmetrics": float(
                torchmetrics.peak_signal_noise_ratio(x[None], y[None], data_range=1.0)
            ),
        },
        "ssim": {"scikit-image": ssim, "torchmetrics": float(full[..., 5:-5, 5:-5].mean())},
        "lpips": {},
        "delta_e_76": {
            "scikit-image": deltaE_cie76(*labs).mean(),
            "colour-science": colour.delta_E(*their_labs, method="CIE 1976").mean(),
        },
        "delta_e_2000": {
            "scikit-image": deltaE_ciede2000(*labs).mean(),
            "colour-science": colour.delta_E(*their_labs, method="CIE 2000").mean(),
        },
    }
    for name in CANONICAL:
        if name != "lpips":
            found[name]["ours"] = float(getattr(metrics, name)(x, y))
    if check_backbone() is None:
        network = package.LPIPS(net="alex", verbose=False).eval()
        with torch.no_grad():
            found["lpips"]["lpips"] = float(
                network(x[None].float(), y[None].float(), normalize=True)
            )
        found["lpips"]["ours"] = float(metrics.lpips(x, y))
    return found


def table() -> str:
    lines = [
        f"| metric | photograph | hdrnet-bench | {' | '.join(LIBRARIES)} |",
        "|---|---|---|" + "---|" * len(LIBRARIES),
    ]
    pictures = {picture: values_of(*pair(picture)) for picture in PICTURES}
    for name in CANONICAL:
        for picture, found in pictures.items():
            shown = [
                f"{found[name][library]:.{DECIMALS[name]}f}" if library in found[name] else "–"
                for library in ("ours", *LIBRARIES)
            ]
            lines.append(f"| {METRICS[name].label} | {picture} | {' | '.join(shown)} |")
    if check_backbone() is not None:
        lines += ["", f"LPIPS: {BACKBONES['alex'].file} was not to be had where this was computed."]
    return "\n".join(lines)


def with_table(text: str) -> str:
    """The chapter with the table between its marks."""
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}"


def main() -> None:
    if sys.argv[1:] == ["--insert"]:
        CHAPTER.write_text(with_table(CHAPTER.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table())


if __name__ == "__main__":
    main()
