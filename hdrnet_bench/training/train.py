"""Training: one plain loop (Gharbi et al. 2017, section 4: mean squared error, Adam).

`train` takes the run's lock, checks what can go wrong, and hands over to a Trainer; the loop is
`Trainer.run`, one step of the optimiser `Trainer.train_step`.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import torch
import torch.nn.functional as F

from ..data.manifest import Dataset
from ..data.pairs import PictureStore, fits_in_memory
from ..errors import CapabilityError, DataError, UsageError
from ..metric_specs import METRICS
from ..model.hdrnet import HDRNet
from ..model.layers import synchronise_norms
from ..recipe import Recipe
from .checkpoint import Checkpoint, TrainingState
from .checks import check_run, data_notes, process_notes
from .crops import Batch, BatchSampler, CropDataset, batch_loader, training_rows
from .distributed import World
from .optimisation import TrainingForward, diverged, loss_of, optimiser_of, rate, update_average
from .run_writer import RunWriter, TrainingStep
from .validation import validate


class TrainingError(UsageError):
    """The recipe cannot be trained: the loss, the output or the weights are not finite, or the loss
    is so large that no training comes back from it."""


def train(
    recipe: Recipe,
    dataset: Dataset,
    directory: Path,
    *,
    seed: int,
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool = False,
    workers: int | None = None,
    world: World | None = None,
    on_step: Callable[[TrainingStep], None] = lambda step: None,
    log: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Train a recipe into a run directory; the same seed gives the same weights on a CPU.

    Args:
        recipe: validated.
        dataset: with pictures in train.
        directory: the run's; must not be there, unless `resume` or `overwrite`, which deletes it.
        seed: of the initialisation, the order and the crops.
        device: a torch device.
        overwrite: see directory.
        resume: go on from the run's last state; from the start where it has none yet. On a CPU,
            with as many threads and processes, the weights are those of a run never stopped.
        workers: processes that prepare batches ahead; by default one where the pictures are in
            memory and the device is a CPU, else as many as there are cores, up to eight. Their
            number changes no result.
        world: the processes that train together, connected; by default this one alone.
        on_step: called after each step, in rank 0.
        log: called with what is worth knowing about how it is trained, in rank 0.

    Returns:
        A summary: steps, seconds, the wait for data, the last and best validation.

    Raises:
        UsageError: the run is there, or is another recipe's.
        DataError: no training or validation pictures, a broken one, another process's run.
        CapabilityError: the precision, or torch.compile, does not work here.
        TrainingError: the loss is not finite, or far out.
    """
    world = world or World()
    lock = filelock.FileLock(directory.parent / f".{directory.name}.lock", blocking=False)

    def acquire() -> None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise DataError(f"another process is training {directory}") from None

    world.on_rank_zero(acquire)
    try:
        state = world.on_all_ranks(
            lambda: check_run(recipe, dataset, directory, seed, device, overwrite, resume, world)
        )
        if state is not None and state.finished:
            return _summary(directory, state, recipe) | {"resumed_at": state.step}
        trainer = Trainer(recipe, dataset, directory, seed, device, workers, world)
        return trainer.run(state, on_step, log if world.is_rank_zero else lambda note: None)
    finally:
        lock.release()


class Trainer:
    """One run: its data, network and optimiser, and the loop."""

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        directory: Path,
        seed: int,
        device: str,
        workers: int | None,
        world: World,
    ) -> None:
        self.recipe, self.spec, self.dataset = recipe, recipe.training, dataset
        self.directory, self.seed, self.device, self.world = directory, seed, device, world
        cuda = device.startswith("cuda")

        rows, validation_rows, rule = training_rows(dataset)
        in_memory = fits_in_memory([*rows, *validation_rows], world.local_size)
        pictures, self.validation = world.on_all_ranks(
            lambda: (
                PictureStore(dataset, rows, in_memory),
                PictureStore(dataset, validation_rows, in_memory),
            )
        )
        self.crops = CropDataset(pictures, recipe.model, self.spec, seed)
        self.steps = self.spec.total_steps(len(rows))
        self.notes = data_notes(recipe, rows, validation_rows, rule, in_memory)
        if workers is None:
            cores = max(1, (os.cpu_count() or 1) // world.local_size)
            workers = 1 if in_memory and not cuda else min(8, cores)
        self.workers = workers

        torch.manual_seed(seed)
        model = HDRNet(recipe.model).to(device)
        if world.size > 1 and cuda:
            synchronise_norms(model)
        average = None if self.spec.ema is None else copy.deepcopy(model)
        self.optimiser = optimiser_of(self.spec, model)
        self.checkpoint = Checkpoint(model, self.optimiser, average)
        # Scales the loss where half precision would lose small gradients; else it does nothing.
        half = self.spec.precision == "float16"
        self.scaler = torch.amp.GradScaler(torch.device(device).type, enabled=half)
        self.forward: Callable[..., torch.Tensor] = TrainingForward(model, self.spec.precision)
        if world.size > 1:
            ids = [torch.device(device)] if cuda else None
            self.forward = torch.nn.parallel.DistributedDataParallel(self.forward, device_ids=ids)
        if self.spec.compile:
            self.forward = torch.compile(self.forward)

    def run(
        self,
        state: TrainingState | None,
        on_step: Callable[[TrainingStep], None],
        log: Callable[[str], None],
    ) -> dict[str, Any]:
        """Train from a state, or from the start; the summary."""
        spec, world = self.spec, self.world
        resumed = state is not None
        state = self.begin() if state is None else self.restore(state)
        writer = self.open_writer(state, log)
        first = state.step
        sampler = BatchSampler(spec.batch_size, self.steps, first, world.rank, world.size)
        pin_memory = self.device.startswith("cuda")
        batches = batch_loader(self.crops, sampler, self.workers, pin_memory)
        save_every = spec.checkpoint_every or spec.validate_every
        start, data_wait = time.perf_counter() - state.seconds, state.data_wait
        try:
            for step in range(first + 1, self.steps + 1):
                asked = time.perf_counter()
                batch = next(batches).to(self.device)
                data_wait += time.perf_counter() - asked

                loss, mse, learning_rate = self.train_step(step, batch)
                if diverged(spec, loss):
                    raise self.divergence(f"the loss is {loss:.4g} at step {step}", step)
                psnr = -10 * math.log10(max(mse, 1e-12))

                metrics = None
                if step % spec.validate_every == 0 or step == self.steps:
                    metrics = self.validate(step)
                    state = self.with_validation(state, step, metrics)

                seconds = time.perf_counter() - start
                record = TrainingStep(
                    step, self.steps, loss, psnr, learning_rate, metrics, seconds, data_wait
                )
                if world.is_rank_zero:
                    writer.step(record)
                    if metrics:
                        pair = self.validation.pair(0).to(self.device)
                        writer.models(state, step, pair)
                if step % save_every == 0 or step == self.steps:
                    state = self.save(state, record)
                if world.is_rank_zero:
                    on_step(record)
        finally:
            batches.close()
            if world.is_rank_zero:
                writer.close()
        summary = _summary(self.directory, state, self.recipe)
        return summary | ({"resumed_at": first} if resumed else {})

    def train_step(self, step: int, batch: Batch) -> tuple[float, float, float]:
        """One step of the optimiser: the loss, the mean squared error, the learning rate."""
        spec = self.spec
        learning_rate = spec.learning_rate * rate(spec, step - 1, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        try:
            output = self.forward(batch.lowres, batch.crop)
            loss = loss_of(spec, output, batch.target)
            self.scaler.scale(loss).backward()
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split())[:200]
            raise CapabilityError(
                f"torch.compile does not work here ({reason}): --set training.compile=false"
            ) from None
        if spec.gradient_clip is not None:
            self.scaler.unscale_(self.optimiser)
            torch.nn.utils.clip_grad_norm_(self.checkpoint.model.parameters(), spec.gradient_clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.checkpoint.average is not None and spec.ema is not None:
            update_average(self.checkpoint.average, self.checkpoint.model, spec.ema, step)
        loss = loss.detach()
        squared = loss if spec.loss == "l2" else F.mse_loss(output.detach(), batch.target)
        means = self.world.all_reduce_mean(torch.stack([loss, squared])).tolist()
        return means[0], means[1], learning_rate

    def validate(self, step: int) -> dict[str, float]:
        """Mean metrics over the validation pictures."""
        model = self.checkpoint.validated_model()
        self.world.broadcast_buffers(model)
        metrics = validate(model, self.validation, {"psnr", self.spec.best_metric}, self.world)
        if any(math.isnan(value) for value in metrics.values()):
            raise self.divergence(f"the output is not finite after step {step}", step)
        return metrics

    def with_validation(
        self, state: TrainingState, step: int, metrics: dict[str, float]
    ) -> TrainingState:
        """The state after a validation; where it is the best so far, its weights are kept."""
        value = metrics[self.spec.best_metric]
        sign = METRICS[self.spec.best_metric].sign
        changes: dict[str, Any] = {"last": metrics}
        if state.best is None or sign * value > sign * state.best:
            self.checkpoint.remember_best()
            changes |= {"best": value, "best_step": step, "best_validation": metrics}
        return state.model_copy(update=changes)

    def save(self, state: TrainingState, record: TrainingStep) -> TrainingState:
        """Write what training is resumed from; the state after this step."""
        if not self.checkpoint.finite():
            what = f"the weights are not finite after step {record.step}"
            raise self.divergence(what, record.step)
        state = state.model_copy(
            update={
                "step": record.step,
                "seconds": round(record.seconds, 3),
                "data_wait": round(record.data_wait, 3),
                "processes": self.world.size,
                "threads": torch.get_num_threads(),
                "scaler": self.scaler.state_dict() or None,
            }
        )
        self.world.on_rank_zero(lambda: self.checkpoint.save(self.directory, state))
        return state

    def begin(self) -> TrainingState:
        """The state before the first step."""
        return TrainingState(
            recipe=self.recipe.name,
            recipe_digest=self.recipe.digest,
            dataset=self.dataset.header.name,
            dataset_digest=self.dataset.header.digest,
            seed=self.seed,
            step=0,
            steps=self.steps,
            processes=self.world.size,
            threads=torch.get_num_threads(),
        )

    def restore(self, state: TrainingState) -> TrainingState:
        """Bring network and optimiser to a state that was saved."""
        self.world.on_all_ranks(lambda: self.checkpoint.load(self.directory))
        self.scaler.load_state_dict(state.scaler or {})
        return state

    def open_writer(self, state: TrainingState, log: Callable[[str], None]) -> RunWriter:
        """The run's writer, with its directory made or brought back to the state."""
        notes = self.notes + process_notes(self.recipe, state, self.device, self.world)
        setup = {
            "train": len(self.crops.pictures),
            "validation": len(self.validation),
            "workers": self.workers,
            "processes": self.world.size,
            "from_step": state.step,
            "notes": notes,
        }
        writer = RunWriter(self.directory, self.recipe, self.dataset, state, self.checkpoint)
        self.world.on_rank_zero(lambda: writer.open(setup))
        for note in notes:
            log(note)
        return writer

    def divergence(self, what: str, step: int) -> TrainingError:
        """The error of a training that cannot go on, with the ids of the step's batch."""
        size = self.spec.batch_size
        ids = self.crops.ids(range((step - 1) * size, step * size))
        batch = f"{', '.join(ids[:16])}{', …' if len(ids) > 16 else ''}"
        return TrainingError(
            f"{what} (batch: {batch}): the checkpoints of earlier validations are kept; "
            "a lower training.learning_rate, or gradient_clip, may help"
        )


def _summary(directory: Path, state: TrainingState, recipe: Recipe) -> dict[str, Any]:
    last, best = state.last or {}, state.best_validation or {}
    return {
        "run": str(directory),
        "seed": state.seed,
        "steps": state.steps,
        "seconds": state.seconds,
        "data_wait_seconds": state.data_wait,
        "data_wait_share": round(state.data_wait / max(state.seconds, 1e-9), 4),
        "validation_psnr": {"last": last.get("psnr"), "best": best.get("psnr")},
        "best": {
            "metric": recipe.training.best_metric,
            "value": state.best,
            "step": state.best_step,
        },
    }
