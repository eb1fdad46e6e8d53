"""`hdrbench eval`: runs, baselines and other methods' pictures, scored alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import DataError, UsageError
from . import completion
from .console import choose_device, err, next_step, print_json, report_values
from .contributions import check_evaluations, contribute_result
from .eval_jobs import Sizes, all_run_jobs, baseline_jobs, onnx_jobs, predictions_jobs, run_jobs
from .evaluations import print_evaluations
from .next_steps import after_eval
from .notes import note_counts, print_notes
from .options import (
    OTHERS,
    Contribute,
    Device,
    DryRun,
    Json,
    MethodName,
    Onnx,
    OnnxMultiple,
    OnnxRange,
    Quiet,
    SplitOption,
    Wide,
    onnx_settings,
)
from .progress import progress
from .published import published_rows, values_beside

if TYPE_CHECKING:
    from ..results import Evaluation


def eval_command(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run directory, RECIPE/RUN or a recipe; by default all that is finished.",
            autocompletion=completion.runs_and_recipes,
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Score these pictures of another method: ID.png (.jpg, .tif …), or called as the "
            "source files.",
            rich_help_panel=OTHERS,
        ),
    ] = None,
    onnx: Onnx = None,
    name: MethodName = None,
    onnx_range: OnnxRange = "0..1",
    onnx_multiple: OnnxMultiple = 1,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="With --predictions: score what is there; the result is marked.",
            rich_help_panel=OTHERS,
        ),
    ] = False,
    baseline: Annotated[
        Literal["identity", "affine", "grid"] | None,
        typer.Option(
            metavar="NAME",
            help="Score only this baseline: identity, affine or grid. The last two are fitted to "
            "each picture's target: bounds, not methods. grid with a RUN is under its guide, else "
            "under luma.",
            rich_help_panel=OTHERS,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="DATASET",
            help="Score on this prepared dataset instead of the recipe's; its results are kept "
            "apart.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    split: SplitOption = "test",
    size: Annotated[
        Sizes | None,
        typer.Option(
            metavar="NAME",
            help="Of the pictures: full, 480p (480 pixels on the short edge) or both. By default "
            "both where they differ; for --predictions full.",
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
            metavar="FILE",
            help="Install these weights for LPIPS first, where there is no network.",
        ),
    ] = None,
    contribute: Contribute = False,
    device: Device = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Measure again what is up to date.")
    ] = False,
    dry_run: DryRun = False,
    wide: Wide = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score runs beside the identity baseline; measures what has no up-to-date result."""
    what = {"--predictions": predictions, "--onnx": onnx, "--baseline": baseline}
    asked = [option for option, value in what.items() if value]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} are two things: evaluate one at a time")
    other = next((option for option in asked if option != "--baseline"), None)
    if name is not None and other is None:
        raise UsageError("--name goes with --predictions or --onnx")
    if name is None and other is not None:
        raise UsageError(f"{other} needs --name: what the method is called in results")
    if allow_missing and predictions is None:
        raise UsageError("--allow-missing goes with --predictions")
    settings = onnx_settings(onnx, onnx_range, onnx_multiple)
    missing: dict[str, str] = {}
    if onnx is not None and name is not None:
        where = choose_device(device)
        jobs = onnx_jobs(target, onnx, name, settings, where, dataset, split, size)
    elif predictions is not None and name is not None:
        jobs = predictions_jobs(target, predictions, name, dataset, split, size, allow_missing)
    elif baseline:
        jobs = baseline_jobs(target, baseline, dataset, split, size)
    elif target is not None:
        jobs = run_jobs(target, dataset, split, size, allow_leak)
    else:
        jobs, missing = all_run_jobs(dataset, split, size, allow_leak)

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
    if contribute:
        measured_now = [job for job in todo if overwrite or not lacks_only_pictures(job)]
        there = {job.path for job in jobs} - {job.path for job in measured_now}
        check_evaluations(measured_now, sorted(there), dry_run)
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
        method = f"{job.method.name} {job.method.run}"
        title = f"eval {job.spec.recipe.name} {method} {job.spec.split} {job.size}"
        with progress(title, len(job.rows), quiet) as step:
            try:
                evaluate_job(job, where, step, overwrite=overwrite, log=err.print)
            except DataError as error:
                if target is not None or asked:
                    raise
                # What is wrong with one of all runs does not stop the others.
                missing[str(job.run.directory) if job.run else job.title] = str(error)
                failed.add(job.path)
    measured = (read_result(job.path) for job in jobs if job.path not in failed)
    results = [result for result in measured if isinstance(result, Evaluation)]
    _report(results, missing, wide, as_json)
    if before is not None:
        _check_against(before, str(against), results)
    for job in jobs:
        contribute_result(job.path, contribute and job.path not in failed)
    if paths := [job.path for job in jobs if job.path not in failed]:
        next_step(after_eval(paths), quiet or as_json)
    _say_missing(missing)


def _report(results: list[Evaluation], missing: dict[str, str], wide: bool, as_json: bool) -> None:
    """The results; then, of other methods' pictures, what reading them had to do."""
    notes = [note_counts(n for row in r.rows for n in row.notes) for r in results]
    published = published_rows()
    if as_json:
        content = [
            result.model_dump(mode="json")
            | ({"notes": counts} if counts else {})
            | values_beside(result, published)
            for result, counts in zip(results, notes, strict=True)
        ]
        content += [
            {"kind": "not measured", "run": run, "reason": reason}
            for run, reason in missing.items()
        ]
        print_json(content)
    elif results:
        print_evaluations(results, wide, published)
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
