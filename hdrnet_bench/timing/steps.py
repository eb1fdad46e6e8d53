"""A training step with the native guide and slicing against one with plain torch, in turns.

What is timed is what the loop does: coefficients, guide, slice and apply, loss, backward and the
optimiser. Batches are made between the steps, so that no worker takes a core from what is compared;
that is the wait here, which training hides behind a worker (its share is in the summary of a run).
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..config import FULL_SCALE, HDRNetConfig
from ..data.manifest import Header, Row
from ..data.pairs import PictureStore
from ..errors import CapabilityError
from ..images.pixels import Pixels
from ..model.hdrnet import HDRNet
from ..recipe import TrainingSpec
from ..slicing import Backend, bilateral_slice_apply, cpu
from ..training.crops import Batch, BatchSampler, CropDataset, batch_loader
from ..training.optimisation import optimiser_of
from .clock import natural_picture

BATCH, CROP = 4, 512
WARM_UPS, REPEATS, NATIVE_EACH = 2, 7, 3
PARTS = (
    "wait for data",
    "coefficients",
    "guide",
    "slice + apply",
    "loss",
    "backward",
    "optimiser",
    "step, data at hand",
    "whole step",
)


class StepRow(NamedTuple):
    """One part of a step; times in ms. `speedup` is reference over native median; null for the wait
    for data, which the backend does not touch."""

    part: str
    native_ms: float
    native_p5_ms: float
    native_p95_ms: float
    reference_ms: float
    reference_p5_ms: float
    reference_p95_ms: float
    speedup: float | None
    share: float


def time_training(
    repeats: int = REPEATS, step: Callable[[], None] = lambda: None, *, crop: int = CROP
) -> list[StepRow]:
    """Time training steps of the curves network at batch 4 on crops of `crop` x `crop`.

    Args:
        repeats: reference steps, each after three native ones; their spread is the percentiles'.
        step: called after each repeat.
        crop: side of the crops; pictures are twice as large.

    Raises CapabilityError without the native library.
    """
    if cpu.LIBRARY is None:
        raise CapabilityError(f"there is no native library to time: {cpu.REASON}")
    torch.manual_seed(0)
    model = HDRNet()
    spec = TrainingSpec(
        steps=WARM_UPS + repeats, batch_size=BATCH, crop=crop, learning_rate=1e-4, validate_every=1
    )
    optimiser = optimiser_of(spec, model)
    count = (WARM_UPS + repeats) * (NATIVE_EACH + 1)
    crops = CropDataset(_Photographs(2 * crop), HDRNetConfig(), spec, 0)
    batches = batch_loader(crops, BatchSampler(BATCH, count), 0, False)
    times: dict[Backend, list[list[float]]] = {"native": [], "reference": []}
    native_first: list[Backend] = ["native"]
    order: list[Backend] = [*native_first * NATIVE_EACH, "reference"]
    for repeat in range(-WARM_UPS, repeats):
        for backend in order:
            measured = _step(model, optimiser, batches, backend)
            if repeat >= 0:
                times[backend].append(measured)
        gc.collect()
        step()
    native, reference = np.array(times["native"]), np.array(times["reference"])
    rows = []
    for index, part in enumerate(PARTS):
        ours, plain = native[:, index], reference[:, index]
        rows.append(
            StepRow(
                part,
                *_spread(ours),
                *_spread(plain),
                round(float(np.median(plain) / np.median(ours)), 2) if index else None,
                round(float(ours.sum() / native[:, -1].sum()), 4),
            )
        )
    return rows


def _spread(times: np.ndarray) -> tuple[float, float, float]:
    """Median, 5th and 95th percentile."""
    p5, median, p95 = np.percentile(times, (5, 50, 95))
    return round(float(median), 3), round(float(p5), 3), round(float(p95), 3)


def _step(
    model: HDRNet, optimiser: torch.optim.Optimizer, batches: Iterator[Batch], backend: Backend
) -> list[float]:
    """Milliseconds of each part of one step."""
    moments = [time.perf_counter()]

    def mark() -> None:
        moments.append(time.perf_counter())

    batch = next(batches)
    mark()
    grid = model.coefficients(batch.lowres)
    mark()
    guide = model.guides[0](batch.crop, backend)
    mark()
    output = bilateral_slice_apply(grid, guide, batch.crop, backend=backend)
    mark()
    loss = F.mse_loss(output, batch.target)
    mark()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    mark()
    optimiser.step()
    mark()
    parts = [(b - a) * 1e3 for a, b in itertools.pairwise(moments)]
    return [*parts, sum(parts[1:]), sum(parts)]


class _Photographs(PictureStore):
    """Four crops of one photograph, brightened: what a guide reads decides which cells it meets."""

    def __init__(self, side: int) -> None:
        photograph = natural_picture(side + 3, side).numpy()
        levels = np.rint(photograph * 255).astype(np.uint8)
        bright = np.rint(photograph**0.8 * 255).astype(np.uint8)
        self._pairs: list[tuple[Pixels, Pixels]] = [
            (levels[:, :, i : i + side], bright[:, :, i : i + side]) for i in range(BATCH)
        ]
        self.rows = [_row(i, side) for i in range(BATCH)]
        nothing: dict[str, Any] = dict.fromkeys(Header.model_fields)
        fields = {"input_encoding": "srgb", "input_white": FULL_SCALE}
        dataset: Any = SimpleNamespace(header=Header.model_construct(**(nothing | fields)))
        self.dataset = dataset

    def pixels(self, index: int) -> tuple[Pixels, Pixels]:
        return self._pairs[index]


def _row(index: int, side: int) -> Row:
    nothing: dict[str, Any] = dict.fromkeys(Row.model_fields)
    fields = {"id": f"p{index}", "split": "train", "width": side, "height": side}
    return Row.model_construct(**(nothing | fields))
