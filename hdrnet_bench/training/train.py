"""Training: one plain loop (Gharbi et al. 2017, section 4: mean squared error, Adam).

`train` takes the run's lock, checks what can go wrong, and hands over to a Trainer; the loop is
`Trainer.run`, one step of the optimiser `Trainer.train_step`.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ..data.manifest import Dataset
from ..data.pairs import PictureStore, fits_in_memory
from ..errors import CapabilityError, DataError, HdrbenchError, UsageError
from ..locks import locked
from ..metric_specs import METRICS
from ..model.hdrnet import HDRNet
from ..model.layers import synchronise_norms
from ..recipe import Recipe
from ..stopping import Stopped, asked_to_stop, says_when_stopped
from .checkpoint import Checkpoint, StepValues, TrainingState
from .checks import check_run, data_notes, process_notes
from .crops import Batch, BatchSampler, CropDataset, batch_loader, training_rows
from .distributed import World
from .forecast import Forecast
from .kept import early_note, kept, said_once, stop_note, watch_note
from .memory import check_memory, memory_advice, workers_for
from .optimisation import TrainingForward, diverged, loss_of, optimiser_of, rate, update_average
from .run_writer import RunWriter, TrainingStep, run_summary, sweep_run
from .validation import out_of_patience, validate


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
    outlook: Callable[[str], None] = lambda note: None,
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
        outlook: called with where it may be watched and when it will end, in rank 0.

    Returns:
        A summary: steps, seconds, the wait for data, the last and best validation.

    Raises:
        UsageError: the run is there, or is another recipe's; it holds files of somebody else.
        DataError: no training or validation pictures, a broken one, another process's run.
        StorageError: the run cannot be written, or a process that makes batches was killed.
        CapabilityError: the precision, or torch.compile, does not work here; too little memory.
        TrainingError: the loss is not finite, or far out.
        Stopped: by SIGINT or SIGTERM: after the step, or in mid-validation, with the state saved.
    """
    world = world or World()
    lock = directory.parent / f".{directory.name}.lock"
    with contextlib.ExitStack() as held:
        busy = f"another process is training {directory}"
        world.on_rank_zero(lambda: held.enter_context(locked(lock, busy)))
        state = world.on_all_ranks(
            lambda: check_run(recipe, dataset, directory, seed, device, overwrite, resume, world)
        )
        world.on_rank_zero(lambda: sweep_run(directory))
        if state is not None and state.finished:
            return run_summary(directory, state, recipe) | {"resumed_at": state.step}
        with says_when_stopped(f"before its first step: {directory} is as it was"):
            trainer = Trainer(recipe, dataset, directory, seed, device, workers, world)
        return trainer.run(state, on_step, world.of_rank_zero(log), world.of_rank_zero(outlook))


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
        self.workers = workers_for(workers, in_memory, device, world)
        short = world.on_all_ranks(lambda: check_memory(recipe, device, self.workers, world))
        pictures, self.validation = world.on_all_ranks(
            lambda: (
                PictureStore(dataset, rows, in_memory),
                PictureStore(dataset, validation_rows, in_memory),
            )
        )
        self.crops = CropDataset(pictures, recipe.model, self.spec, seed)
        self.steps = self.spec.total_steps(len(rows))
        self.notes = data_notes(recipe, rows, validation_rows, rule, in_memory) + short

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
        outlook: Callable[[str], None],
    ) -> dict[str, Any]:
        """Train from a state, or from the start; the summary. Raises as `train`."""
        resumed = state is not None
        state = self.begin() if state is None else self.restore(state)
        with asked_to_stop() as request:
            writer = self.open_writer(state, log)
            outlook(watch_note(self.directory))
            first = state.logged
            sampler = BatchSampler(
                self.spec.batch_size, self.steps, state.step, self.world.rank, self.world.size
            )
            pin_memory = self.device.startswith("cuda")
            asked = said_once(request, log)
            # Of several processes none gives up alone: the others wait for its step.
            given_up = asked if self.world.size == 1 else bool
            batches = batch_loader(self.crops, sampler, self.workers, pin_memory, given_up)
            try:
                with memory_advice(self.recipe):
                    forecast = Forecast(self.spec, self.steps, outlook)
                    state = self.loop(state, writer, batches, asked, on_step, forecast)
                if state.stopped_early:
                    log(early_note(self.spec, state))
            finally:
                batches.close()
                if self.world.is_rank_zero:
                    writer.close()
            # Any process may have been asked; all say the same.
            number = max(self.world.all_gather(request.number or 0))
            if number:
                stop = request.stop() if request else Stopped(number)
                stop.add_note(stop_note(state, self.directory))
                raise stop
        summary = run_summary(self.directory, state, self.recipe)
        return summary | ({"resumed_at": first} if resumed else {})

    def loop(
        self,
        state: TrainingState,
        writer: RunWriter,
        batches: Generator[Batch, None, None],
        asked: Callable[[], bool],
        on_step: Callable[[TrainingStep], None],
        forecast: Forecast,
    ) -> TrainingState:
        """Steps up to the last, or to the one at which patience runs out or any process is asked to
        stop; the state, which is saved once there was a step."""
        spec, rank_zero = self.spec, self.world.is_rank_zero
        save_every = spec.checkpoint_every or spec.validate_every
        start, data_wait = time.perf_counter() - state.seconds, state.data_wait
        step, values, stop = state.step, state.unvalidated, False

        def now(unvalidated: StepValues | None = None) -> dict[str, Any]:
            spent = {"seconds": time.perf_counter() - start, "data_wait": data_wait}
            return {"step": step, "unvalidated": unvalidated} | {
                name: round(seconds, 3) for name, seconds in spent.items()
            }

        while not stop and not state.stopped_early and (step < self.steps or values is not None):
            if values is None:  # else the step was done when its validation was stopped
                waiting = time.perf_counter()
                try:
                    batch = next(batches, None)
                except (DataError, CapabilityError) as error:
                    raise self.data_failed(error, writer, state, now()) from None
                if batch is None:
                    return self.save(writer, state, now()) if step > state.step else state
                batch = batch.to(self.device)
                data_wait += time.perf_counter() - waiting
                step += 1
                values, stop = self.train_step(step, batch, asked)

            metrics, shown, stepped = None, None, time.perf_counter()
            if step % spec.validate_every == 0 or step == self.steps:
                try:
                    metrics = self.validate(step, asked)
                    if metrics and rank_zero:
                        shown = self.validation.pair(0)
                except DataError as error:
                    raise self.data_failed(error, writer, state, now(values)) from None
                if metrics is None:
                    return self.save(writer, state, now(values))
                state = self.with_validation(state, step, metrics)

            seconds = time.perf_counter() - start
            record = TrainingStep(step, self.steps, *values, metrics, seconds, data_wait)
            values = None
            if rank_zero:
                writer.step(record)
                if shown:
                    writer.models(state, step, shown.to(self.device))
            if stop or step % save_every == 0 or step == self.steps or state.stopped_early:
                state = self.save(writer, state, now())
            forecast.passed(step, time.perf_counter() - stepped if metrics else None)
            if rank_zero:
                on_step(record)
        return state

    def train_step(
        self, step: int, batch: Batch, asked: Callable[[], bool]
    ) -> tuple[StepValues, bool]:
        """One step of the optimiser: what it measured, and whether any process is asked to stop.
        Raises TrainingError where the loss says that no training comes back from here."""
        spec = self.spec
        learning_rate = spec.learning_rate * rate(spec, step - 1, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        try:
            output = self.forward(batch.lowres, batch.crop)
            loss = loss_of(spec, output, batch.target)
            asked()  # on a CPU the backward pass may take half a minute
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
        shared = torch.stack([loss, squared, torch.full_like(loss, asked())])
        mean_loss, mse, stopping = self.world.all_reduce_mean(shared).tolist()
        if diverged(spec, mean_loss):
            raise self.divergence(f"the loss is {mean_loss:.4g} at step {step}", step)
        psnr = -10 * math.log10(max(mse, 1e-12))
        return StepValues(mean_loss, psnr, learning_rate), stopping > 0

    def validate(self, step: int, asked: Callable[[], bool]) -> dict[str, float] | None:
        """Mean metrics over the validation pictures; None where it was stopped."""
        model = self.checkpoint.validated_model()
        self.world.broadcast_buffers(model)
        names = {"psnr", self.spec.best_metric}
        metrics = validate(model, self.validation, names, self.world, asked)
        if metrics is not None and any(math.isnan(value) for value in metrics.values()):
            raise self.divergence(f"the output is not finite after step {step}", step)
        return metrics

    def with_validation(
        self, state: TrainingState, step: int, metrics: dict[str, float]
    ) -> TrainingState:
        """The state after a validation; where it is the best so far, its weights are kept."""
        value = metrics[self.spec.best_metric]
        sign = METRICS[self.spec.best_metric].sign
        changes: dict[str, Any] = {"last": metrics}
        if state.best is None or state.best_step is None or sign * value > sign * state.best:
            self.checkpoint.remember_best()
            changes |= {"best": value, "best_step": step, "best_validation": metrics}
        elif step < self.steps:
            changes["stopped_early"] = out_of_patience(self.spec, state.best_step, step)
        return state.model_copy(update=changes)

    def save(
        self, writer: RunWriter, state: TrainingState, changes: dict[str, Any]
    ) -> TrainingState:
        """Write what training is resumed from; the state with where it stands now."""
        step = changes["step"]
        if not self.checkpoint.finite():
            raise self.divergence(f"the weights are not finite after step {step}", step)
        state = state.model_copy(
            update=changes
            | {
                "processes": self.world.size,
                "threads": torch.get_num_threads(),
                "scaler": self.scaler.state_dict() or None,
            }
        )

        self.world.on_rank_zero(lambda: writer.save(state))
        return state

    def data_failed(
        self, error: HdrbenchError, writer: RunWriter, state: TrainingState, changes: dict[str, Any]
    ) -> HdrbenchError:
        """The error of data that could not be read, once what was trained until then is saved."""
        # With several processes the others may be in mid-step.
        if self.world.size == 1 and changes["step"] > state.step:
            state = self.save(writer, state, changes)
        return type(error)(f"{error}; {kept(state, self.directory)}")

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

        def load() -> None:
            self.checkpoint.load(self.directory, state.best_step is not None)
            try:
                self.scaler.load_state_dict(state.scaler or {})
            except (RuntimeError, KeyError, TypeError) as error:
                raise DataError(f"{self.directory}: its state has no loss scale: {error}") from None

        self.world.on_all_ranks(load)
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
        writer = RunWriter(self.directory, self.recipe, self.dataset, state, self.checkpoint, log)
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
