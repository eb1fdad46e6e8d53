"""Result files: results/<recipe>/<method>/<run>/…, as they are written, read and validated.

Imports no torch: the report is made from these files alone, and need not wait for it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from .environment import Environment
from .errors import DataError, first_fault
from .files import json_text, read_json, write_text
from .metric_specs import METRICS
from .paths import results_dir
from .statistics import Mean, mean_interval


class _Brief(BaseModel):
    """In the file without the values of these keys where they say nothing."""

    _unless_empty: ClassVar = {"undefined", "notes", "unread"}

    @model_serializer(mode="wrap")
    def _brief(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = handler(self)
        return {k: v for k, v in content.items() if v or k not in self._unless_empty}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_Positive = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]
NONE = "–"  # where there is no value to show
# What becomes part of a path or of a figure's name.
Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class RecipeId(_Record):
    name: Slug
    version: int
    digest: str


class MethodId(_Record):
    """The method that was evaluated or timed. Null where it has no such value, or none is known.

    network_macs: multiply-accumulates of predicting the grid, once a picture. pixel_macs: of guide,
    slice and apply, for each pixel. predictions_sha256: over the names and contents of the
    prediction files, where these were made by another program.
    """

    name: Slug
    run: Slug
    parameters: int | None
    network_macs: int | None = None
    pixel_macs: int | None = None
    model_sha256: str | None
    predictions_sha256: str | None = None
    seed: int | None

    @property
    def oracle(self) -> bool:
        """Whether it was fitted to the targets themselves: it bounds what a method of its form can
        reach, and is no competitor."""
        return self.name.startswith("oracle-")


class DatasetId(_Record):
    name: Slug
    protocol: str
    split: Literal["train", "validation", "test"]
    digest: str


class MetricSummary(_Record, _Brief):
    """A metric over all pictures: its mean with the 95 % interval of that mean. Both are null, with
    `reason` why, where there is none.

    version: of the metric's definition. n: pictures. min, max: over the pictures. undefined: how
    many others the metric is not defined for; in the file where there are such.
    """

    version: int
    n: int
    mean: float | None
    interval: tuple[float, float] | None
    min: float | None = None
    max: float | None = None
    reason: str | None = None
    undefined: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _null_has_a_reason(self) -> MetricSummary:
        if (self.mean is None or self.interval is None) and not self.reason:
            raise ValueError("a missing mean or interval needs its reason")
        return self


class ResultRow(_Brief):
    """One picture: its metrics by name, null where they are not finite.

    undefined: why a metric is null where it is not defined for this picture, as one that it is too
    small for; such a picture is no part of the metric's mean, where a value that is not finite
    leaves no mean. notes: what reading another method's picture had to do. Both are in the file
    where there are such.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    # No metric is so large: sums of what is typed in must not overflow.
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=-1e12, le=1e12)] | None]

    id: Slug
    width: int
    height: int
    licence: str
    undefined: dict[str, str] = {}
    notes: list[str] = []

    @model_validator(mode="after")
    def _undefined_is_null(self) -> ResultRow:
        extra = self.__pydantic_extra__
        for name in self.undefined:
            if name not in extra or extra[name] is not None:
                raise ValueError(f"{name} is said to be undefined, and is not null")
        return self

    def value(self, metric: str) -> float | None:
        return self.__pydantic_extra__.get(metric)


Size = Literal["full", "480p"]


class Shown(_Record):
    """A picture with thumbnails: pictures/<size>/<id>-{input,output,target,error}.jpg.

    why: its rank among the pictures by PSNR.
    """

    id: Slug
    why: list[Literal["worst", "median", "best"]]


class Unpaired(_Record, _Brief):
    """What of a folder of predictions could not be evaluated, by id or file name."""

    missing: list[str] = []
    extra: list[str] = []
    wrong_size: list[str] = []
    unread: list[str] = Field([], description="of the right id, and of a kind that is not read")


class Evaluation(_Record):
    """One method's metrics on one split of a dataset, at one size: eval-<split>-<size>.json."""

    schema_version: Literal[2] = 2
    kind: Literal["evaluation"] = "evaluation"
    recipe: RecipeId
    method: MethodId
    dataset: DatasetId
    size: Size
    metrics: dict[str, MetricSummary]
    rows: list[ResultRow] = Field(min_length=1)
    shown: list[Shown] = []
    unpaired: Unpaired | None = None
    leaked: int = Field(0, ge=0, description="pictures that the model was trained with")
    environment: Environment

    @model_validator(mode="after")
    def _has_psnr(self) -> Evaluation:
        if "psnr" not in self.metrics:
            raise ValueError("metrics hold no psnr")
        return self

    @model_validator(mode="after")
    def _agrees_with_rows(self) -> Evaluation:
        """A summary that was edited by hand, and no longer follows from the rows, is refused."""
        counts = Counter(row.id for row in self.rows)
        duplicates = [id_ for id_, count in counts.items() if count > 1]
        if duplicates:
            raise ValueError(f"rows hold {duplicates[0]} more than once")
        for name, summary in self.metrics.items():
            values = [row.value(name) for row in self.rows if name not in row.undefined]
            if summary.undefined != len(self.rows) - len(values):
                raise ValueError(f"metrics.{name}.undefined is not what the rows give")
            recomputed = mean_interval([math.nan if value is None else value for value in values])
            if (field := _first_difference(summary, recomputed, values)) is not None:
                raise ValueError(f"metrics.{name}.{field} is not what the rows give")
        return self

    def stale(self) -> list[str]:
        """Metrics whose definition has changed since this was measured."""
        return [
            name
            for name, summary in self.metrics.items()
            if name not in METRICS or METRICS[name].version != summary.version
        ]


def _first_difference(
    summary: MetricSummary, recomputed: Mean, values: list[float | None]
) -> str | None:
    """The first field of a summary that does not follow from its pictures' values, or None.

    recomputed: of the same values, with NaN for None.
    """
    if summary.mean is None:
        # n is 0 for a metric that could not be computed at all, such as one without its weights,
        # and all pictures where one value is not finite. The rows do not tell which of the two.
        return "mean" if recomputed.mean is not None else None
    # Sequences, so that an interval where there should be none differs in its length.
    pairs: dict[str, tuple[Sequence[float | None], Sequence[float | None]]] = {
        "n": ([summary.n], [recomputed.n]),
        "mean": ([summary.mean], [recomputed.mean]),
        "interval": (summary.interval or (None,), recomputed.interval or (None,)),
    }
    numbers = [value for value in values if value is not None]
    for name, extreme in (("min", min), ("max", max)):
        # Optional in the file: without them a summary is no less true.
        if (bound := getattr(summary, name)) is not None:
            pairs[name] = [bound], [extreme(numbers, default=None)]
    for name, (stated, expected) in pairs.items():
        if len(stated) != len(expected) or not all(map(_close, stated, expected)):
            return name
    return None


def _close(a: float | None, b: float | None) -> bool:
    """Whether both are the same number, or both are None. Processors and versions of NumPy differ
    in the order of a sum, and so in its last digits."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


Part = Literal[
    "coefficients", "guide + slice + apply", "whole", "upload", "download", "whole with transfer"
]
PictureType = Literal["float32", "float16", "bfloat16", "uint8"]
TimedBackend = Literal["native", "reference", "compiled"]


class TimingRow(_Record):
    """One part at one resolution; times in milliseconds, for a whole batch.

    Times are null, with `note` why, where it could not be run: out of memory, the process was
    killed. interval: 95 % of the median. peak_memory_mib: of the process on a CPU, of the device on
    CUDA. gigabytes_per_s: bytes that the part must at least read and write, over its median;
    copy_share: that over a copy's in the same run. max_error: largest absolute difference from the
    reference backend in float64. noisy: the 5th and 95th percentile are more than a fifth of the
    median apart.
    """

    width: _Count
    height: _Count
    batch: _Count
    dtype: PictureType
    backend: TimedBackend
    part: Part
    repeats: Annotated[int, Field(ge=0)]
    median_ms: _Positive | None
    interval_ms: tuple[_Positive, _Positive] | None
    p5_ms: _Positive | None
    p95_ms: _Positive | None
    peak_memory_mib: Annotated[float, Field(ge=0)] | None
    gigabytes_per_s: _Positive | None
    copy_share: _Positive | None
    max_error: float | None
    noisy: bool
    note: str | None = None

    @model_validator(mode="after")
    def _null_has_a_note(self) -> TimingRow:
        if self.median_ms is None and not self.note:
            raise ValueError("a missing time needs its note")
        return self

    @property
    def megapixels(self) -> float:
        """Of the batch."""
        return self.batch * self.width * self.height / 1e6

    @property
    def megapixels_per_s(self) -> float | None:
        return None if self.median_ms is None else self.megapixels / (self.median_ms / 1e3)


class CopyRow(_Record):
    """A copy of a float32 RGB picture in the same run: about the least time that anything which
    reads and writes such a picture can take."""

    width: _Count
    height: _Count
    median_ms: _Positive
    gigabytes_per_s: _Positive


class MachineState(_Record):
    """The machine while timing, as it was read, never set; null where it does not report it."""

    clock_mhz: tuple[float, float] | None = Field(description="lowest and highest")
    power_w: tuple[float, float] | None
    load: tuple[float, float] | None = Field(description="of the last minute, lowest and highest")


class Timing(_Record):
    """One method's times on one device: timing-<device>.json."""

    schema_version: Literal[2] = 2
    kind: Literal["timing"] = "timing"
    recipe: RecipeId
    method: MethodId
    device: str
    rows: list[TimingRow] = Field(min_length=1)
    copies: list[CopyRow]
    state: MachineState
    environment: Environment


class KernelRow(_Record):
    """One slicing kernel at one size. Times in milliseconds; null where nothing was measured, with
    `note` why. `max_error` is against float64, null where that ran out of memory."""

    size: str
    megapixels: _Positive
    guide: Literal["natural", "noise"]
    kernel: str
    median_ms: _Positive
    p5_ms: _Positive
    p95_ms: _Positive
    ns_per_pixel: _Positive
    reference_ms: _Positive | None
    times_reference: float | None
    compiled_ms: _Positive | None
    copy_ms: _Positive
    times_copy: float
    max_error: float | None
    note: str | None


class KernelTiming(_Record):
    """The slicing kernels' times on one device: kernels-<device>.json in the results' root."""

    schema_version: Literal[1] = 1
    kind: Literal["kernels"] = "kernels"
    device: str
    rows: list[KernelRow] = Field(min_length=1)
    environment: Environment


Result = Evaluation | Timing | KernelTiming


def result_folder(recipe: str, method: str, run: str) -> Path:
    return results_dir() / recipe / method / run


def evaluation_path(folder: Path, split: str, size: str) -> Path:
    return folder / f"eval-{split}-{size}.json"


def write_result(path: Path, result: Result) -> None:
    write_text(path, json_text(result.model_dump(mode="json")))


def read_result(path: Path) -> Result:
    """Read and validate a result file. Raises DataError that names it and the faulty key."""
    content = read_json(path)
    kinds: dict[Any, type[Result]] = {
        "evaluation": Evaluation,
        "timing": Timing,
        "kernels": KernelTiming,
    }
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise DataError(f"{path} is neither an evaluation nor a timing")
    try:
        return kinds[kind].model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        if fault["loc"] == ("schema_version",):
            raise DataError(
                f"{path}: written by another version of hdrnet-bench, in its schema "
                f"{fault['input']}: measure it again, or remove it"
            ) from None
        raise DataError(f"{path}: {first_fault(error)}") from None


def read_all(root: Path) -> list[tuple[Path, Result]]:
    """Every result below a results directory, in the order of their paths."""
    of_runs = [*root.glob("*/*/*/eval-*.json"), *root.glob("*/*/*/timing-*.json")]
    paths = [*of_runs, *root.glob("kernels-*.json")]
    return [(path, read_result(path)) for path in sorted(paths)]


def group_seeds(results: Iterable[Evaluation]) -> list[list[Evaluation]]:
    """The seeds of one recipe and method on the same data together, each once; what has no seed by
    itself.

    Where two results have the same seed, the first counts. Groups and seeds stay in the order in
    which they come.
    """
    groups: dict[tuple[object, ...], dict[int | None, Evaluation]] = {}
    for result in results:
        method = result.method
        # Without seeds, two runs may be two sets of pictures under one name: no mean is theirs.
        run = method.run if method.seed is None else None
        key = (result.recipe, method.name, run, result.dataset, result.size)
        groups.setdefault(key, {}).setdefault(method.seed, result)
    return [list(seeds.values()) for seeds in groups.values()]


def cell(name: str, summary: MetricSummary | None) -> str:
    """A mean with its interval, or a dash where there is no value."""
    if summary is None or summary.mean is None:
        return NONE
    decimals = METRICS[name].decimals
    text = f"{summary.mean:.{decimals}f}"
    if summary.interval:
        low, high = summary.interval
        text += f" [{low:.{decimals}f}, {high:.{decimals}f}]"
    return f"{text} (n {summary.n})" if summary.undefined else text


def undefined_notes(results: Iterable[Evaluation]) -> list[str]:
    """Which means are over fewer pictures than there are, and why, each once."""
    notes = []
    for result in results:
        for name, summary in result.metrics.items():
            if summary.undefined and summary.n and name in METRICS:
                first = next(row for row in result.rows if name in row.undefined)
                notes.append(
                    f"{METRICS[name].label}: not defined for {summary.undefined} of "
                    f"{len(result.rows)} pictures ({first.id}: {first.undefined[name]}), the mean "
                    f"is over the other {summary.n}"
                )
    return list(dict.fromkeys(notes))
