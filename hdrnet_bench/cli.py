"""The command line: thin commands over the modules that do the work.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 ok, 1 a bug of ours, 2 usage,
3 data or model file missing, unreadable or failing verification, 4 missing capability, 5
regression, 130 interrupted. Heavy imports stand inside the commands, so that help is quick.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from . import cli_compare, cli_data, cli_models, cli_report, cli_time
from .cli_options import Device, DryRun, Json, Overwrite
from .console import (
    choose_device,
    err,
    out,
    print_evaluations,
    progress,
    report_rows,
    report_values,
)
from .errors import DataError, HdrbenchError, PeerFailed, UsageError
from .files import json_text

if TYPE_CHECKING:
    from .evaluate import Judgement
    from .manifest import Split
    from .recipe import Recipe

app = typer.Typer(
    help="Prepare photo-enhancement data, train HDRNet on it, measure quality and speed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
cli_compare.register(app)
cli_data.register(app)
cli_models.register(app)
cli_report.register(app)
cli_time.register(app)


def main() -> None:
    """Entry point of `hdrbench` and of `python -m hdrnet_bench`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no Greek gets a "?"
    try:
        app()
    except PeerFailed as error:
        sys.exit(error.exit_code)
    except HdrbenchError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        # A path that is too long, a file where a folder must be, no permission, a full disk.
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}", DataError.exit_code)


def _fail(message: str, code: int) -> NoReturn:
    err.print(f"hdrbench: {' '.join(message.split())}", style="bold red")
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from .environment import package_version

        print(package_version())
        raise typer.Exit


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or path of a recipe file.")],
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**31 - 1, help="One seed; by default each of the recipe's."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            "--run-name",  # torchrun takes --run for a short form of an option of its own
            help="Name of the run; by default seed-<seed>.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a key, as training.steps=10; repeatable."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
    device: Device = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=64, help="Processes that prepare batches; change no result."),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train a recipe. Shows loss and PSNR; writes checkpoints, log and environment."""
    from .cli_train import train_recipe

    train_recipe(
        recipe,
        settings or [],
        seed=seed,
        run=run,
        device=device,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command("eval")
def evaluate(
    target: Annotated[
        str | None, typer.Argument(help="A run directory, RECIPE/RUN or a recipe; by default all.")
    ] = None,
    baseline: Annotated[
        Literal["identity"] | None,
        typer.Option(help="Judge only this baseline, on TARGET's (a recipe's) data."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Judge on this dataset instead of the recipe's; results kept apart."),
    ] = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option()] = "test",
    allow_leak: Annotated[
        bool,
        typer.Option(
            "--allow-leak", help="Judge on pictures that the model was trained with; it is marked."
        ),
    ] = False,
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
    """Judge runs beside the identity baseline; measures what has no up-to-date result."""
    jobs = _judgements(target, baseline, dataset, split, allow_leak)

    from .evaluate import judge, up_to_date
    from .results import Evaluation, read_result

    if lpips_weights and not dry_run:
        from .metrics.lpips import install_backbone

        for file in lpips_weights:
            err.print(f"LPIPS weights are in {install_backbone(file)}")
    todo = [job for job in jobs if overwrite or not up_to_date(job)]
    if dry_run:
        report_values({"would measure": [str(job.path) for job in todo]}, as_json)
        return
    for job in todo:
        with progress(f"eval {job.title}", len(job.dataset.split(split))) as step:
            judge(job, choose_device(device), step)
    results = [r for job in jobs if isinstance(r := read_result(job.path), Evaluation)]
    if as_json:
        print(json_text([result.model_dump(mode="json") for result in results]), end="")
    else:
        print_evaluations(results)


def _judgements(
    target: str | None, baseline: str | None, data: str | None, split: Split, allow_leak: bool
) -> list[Judgement]:
    """What eval's arguments ask for: the identity baseline of each recipe first, then its runs."""
    from .manifest import open_dataset
    from .recipe import load_recipe

    recipes: dict[str, Recipe] = {}  # by the name that their results carry
    if baseline:
        if target is None:
            raise UsageError("--baseline needs a recipe: hdrbench eval RECIPE --baseline identity")
        runs = []
        recipe = load_recipe(target)
        recipes[recipe.label] = recipe
    else:
        from .runs import finished_runs

        runs = finished_runs(target, lambda note: err.print(f"passed over: {note}"))
        for run in runs:
            recipes.setdefault(run.recipe.label, run.recipe)

    from .evaluate import judgement

    jobs = []
    for label, recipe in recipes.items():
        dataset = open_dataset(data or recipe.dataset.name, None if data else recipe.dataset.advice)
        jobs.append(judgement(recipe, dataset, split, None))
        jobs += [
            judgement(run.recipe, dataset, split, run, allow_leak)
            for run in runs
            if run.recipe.label == label
        ]
    return jobs


@app.command()
def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Show this recipe, or with --protocols protocol, whole.")
    ] = None,
    protocols: Annotated[
        bool, typer.Option("--protocols", help="List sources and protocols instead.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The list as recipes/README.md has it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List and explain recipes, or the protocols of the data they need."""
    from . import recipe as recipe_module

    if protocols:
        from .cli_data import list_protocols

        list_protocols(name, as_json)
        return
    if name:
        loaded = recipe_module.load_recipe(name)
        if as_json:
            print(json_text(loaded.model_dump(mode="json") | {"digest": loaded.digest}), end="")
        else:
            out.print(loaded.yaml(), end="")
            out.print(f"# data: {loaded.dataset.prepare_command}")
        return
    loaded_all = [recipe_module.parse_recipe(p) for p in recipe_module.recipe_paths().values()]
    if markdown:
        print(recipe_module.markdown_list(loaded_all), end="")
        return
    rows = [
        {
            "recipe": r.name,
            "dataset": r.dataset.name,
            "model": r.model.variant,
            "summary": r.summary,
        }
        for r in loaded_all
    ]
    report_rows(rows, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine can do, and what to do about the rest."""
    from .doctor import examine

    report_rows(examine(), as_json)
