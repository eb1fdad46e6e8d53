"""What one does after a command, as a line to copy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import HdrbenchError, UsageError

if TYPE_CHECKING:
    from ..data.manifest import Header
    from ..recipe import Recipe

_NAMED = 3  # recipes that a line names


def after_prepare(header: Header) -> str | None:
    """How a prepared dataset is trained on: by the recipes that name it, else by another one of its
    source, or the demo's; or how pictures are scored on one that has none to train on. None where
    no recipe can be."""
    from ..recipe import FIRST_RECIPE, parse_recipe, recipe_paths
    from ..recipe_writing import on_dataset, scoring_alone

    if not header.counts.get("train"):
        return scoring_alone(header)
    recipes = []
    for path in recipe_paths().values():
        with suppress(HdrbenchError):  # one that is broken is no reason to say nothing
            recipes.append(parse_recipe(path))
    own = [recipe.name for recipe in recipes if recipe.dataset.name == header.name]
    own.sort(key=len)  # variants of a recipe have longer names than it
    if own:
        others = f"; or {', '.join(own[1 : 1 + _NAMED])}" if own[1:] else ""
        more = f" and {len(own) - 1 - _NAMED} more" if len(own) > 1 + _NAMED else ""
        return f"`hdrbench train {own[0]}`{others}{more}"
    fitting = {recipe.name: recipe for recipe in recipes if _takes(recipe, header)}
    of_source = [n for n, recipe in fitting.items() if recipe.dataset.source == header.source]
    of_source.sort(key=lambda name: fitting[name].dataset.protocol != header.protocol)
    # Recipes on folders are made for operators, and train long.
    names = [FIRST_RECIPE, *of_source] if header.source == "folder" else [*of_source, FIRST_RECIPE]
    name = next((name for name in names if name in fitting), None)
    if name is None:
        return None
    try:
        on_dataset(fitting[name], header)
    except UsageError:  # a name that no recipe can have
        return None
    own_recipe = f"`hdrbench recipes new NAME --dataset {header.name}` writes a recipe to change"
    return f"`hdrbench train {name} --dataset {header.name}`; {own_recipe}"


def _takes(recipe: Recipe, header: Header) -> bool:
    """Whether a recipe's model is for inputs of the dataset's kind."""
    model = recipe.model
    return (model.input_encoding, model.input_white) == (header.input_encoding, header.input_white)


def after_train(directories: Sequence[Path]) -> str:
    """Of one run its score; of several seeds that of all the recipe's runs."""
    first = directories[0]
    target = first.parent.name if len(directories) > 1 else f"{first.parent.name}/{first.name}"
    return f"`hdrbench eval {target}` scores it on the test pictures"


def after_eval(paths: Sequence[Path]) -> str:
    """Where results were written, and what makes tables of them."""
    folder = os.path.commonpath([path.parent for path in paths])
    return f"`hdrbench report` makes tables and a page of {folder}/ and all other results"
