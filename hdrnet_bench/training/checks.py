"""What is looked at before a training begins, and what is worth knowing of how it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..data.encoding import check_encoding
from ..data.manifest import Dataset, Row
from ..errors import CapabilityError, UsageError
from ..evaluation.score import split_available
from ..metrics.lpips import check_backbone
from ..recipe import Recipe
from ..runs import LOG, RECIPE, open_run
from .checkpoint import TrainingState, check_same, read_training_state
from .distributed import World
from .run_writer import not_of_training


def check_run(
    recipe: Recipe,
    dataset: Dataset,
    directory: Path,
    seed: int,
    device: str,
    overwrite: bool,
    resume: bool,
    world: World,
) -> TrainingState | None:
    """The state that a run is resumed from; None where it begins. Raises as `train` does."""
    check_recipe(recipe, dataset, device, world.size)
    if not directory.exists() and not directory.is_symlink():
        return None
    if not (directory / RECIPE).exists():
        raise UsageError(f"{directory} exists and is not a run directory: move it away")
    if not resume:
        if not overwrite:
            raise UsageError(
                f"{directory} is there: --resume goes on with it, --overwrite trains it again, "
                "--run names another"
            )
        _check_ours(directory)
        return None
    state = read_training_state(directory)
    if state is None:
        if open_run(directory).recipe.digest != recipe.digest:
            raise UsageError(f"{directory} was begun with another {recipe.name}: --overwrite it")
        return None
    check_same(state, recipe, dataset, seed, directory)
    return state


def _check_ours(directory: Path) -> None:
    """Whether all that --overwrite would delete is a training's. Raises UsageError."""
    if directory.is_symlink():
        raise UsageError(f"{directory} is a symbolic link, which --overwrite does not follow")
    if not (directory / LOG).is_file():
        raise UsageError(f"{directory} has no {LOG}, as no run's directory: move it away")
    others = not_of_training(directory)
    if others:
        more = ", …" if len(others) > 3 else ""
        raise UsageError(
            f"{directory} holds what no training wrote ({', '.join(others[:3])}{more}): move it "
            "away, then --overwrite"
        )


def check_recipe(recipe: Recipe, dataset: Dataset, device: str, processes: int) -> None:
    """Whether a recipe can be trained on this dataset, on this device, by so many processes.

    Raises UsageError or CapabilityError.
    """
    spec = recipe.training
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


def data_notes(
    recipe: Recipe, rows: Sequence[Row], validation: Sequence[Row], rule: str, in_memory: bool
) -> list[str]:
    """Of the pictures: which are validated on, which are continued by their mirror image."""
    crop = recipe.training.crop
    notes = [f"validation: {len(validation)} picture(s), {rule}"]
    small = [row.id for row in rows if min(row.width, row.height) < crop]
    if small:
        notes.append(
            f"{len(small)} picture(s) smaller than the crop of {crop} go on "
            f"as their mirror image: {', '.join(small[:5])}{', …' if len(small) > 5 else ''}"
        )
    if not in_memory:
        notes.append("the pictures do not fit into memory: decoded again for each crop")
    return notes


def process_notes(recipe: Recipe, state: TrainingState, device: str, world: World) -> list[str]:
    """Of the processes, and of what a resumed run was begun with."""
    notes, config = [], recipe.model
    share = recipe.training.batch_size // world.size
    if world.size > 1:
        total = recipe.training.batch_size
        notes.append(f"{world.size} processes, {share} of {total} samples each")
        if config.batch_norm or config.variant != "curves":
            notes.append(
                "batch norm: statistics over all processes (SyncBatchNorm)"
                if device.startswith("cuda")
                else f"batch norm: each process has the statistics of its own {share} samples, "
                "rank 0's running ones are kept"
            )
    if state.step:
        notes.append(f"resumed at step {state.step} of {state.steps}")
        threads = torch.get_num_threads()
        if (state.threads, state.processes) != (threads, world.size):
            notes.append(
                f"begun with {state.threads} threads and {state.processes} processes, now "
                f"{threads} and {world.size}: equal up to rounding only"
            )
    return notes
