"""Result files: results/<recipe>/<method>/<run>/…, as they are written, read and validated.

Light on purpose (no torch): the report is made from these alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import DataError
from .files import json_text, read_json, write_text
from .metric_specs import METRICS
from .paths import results_dir


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecipeId(_Record):
    name: str
    version: int
    digest: str


class MethodId(_Record):
    """What was judged. Null where a baseline has no such thing."""

    name: str
    run: str
    parameters: int | None
    model_sha256: str | None
    seed: int | None


class DatasetId(_Record):
    name: str
    protocol: str
    split: str
    digest: str


class MetricSummary(_Record):
    """mean and interval are null with a reason where there is none."""

    version: int
    n: int
    mean: float | None
    interval: tuple[float, float] | None
    min: float | None = None
    max: float | None = None
    reason: str | None = None


class Evaluation(_Record):
    schema_version: Literal[1] = 1
    kind: Literal["evaluation"] = "evaluation"
    recipe: RecipeId
    method: MethodId
    dataset: DatasetId
    size: Literal["full"]
    metrics: dict[str, MetricSummary]
    rows: list[dict[str, Any]] = Field(min_length=1)
    environment: dict[str, Any]

    def stale(self) -> list[str]:
        """Metrics whose definition has changed since this was measured."""
        return [
            name
            for name, summary in self.metrics.items()
            if name not in METRICS or METRICS[name].version != summary.version
        ]


Part = Literal["coefficients", "guide + slice + apply", "whole"]


class TimingRow(_Record):
    """One part at one resolution; times in milliseconds."""

    width: int
    height: int
    part: Part
    repeats: int
    median_ms: float
    p5_ms: float
    p95_ms: float

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6


class Timing(_Record):
    schema_version: Literal[1] = 1
    kind: Literal["timing"] = "timing"
    recipe: RecipeId
    method: MethodId
    device: str
    backend: str
    rows: list[TimingRow] = Field(min_length=1)
    environment: dict[str, Any]


def result_folder(recipe: str, method: str, run: str) -> Path:
    return results_dir() / recipe / method / run


def evaluation_path(folder: Path, split: str, size: str) -> Path:
    return folder / f"eval-{split}-{size}.json"


def write_result(path: Path, result: Evaluation | Timing) -> None:
    write_text(path, json_text(result.model_dump(mode="json")))


def read_result(path: Path) -> Evaluation | Timing:
    """Read and validate a result file. Raises DataError that names it and the faulty key."""
    content = read_json(path)
    kinds: dict[Any, type[Evaluation | Timing]] = {"evaluation": Evaluation, "timing": Timing}
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind not in kinds:
        raise DataError(f"{path} is neither an evaluation nor a timing")
    try:
        return kinds[kind].model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise DataError(f"{path}: {where}: {fault['msg']}") from None


def read_all(root: Path) -> list[tuple[Path, Evaluation | Timing]]:
    """Every result below a results directory, in the order of their paths."""
    paths = [*root.glob("*/*/*/eval-*.json"), *root.glob("*/*/*/timing-*.json")]
    return [(path, read_result(path)) for path in sorted(paths)]
