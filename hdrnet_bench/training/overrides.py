"""`--set key=value`: a recipe with some keys changed, validated as a recipe file is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from ..errors import UsageError
from ..recipe import Recipe, validate_recipe
from ..yaml_files import MOST_BYTES, parse_yaml, shortened


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with `key=value` settings applied in their order.

    A key is a path with dots (training.steps), a value is YAML (0.001, true, [0, 1], null). `steps`
    and `epochs` replace each other. A recipe that comes out changed says so in `changed`, and its
    results carry a name of their own (`Recipe.label`).

    Raises UsageError for a malformed setting, an unknown key or a value that does not fit.
    """
    content = recipe.model_dump(mode="json", exclude_defaults=True)
    for setting in settings:
        if len(setting) > MOST_BYTES:
            raise UsageError(f"--set {setting[:60]!r}… is longer than a recipe file may be")
        said = shortened(repr(setting))
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {said}: write KEY=VALUE, as training.steps=100")
        path = key.strip().split(".")
        if path[0] in ("name", "changed"):
            raise UsageError(f"--set {said}: {path[0]} cannot be set; copy the recipe file")
        _put(content, path, _value(said, text))
        if path in (["training", "steps"], ["training", "epochs"]):
            content["training"].pop("epochs" if path[1] == "steps" else "steps", None)
    resolved = validate_recipe(content, "--set")
    if len(resolved.yaml().encode()) > MOST_BYTES:
        raise UsageError(f"recipe {recipe.name} with all its values is longer than a run can keep")
    if resolved.digest == recipe.digest:
        return recipe
    # A file of a run that was changed already holds its changes.
    return resolved.model_copy(update={"changed": tuple(sorted({*recipe.changed, *settings}))})


def _value(said: str, text: str) -> Any:
    try:
        value = parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"--set {said}: the value is not YAML: {error}") from None
    if isinstance(value, str):
        # YAML 1.1 takes 1e-4 for text; on a command line nobody means text by it.
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _put(content: dict[str, Any], path: list[str], value: Any) -> None:
    place: Any = content
    for part in path[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UsageError(f"--set {'.'.join(path)}: {part} has no keys of its own")
    place[path[-1]] = value
