"""Which evaluations are meant by the names given to `hdrbench compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, UsageError, near_matches
from ..paths import results_dir
from ..recipe import is_recipe_file, load_recipe
from ..results import Evaluation, evaluation_path, group_seeds, read_result
from ..runs import RECIPE, means_recipe, open_run, run_directory

# The results of one method on one dataset: one, or one for each of several seeds.
Seeds = list[Evaluation]


def find_two(first: str, second: str, split: str, size: str) -> tuple[Seeds, Seeds]:
    """The results that two names mean together. Where one alone has several meanings, as `identity`
    has, those on the same data as the other's are chosen, and of these those of the same recipe.

    Raises:
        UsageError: a name is unknown or ambiguous, or both mean the same.
        DataError: a name has no such result yet, or a result file is broken.
    """
    of_first, of_second = (find(name, split, size) for name in (first, second))
    pairs = [(a, b) for a in of_first for b in of_second if a != b]
    if not pairs:
        raise UsageError(f"{first} and {second} are the same result: there is nothing to compare")
    if len(pairs) > 1:
        same_data = [(a, b) for a, b in pairs if a[0].dataset == b[0].dataset]
        if not same_data:
            raise UsageError(
                f"no result of {first} ({_names(of_first)}) is of the same data as one of "
                f"{second} ({_names(of_second)})"
            )
        same_recipe = [(a, b) for a, b in same_data if a[0].recipe == b[0].recipe]
        pairs = same_recipe or same_data
    if len(pairs) > 1:
        # The ambiguous name is the one whose meanings differ; the other fits each of them.
        name, meanings = first, [a for a, _ in pairs]
        if len({_names([seeds]) for seeds in meanings}) == 1:
            name, meanings = second, [b for _, b in pairs]
        raise UsageError(f"{name} is ambiguous, it means {_names(meanings, ' or ')}: say which")
    return pairs[0]


def find(name: str, split: str, size: str) -> list[Seeds]:
    """Every meaning of a name: a result file, a folder of results, a run (RECIPE/RUN or its
    directory), a recipe (the results of its trainings), a method, or RECIPE/METHOD[/RUN].

    `split` and `size` choose among the results, but for a file, which is one result.
    """
    if name.endswith(".json"):
        result = read_result(Path(name))
        if not isinstance(result, Evaluation):
            raise DataError(f"{name} is not an evaluation")
        return [[result]]
    folders, of_recipe = _folders(name)
    paths = [path for f in folders if (path := evaluation_path(f, split, size)).exists()]
    if not paths:
        stems = sorted({path.stem for folder in folders for path in folder.glob("eval-*.json")})
        raise DataError(
            f"{name} has no result of the {split} split, {size} size; there are: {', '.join(stems)}"
        )
    results = {p.parent: r for p in paths if isinstance(r := read_result(p), Evaluation)}
    methods = {folder: r.method for folder, r in results.items() if folder in of_recipe}
    # A recipe means its trained models. Where there is none, its baselines are all it can mean.
    models = {f for f, method in methods.items() if method.model_sha256 and not method.oracle}
    others = of_recipe - models if models else set()
    return group_seeds(result for folder, result in results.items() if folder not in others)


def _folders(name: str) -> tuple[list[Path], set[Path]]:
    """The folders of results that a name means; and those of them that are meant as a recipe's or
    a run's, without their method being named."""
    root = results_dir()
    all_folders = sorted({path.parent for path in root.glob("*/*/*/eval-*.json")})
    parts: tuple[str, ...] = tuple(name.strip("/").split("/"))
    directory = Path(name)
    if is_recipe_file(name):
        parts = (load_recipe(name).label,)
    elif (run := run_directory(name)) is not None:
        # Where --set changed its recipe, its results have a name of their own.
        directory = run
        parts = (open_run(directory).recipe.label, directory.resolve().name)
    folders = [folder for folder in all_folders if parts in _short_names(folder)]
    if folders:
        return folders, {folder for folder in folders if not _names_method(parts, folder)}
    # A path, also to results elsewhere: a method's run, a method, or a recipe.
    for pattern in ("", "*/", "*/*/") if name else ():
        if folders := sorted({path.parent for path in directory.glob(f"{pattern}eval-*.json")}):
            return folders, set()
    if (directory / RECIPE).exists() or means_recipe(name):
        raise DataError(f"{name} has no result yet: `hdrbench eval {name}`")
    if not all_folders:
        raise DataError(f"{root} holds no evaluation: `hdrbench eval` makes them")
    names = {"/".join(short) for folder in all_folders for short in _short_names(folder)}
    raise UsageError(f"{name!r} names no result: {near_matches(name, names)}")


def _short_names(folder: Path) -> set[tuple[str, ...]]:
    """The names, as parts between slashes, that mean a folder of results."""
    recipe, method, run = folder.parts[-3:]
    return {
        (recipe,),
        (method,),
        (recipe, run),
        (recipe, method),
        (method, run),
        (recipe, method, run),
    }


def _names_method(parts: tuple[str, ...], folder: Path) -> bool:
    """Whether a folder's method is one of the parts of a name that means it."""
    recipe, method, run = folder.parts[-3:]
    return parts in {(method,), (recipe, method), (method, run), (recipe, method, run)}


def _names(meanings: Sequence[Seeds], joint: str = ", ") -> str:
    names = []
    for seeds in meanings:
        first = seeds[0]
        parts = [first.recipe.name, first.method.name]
        parts += [first.method.run] if len(seeds) == 1 else []
        names.append("/".join(parts))
    return joint.join(dict.fromkeys(names))
