"""The command line: thin commands over the modules that do the work.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 ok, 1 a bug of ours, 2 usage,
3 data or model file missing, unreadable or failing verification, or the disk full, 4 missing
capability, 5 regression, 130 stopped by Ctrl-C, 143 by SIGTERM, 141 where the reader of stdout has
gone. Heavy imports stand inside the commands, so that help is quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ..errors import CapabilityError, DataError, HdrbenchError, PeerFailed
from ..memory import lack_of_memory
from ..stopping import Stopped, heeded, leave_when_asked_to_stop, raise_when_asked_to_stop
from ..version import __version__
from . import compare, data, eval, models, report, time
from .console import err, out, print_json
from .options import Device, DryRun, Json, Overwrite
from .streams import OutputFailed, give_up_stdout, guard
from .tables import report_rows

READER_GONE = 128 + 13  # as SIGPIPE would have it
# Libraries that are loaded, workers and their pipes: some hundred in the largest case.
OPEN_FILES, FEWEST_OPEN_FILES = 1024, 64

app = typer.Typer(
    help="Prepare photo-enhancement data, train HDRNet on it, measure quality and speed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for commands in (compare, data, eval, models, report, time):
    commands.register(app)


def main() -> None:
    """Run what the arguments ask for, and exit with its code."""
    guard()
    raise_when_asked_to_stop()
    try:
        _check_machine()
        app()
    except SystemExit as end:
        _end(end.code if isinstance(end.code, int) else 0)
    except PeerFailed as error:
        _end(error.exit_code)
    except HdrbenchError as error:
        _fail(str(error), error.exit_code)
    except Stopped as stop:
        _fail("; ".join([str(stop), *getattr(stop, "__notes__", ())]), stop.exit_code)
    except OSError as error:
        if (lack := _lack(error)) is not None:
            _fail(lack, CapabilityError.exit_code)
        # A path that is too long, a file where a folder must be, no permission, a full disk.
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}", DataError.exit_code)
    except OutputFailed as failed:
        _output_failed(failed)
    except Exception as error:
        if (lack := _lack(error)) is not None:
            _fail(lack, CapabilityError.exit_code)
        if (number := heeded()) is not None:
            # In the midst of somebody's C code, Stopped may have become an error of that.
            _fail(str(Stopped(number)), Stopped(number).exit_code)
        raise


def _check_machine() -> None:
    """What no command can do without. Raises DataError or CapabilityError."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise DataError("the current directory has been removed: go to another one") from None
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = hard == resource.RLIM_INFINITY
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        # The hard limit says what a process may take; the soft one is low by custom.
        soft = OPEN_FILES if infinite else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < FEWEST_OPEN_FILES:
        raise CapabilityError(
            f"this process may have only {soft} files open at once: `ulimit -n {OPEN_FILES}` first"
        )


def _lack(error: Exception) -> str | None:
    """What this machine lacks where an error says so; None for any other error."""
    text = " ".join(str(error).split())[:200]
    if "Too many open files" in text:
        return f"too many files are open at once: `ulimit -n {OPEN_FILES}` first ({text})"
    if lack_of_memory(error):
        return f"there is not enough memory{f': {text}' if text else ''}"
    return None


def _fail(message: str, code: int) -> NoReturn:
    err.print(f"hdrbench: {' '.join(message.split())}", style="bold red")
    _end(code)


def _end(code: int) -> NoReturn:
    """Exit once all that was reported is written."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OutputFailed as failed:
        _output_failed(failed, code)
    leave_when_asked_to_stop()
    sys.exit(code)


def _output_failed(failed: OutputFailed, code: int = 0) -> NoReturn:
    """As the shell's own tools: without a word where the reader has gone (`| head`), with 141."""
    give_up_stdout()
    if not failed.nobody_reads:
        err.print(f"hdrbench: {failed}", style="bold red")
    sys.exit(code or (READER_GONE if failed.nobody_reads else DataError.exit_code))


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        print(__version__)
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
            print_json(loaded.model_dump(mode="json") | {"digest": loaded.digest})
        else:
            out.print_text(loaded.yaml())
            out.print(f"# data: {loaded.dataset.prepare_command}")
        return
    loaded_all = [recipe_module.parse_recipe(p) for p in recipe_module.recipe_paths().values()]
    if markdown:
        from ..recipe_page import markdown_list

        print(markdown_list(loaded_all), end="")
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
