"""What `hdrbench train` does, alone or started by torchrun."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from ..data.manifest import Dataset, open_dataset
from ..errors import HdrbenchError, PeerFailed, UsageError
from ..recipe import Recipe, load_recipe
from ..recipe_writing import named_dataset, on_dataset, short_edge
from ..runs import new_run_directory
from ..statistics import spread
from ..training.checks import check_directory
from ..training.distributed import World, process_group, world_from_environment
from ..training.overrides import override
from ..training.run_writer import TrainingStep
from ..training.train import train
from .console import choose_device, err, next_step, out, print_json, report_values
from .next_steps import after_train
from .progress import training_progress


def train_recipe(
    name: str,
    settings: list[str],
    *,
    dataset: str | None,
    seed: int | None,
    run: str | None,
    device: str | None,
    workers: int | None,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train a recipe's seeds one after another; see `hdrbench train --help`."""
    world = world_from_environment()
    try:
        recipe, seeds, directories = _wanted(name, settings, dataset, seed, run, resume, overwrite)
        where = choose_device(device)
    except HdrbenchError as error:
        if world.is_rank_zero:
            raise
        raise PeerFailed(error.exit_code) from error  # rank 0 meets the same and says it
    if where == "cuda" and world.size > 1:
        where = choose_device(f"cuda:{world.local_rank}")
    if dry_run:
        opened = _check(recipe, seeds, directories, resume, overwrite)
        if world.is_rank_zero:
            report_values(_plan(recipe, opened, directories, where, workers, world), as_json)
        return
    summaries = []
    with process_group(world, where) as world:
        opened = world.on_all_ranks(lambda: _check(recipe, seeds, directories, resume, overwrite))
        for one, directory in zip(seeds, directories, strict=True):
            bar: AbstractContextManager[Callable[[TrainingStep], None]] = nullcontext(_ignore)
            if world.is_rank_zero:
                bar = training_progress(f"{recipe.label} seed {one}", quiet)
            with bar as on_step:
                summary = train(
                    recipe,
                    opened,
                    directory,
                    seed=one,
                    device=where,
                    overwrite=overwrite,
                    resume=resume,
                    workers=workers,
                    world=world,
                    on_step=on_step,
                    log=err.print,
                    outlook=_ignore if quiet else err.print,
                )
            summaries.append(summary)
    if world.is_rank_zero:
        _show(summaries, as_json)
        next_step(after_train(directories), quiet or as_json)


def _wanted(
    name: str,
    settings: list[str],
    dataset: str | None,
    seed: int | None,
    run: str | None,
    resume: bool,
    overwrite: bool,
) -> tuple[Recipe, list[int], list[Path]]:
    """The recipe, the seeds and the run directories that the arguments ask for."""
    if resume and overwrite:
        raise UsageError("--resume goes on with a run, --overwrite deletes it: use one of them")
    recipe = load_recipe(name)
    if dataset is not None:
        other = named_dataset(dataset)
        recipe = on_dataset(recipe, other.header, short_edge=short_edge(other.split("train")))
    recipe = override(recipe, settings)
    seeds = [seed] if seed is not None else list(recipe.training.seeds)
    if run is not None and len(seeds) > 1:
        raise UsageError(f"--run names one run, the recipe has seeds {seeds}: add --seed")
    return recipe, seeds, [new_run_directory(recipe, one, run) for one in seeds]


def _check(
    recipe: Recipe, seeds: list[int], directories: list[Path], resume: bool, overwrite: bool
) -> Dataset:
    """The dataset; raises UsageError where a run is there, or one to be resumed is not: of all
    seeds before the first is trained."""
    if resume and not any(directory.exists() for directory in directories):
        raise UsageError(f"there is no run {directories[0]} to resume: leave --resume out")
    dataset = open_dataset(recipe.dataset.name, recipe.dataset.advice)
    for seed, directory in zip(seeds, directories, strict=True):
        check_directory(recipe, dataset, directory, seed, overwrite, resume)
    return dataset


def _plan(
    recipe: Recipe,
    dataset: Dataset,
    directories: list[Path],
    device: str,
    workers: int | None,
    world: World,
) -> dict[str, Any]:
    from ..data.pairs import fits_in_memory
    from ..training.crops import training_rows
    from ..training.memory import estimate, shares, workers_for

    rows, validation, rule = training_rows(dataset)
    in_memory = fits_in_memory([*rows, *validation], world.local_size)
    workers = workers_for(workers, in_memory, device, world)
    need = estimate(recipe, workers, world.size)
    return {
        "recipe": recipe.label,
        "changed": list(recipe.changed),
        "runs": [str(directory) for directory in directories],
        "device": device,
        "pairs": dataset.header.counts,
        "train on": len(rows),
        "validate on": f"{len(validation)}: {rule}",
        "steps": recipe.training.total_steps(len(rows)),
        "crop": recipe.training.crop,
        "workers": workers,
        "memory": "; ".join(map(str, shares(need, device, world))),
    }


def _ignore(what: TrainingStep | str) -> None:
    """For who shows nothing."""


def _show(summaries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(summaries)
        return
    for summary in summaries:
        steps = f"{summary['steps']}"
        if summary.get("stopped_early"):
            steps += f" of {summary['planned_steps']}"
        if summary.get("resumed_at") == summary["steps"]:
            early = ", early," if summary.get("stopped_early") else ","
            out.print(f"{summary['run']}: finished before{early} at step {steps}: nothing to do")
            continue
        psnr = summary["validation_psnr"]
        ended = "ended early, " if summary.get("stopped_early") else ""
        out.print(
            f"{summary['run']}: {ended}{steps} steps in {summary['seconds']:.0f} s, "
            f"{summary['data_wait_share']:.1%} of them waiting for data; "
            f"validation PSNR {psnr['last']:.2f} dB at the end, {psnr['best']:.2f} dB at best"
        )
    if len(summaries) > 1:
        mean, deviation = spread([summary["validation_psnr"]["last"] for summary in summaries])
        out.print(
            f"{len(summaries)} seeds: validation PSNR {mean:.2f} ± {deviation:.2f} dB at the end "
            "(mean ± standard deviation over them)"
        )
