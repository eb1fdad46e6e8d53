"""Training: one plain loop (Gharbi et al. 2017, section 4: mean squared error, Adam)."""

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

from ..data.encoding import check_encoding
from ..data.manifest import Dataset
from ..data.pairs import PictureStore, fits_in_memory
from ..errors import CapabilityError, DataError, UsageError
from ..evaluation.score import split_available
from ..metric_specs import METRICS
from ..metrics.lpips import check_backbone
from ..model.hdrnet import HDRNet
from ..recipe import Recipe
from ..runs import RECIPE, open_run
from ..training.crops import Batch, BatchSampler, CropDataset, loader, training_rows
from .checkpoint import Checkpoint, TrainingState, check_same, read_training_state
from .distributed import World
from .optimisation import TrainingForward, diverged, loss_of, optimiser_of, rate, update_average
from .run_writer import RunWriter, TrainingStep
from .validation import validate


class TrainingError(UsageError):
    """The recipe cannot be trained: the loss, or the output, is no number any more."""


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
    on_step: Callable[[TrainingStep], None] = lambda progress: None,
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
            lambda: check(recipe, dataset, directory, seed, device, overwrite, resume, world)
        )
        if state is not None and state.finished:
            return _summary(directory, state, recipe) | {"resumed_at": state.step}
        job = _Job(recipe, dataset, directory, seed, device, workers, world)
        return job.run(state, on_step, log if world.is_rank_zero else lambda note: None)
    finally:
        lock.release()


def check(
    recipe: Recipe,
    dataset: Dataset,
    directory: Path,
    seed: int,
    device: str,
    overwrite: bool,
    resume: bool,
    world: World,
) -> TrainingState | None:
    """Whether it can be trained here; where a run that is resumed stands."""
    spec, processes = recipe.training, world.size
    if spec.precision != "float32" and not device.startswith("cuda"):
        raise CapabilityError(
            f"training.precision {spec.precision} needs a CUDA device, not {device}: use float32"
        )
    if spec.batch_size % processes:
        raise UsageError(
            f"training.batch_size {spec.batch_size} cannot be shared equally by {processes} "
            "processes: it is the batch of all of them together"
        )
    if recipe.model.batch_norm and spec.batch_size == processes:
        raise UsageError(
            f"batch_norm with batch_size {spec.batch_size} on {processes} processes leaves each "
            "one sample, of which the dense layers have no statistics: use fewer processes or a "
            "larger batch"
        )
    check_encoding(recipe.model, dataset.header, f"recipe {recipe.name}")
    _, missing = split_available([spec.best_metric], check_backbone)
    if missing:
        raise CapabilityError(f"best_metric {spec.best_metric}: {missing[spec.best_metric]}")
    if not directory.exists():
        return None
    if not (directory / RECIPE).exists():
        raise UsageError(f"{directory} is there and is no run: move it away")
    if not resume:
        if not overwrite:
            raise UsageError(
                f"{directory} is there: --resume goes on with it, --overwrite trains it again, "
                "--run names another"
            )
        return None
    state = read_training_state(directory)
    if state is None:
        if open_run(directory).recipe.digest != recipe.digest:
            raise UsageError(f"{directory} was begun with another {recipe.name}: --overwrite it")
        return None
    check_same(state, recipe, dataset, seed, directory)
    return state


class _Job:
    """One run's training: its parts, and the loop."""

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
        rows, validation_rows, self.rule = training_rows(dataset)
        self.in_memory = fits_in_memory([*rows, *validation_rows], world.local_size)
        self.crops, self.validation = world.on_all_ranks(
            lambda: (
                CropDataset(
                    PictureStore(dataset, rows, self.in_memory), recipe.model, self.spec, seed
                ),
                PictureStore(dataset, validation_rows, self.in_memory),
            )
        )
        self.steps = self.spec.total_steps(len(rows))
        cuda = device.startswith("cuda")
        if workers is None:
            cores = max(1, (os.cpu_count() or 1) // world.local_size)
            workers = 1 if self.in_memory and not cuda else min(8, cores)
        self.workers = workers

        torch.manual_seed(seed)
        model = HDRNet(recipe.model).to(device)
        if world.size > 1 and cuda:
            torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
        average = None if self.spec.ema is None else copy.deepcopy(model)
        self.optimiser = optimiser_of(self.spec, model)
        self.checkpoint = Checkpoint(model, self.optimiser, average)
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
        spec, world = self.spec, self.world
        resumed = state is not None
        if state is not None:
            world.on_all_ranks(lambda: self.checkpoint.load(self.directory))
            self.scaler.load_state_dict(state.scaler or {})
        else:
            state = self._start()
        done, notes = state.step, self._notes(state)
        setup = {
            "train": len(self.crops.pictures),
            "validation": len(self.validation),
            "workers": self.workers,
            "processes": world.size,
            "from_step": done,
            "notes": notes,
        }
        writer = RunWriter(self.directory, self.recipe, self.dataset, state, self.checkpoint)
        world.on_rank_zero(lambda: writer.open(setup))
        for note in notes:
            log(note)
        draws = BatchSampler(spec.batch_size, self.steps, done, world.rank, world.size)
        batches = loader(self.crops, draws, self.workers, self.device.startswith("cuda"))
        began = time.perf_counter() - state.seconds
        waited = state.data_wait
        try:
            for step in range(done + 1, self.steps + 1):
                asked = time.perf_counter()
                batch = next(batches).to(self.device)
                waited += time.perf_counter() - asked
                loss, error, learning_rate = self._step(step, batch)
                if diverged(spec, loss):
                    raise self._diverged(f"the loss is {loss:.4g} at step {step}", step)
                psnr = -10 * math.log10(max(error, 1e-12))
                measured = None
                if step % spec.validate_every == 0 or step == self.steps:
                    measured = self._validate(step)
                    state = self._judged(state, step, measured)
                seconds = time.perf_counter() - began
                progress = TrainingStep(
                    step, self.steps, loss, psnr, learning_rate, measured, seconds, waited
                )
                if world.is_rank_zero:
                    writer.step(progress)
                    if measured:
                        pair = self.validation.pair(0).to(self.device)
                        writer.models(state, step, pair)
                every = spec.checkpoint_every or spec.validate_every
                if step % every == 0 or step == self.steps:
                    state = self._save_state(state, progress)
                if world.is_rank_zero:
                    on_step(progress)
        finally:
            batches.close()
            if world.is_rank_zero:
                writer.close()
        summary = _summary(self.directory, state, self.recipe)
        return summary | ({"resumed_at": done} if resumed else {})

    def _start(self) -> TrainingState:
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

    def _step(self, step: int, batch: Batch) -> tuple[float, float, float]:
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

    def _validate(self, step: int) -> dict[str, float]:
        model = self.checkpoint.validated_model()
        self.world.broadcast_buffers(model)
        measured = validate(model, self.validation, {"psnr", self.spec.best_metric}, self.world)
        if any(math.isnan(value) for value in measured.values()):
            raise self._diverged(f"the output is not finite after step {step}", step)
        return measured

    def _judged(self, state: TrainingState, step: int, measured: dict[str, float]) -> TrainingState:
        """The state after a validation; where it is the best so far, its weights are kept."""
        value = measured[self.spec.best_metric]
        sign = 1 if METRICS[self.spec.best_metric].higher_is_better else -1
        changes: dict[str, Any] = {"last": measured}
        if state.best is None or sign * value > sign * state.best:
            self.checkpoint.remember_best()
            changes |= {"best": value, "best_step": step, "best_validation": measured}
        return state.model_copy(update=changes)

    def _save_state(self, state: TrainingState, progress: TrainingStep) -> TrainingState:
        if not self.checkpoint.finite():
            what = f"the weights are not finite after step {progress.step}"
            raise self._diverged(what, progress.step)
        state = state.model_copy(
            update={
                "step": progress.step,
                "seconds": round(progress.seconds, 3),
                "data_wait": round(progress.data_wait, 3),
                "processes": self.world.size,
                "threads": torch.get_num_threads(),
                "scaler": self.scaler.state_dict() or None,
            }
        )
        self.world.on_rank_zero(lambda: self.checkpoint.save(self.directory, state))
        return state

    def _notes(self, state: TrainingState) -> list[str]:
        world, config = self.world, self.recipe.model
        share = self.spec.batch_size // world.size
        notes = [f"validation: {len(self.validation)} picture(s), {self.rule}"]
        small = [r.id for r in self.crops.pictures.rows if min(r.width, r.height) < self.spec.crop]
        if small:
            notes.append(
                f"{len(small)} picture(s) smaller than the crop of {self.spec.crop} go on "
                f"as their mirror image: {', '.join(small[:5])}{', …' if len(small) > 5 else ''}"
            )
        if not self.in_memory:
            notes.append("the pictures do not fit into memory: decoded again for each crop")
        if world.size > 1:
            notes.append(f"{world.size} processes, {share} of {self.spec.batch_size} samples each")
            if config.batch_norm or config.variant != "curves":
                notes.append(
                    "batch norm: statistics over all processes (SyncBatchNorm)"
                    if self.device.startswith("cuda")
                    else f"batch norm: each process has the statistics of its own {share} samples, "
                    "rank 0's running ones are kept"
                )
        if state.step:
            notes.append(f"resumed at step {state.step} of {self.steps}")
            before = (state.threads, state.processes)
            if before != (torch.get_num_threads(), world.size):
                notes.append(
                    f"begun with {before[0]} threads and {before[1]} processes, now "
                    f"{torch.get_num_threads()} and {world.size}: equal up to rounding only"
                )
        return notes

    def _diverged(self, what: str, step: int) -> TrainingError:
        size = self.spec.batch_size
        ids = self.crops.ids(range((step - 1) * size, step * size))
        shown = f"{', '.join(ids[:16])}{', …' if len(ids) > 16 else ''}"
        return TrainingError(
            f"{what} (batch: {shown}): the checkpoints of earlier validations are kept; "
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
