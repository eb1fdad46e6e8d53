"""What is looked at before a training begins, and what is worth knowing of how it is done."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from ..data.encoding import check_encoding
from ..data.manifest import Dataset, Row
from ..errors import CapabilityError, DataError, UsageError
from ..evaluation.score import split_available
from ..files import open_regular
from ..metrics.lpips import check_backbone
from ..recipe import SMALL_CROP, Recipe
from ..recipe_writing import short_edge
from ..runs import LOG, RECIPE, open_run
from .checkpoint import STATE, STATE_TEXT, TrainingState, check_same, read_training_state
from .distributed import World
from .kept import models_in
from .run_writer import check_ours


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
    return check_directory(recipe, dataset, directory, seed, overwrite, resume)


def check_directory(
    recipe: Recipe, dataset: Dataset, directory: Path, seed: int, overwrite: bool, resume: bool
) -> TrainingState | None:
    """The part of it that looks at the run's directory."""
    if not directory.exists() and not directory.is_symlink():
        return None
    if not (directory / RECIPE).exists():
        raise UsageError(f"{directory} exists and is not a run directory: move it away")
    if not resume:
        if not overwrite:
            raise UsageError(
                f"{directory} is there: --resume goes on with it, --overwrite trains it again, "
                "another --run goes beside it"
            )
        check_ours(directory)
        return None
    state = read_training_state(directory)
    if state is None:
        if open_run(directory).recipe.digest != recipe.digest:
            raise UsageError(f"{directory} was begun with another {recipe.name}: --overwrite it")
        _check_nothing_trained(directory, recipe)
        check_ours(directory)
        return None
    check_same(state, recipe, dataset, seed, directory)
    return state


def _check_nothing_trained(directory: Path, recipe: Recipe) -> None:
    """Whether a run without a state never had one, so that --resume may begin it again. Raises
    DataError where the state was lost."""
    first = recipe.training.checkpoint_every or recipe.training.validate_every
    found = models_in(directory)
    if (directory / STATE_TEXT).exists() or _lines(directory / LOG, first + 1) > first:
        found = found or [f"a log of {first} steps or more"]
    if found:
        raise DataError(
            f"{directory} has {', '.join(found)}, but no {STATE} that --resume could go on from: "
            "restore it, or train again with --overwrite"
        )


def _lines(path: Path, most: int) -> int:
    """How many lines a log has, up to `most`."""
    try:
        with open_regular(path) as stream:
            return sum(1 for _ in islice(iter(lambda: stream.readline(1 << 16), b""), most))
    except FileNotFoundError:
        return 0


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
    """Of the pictures: which are validated on, which are continued by their mirror image, and
    whether crops show little of them."""
    crop = recipe.training.crop
    notes = [f"validation: {len(validation)} picture(s), {rule}"]
    small = [row.id for row in rows if min(row.width, row.height) < crop]
    if small:
        notes.append(
            f"{len(small)} picture(s) smaller than the crop of {crop} go on "
            f"as their mirror image: {', '.join(small[:5])}{', …' if len(small) > 5 else ''}"
        )
    edge = short_edge(rows) or 0
    if crop < SMALL_CROP * edge:
        notes.append(
            f"crops of {crop} are {crop / edge:.0%} of the pictures' short edge "
            f"({edge:.0f} in the middle): what the network sees small is the crop in "
            "training and the whole picture in use; a larger training.crop comes nearer to that"
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
