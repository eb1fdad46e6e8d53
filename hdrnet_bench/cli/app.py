"""The command line: thin commands over the modules that do the work.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 ok, 1 a bug of ours, 2 usage,
3 data or model file missing, unreadable or failing verification, or the disk full, 4 missing
capability, 5 regression, 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, 141 where the reader
of stdout has gone. Heavy imports stand inside the commands, so that help is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ..errors import CapabilityError, DataError, HdrbenchError, PeerFailed, UsageError
from ..memory import lack_of_memory
from ..stopping import Stopped, heeded, leave_when_asked_to_stop, raise_when_asked_to_stop
from ..version import __version__
from . import (
    commands,
    compare,
    contributions,
    data,
    doctor,
    eval,
    models,
    prepare,
    protocols,
    push,
    recipes,
    report,
    time,
    train,
    verify_export,
)
from .console import err, out
from .streams import OutputFailed, give_up_stdout, guard

JOURNEY = """\
hdrbench prepares pairs of photographs, trains HDRNet on
them and measures it.

To see how it goes, on sample photographs, in minutes:
  hdrbench prepare demo
  hdrbench train demo-retouch
  hdrbench eval demo-retouch
  hdrbench report
  hdrbench enhance demo-retouch photo.jpg enhanced.jpg

On pairs of your own, of one name in before/ and after/:
  hdrbench prepare folder --protocol mine --input-dir before --target-dir after
  hdrbench train demo-retouch --dataset folder-mine
  hdrbench eval demo-retouch-on-folder-mine

On published data (FiveK, HDR+, PPR10K, BSDS500):
  hdrbench protocols   which pictures, rendered and split how
  hdrbench recipes     what is trained on them

hdrbench --help lists all commands, hdrbench COMMAND --help
what one takes.
"""
READER_GONE = 128 + 13  # as SIGPIPE would have it
# Libraries that are loaded, workers and their pipes: some hundred in the largest case.
OPEN_FILES, FEWEST_OPEN_FILES = 1024, 64


# In the order of work.
_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Data": (
        prepare.prepare,
        data.verify,
        data.describe,
        data.compare_datasets,
        protocols.protocols,
        verify_export.verify_export,
    ),
    "Train and measure": (
        recipes.recipes,
        train.train,
        eval.eval_command,
        compare.compare,
        time.time_command,
        report.report,
        contributions.contributions,
    ),
    "Use a model": (models.enhance, models.export, push.push, models.import_tf1),
    "This machine": (doctor.doctor,),
}

app = typer.Typer(
    cls=commands.Group,
    help="Prepare pairs of photographs, train HDRNet on them, measure its quality and speed.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=commands.SETTINGS,
    subcommand_metavar="COMMAND …",
)
for panel, functions in _COMMANDS.items():
    for function in functions:
        commands.add(app, function, panel)


@cache
def _command() -> typer.core.TyperGroup:
    """The commands as `app` makes them at each call, made once: that takes a tenth of a second."""
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    return command


def main() -> None:
    """Run what the arguments ask for, and exit with its code."""
    guard()
    raise_when_asked_to_stop()
    try:
        _check_machine()
        code = _command()(standalone_mode=False)
        _end(code if isinstance(code, int) else 0)
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
    except typer.Abort:  # a question that was not answered
        _fail("stopped at a question: nothing was done", UsageError.exit_code)
    except Exception as error:
        if (message := commands.usage_message(error)) is not None:
            _fail(message, UsageError.exit_code)
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
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        out.print_text(JOURNEY)
