"""Reading the YAML files that people write: recipes and protocols. Every fault is named."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .errors import DataError, UsageError, near_matches

Model = TypeVar("Model", bound=BaseModel)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets the last of two equal keys win without a word; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is no plain value", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path, kind: str) -> dict[str, Any]:
    """The top level of a YAML file; `kind` is what it should be, as "a recipe".

    Raises DataError where the file cannot be read, UsageError where it is no YAML mapping.
    """
    try:
        content = yaml.load(
            path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader
        )  # a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise UsageError(f"{path}{where} is not YAML: {getattr(error, 'problem', error)}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # What PyYAML lets through for values that do not fit their own tags.
        raise UsageError(f"{path} is not YAML: {type(error).__name__}: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not {kind}: its top level is not a mapping")
    return content


def validated(model: type[Model], content: dict[str, Any], where: str) -> Model:
    """`content` as a model. Raises UsageError that names `where` and every faulty key."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{where}: {_explain(model, error)}") from None


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    """Every fault on one line, each with the path of its key."""
    faults = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = _fields(model, fault["loc"][:-1])
            faults.append(f"{where}: unknown key; {near_matches(str(fault['loc'][-1]), known)}")
            continue
        message = fault["msg"].removeprefix("Value error, ")
        value = fault.get("input")
        shown = f" (got {value!r})" if isinstance(value, str | int | float | bool) else ""
        hint = _number_hint(value) if fault["type"] == "float_type" else ""
        faults.append(f"{where}: {message}{shown}{hint}" if where else message)
    return "; ".join(faults)


def _number_hint(value: Any) -> str:
    """YAML 1.1 reads 1e-3 as text; only with a point and a sign is it a number."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f"; YAML wants {number!r} here, without quotes" if math.isfinite(number) else ""


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the section that a location leads to, as far as it is a section of its own."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return list(model.model_fields)
