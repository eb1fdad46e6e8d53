"""Reading the YAML files that people write: recipes and protocols. Errors name every fault."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

try:  # libyaml's scanner is some fifty times as fast; what is constructed is the same
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # of a PyYAML that was built without it
    from yaml import SafeLoader  # type: ignore[assignment]

from . import addresses
from .errors import DataError, UsageError, near_matches
from .files import read_text, unreadable

Model = TypeVar("Model", bound=BaseModel)

# The longest such file of the project has 2.4 kB; PyYAML without libyaml reads some ten kB in a
# second.
MOST_BYTES = 1 << 16
# Values, keys and sections, each counted as often as aliases and merge keys repeat it.
_MOST_NODES = 20_000
_MOST_FAULTS = 10  # that a message names
_LONGEST = 80  # characters of a value in a message


class _UniqueKeyLoader(SafeLoader):
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
        text = read_text(path, MOST_BYTES)
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    try:
        content = parse_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # Of a file that ends too early libyaml names the line after its last.
        last = text.count("\n")
        where = f", line {min(mark.line, last) + 1}" if mark else ""
        problem = shortened(" ".join(str(getattr(error, "problem", error)).split()), 4 * _LONGEST)
        raise UsageError(f"{path}{where} is not YAML: {problem}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not {kind}: its top level is not a mapping")
    return content


def parse_yaml(text: str) -> Any:
    """The values of a YAML document, in time and memory that its length bounds.

    Raises yaml.YAMLError, or ValueError for values that do not fit their tags (2020-99-99), and for
    what aliases make too large or nest in itself.
    """
    # The loader is a SafeLoader: no tag makes it construct arbitrary objects.
    loader = _UniqueKeyLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return _constructed(loader, node)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    finally:
        loader.dispose()


def _constructed(loader: _UniqueKeyLoader, node: yaml.Node) -> Any:
    try:
        return loader.construct_document(node)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        # PyYAML does not catch these for values that do not fit their tags.
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _count(node: yaml.Node, known: dict[yaml.Node, int | None]) -> int:
    """The values below a node, itself among them, were every alias written out: a few hundred bytes
    can stand for billions. Raises ValueError where there are too many, or without end."""
    if node in known:
        count = known[node]
        if count is None:
            raise ValueError("it contains itself")
        return count
    known[node] = None
    total = 1
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for each in child if isinstance(child, tuple) else (child,):
                total += _count(each, known)
    if total > _MOST_NODES:
        raise ValueError(f"it has more than {_MOST_NODES:,} values, or repeats some so often")
    known[node] = total
    return total


def validated(model: type[Model], content: dict[str, Any], where: str) -> Model:
    """`content` as a model. Raises UsageError that names `where` and every faulty key."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{where}: {_explain(model, error)}") from None


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    """Every fault on one line, each with the path of its key."""
    errors = error.errors(include_url=False)
    faults = []
    for fault in errors[:_MOST_FAULTS]:
        where = shortened(".".join(str(part) for part in fault["loc"]))
        if fault["type"] == "extra_forbidden":
            keys = _section_keys(model, fault["loc"][:-1])
            key = shortened(str(fault["loc"][-1]))
            faults.append(f"{where}: unknown key; {near_matches(key, keys)}")
            continue
        if fault["type"] == "string_pattern_mismatch":  # of names alone
            fault["msg"] = "a name has small letters, digits and '-'"
        message = shortened(fault["msg"].removeprefix("Value error, "), 4 * _LONGEST)
        value = fault.get("input")
        got = f" (got {_shown(value)})" if isinstance(value, str | int | float | bool) else ""
        hint = _number_hint(value) if fault["type"] == "float_type" else ""
        faults.append(f"{where}: {message}{got}{hint}" if where else message)
    if len(errors) > _MOST_FAULTS:
        faults.append(f"and {len(errors) - _MOST_FAULTS} more faults")
    return "; ".join(faults)


def _shown(value: str | float) -> str:
    if isinstance(value, str) and "://" in value:
        value = addresses.shown(value)  # there may be a password in it
    try:
        return shortened(repr(value))
    except ValueError:  # Python writes no integers of over 4,300 digits
        return "a number of thousands of digits"


def shortened(text: str, longest: int = _LONGEST) -> str:
    """What somebody wrote, as a message shows it."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


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
