"""What `hdrbench train` does, alone or started by torchrun."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ..data.manifest import Dataset, open_dataset
from ..errors import HdrbenchError, PeerFailed, UsageError
from ..files import json_text
from ..recipe import Recipe, load_recipe
from ..runs import new_run_directory
from ..statistics import spread
from ..training.distributed import World, process_group, world_from_environment
from ..training.overrides import override
from ..training.run_writer import TrainingStep
from ..training.train import train
from .console import (
    choose_device,
    err,
    out,
    print_table,
    progress,
    report_values,
    training_progress,
)


def train_recipe(
    name: str,
    settings: list[str],
    *,
    seed: int | None,
    run: str | None,
    device: str | None,
    workers: int | None,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a recipe's seeds one after another; see `hdrbench train --help`."""
    world = world_from_environment()
    try:
        recipe, seeds, directories = _wanted(name, settings, seed, run, resume, overwrite)
        where = choose_device(device)
    except HdrbenchError as error:
        if world.is_rank_zero:
            raise
        raise PeerFailed(error.exit_code) from error  # rank 0 meets the same and says it
    if where == "cuda" and world.size > 1:
        where = choose_device(f"cuda:{world.local_rank}")
    if dry_run:
        dataset = _check(recipe, directories, resume, overwrite)
        if world.is_rank_zero:
            report_values(_plan(recipe, dataset, directories, where), as_json)
        return
    with process_group(world, where) as world:
        dataset = world.on_all_ranks(lambda: _check(recipe, directories, resume, overwrite))
        summaries = [
            _train_one(recipe, dataset, directory, one, where, workers, resume, overwrite, world)
            for one, directory in zip(seeds, directories, strict=True)
        ]
    if world.is_rank_zero:
        _show(summaries, as_json)


def _wanted(
    name: str, settings: list[str], seed: int | None, run: str | None, resume: bool, overwrite: bool
) -> tuple[Recipe, list[int], list[Path]]:
    """The recipe, the seeds and the run directories that the arguments ask for."""
    if resume and overwrite:
        raise UsageError("--resume goes on with a run, --overwrite deletes it: use one of them")
    recipe = override(load_recipe(name), settings)
    seeds = [seed] if seed is not None else list(recipe.training.seeds)
    if run is not None and len(seeds) > 1:
        raise UsageError(f"--run names one run, the recipe has seeds {seeds}: add --seed")
    return recipe, seeds, [new_run_directory(recipe, one, run) for one in seeds]


def _check(recipe: Recipe, directories: list[Path], resume: bool, overwrite: bool) -> Dataset:
    """The dataset; raises UsageError where a run is there, or one to be resumed is not."""
    existing = [directory for directory in directories if directory.exists()]
    if resume and not existing:
        raise UsageError(f"there is no run {directories[0]} to resume: leave --resume out")
    if existing and not resume and not overwrite:
        raise UsageError(
            f"{existing[0]} is there: --resume goes on with it, --overwrite trains it again, "
            "another --run goes beside it"
        )
    return open_dataset(recipe.dataset.name, recipe.dataset.advice)


def _plan(recipe: Recipe, dataset: Dataset, directories: list[Path], device: str) -> dict[str, Any]:
    from ..training.crops import training_rows

    rows, validation, rule = training_rows(dataset)
    return {
        "recipe": recipe.label,
        "changed": list(recipe.changed),
        "runs": [str(directory) for directory in directories],
        "device": device,
        "pairs": dataset.header.counts,
        "train on": len(rows),
        "validate on": f"{len(validation)}: {rule}",
        "steps": recipe.training.total_steps(len(rows)),
    }


def _train_one(
    recipe: Recipe,
    dataset: Dataset,
    directory: Path,
    seed: int,
    device: str,
    workers: int | None,
    resume: bool,
    overwrite: bool,
    world: World,
) -> dict[str, Any]:
    title = f"{recipe.label} seed {seed}"
    bar = training_progress(title) if world.is_rank_zero else contextlib.nullcontext(_ignore)
    with bar as on_step:
        return train(
            recipe,
            dataset,
            directory,
            seed=seed,
            device=device,
            overwrite=overwrite,
            resume=resume,
            workers=workers,
            world=world,
            on_step=on_step,
            log=err.print,
        )


def _ignore(step: TrainingStep) -> None:
    """For the ranks that show nothing."""


def _show(summaries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json_text(summaries), end="")
        return
    for summary in summaries:
        if summary.get("resumed_at") == summary["steps"]:
            out.print(
                f"{summary['run']}: finished before, at step {summary['steps']}: nothing to do"
            )
            continue
        psnr = summary["validation_psnr"]
        out.print(
            f"{summary['run']}: {summary['steps']} steps in {summary['seconds']:.0f} s, "
            f"{summary['data_wait_share']:.1%} of them waiting for data; "
            f"validation PSNR {psnr['last']:.2f} dB at the end, {psnr['best']:.2f} dB at best"
        )
    if len(summaries) > 1:
        mean, deviation = spread([summary["validation_psnr"]["last"] for summary in summaries])
        out.print(
            f"{len(summaries)} seeds: validation PSNR {mean:.2f} ± {deviation:.2f} dB at the end "
            "(mean ± standard deviation over them)"
        )


def time_steps(dry_run: bool, as_json: bool) -> None:
    """`hdrbench time --training`."""
    from ..environment import describe
    from ..timing.steps import BATCH, CROP, REPEATS, WARM_UPS, time_training

    if dry_run:
        report_values({"batch": BATCH, "crop": CROP, "would write": "nothing"}, as_json)
        return
    with progress("time --training", REPEATS + WARM_UPS) as step:
        rows = time_training(REPEATS, step, crop=CROP)
    if as_json:
        print(json_text([row._asdict() for row in rows]), end="")
        return
    cells = [
        [
            row.part,
            f"{row.native_ms:.1f} [{row.native_p5_ms:.1f}, {row.native_p95_ms:.1f}]",
            f"{row.share:.1%}",
            f"{row.reference_ms:.1f} [{row.reference_p5_ms:.1f}, {row.reference_p95_ms:.1f}]",
            "–" if row.speedup is None else f"{row.speedup:.1f}x",
        ]
        for row in rows
    ]
    header = [
        "part of a step",
        "native ms [p5, p95]",
        "share",
        "plain torch ms [p5, p95]",
        "faster",
    ]
    print_table(header, cells)
    out.print(f"batch {BATCH}, crops of {CROP} x {CROP}, float32; on {describe().machine()}")
