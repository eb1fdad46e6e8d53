"""Training steps: in parts, with the native guide and slicing against plain torch, in turns; and as
many a second as the training loop takes them.

What is timed is what the loop does: coefficients, guide, slice and apply, loss, backward and the
optimiser. For the parts batches are made between the steps, so that no worker takes a core from
what is compared; the throughput is of steps that wait for their batch as the loop does.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from ..config import FULL_SCALE, HDRNetConfig
from ..data.manifest import Header, Row
from ..data.pairs import PictureStore
from ..environment import cores
from ..images.pixels import Pixels
from ..memory import lack_of_memory
from ..model.hdrnet import HDRNet
from ..recipe import TrainingSpec
from ..result_timing import StepRow, ThroughputRow
from ..slicing import Backend, bilateral_slice_apply
from ..training.crops import Batch, BatchSampler, CropDataset, batch_loader
from ..training.optimisation import TrainingForward, loss_of, optimiser_of
from .clock import device_with_kernels, natural_picture
from .turns import NO_MEMORY

BATCH, CROP = 4, 512
WARM_UPS, NATIVE_EACH = 2, 3
REPEATS = {"cpu": 7, "cuda": 20}
WORKERS = (0, 1, 2, 4, 8)
BUDGET_S, WARM_S, LEAST_STEPS = 2.0, 0.5, 6
ENDLESS = 1_000_000  # steps
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
Precision = Literal["float32", "bfloat16"]


def time_training(
    repeats: int | None = None,
    step: Callable[[], None] = lambda: None,
    *,
    crop: int = CROP,
    device: str = "cpu",
) -> list[StepRow]:
    """Time the parts of training steps of the curves network at batch 4 on crops of `crop` x
    `crop`, in float32.

    Args:
        repeats: reference steps, each after three native ones; their spread is the percentiles'. By
            default those of REPEATS.
        step: called after each repeat.
        crop: side of the crops; pictures are twice as large.
        device: "cpu" or a CUDA device, where times are between events.

    Raises CapabilityError without the native kernels.
    """
    where = device_with_kernels(device)
    repeats = REPEATS[where.type] if repeats is None else repeats
    torch.manual_seed(0)
    model = HDRNet().to(where)
    spec = _spec(crop)
    optimiser = optimiser_of(spec, model)
    count = (WARM_UPS + repeats) * (NATIVE_EACH + 1)
    batches = _batches(spec, count, 0, where)
    times: dict[Backend, list[list[float]]] = {"native": [], "reference": []}
    native_first: list[Backend] = ["native"]
    order: list[Backend] = [*native_first * NATIVE_EACH, "reference"]
    note: str | None = None
    for repeat in range(-WARM_UPS, repeats):
        for backend in order:
            if backend == "reference" and note:
                continue
            try:
                measured = _step(model, optimiser, batches, backend, where)
            except Exception as error:
                if backend != "reference" or not lack_of_memory(error):
                    raise
                note = f"plain torch: {NO_MEMORY}"
                continue
            if repeat >= 0:
                times[backend].append(measured)
        if note:
            optimiser.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()  # for the others; nothing on a CPU
        gc.collect()
        step()
    native = np.array(times["native"])
    reference = None if note else np.array(times["reference"])
    return [_part(index, native, reference, note) for index in range(len(PARTS))]


def _part(
    index: int, native: np.ndarray, reference: np.ndarray | None, note: str | None
) -> StepRow:
    ours = native[:, index]
    median, p5, p95 = _spread(ours)
    plain = None if reference is None else _spread(reference[:, index])
    speedup = None
    if reference is not None and index:
        speedup = round(float(np.median(reference[:, index]) / np.median(ours)), 2)
    return StepRow(
        part=PARTS[index],
        native_ms=median,
        native_p5_ms=p5,
        native_p95_ms=p95,
        reference_ms=plain and plain[0],
        reference_p5_ms=plain and plain[1],
        reference_p95_ms=plain and plain[2],
        speedup=speedup,
        share=round(float(ours.sum() / native[:, -1].sum()), 4),
        note=note,
    )


def _spread(times: np.ndarray) -> tuple[float, float, float]:
    """Median, 5th and 95th percentile."""
    p5, median, p95 = np.percentile(times, (5, 50, 95))
    return round(float(median), 3), round(float(p5), 3), round(float(p95), 3)


def precisions_of(device: str) -> tuple[Precision, ...]:
    """Those that a recipe may name there: half precision is CUDA's."""
    return ("float32", "bfloat16") if device.startswith("cuda") else ("float32",)


def workers_here() -> list[int]:
    """Of WORKERS, those that have a core each."""
    here = cores() or 1
    return [count for count in WORKERS if count <= here]


def time_throughput(
    device: str = "cpu",
    workers: Sequence[int] | None = None,
    step: Callable[[], None] = lambda: None,
    *,
    crop: int = CROP,
    budget_s: float = BUDGET_S,
) -> Iterator[ThroughputRow]:
    """Time whole training steps, one after another as the loop takes them: each waits for its
    batch, and for its loss at the end.

    Args:
        device: "cpu" or a CUDA device.
        workers: how many processes make batches ahead; by default those of `workers_here`.
        step: called after each row.
        crop: side of the crops; pictures are twice as large, in memory, 8 bits.
        budget_s: seconds for each precision and number of workers, after a warm-up.

    Raises CapabilityError without the native kernels.
    """
    where = device_with_kernels(device)
    for precision in precisions_of(device):
        for count in workers_here() if workers is None else workers:
            yield _throughput(precision, count, where, crop, budget_s)
            gc.collect()
            step()


def _throughput(
    precision: Precision, workers: int, device: torch.device, crop: int, budget_s: float
) -> ThroughputRow:
    torch.manual_seed(0)
    spec = _spec(crop, precision)
    model = HDRNet().to(device)
    forward, optimiser = TrainingForward(model, precision), optimiser_of(spec, model)
    batches = _batches(spec, ENDLESS, workers, device)

    def run(seconds: float) -> list[tuple[float, float]]:
        """The wait for data and the whole of each step, in seconds, until so many are over."""
        measured: list[tuple[float, float]] = []
        begin = now = time.perf_counter()
        while len(measured) < LEAST_STEPS or now - begin < seconds:
            asked = now
            batch = next(batches).to(str(device))
            came = time.perf_counter()
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(spec, forward(batch.lowres, batch.crop), batch.target)
            loss.backward()
            optimiser.step()
            loss.item()  # as the loop looks at it, which waits for the device
            now = time.perf_counter()
            measured.append((came - asked, now - asked))
        return measured

    try:
        run(WARM_S)
        waits, steps = np.array(run(budget_s)).T
    finally:
        batches.close()
    median, p5, p95 = _spread(steps * 1e3)
    return ThroughputRow(
        precision=precision,
        workers=workers,
        steps=len(steps),
        steps_per_s=round(float(len(steps) / steps.sum()), 3),
        median_ms=median,
        p5_ms=p5,
        p95_ms=p95,
        data_wait_share=round(float(waits.sum() / steps.sum()), 4),
    )


def _spec(crop: int, precision: Precision = "float32") -> TrainingSpec:
    return TrainingSpec(
        steps=1,
        batch_size=BATCH,
        crop=crop,
        learning_rate=1e-4,
        validate_every=1,
        precision=precision,
    )


def _batches(
    spec: TrainingSpec, steps: int, workers: int, device: torch.device
) -> Any:  # of batches, with a close()
    crops = CropDataset(_Photographs(2 * spec.crop), HDRNetConfig(), spec, 0)
    return batch_loader(crops, BatchSampler(BATCH, steps), workers, device.type == "cuda")


class _Marks:
    """Moments of a step: on CUDA events, which are read when all are over, else wall clock."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._moments: list[Any] = []
        self.mark()

    def mark(self) -> None:
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._moments.append(event)
        else:
            self._moments.append(time.perf_counter())

    def milliseconds(self) -> list[float]:
        """Between each and the next."""
        pairs = itertools.pairwise(self._moments)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            return [float(a.elapsed_time(b)) for a, b in pairs]
        return [(b - a) * 1e3 for a, b in pairs]


def _step(
    model: HDRNet,
    optimiser: torch.optim.Optimizer,
    batches: Iterator[Batch],
    backend: Backend,
    device: torch.device,
) -> list[float]:
    """Milliseconds of each part of one step."""
    asked = time.perf_counter()
    batch = next(batches).to(str(device))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    wait = (time.perf_counter() - asked) * 1e3
    marks = _Marks(device)
    grid = model.coefficients(batch.lowres)
    marks.mark()
    guide = model.guides[0](batch.crop, backend)
    marks.mark()
    output = bilateral_slice_apply(grid, guide, batch.crop, backend=backend)
    marks.mark()
    loss = F.mse_loss(output, batch.target)
    marks.mark()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    marks.mark()
    optimiser.step()
    marks.mark()
    parts = marks.milliseconds()
    return [wait, *parts, sum(parts), wait + sum(parts)]


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
