"""The command line: thin commands over the modules that do the work.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 ok, 1 a bug of ours, 2 usage,
3 data or model file missing, unreadable or failing verification, 4 missing capability, 5
regression, 130 interrupted. Heavy imports stand inside the commands, so that help is quick.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated, NoReturn

import typer

from ..errors import DataError, HdrbenchError, PeerFailed
from ..files import json_text
from . import compare, data, eval, models, report, time
from .console import err, out, report_rows
from .options import Device, DryRun, Json, Overwrite

app = typer.Typer(
    help="Prepare photo-enhancement data, train HDRNet on it, measure quality and speed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for commands in (compare, data, eval, models, report, time):
    commands.register(app)


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
        from ..environment import package_version

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
    from .train import train_recipe

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
    from .. import recipe as recipe_module

    if protocols:
        from .data import list_protocols

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
