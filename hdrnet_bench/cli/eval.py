"""`hdrbench eval`: runs, baselines and other methods' pictures, scored alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import DataError, UsageError
from .console import choose_device, err, print_json, report_values
from .evaluations import print_evaluations
from .notes import note_counts, print_notes
from .options import Device, DryRun, Json
from .progress import progress

if TYPE_CHECKING:
    from ..data.manifest import Dataset, Split
    from ..evaluation.baselines import Baseline
    from ..evaluation.job import EvaluationJob, JobSpec
    from ..recipe import Recipe
    from ..results import Evaluation, Size
    from ..runs import Run

Sizes = Literal["full", "480p", "both"]


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


def evaluate(
    target: Annotated[
        str | None, typer.Argument(help="A run directory, RECIPE/RUN or a recipe; by default all.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Score a folder of pictures ID.png (.jpg, .tif …) of another method."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="With --predictions: the method's name.")] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="With --predictions: score what is there; the result is marked."
        ),
    ] = False,
    baseline: Annotated[
        Literal["identity", "affine", "grid"] | None,
        typer.Option(
            help="Score only this baseline. affine and grid are fitted to each picture's target: "
            "bounds, not methods. grid with a run as TARGET is under its guide, else under luma."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Score on this dataset instead of the recipe's; results kept apart."),
    ] = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option()] = "test",
    size: Annotated[
        Sizes | None,
        typer.Option(
            help="Full size, 480 pixels on the short edge, or both. By default both where they "
            "differ; for --predictions full."
        ),
    ] = None,
    allow_leak: Annotated[
        bool,
        typer.Option(
            "--allow-leak",
            help="Score on pictures that the model was trained with; the result is marked.",
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An earlier result (eval-….json): exit 5 where a metric is worse beyond chance.",
        ),
    ] = None,
    lpips_weights: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Install these weights for LPIPS first (without a network)."
        ),
    ] = None,
    device: Device = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Measure again what is up to date.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Score runs beside the identity baseline; measures what has no up-to-date result."""
    if predictions is None and (name is not None or allow_missing):
        raise UsageError("--name and --allow-missing go with --predictions")
    missing: dict[str, str] = {}
    if predictions is not None:
        if baseline:
            raise UsageError("--predictions and --baseline are two things: evaluate one at a time")
        if name is None:
            raise UsageError("--predictions needs --name: what the method is called in results")
        jobs = _predictions(target, predictions, name, dataset, split, size, allow_missing)
    elif baseline:
        jobs = _baselines(target, baseline, dataset, split, size)
    elif target is not None:
        jobs = _runs(target, dataset, split, size, allow_leak)
    else:
        jobs, missing = _all_runs(dataset, split, size, allow_leak)

    where = choose_device(device)

    from ..evaluation.measure import (
        check_replaceable,
        evaluate_job,
        lacks_only_pictures,
        up_to_date,
    )
    from ..results import Evaluation, read_result

    if lpips_weights and not dry_run:
        from ..metrics.lpips import install_backbone

        for file in lpips_weights:
            err.print(f"LPIPS weights are in {install_backbone(file)}")
    before = None if against is None else read_result(against)  # first: it may be replaced below
    if before is not None and not isinstance(before, Evaluation):
        raise DataError(f"{against} is no evaluation: give a file that eval wrote")
    todo = [job for job in jobs if overwrite or not up_to_date(job)]
    for job in [] if overwrite else todo:
        check_replaceable(job)
    if dry_run:
        shown = [] if overwrite else [job.path for job in todo if lacks_only_pictures(job)]
        would: dict[str, Any] = {
            "would measure": [str(job.path) for job in todo if job.path not in shown]
        }
        would |= {"would make the pictures of": [str(path) for path in shown]} if shown else {}
        report_values(would | ({"cannot measure": missing} if missing and as_json else {}), as_json)
        _say_missing(missing)
        return
    failed: set[Path] = set()
    for job in todo:
        with progress(f"eval {job.title}", len(job.rows)) as step:
            try:
                evaluate_job(job, where, step, overwrite=overwrite, log=err.print)
            except DataError as error:
                if target is not None or baseline or predictions:
                    raise
                # What is wrong with one of all runs does not stop the others.
                missing[str(job.run.directory) if job.run else job.title] = str(error)
                failed.add(job.path)
    measured = (read_result(job.path) for job in jobs if job.path not in failed)
    results = [result for result in measured if isinstance(result, Evaluation)]
    _report(results, missing, as_json)
    if before is not None:
        _check_against(before, str(against), results)
    _say_missing(missing)


def _report(results: list[Evaluation], missing: dict[str, str], as_json: bool) -> None:
    """The results; then, of other methods' pictures, what reading them had to do."""
    notes = [note_counts(n for row in r.rows for n in row.notes) for r in results]
    if as_json:
        content = [
            result.model_dump(mode="json") | ({"notes": counts} if counts else {})
            for result, counts in zip(results, notes, strict=True)
        ]
        content += [
            {"kind": "not measured", "run": run, "reason": reason}
            for run, reason in missing.items()
        ]
        print_json(content)
    elif results:
        print_evaluations(results)
    for counts in notes:
        print_notes(counts, "each picture's are in its row of the result")


def _say_missing(missing: dict[str, str]) -> None:
    """Raises DataError where runs were not measured, after a line for each where there are more."""
    if not missing:
        return
    for run, reason in missing.items() if len(missing) > 1 else ():
        err.print(f"not measured: {run}: {reason}")
    run, reason = next(iter(missing.items()))
    more = f" (and {len(missing) - 1} more, see above)" if len(missing) > 1 else ""
    raise DataError(f"not measured: {run}: {reason}{more}")


def _check_against(before: Evaluation, file: str, results: list[Evaluation]) -> None:
    """Raises RegressionError where a result of the same pictures is worse than it was; UsageError
    where none is of the same."""
    from ..errors import RegressionError
    from ..evaluation.compare import check

    same = [
        result
        for result in results
        if (result.dataset.name, result.dataset.split, result.size)
        == (before.dataset.name, before.dataset.split, before.size)
    ]
    if not same:
        raise UsageError(
            f"{file} is of {before.dataset.name}, {before.dataset.split}, {before.size}: nothing "
            "that was evaluated now is"
        )
    # The identity stands beside what was asked for; alone it is what was asked for.
    candidates = [result for result in same if result.method.name != "identity"] or same
    # The file's own run; else its recipe's and method's; only else others on the same pictures.
    own = [r for r in candidates if _identity(r)[:2] == _identity(before)[:2]]
    candidates = [r for r in own if _identity(r) == _identity(before)] or own or candidates
    worse = []
    for result in candidates:
        what = f"{result.method.name} {result.method.run}"
        checked = check(result, before)
        undecided = [f"{name} {reason}" for name, reason in checked.undecided.items()]
        for note in (*checked.notes, *undecided):
            err.print(f"{what} against {file}: {note}")
        worse += [f"{what}: {regression}" for regression in checked.regressions]
    if worse:
        raise RegressionError(f"worse than {file}: {'; '.join(worse)}")


def _identity(result: Evaluation) -> tuple[str, str, str]:
    return result.recipe.name, result.method.name, result.method.run


def _runs(
    target: str, data: str | None, split: Split, size: Sizes | None, allow_leak: bool
) -> list[EvaluationJob]:
    """The identity baseline of each recipe first, then its runs."""
    from ..runs import finished_runs

    jobs = []
    for same in _by_recipe(finished_runs(target, lambda note: None)):
        jobs += _of_recipe(same, data, split, size, allow_leak, None)
    return jobs


def _all_runs(
    data: str | None, split: Split, size: Sizes | None, allow_leak: bool
) -> tuple[list[EvaluationJob], dict[str, str]]:
    """As `_runs` of all finished runs, and those that cannot be measured, with the reason: they do
    not stop the others."""
    from ..runs import finished_runs

    runs = finished_runs(None, lambda note: err.print(f"skipped: {note}"))
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


def _baselines(
    target: str | None, baseline: Baseline, data: str | None, split: Split, size: Sizes | None
) -> list[EvaluationJob]:
    """One baseline, on a recipe's data or on a dataset; the grid also under the guides of runs."""
    from ..evaluation.job import baseline_job, grid_bound_job, recipe_spec

    if target is not None and not _is_recipe(target):
        from ..runs import finished_runs

        runs = finished_runs(target, lambda note: None)
        dataset = _dataset(runs[0].recipe, data)
        specs = [recipe_spec(run.recipe, dataset, split) for run in runs]
        if baseline == "grid":
            jobs = [grid_bound_job(*both) for both in zip(specs, runs, strict=True)]
        else:
            jobs = [baseline_job(specs[0], baseline)]
        return _at_sizes(jobs, dataset, split, size)
    spec = _spec(target, data, split, f"--baseline {baseline}")
    return _at_sizes([baseline_job(spec, baseline)], spec.dataset, split, size)


def _predictions(
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


def _spec(target: str | None, data: str | None, split: Split, what: str) -> JobSpec:
    """Of a recipe, of a dataset, or of a recipe on a dataset."""
    from ..evaluation.job import dataset_spec, recipe_spec

    if target is None:
        if data is None:
            raise UsageError(
                f"{what} needs a recipe or --dataset NAME: hdrbench eval RECIPE {what}"
            )
        return dataset_spec(_dataset(None, data), split)
    if not _is_recipe(target):
        from ..runs import finished_runs

        recipe = finished_runs(target, lambda note: None)[0].recipe
    else:
        from ..recipe import load_recipe

        recipe = load_recipe(target)
    return recipe_spec(recipe, _dataset(recipe, data), split)


def _is_recipe(target: str) -> bool:
    """Whether it means a recipe itself rather than runs."""
    from ..recipe import recipe_paths

    return target.endswith((".yaml", ".yml")) or target in recipe_paths()


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
