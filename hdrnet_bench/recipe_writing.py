"""Recipes made of others: one's training on another dataset, and a file that explains itself."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml
from pydantic import BaseModel

from .data.manifest import Header
from .errors import UsageError
from .recipe import SECTIONS, DatasetSpec, Recipe, validate_recipe

_WIDTH = 88  # columns of a comment


def dataset_spec(header: Header) -> DatasetSpec:
    """How a recipe names a prepared dataset. Raises UsageError for one that no recipe can name."""
    size = header.settings.get("size")
    parts = {
        "source": header.source,
        "protocol": header.protocol,
        "expert": header.settings.get("expert"),
        "part": header.settings.get("part"),
        "size": size.get("name") if isinstance(size, dict) else None,
    }
    unnamed = f"no recipe can name the dataset {header.name}"
    try:
        spec = DatasetSpec.model_validate({k: v for k, v in parts.items() if v is not None})
    except ValueError:
        raise UsageError(f"{unnamed}: of which source and protocol it is cannot be told") from None
    if spec.name != header.name:
        raise UsageError(f"{unnamed}: one of its source and protocol is called {spec.name}")
    return spec


def on_dataset(recipe: Recipe, header: Header, name: str | None = None) -> Recipe:
    """The model, training and evaluation of a recipe on another dataset.

    Args:
        name: of the new recipe; by default <recipe>-on-<dataset>.

    Raises UsageError for a dataset that no recipe can name, and for a wrong name.
    """
    spec = dataset_spec(header)
    if spec == recipe.dataset and name is None:
        return recipe
    content = recipe.model_dump(mode="json", exclude_defaults=True) | {
        "name": name or f"{recipe.name}-on-{header.name}",
        "version": 1,
        "summary": f"{recipe.name}'s model and training on the dataset {header.name}.",
        "dataset": spec.model_dump(mode="json"),
    }
    # What is published of the one says nothing of the other.
    for key in ("published", "changed"):
        content.pop(key, None)
    return validate_recipe(content, f"{recipe.name} on {header.name}")


def explained_yaml(recipe: Recipe, pictures: int) -> str:
    """A recipe as a file for somebody to change: each key with its value and what it means.

    Args:
        pictures: that there are to train on.
    """
    training = recipe.training
    shown = training.total_steps(pictures) * training.batch_size / max(pictures, 1)
    lines = [
        *_comment(f"Its data: {pictures} pictures to train on, each shown {shown:.3g} times by "
                  f"these steps; made by `{recipe.dataset.prepare_command}`."),
        *_comment("Keys may be left out where they are at their default. Raise `version` with "
                  "every change: results name it. `hdrbench train --dry-run` checks the file."),
        "",
    ]  # fmt: skip
    for key, value in recipe:
        if isinstance(value, BaseModel):
            lines += ["", f"{key}:", *_keys(value, "  ")]
        elif key not in ("published", "changed"):
            lines += _key(type(recipe), key, value, "")
    return "\n".join([*lines, ""])


def _keys(section: BaseModel, indent: str) -> list[str]:
    model = type(section)
    # A section says itself what of it is written: sizes at their default, say, are not.
    written = section.model_dump(mode="json")
    return [
        line
        for key in model.model_fields
        if key in written or model is not SECTIONS["dataset"]
        for line in _key(model, key, written.get(key, getattr(section, key)), indent)
    ]


def _key(model: type[BaseModel], key: str, value: Any, indent: str) -> list[str]:
    text = yaml.safe_dump(_plain(value), default_flow_style=True, allow_unicode=True, width=10**6)
    # A plain value is a document of its own to PyYAML, which ends it with dots.
    text = text.removesuffix("\n").removesuffix("\n...")
    description = model.model_fields[key].description or ""
    return [*_comment(description, indent), f"{indent}{key}: {text}"]


def _plain(value: Any) -> Any:
    """As YAML has it: a tuple is a list there."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _comment(text: str, indent: str = "") -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        " ".join(text.split()), _WIDTH, initial_indent=start, subsequent_indent=start,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip
