"""From the arguments of `eval` to what is measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import DataError, UsageError
from .console import err

if TYPE_CHECKING:
    from ..data.manifest import Dataset, Split
    from ..evaluation.baselines import Baseline
    from ..evaluation.job import EvaluationJob, JobSpec
    from ..recipe import Recipe
    from ..result_ids import OnnxSettings
    from ..results import Size
    from ..runs import Run

Sizes = Literal["full", "480p", "both"]


def run_jobs(
    target: str, data: str | None, split: Split, size: Sizes | None, allow_leak: bool
) -> list[EvaluationJob]:
    """The identity baseline of each recipe first, then its runs."""
    from ..runs import finished_runs

    jobs = []
    for same in _by_recipe(finished_runs(target, _skipped)):
        jobs += _of_recipe(same, data, split, size, allow_leak, None)
    return jobs


def all_run_jobs(
    data: str | None, split: Split, size: Sizes | None, allow_leak: bool
) -> tuple[list[EvaluationJob], dict[str, str]]:
    """As `run_jobs` of all finished runs, and those that cannot be measured, with the reason: they
    do not stop the others."""
    from ..runs import finished_runs

    runs = finished_runs(None, _skipped)
    if data is not None:
        _dataset(None, data)  # what is wrong with it is wrong for all
    jobs: list[EvaluationJob] = []
    missing: dict[str, str] = {}
    for same in _by_recipe(runs):
        try:
            jobs += _of_recipe(same, data, split, size, allow_leak, missing)
        except (DataError, UsageError) as error:
            missing |= {str(run.directory): str(error) for run in same}
    return jobs, missing


def _by_recipe(runs: list[Run]) -> list[list[Run]]:
    by_label: dict[str, list[Run]] = {}
    for run in runs:
        by_label.setdefault(run.recipe.label, []).append(run)
    return list(by_label.values())


def _of_recipe(
    runs: list[Run],
    data: str | None,
    split: Split,
    size: Sizes | None,
    allow_leak: bool,
    missing: dict[str, str] | None,
) -> list[EvaluationJob]:
    """The identity and the runs of one recipe. missing: takes up the runs that cannot be measured;
    None where one is an error."""
    from ..evaluation.job import baseline_job, recipe_spec, run_job

    dataset = _dataset(runs[0].recipe, data)
    specs = [recipe_spec(run.recipe, dataset, split) for run in runs]
    jobs = []
    for spec, run in zip(specs, runs, strict=True):
        try:
            jobs.append(run_job(spec, run, allow_leak))
        except (DataError, UsageError) as error:
            if missing is None:
                raise
            missing[str(run.directory)] = str(error)
    if not jobs:
        return []
    return _at_sizes([baseline_job(specs[0], "identity"), *jobs], dataset, split, size)


def baseline_jobs(
    target: str | None, baseline: Baseline, data: str | None, split: Split, size: Sizes | None
) -> list[EvaluationJob]:
    """One baseline, on a recipe's data or on a dataset; the grid also under the guides of runs."""
    from ..evaluation.job import baseline_job, grid_bound_job, recipe_spec
    from ..runs import finished_runs, means_recipe

    if target is not None and not means_recipe(target):
        runs = finished_runs(target, _skipped)
        dataset = _dataset(runs[0].recipe, data)
        specs = [recipe_spec(run.recipe, dataset, split) for run in runs]
        if baseline == "grid":
            jobs = [grid_bound_job(*both) for both in zip(specs, runs, strict=True)]
        else:
            jobs = [baseline_job(specs[0], baseline)]
        return _at_sizes(jobs, dataset, split, size)
    spec = _spec(target, data, split, f"--baseline {baseline}")
    return _at_sizes([baseline_job(spec, baseline)], spec.dataset, split, size)


def predictions_jobs(
    target: str | None,
    folder: Path,
    name: str,
    data: str | None,
    split: Split,
    size: Sizes | None,
    allow_missing: bool,
) -> list[EvaluationJob]:
    """Another method's pictures, beside the identity baseline."""
    from ..evaluation.job import baseline_job, predictions_job
    from ..evaluation.predictions import describe

    if size == "both":
        raise UsageError("--predictions are pictures of one size: --size full or --size 480p")
    spec = _spec(target, data, split, f"--predictions {folder}")
    scored = predictions_job(spec, folder, name, size or "full", allow_missing)
    if scored.unpaired and (gaps := describe(scored.unpaired)):
        err.print(f"{folder}: {gaps}")
    jobs = [baseline_job(spec, "identity"), scored]
    return _at_sizes(jobs, spec.dataset, split, scored.size)


def onnx_jobs(
    target: str | None,
    file: Path,
    name: str,
    settings: OnnxSettings,
    device: str,
    data: str | None,
    split: Split,
    size: Sizes | None,
) -> list[EvaluationJob]:
    """Another method as an ONNX file, beside the identity baseline."""
    from ..evaluation.job import baseline_job
    from ..evaluation.onnx_job import check_sizes, onnx_job
    from ..model.onnx_model import open_onnx

    spec = _spec(target, data, split, f"--onnx {file}")
    model = open_onnx(file, settings, device)
    scored = onnx_job(spec, model, name)
    jobs = _at_sizes([baseline_job(spec, "identity"), scored], spec.dataset, split, size)
    for at in dict.fromkeys(job.size for job in jobs):
        check_sizes(model, scored.rows, at)
    for note in model.notes:
        err.print(f"{file}: {note}")
    err.print(
        f"{file}: a file does not say which pictures it was trained with; that none of these is "
        "among them is yours to know"
    )
    return jobs


def _spec(target: str | None, data: str | None, split: Split, what: str) -> JobSpec:
    """Of a recipe, of a dataset, or of a recipe on a dataset."""
    from ..evaluation.job import dataset_spec, recipe_spec

    if target is None:
        if data is None:
            raise UsageError(
                f"{what} needs a recipe or --dataset NAME: hdrbench eval RECIPE {what}"
            )
        return dataset_spec(_dataset(None, data), split)
    from ..runs import finished_runs, means_recipe

    if not means_recipe(target):
        recipe = finished_runs(target, _skipped)[0].recipe
    else:
        from ..recipe import load_recipe

        recipe = load_recipe(target)
    return recipe_spec(recipe, _dataset(recipe, data), split)


def _dataset(recipe: Recipe | None, data: str | None) -> Dataset:
    from ..data.manifest import open_dataset

    if data is not None:
        return open_dataset(data)
    assert recipe is not None
    return open_dataset(recipe.dataset.name, recipe.dataset.advice)


def _at_sizes(
    jobs: list[EvaluationJob], dataset: Dataset, split: Split, size: Sizes | None
) -> list[EvaluationJob]:
    """The same at each size that is asked for; 480p is left out, and that is
    printed, where it would be the full size again."""
    from ..data.sizes import any_differs

    sizes: list[Size] = ["full", "480p"] if size in (None, "both") else []
    if size in ("full", "480p"):
        sizes = [size]
    if "480p" in sizes and not any_differs(dataset.split(split)):
        same = f"{dataset.header.name}, {split}: no picture is above 480 pixels on its short edge"
        if size == "480p":
            raise DataError(f"{same}: 480p would be the full size again")
        sizes = ["full"]
        if size == "both":
            err.print(f"{same}: measured at full size alone")
    return [job._replace(size=at) for at in sizes for job in jobs]


def _skipped(note: str) -> None:
    err.print(f"skipped: {note}")
