"""Reading the YAML files that people write: recipes and protocols. Errors name every fault."""

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
    """PyYAML silently lets the last of two equal keys win; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = set()
        for key_node, _ in node.value:
            # "<<" names no key of its own, and what it merges in may be overridden.
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is not a plain value", key_node.start_mark
                )
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} occurs twice", key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path, kind: str) -> dict[str, Any]:
    """The top level of a YAML file; `kind` is what it should be, as "a recipe".

    Raises DataError where the file cannot be read, UsageError where it is no YAML mapping.
    """
    try:
        # The loader is a SafeLoader: no tag makes it construct arbitrary objects.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{where} is not YAML: {getattr(error, 'problem', error)}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # PyYAML does not catch these for values that do not fit their tags, as 2020-99-99.
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
            keys = _section_keys(model, fault["loc"][:-1])
            faults.append(f"{where}: unknown key; {near_matches(str(fault['loc'][-1]), keys)}")
            continue
        message = fault["msg"].removeprefix("Value error, ")
        value = fault.get("input")
        got = f" (got {value!r})" if isinstance(value, str | int | float | bool) else ""
        hint = _number_hint(value) if fault["type"] == "float_type" else ""
        faults.append(f"{where}: {message}{got}{hint}" if where else message)
    return "; ".join(faults)


def _number_hint(value: Any) -> str:
    """YAML 1.1 reads 1e-3 as text; only with a point and a sign is it a number."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f"; YAML wants {number!r} here, without quotes" if math.isfinite(number) else ""


def _section_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at a location; of the innermost section around it where the location
    is not one, as inside a list."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return list(model.model_fields)
