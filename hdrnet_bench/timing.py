"""Forward time per resolution: median and spread of repeated runs, after a warm-up.

An absolute time belongs to the machine and its load, which are recorded beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .model import HDRNet, make_lowres
from .results import Part, TimingRow

WARM_UP_S = 0.15
MIN_REPEATS = 5
MAX_REPEATS = 200


def time_model(
    model: HDRNet,
    sizes: Sequence[tuple[int, int]],
    device: str = "cpu",
    budget_s: float = 3.0,
    step: Callable[[], None] = lambda: None,
) -> list[TimingRow]:
    """Time a model's parts at (width, height) resolutions, float32, batch 1.

    Args:
        model: in evaluation mode.
        sizes: (width, height) in pixels.
        device: where to run.
        budget_s: seconds for the repeats of one resolution (at least five are made).
        step: called after each resolution.
    """
    model = model.to(device)
    rows = []
    for width, height in sizes:
        fullres = natural_picture(width, height).to(device)[None]
        config = model.config
        lowres = make_lowres(fullres, config.net_input_size, config.lowres_resize)
        grid = model.coefficients(lowres).detach()
        parts: tuple[tuple[Part, Callable[[], Tensor]], ...] = (
            ("coefficients", partial(model.coefficients, lowres)),
            ("guide + slice + apply", partial(model.render, grid, fullres)),
            ("whole", partial(model.enhance, fullres)),
        )
        with torch.no_grad():
            times = _interleaved([run for _, run in parts], device, budget_s, step)
        for (part, _), milliseconds in zip(parts, times, strict=True):
            p5, median, p95 = np.percentile(milliseconds, (5, 50, 95))
            rows.append(
                TimingRow(
                    width=width,
                    height=height,
                    part=part,
                    repeats=len(milliseconds),
                    median_ms=round(float(median), 3),
                    p5_ms=round(float(p5), 3),
                    p95_ms=round(float(p95), 3),
                )
            )
    return rows


def natural_picture(width: int, height: int) -> Tensor:
    """A photograph (scikit-image's astronaut) brought to that size: (3, H, W) in [0, 1].

    What a guide reads decides which cells a slice touches, so noise or zeros would not do.
    """
    import skimage.data

    photo = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(photo, size=(height, width), mode="bilinear", align_corners=False)[0]


def _interleaved(
    runs: Sequence[Callable[[], Tensor]],
    device: str,
    budget_s: float,
    step: Callable[[], None],
) -> list[list[float]]:
    """Milliseconds of each repeat of each run, taken in turns so that a drift of the machine's
    speed meets all of them alike."""
    measure = _once_cuda if device.startswith("cuda") else _once
    for run in runs:
        start = time.perf_counter()
        while time.perf_counter() - start < WARM_UP_S:
            measure(run)
    times: list[list[float]] = [[] for _ in runs]
    start = time.perf_counter()
    while len(times[0]) < MIN_REPEATS or (
        time.perf_counter() - start < budget_s and len(times[0]) < MAX_REPEATS
    ):
        for run, mine in zip(runs, times, strict=True):
            mine.append(measure(run))
    step()
    return times


def _once(run: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def _once_cuda(run: Callable[[], Tensor]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)
