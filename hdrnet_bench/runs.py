"""Run directories: runs/<recipe>/<run>/, each with its recipe, log, environment and checkpoints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import DataError, UsageError, near_matches
from .paths import runs_dir
from .recipe import Recipe, load_recipe, parse_recipe, recipe_paths

if TYPE_CHECKING:
    from .model_file import ModelHeader

LAST, BEST, LOG, RECIPE = "last.safetensors", "best.safetensors", "log.jsonl", "recipe.yaml"


class Run(NamedTuple):
    directory: Path
    recipe: Recipe

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def model_path(self) -> Path:
        return self.directory / LAST

    def finished_header(self) -> ModelHeader:
        """The last checkpoint's header. Raises DataError where training did not reach its end."""
        if not self.model_path.exists():
            raise DataError(f"{self.directory} has no {LAST}: its training did not get that far")
        from .model_file import read_model_header

        header = read_model_header(self.model_path)
        if header.step != header.steps:
            raise DataError(
                f"{self.directory} was stopped at step {header.step} of {header.steps}: train "
                f"again (`hdrbench train {self.recipe.name} --run {self.name} --overwrite`)"
            )
        return header


def new_run_directory(recipe: Recipe, seed: int, run: str | None) -> Path:
    """Where a training run of that name goes; by default it is named by its seed."""
    name = run or f"seed-{seed}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(f"run name {name!r}: use letters, digits, '.', '_' and '-'")
    return runs_dir() / recipe.name / name


def open_run(directory: Path) -> Run:
    if not (directory / RECIPE).exists():
        raise DataError(f"{directory} is not a run directory (no {RECIPE})")
    return Run(directory, parse_recipe(directory / RECIPE))


def find_runs(recipe: str | None = None) -> list[Run]:
    """Every run, or a recipe's, in the order of their names."""
    pattern = f"{recipe or '*'}/*/{RECIPE}"
    return [open_run(path.parent) for path in sorted(runs_dir().glob(pattern))]


def resolve_runs(target: str | None) -> list[Run]:
    """The runs that a command's argument means: a directory, RECIPE/RUN, a recipe, or all.

    Raises UsageError for a name that is nothing, DataError where a recipe has no run yet.
    """
    if target is None:
        return find_runs()
    for directory in (Path(target), runs_dir() / target):
        if (directory / RECIPE).exists():
            return [open_run(directory)]
    if Path(target).is_dir() and "/" in target:
        raise DataError(f"{target} is not a run directory (no {RECIPE})")
    runs = find_runs(target) if "/" not in target else []
    if runs:
        return runs
    if target in recipe_paths():
        recipe = load_recipe(target)
        raise DataError(f"recipe {recipe.name} has no run yet: `hdrbench train {recipe.name}`")
    known = [*recipe_paths(), *(f"{run.recipe.name}/{run.name}" for run in find_runs())]
    raise UsageError(f"{target!r} is neither a run nor a recipe: {near_matches(target, known)}")
