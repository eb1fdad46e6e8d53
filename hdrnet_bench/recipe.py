"""Recipes: what is trained on which data, how, and how it is judged. One YAML file each."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .config import HDRNetConfig
from .errors import DataError, UsageError, near_matches
from .files import json_line, sha256_text
from .metric_specs import METRICS
from .paths import search


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DatasetSpec(_Section):
    """Which prepared dataset: its source and protocol name it."""

    source: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    protocol: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")

    @property
    def name(self) -> str:
        return f"{self.source}-{self.protocol}"

    @property
    def prepare_command(self) -> str:
        return f"hdrbench prepare {self.source} --protocol {self.protocol}"


class TrainingSpec(_Section):
    """One plain loop: mean squared error, Adam, random crops and flips."""

    seeds: Annotated[tuple[int, ...], Field(strict=False)] = (0,)
    steps: int = Field(ge=1, le=10**9)
    batch_size: int = Field(ge=1, le=4096)
    crop: int = Field(ge=8, le=65536, description="side of the square crop, pixels")
    flips: bool = True
    learning_rate: float = Field(gt=0, le=1)
    warmup_steps: int = Field(0, ge=0, le=10**9)
    schedule: Literal["constant", "cosine"] = "constant"
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    validate_every: int = Field(ge=1, le=10**9, description="steps")

    def model_post_init(self, context: Any) -> None:
        seeds = self.seeds
        if not seeds or len(set(seeds)) != len(seeds) or not all(0 <= s < 2**31 for s in seeds):
            raise ValueError(f"seeds {list(seeds)} must be different, and from 0 to 2^31 - 1")


def _known_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in METRICS:
            raise ValueError(f"unknown metric {name!r}: {near_matches(name, METRICS)}")
    if len(set(names)) != len(names):
        raise ValueError(f"a metric stands twice: {', '.join(names)}")
    if "psnr" not in names:
        raise ValueError("psnr must be among the metrics: the best checkpoint is chosen by it")
    return names


_Resolution = Annotated[tuple[int, int], Field(strict=False)]


class EvaluationSpec(_Section):
    metrics: Annotated[tuple[str, ...], Field(strict=False)] = tuple(METRICS)
    resolutions: Annotated[tuple[_Resolution, ...], Field(strict=False)] = (
        (640, 480),
        (1280, 720),
        (1920, 1080),
    )

    def model_post_init(self, context: Any) -> None:
        _known_metrics(self.metrics)
        if not self.resolutions:
            raise ValueError("resolutions: at least one is needed")
        for width, height in self.resolutions:
            if min(width, height) < 8:
                raise ValueError(f"resolution {width} x {height} is too small to time")


class Recipe(_Section):
    """A recipe as validated: unknown keys and wrong types are errors."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(ge=1)
    summary: str = Field(min_length=1)
    dataset: DatasetSpec
    model: HDRNetConfig = HDRNetConfig()
    training: TrainingSpec
    evaluation: EvaluationSpec = EvaluationSpec()

    def model_post_init(self, context: Any) -> None:
        if self.model.batch_norm and self.training.batch_size == 1:
            raise ValueError(
                "batch_norm needs a batch_size over 1: of one sample the dense layers have no "
                "statistics"
            )

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved recipe."""
        return sha256_text(json_line(self.model_dump(mode="json")))

    def yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


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


def recipe_paths() -> dict[str, Path]:
    """Recipes by name: the current directory's recipes/ first, then the project's own."""
    found: dict[str, Path] = {}
    for folder in search("recipes"):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def load_recipe(name_or_path: str) -> Recipe:
    """Read and validate a recipe.

    Raises UsageError that says which key is wrong and why, or which names are near.
    """
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        if not path.exists():
            raise UsageError(f"there is no recipe file {path}")
    else:
        known = recipe_paths()
        if name_or_path not in known:
            raise UsageError(
                f"unknown recipe {name_or_path!r}: {near_matches(name_or_path, known)}"
            )
        path = known[name_or_path]
        recipe = parse_recipe(path)
        if recipe.name != path.stem:
            raise UsageError(f"{path}: its name {recipe.name!r} must be that of its file")
        return recipe
    return parse_recipe(path)


def parse_recipe(path: Path) -> Recipe:
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
        raise UsageError(f"{path} is not a recipe: its top level is not a mapping")
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {_explain(error)}") from None
    return recipe


def _explain(error: ValidationError) -> str:
    """Every fault on one line, each with the path of its key."""
    faults = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = _section_fields(fault["loc"][:-1])
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


def _section_fields(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def markdown_list(recipes: list[Recipe]) -> str:
    """recipes/README.md: generated, so that it cannot drift from the files."""
    lines = [
        "# Recipes",
        "",
        "Made by `hdrbench recipes --markdown` (run by `make results`); the files are the source.",
        "",
        "| recipe | data | model | what it is |",
        "|---|---|---|---|",
    ]
    for r in recipes:
        data = f"`{r.dataset.prepare_command}`"
        lines.append(f"| [{r.name}]({r.name}.yaml) | {data} | {r.model.variant} | {r.summary} |")
    return "\n".join(lines) + "\n"
