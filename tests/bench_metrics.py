"""PSNR, SSIM and both colour differences of a pair of 12 megapixels against scikit-image computing
the same values, in turns: `.venv/bin/python -m tests.bench_metrics [--rounds 5]`.

Both start from float64 pictures in memory. scikit-image converts to L*a*b* once for both colour
differences. Memory is what ours took above the process before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from skimage.color import deltaE_cie76, deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hdrnet_bench import metrics
from tests.conftest import smooth_picture
from tests.memory_use import memory_taken

HEIGHT, WIDTH, THREADS = 3000, 4000, 2


def ours(x: torch.Tensor, y: torch.Tensor) -> list[float]:
    values = [metrics.psnr(x, y), metrics.ssim(x, y), *metrics.delta_e_both(x, y)]
    return [float(value) for value in values]


def theirs(a: np.ndarray, b: np.ndarray) -> list[float]:
    levels = [np.rint(picture * 255).astype(np.uint8) for picture in (a, b)]
    labs = [rgb2lab(picture) for picture in (a, b)]
    return [
        float(peak_signal_noise_ratio(*levels)),
        float(
            structural_similarity(
                a,
                b,
                channel_axis=2,
                data_range=1,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        ),
        float(deltaE_cie76(*labs).mean()),
        float(deltaE_ciede2000(*labs).mean()),
    ]


def timed(work: Callable[[], list[float]]) -> tuple[float, list[float]]:
    start = time.perf_counter()
    values = work()
    return time.perf_counter() - start, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(THREADS)
    a = smooth_picture(0, HEIGHT, WIDTH) / 255
    noise = np.random.default_rng(0).normal(0, 0.02, a.shape)
    b = np.rint(np.clip(a**0.9 + noise, 0, 1) * 255) / 255
    x, y = (torch.from_numpy(p.transpose(2, 0, 1).copy()) for p in (a, b))
    memory = memory_taken(lambda: ours(x, y))
    seconds: dict[str, list[float]] = {"ours": [], "scikit-image": []}
    for _ in range(rounds):
        took, mine = timed(lambda: ours(x, y))
        seconds["ours"].append(took)
        took, reference = timed(lambda: theirs(a, b))
        seconds["scikit-image"].append(took)
    ratios = [t / o for o, t in zip(seconds["ours"], seconds["scikit-image"], strict=True)]
    names = ["psnr", "ssim", "delta_e_76", "delta_e_2000"]
    report = {
        "megapixels": HEIGHT * WIDTH / 1e6,
        "threads": THREADS,
        "seconds": {name: [round(s, 2) for s in times] for name, times in seconds.items()},
        "times_faster": {
            "median": round(statistics.median(ratios), 2),
            "least": round(min(ratios), 2),
            "most": round(max(ratios), 2),
        },
        "difference": {n: abs(m - r) for n, m, r in zip(names, mine, reference, strict=True)},
        "memory_mib": memory and round(memory),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
