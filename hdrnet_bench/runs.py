"""Run directories: runs/<recipe>/<run>/, each with its recipe, log, environment and checkpoints."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .errors import DataError, UsageError, near_matches
from .model_header import ModelHeader, read_model_header
from .paths import runs_dir
from .recipe import Recipe, is_recipe_file, load_recipe, parse_recipe, recipe_paths

# last: the weights at a run's end, or where it was stopped.
LAST, BEST, LOG = "last.safetensors", "best.safetensors", "log.jsonl"
RECIPE, SETUP = "recipe.yaml", "setup.json"


class Run(NamedTuple):
    """A training run's directory with the recipe in it, which --set may have changed."""

    directory: Path
    recipe: Recipe

    @property
    def name(self) -> str:
        # Of "." the name is known once it is resolved.
        return self.directory.name or self.directory.resolve().name

    @property
    def model_path(self) -> Path:
        return self.directory / LAST

    def finished_header(self) -> ModelHeader:
        """The last checkpoint's header. Raises DataError where training did not reach its end."""
        if not self.model_path.exists():
            raise DataError(
                f"{self.directory} has no {LAST}: its training did not get that far; "
                f"`{resume_command(self.directory, self._seed())}` goes on"
            )
        header = read_model_header(self.model_path)
        if header.recipe_digest != self.recipe.digest:
            raise DataError(
                f"{self.directory / RECIPE} is not the recipe that {LAST} was trained with: "
                "restore it, or train again"
            )
        if header.step != header.steps:
            raise DataError(
                f"{self.directory} was stopped at step {header.step} of {header.steps}: "
                f"`{resume_command(self.directory, header.seed)}` goes on"
            )
        return header

    def _seed(self) -> int | None:
        """The seed where the run's name tells it: until there are weights, nothing else does."""
        named = re.fullmatch(r"seed-(\d+)", self.name)
        return int(named[1]) if named else None


def resume_command(directory: Path, seed: int | None, processes: int = 1) -> str:
    """What goes on with a run, for a shell: with the run's own recipe, as --set may have changed
    it."""
    # Of "." the name is known once it is resolved.
    name = directory.name or directory.resolve().name
    program, option = ("hdrbench", "--run")
    if processes > 1:  # torchrun takes --run for a short form of an option of its own
        program, option = ("torchrun … -m hdrnet_bench", "--run-name")
    chosen = [] if seed is None else ["--seed", str(seed)]
    arguments = [str(directory / RECIPE), option, name, *chosen, "--resume"]
    return f"{program} train {shlex.join(arguments)}"


def new_run_directory(recipe: Recipe, seed: int, run: str | None) -> Path:
    """Where a training run of that name goes; by default it is named by its seed."""
    name = f"seed-{seed}" if run is None else run
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(f"run name {name!r}: use letters, digits, '.', '_' and '-'")
    return runs_dir() / recipe.name / name


def open_run(directory: Path) -> Run:
    """Raises DataError where the directory is not a run's, or its recipe is broken."""
    if not (directory / RECIPE).exists():
        raise DataError(f"{directory} is not a run directory (no {RECIPE})")
    try:
        return Run(directory, parse_recipe(directory / RECIPE))
    except UsageError as error:
        raise DataError(f"the run's recipe is broken: {error}") from None


def run_directories(recipe: str | None = None) -> list[Path]:
    """The directories of all runs, or of one recipe's, in the order of their names."""
    pattern = f"{glob.escape(recipe) if recipe else '*'}/*/{RECIPE}"
    directories = [path.parent for path in sorted(runs_dir().glob(pattern))]
    return [path for path in directories if not path.name.startswith(".")]


def resolve_runs(target: str) -> list[Path]:
    """The run directories that a command's argument means: a directory, RECIPE/RUN, or a recipe
    by name or path.

    Raises UsageError for an unknown name, DataError where a recipe has no run yet.
    """
    if directories := named_runs(target):
        return directories
    if Path(target).is_dir() and "/" in target:
        raise DataError(f"{target} is not a run directory (no {RECIPE})")
    names = [*recipe_paths(), *("/".join(path.parts[-2:]) for path in run_directories())]
    raise UsageError(f"{target!r} is neither a run nor a recipe: {near_matches(target, names)}")


def named_runs(target: str) -> list[Path]:
    """The same, but none where it is neither a run nor a recipe. Raises as `resolve_runs`."""
    if means_recipe(target):
        recipe = load_recipe(target)
        directories = run_directories(recipe.name)
        if not directories:
            raise DataError(f"recipe {recipe.name} has no run yet: `hdrbench train {target}`")
        return directories
    if directory := run_directory(target):
        return [directory]
    # Runs outlast the recipe file that they were trained from.
    return run_directories(target) if target and "/" not in target else []


def run_directory(target: str) -> Path | None:
    """The directory of the run that an argument names, by its path or as RECIPE/RUN."""
    places = (Path(target), runs_dir() / target) if target else ()
    return next((place for place in places if (place / RECIPE).exists()), None)


def means_recipe(target: str) -> bool:
    """Whether an argument means a recipe itself, by its file or its name, rather than a run."""
    return is_recipe_file(target) or target in recipe_paths()


def finished_run(target: str) -> Run:
    """The one run that a command's argument means; of a recipe, its one finished run. Raises as
    `resolve_runs`, UsageError where several are finished and DataError where none is."""
    return the_finished(target, resolve_runs(target))


def the_finished(target: str, directories: list[Path]) -> Run:
    """The one that is finished of a target's directories. Raises as `finished_run`."""
    finished, reasons = _by_state(directories)
    if not finished:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise DataError(f"{reasons[0]}{more}")
    if len(finished) > 1:
        names = [str(run.directory) for run in finished]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise UsageError(f"{target} has several runs, name one: {', '.join(names[:5])}{more}")
    return finished[0]


def finished_runs(target: str | None, log: Callable[[str], None]) -> list[Run]:
    """The runs that a command's argument means; without one, all. Of several those that are not
    finished are logged and skipped, so that a training in progress does not stop the rest.

    Raises UsageError and DataError as `resolve_runs`, and DataError where none is finished.
    """
    runs, reasons = _by_state(run_directories() if target is None else resolve_runs(target))
    if target is not None and not runs:
        raise reasons[0]
    for reason in reasons:
        log(str(reason))
    if not runs:
        raise DataError("there is no finished run to evaluate: `hdrbench train RECIPE` first")
    return runs


def _by_state(directories: list[Path]) -> tuple[list[Run], list[DataError]]:
    """The runs that are finished, and of the others why they are not, or no runs."""
    runs, reasons = [], []
    for directory in directories:
        try:
            run = open_run(directory)
            run.finished_header()
            runs.append(run)
        except DataError as error:
            reasons.append(error)
    return runs, reasons
