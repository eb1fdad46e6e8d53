"""Recipes made of others: one's training on another dataset, and a file that explains itself."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import median
from typing import Any

import yaml
from pydantic import BaseModel

from .data.manifest import Dataset, Header, Row, open_dataset
from .errors import UsageError
from .paths import data_dir
from .recipe import PROSE, SECTIONS, SMALL_CROP, DatasetSpec, Recipe, validate_recipe

_WIDTH = 88  # columns of a comment
# Half of the short edge: as much as a step's time on a CPU allows.
_LARGEST_CROP, _CROP_STEP = 1024, 32


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


def named_dataset(name: str) -> Dataset:
    """The prepared dataset that a recipe means by its name. Raises DataError where there is none,
    UsageError for one that lies where no recipe finds it."""
    dataset = open_dataset(name)
    own = data_dir() / dataset.header.name
    if dataset.directory.resolve() != own.resolve():
        raise UsageError(
            f"{name}: a recipe names its dataset, which must lie at {own} (HDRBENCH_DATA moves "
            f"{data_dir()})"
        )
    return dataset


def short_edge(rows: Sequence[Row]) -> float | None:
    """Of these pictures, in pixels: the median; None where there are none."""
    return median(min(row.width, row.height) for row in rows) if rows else None


def crop_for(crop: int, short_edge: float) -> int:
    """A recipe's crop, or a larger one where it shows too little of such pictures: the network's
    small input is made of the crop in training, and of the whole picture in use."""
    if crop >= SMALL_CROP * short_edge:
        return crop
    return max(crop, min(_LARGEST_CROP, _CROP_STEP * round(short_edge / 2 / _CROP_STEP)))


def scoring_alone(header: Header) -> str:
    """What a dataset is for that has no training pictures."""
    command = f"hdrbench eval --predictions DIR --name METHOD --dataset {header.name}"
    return f"`{command}` scores pictures that another method made"


def on_dataset(
    recipe: Recipe, header: Header, name: str | None = None, short_edge: float | None = None
) -> Recipe:
    """The model, training and evaluation of a recipe on another dataset.

    Args:
        name: of the new recipe; by default <recipe>-on-<dataset>.
        short_edge: of its pictures, pixels: crops are made to fit.

    Raises UsageError for a dataset that has no training pictures or that no recipe can name, and
    for a wrong name.
    """
    if not header.counts.get("train"):
        raise UsageError(f"dataset {header.name} has no training pictures: {scoring_alone(header)}")
    spec = dataset_spec(header)
    if spec == recipe.dataset and name is None:
        return recipe
    content = recipe.model_dump(mode="json", exclude_defaults=True) | {
        "name": name or f"{recipe.name}-on-{header.name}",
        "version": 1,
        "summary": f"{recipe.name}'s model and training on the dataset {header.name}.",
        "dataset": spec.model_dump(mode="json"),
    }
    if short_edge is not None:
        content["training"]["crop"] = crop_for(recipe.training.crop, short_edge)
    for key in PROSE:  # of the one it says nothing of the other
        content.pop(key, None)
    # A recipe that is given a name is one of its own; else what was changed in it is said on.
    kept = () if name else [key for key in recipe.changed if not key.startswith("dataset.")]
    content["changed"] = list(kept)
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
        elif key not in (*PROSE, "changed"):
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
