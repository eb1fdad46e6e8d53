"""What the shell completes, once `hdrbench --install-completion` has told it to ask.

Each is asked with the beginning of a word; typer leaves out what does not begin with it. An error
would be printed into the line that somebody is typing: there is nothing to complete then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps

from ..paths import results_dir


def _without_errors(names: Callable[[], Iterable[str]]) -> Callable[[], list[str]]:
    @wraps(names)
    def completed() -> list[str]:
        try:
            return sorted(set(names()))
        except Exception:
            return []

    return completed


@_without_errors
def recipes() -> Iterable[str]:
    """Names of recipes."""
    from ..recipe import recipe_paths

    return recipe_paths()


def recipes_or_new() -> list[str]:
    """Of `hdrbench recipes`."""
    return [*recipes(), "new"]


@_without_errors
def runs() -> Iterable[str]:
    """RECIPE/RUN."""
    from ..runs import run_directories

    return ("/".join(path.parts[-2:]) for path in run_directories())


@_without_errors
def runs_and_recipes() -> Iterable[str]:
    """RECIPE/RUN, and recipes that have a run."""
    names = runs()
    return [*names, *(name.split("/")[0] for name in names)]


@_without_errors
def pretrained() -> Iterable[str]:
    """Names of pretrained models."""
    from ..pretrained import pretrained_models

    return pretrained_models()


def models() -> list[str]:
    """What a MODEL may be called, but for files and the Hub's names."""
    return sorted({*runs_and_recipes(), *pretrained()})


@_without_errors
def datasets() -> Iterable[str]:
    """Names of prepared datasets."""
    from ..data.manifest import prepared_names

    return prepared_names()


@_without_errors
def protocols() -> Iterable[str]:
    """Names of protocols, of all sources."""
    from ..prepare.listing import protocol_rows

    return (row["protocol"] for row in protocol_rows() if row["protocol"] != "NAME")


@_without_errors
def sources() -> Iterable[str]:
    """What `prepare` prepares."""
    from ..prepare import SOURCES

    return SOURCES


@_without_errors
def results() -> Iterable[str]:
    """RECIPE/METHOD and RECIPE/RUN of results, and methods alone."""
    found = [path.parts[-4:-1] for path in results_dir().glob("[!.]*/*/*/eval-*.json")]
    return [
        *(f"{recipe}/{method}" for recipe, method, _ in found),
        *(f"{recipe}/{run}" for recipe, _, run in found),
        *(method for _, method, _ in found),
    ]


@_without_errors
def metrics() -> Iterable[str]:
    """Names of metrics."""
    from ..metric_specs import METRICS

    return METRICS


@_without_errors
def recipe_keys() -> Iterable[str]:
    """section.key of a recipe, which "=" and a value follow: the space that shells put after a
    word would part these from it unseen if "=" came with it."""
    from ..recipe import SECTIONS

    return (f"{section}.{key}" for section, model in SECTIONS.items() for key in model.model_fields)
