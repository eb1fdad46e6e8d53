"""Training: one plain loop (Gharbi et al. 2017, section 4: mean squared error, Adam)."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import torch
import torch.nn.functional as F

from .data import Crops, Pair, load_split
from .environment import describe
from .errors import DataError, UsageError
from .evaluate import score
from .files import json_text, write_text
from .manifest import Dataset
from .model import HDRNet
from .model_file import ModelHeader, save_model
from .recipe import Recipe, TrainingSpec
from .runs import BEST, LAST, LOG, RECIPE


class TrainingError(UsageError):
    """The recipe cannot be trained: the loss, or the output, is no number any more."""


class Progress(NamedTuple):
    """Where training stands, after each step. `validation_psnr` only where it was measured now."""

    step: int
    loss: float
    psnr: float
    learning_rate: float
    validation_psnr: float | None


def train(
    recipe: Recipe,
    dataset: Dataset,
    directory: Path,
    *,
    seed: int,
    device: str = "cpu",
    overwrite: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train a recipe into a run directory; the same seed gives the same weights on a CPU.

    Args:
        recipe: validated.
        dataset: with pictures in train and validation.
        directory: the run's; must not be there, unless `overwrite`, which deletes it first.
        seed: of the initialisation, the order and the crops.
        device: a torch device.
        overwrite: see directory.
        report: called after each step.

    Returns:
        A summary: steps, seconds, the last and the best validation PSNR and where they are.

    Raises:
        UsageError: the run is there.
        DataError: no training or validation pictures, a broken one, one smaller than the crop.
        TrainingError: the loss is not finite.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory.parent / f".{directory.name}.lock", blocking=False)
    try:
        with lock:
            return _train(recipe, dataset, directory, seed, device, overwrite, report)
    except filelock.Timeout:
        raise DataError(f"another process is training {directory}") from None


def _train(
    recipe: Recipe,
    dataset: Dataset,
    directory: Path,
    seed: int,
    device: str,
    overwrite: bool,
    report: Callable[[Progress], None],
) -> dict[str, Any]:
    if directory.exists() and not overwrite:
        raise UsageError(f"{directory} is there: name another --run, or --overwrite this one")
    if directory.exists() and not (directory / RECIPE).exists():
        raise UsageError(f"{directory} is there and is no run: move it away")
    spec = recipe.training
    crops, validation = _load(recipe, dataset, seed)
    torch.manual_seed(seed)
    model = HDRNet(recipe.model).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=spec.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(spec, step))
    batches = torch.utils.data.DataLoader(crops, batch_size=spec.batch_size)

    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
    write_text(directory / RECIPE, recipe.yaml())
    write_text(directory / "environment.json", json_text(describe().model_dump()))

    started = time.perf_counter()
    best = last = -math.inf
    with (directory / LOG).open("w", encoding="utf-8", buffering=1) as log:
        for step, (lowres, crop, target) in enumerate(batches, 1):
            lowres, crop, target = (x.to(device) for x in (lowres, crop, target))
            learning_rate = float(scheduler.get_last_lr()[0])
            loss = F.mse_loss(model(lowres, crop), target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if spec.gradient_clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), spec.gradient_clip)
            optimiser.step()
            scheduler.step()

            value = loss.item()
            if not math.isfinite(value):
                raise _diverged(f"the loss is {value} at step {step}")
            psnr = -10 * math.log10(max(value, 1e-12))
            measured = None
            if step % spec.validate_every == 0 or step == spec.steps:
                measured = last = validate(model, validation)
                if math.isnan(measured):
                    raise _diverged(f"the output is not finite after step {step}")
                header = _header(recipe, dataset, seed, step)
                if last > best:
                    best = last
                    save_model(directory / BEST, model, header)
                save_model(directory / LAST, model, header)
            progress = Progress(step, value, psnr, learning_rate, measured)
            log.write(json.dumps(progress._asdict() | {"seconds": _since(started)}) + "\n")
            report(progress)
    return {
        "run": str(directory),
        "steps": spec.steps,
        "seconds": _since(started),
        "validation_psnr": {"last": last, "best": best},
    }


def _diverged(what: str) -> TrainingError:
    return TrainingError(
        f"{what}: the checkpoints of earlier validations are kept; "
        "a lower training.learning_rate, or gradient_clip, may help"
    )


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)


def rate(spec: TrainingSpec, step: int) -> float:
    """The factor on the learning rate at a step (from 0): linear warm-up, then the schedule."""
    warm = min(1.0, (step + 1) / (spec.warmup_steps + 1))
    if spec.schedule == "constant":
        return warm
    return warm * 0.5 * (1 + math.cos(math.pi * min(step / spec.steps, 1.0)))


def validate(model: HDRNet, pairs: list[Pair]) -> float:
    """Mean PSNR in dB over whole validation pictures, by the scorer that eval uses.

    NaN where the model's output is no picture any more.
    """
    model.eval()
    device = next(model.parameters()).device
    total = 0.0
    for pair in pairs:
        there = pair.to(device)
        output = model.enhance(there.input)
        if not torch.isfinite(output).all():
            return math.nan
        total += score(output, there.target, ["psnr"])["psnr"]
    model.train()
    return total / len(pairs)


def _load(recipe: Recipe, dataset: Dataset, seed: int) -> tuple[Crops, list[Pair]]:
    spec = recipe.training
    for split in ("train", "validation"):
        if not dataset.split(split):
            raise DataError(f"dataset {dataset.header.name} has no pictures in its {split} split")
    crops = Crops(
        load_split(dataset, dataset.split("train")),
        recipe.model,
        seed=seed,
        crop=spec.crop,
        flips=spec.flips,
        draws=spec.steps * spec.batch_size,
    )
    return crops, load_split(dataset, dataset.split("validation"))


def _header(recipe: Recipe, dataset: Dataset, seed: int, step: int) -> ModelHeader:
    return ModelHeader(
        config=recipe.model,
        recipe=recipe.name,
        recipe_digest=recipe.digest,
        dataset=dataset.header.name,
        dataset_digest=dataset.header.digest,
        seed=seed,
        step=step,
        steps=recipe.training.steps,
    )
