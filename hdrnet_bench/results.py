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
    model_serializer,
    model_validator,
)

from .environment import Environment
from .files import json_text, write_text
from .metric_specs import METRICS
from .paths import results_dir
from .result_ids import (
    DatasetId,
    MethodId,
    PictureId,
    RecipeId,
    Record,
    check_name,
    read_record,
)
from .result_timing import KernelTiming, Timing
from .statistics import Mean, mean_interval, variances_within

NONE = "–"  # where there is no value to show
Size = Literal["full", "480p"]


# No metric is so large: sums of what is typed in must not overflow.
_Number = Annotated[float, Field(ge=-1e12, le=1e12)]


class _Brief(BaseModel):
    """In the file without the values of these keys where they say nothing."""

    _unless_empty: ClassVar = {
        "undefined",
        "notes",
        "unread",
        "bounds",
        "group",
        "mean_ab",
        "slopes",
    }

    @model_serializer(mode="wrap")
    def _brief(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = handler(self)
        return {k: v for k, v in content.items() if v or k not in self._unless_empty}


class MetricSummary(Record, _Brief):
    """A metric over all pictures: its mean with the 95 % interval of that mean. Both are null, with
    `reason` why, where there is none. Of a metric of groups (GLC) all is over groups.

    version: of the metric's definition. n: pictures. min, max: over the pictures. undefined: how
    many others the metric is not defined for; in the file where there are such. bounds: what the
    interval was kept within (`statistics.mean_interval`); not in the file where it is plain
    Student's t, as of a metric without bounds, and of all that older versions wrote.
    """

    version: int
    n: Annotated[int, Field(ge=0, le=10**12)]
    mean: float | None
    interval: tuple[float, float] | None
    min: float | None = None
    max: float | None = None
    reason: str | None = None
    undefined: Annotated[int, Field(ge=0)] = 0
    bounds: tuple[_Number, _Number | None] | None = None

    @model_validator(mode="after")
    def _null_has_a_reason(self) -> MetricSummary:
        if (self.mean is None or self.interval is None) and not self.reason:
            raise ValueError("a missing mean or interval needs its reason")
        if self.bounds and self.bounds[1] is not None and self.bounds[0] >= self.bounds[1]:
            raise ValueError("the lower of its bounds is not the first")
        return self


class ResultRow(_Brief):
    """One picture: its metrics by name, null where they are not finite.

    undefined: why a metric is null where it is not defined for this picture, as one that it is too
    small for; such a picture is no part of the metric's mean, where a value that is not finite
    leaves no mean. notes: what reading another method's picture had to do. group: which others it
    belongs with, and mean_ab: the output's mean a* and b* (metrics/glc.py), from both of which GLC
    follows. slopes: the lowest and the highest of the tone curves whose inversions are a metric
    (evaluation/slopes.py). All are in the file where there are such.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, _Number | None]

    id: PictureId
    width: int
    height: int
    licence: str
    undefined: dict[str, str] = {}
    notes: list[str] = []
    group: str | None = None
    mean_ab: tuple[_Number, _Number] | None = None
    slopes: tuple[_Number, _Number] | None = None

    @model_validator(mode="after")
    def _slopes_stand_with_inversions(self) -> ResultRow:
        if (self.slopes is None) != (self.value("inversions") is None):
            raise ValueError("slopes and inversions stand together")
        if self.slopes and self.slopes[0] > self.slopes[1]:
            raise ValueError("the lower of its slopes is not the first")
        return self

    @model_validator(mode="after")
    def _group_has_its_colour(self) -> ResultRow:
        if (self.group is None) != (self.mean_ab is None):
            raise ValueError("group and mean_ab stand together")
        return self

    @model_validator(mode="after")
    def _undefined_is_null(self) -> ResultRow:
        extra = self.__pydantic_extra__
        for name in self.undefined:
            if name not in extra or extra[name] is not None:
                raise ValueError(f"{name} is said to be undefined, and is not null")
        return self

    def value(self, metric: str) -> float | None:
        return self.__pydantic_extra__.get(metric)


class Shown(Record):
    """A picture with thumbnails, which lie where result_pictures.py says.

    why: its rank among the pictures by PSNR.
    """

    id: PictureId
    why: list[Literal["worst", "median", "best"]]


class Unpaired(Record, _Brief):
    """What of a folder of predictions could not be evaluated, by id or file name."""

    missing: list[str] = []
    extra: list[str] = []
    wrong_size: list[str] = []
    unread: list[str] = Field([], description="of the right id, and of a kind that is not read")


class Evaluation(Record):
    """One method's metrics on one split of a dataset, at one size: eval-<split>-<size>.json."""

    schema_version: Literal[2] = 2
    kind: Literal["evaluation"] = "evaluation"
    recipe: RecipeId
    method: MethodId
    dataset: DatasetId
    size: Size
    metrics: dict[str, MetricSummary]
    rows: list[ResultRow] = Field(min_length=1)
    shown: list[Shown] = Field([])
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
            values = self.values(name)
            if summary.undefined != self.count(name) - len(values):
                raise ValueError(f"metrics.{name}.undefined is not what the rows give")
            recomputed = mean_interval(_numbers(values), summary.bounds)
            if (field := _first_difference(summary, recomputed, values)) is not None:
                raise ValueError(f"metrics.{name}.{field} is not what the rows give")
        return self

    def values(self, metric: str) -> list[float | None]:
        """Of the pictures, or groups, that it is defined for, None where it is not finite."""
        return list(self.by_name(metric).values())

    def by_name(self, metric: str) -> dict[str, float | None]:
        """The same by a picture's id, or by group of a metric of groups."""
        if _of_groups(metric):
            return {group: value for group, value in self.groups().items() if value is not None}
        return {row.id: row.value(metric) for row in self.rows if metric not in row.undefined}

    def count(self, metric: str) -> int:
        """How many pictures there are, or groups for a metric of groups."""
        return len(self.groups()) if _of_groups(metric) else len(self.rows)

    def groups(self) -> dict[str, float | None]:
        """GLC of each group; None where one of its pictures alone is here."""
        return variances_within((row.group, row.mean_ab) for row in self.rows)

    def slopes(self) -> tuple[float, float] | None:
        """The lowest and the highest of all pictures; None where no picture has any."""
        found = [row.slopes for row in self.rows if row.slopes]
        return (min(low for low, _ in found), max(high for _, high in found)) if found else None

    def stale(self) -> list[str]:
        """Metrics whose definition has changed since this was measured."""
        return [
            name
            for name, summary in self.metrics.items()
            if name not in METRICS or METRICS[name].version != summary.version
        ]


def _of_groups(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].of_groups


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def with_bounds(result: Evaluation) -> Evaluation:
    """The same result, with every metric's interval within the bounds that this version knows of
    it: what older versions wrote has plain Student's t there, which can end where no value can lie.
    A metric that this version does not know keeps what the file says."""
    summaries = dict(result.metrics)
    for name, summary in result.metrics.items():
        bounds = METRICS[name].bounds if name in METRICS else summary.bounds
        if summary.bounds != bounds and summary.mean is not None:
            found = mean_interval(_numbers(result.values(name)), bounds)
            summaries[name] = summary.model_copy(update=found._asdict() | {"bounds": bounds})
    return result.model_copy(update={"metrics": summaries})


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


Result = Evaluation | Timing | KernelTiming


def result_folder(recipe: str, method: str, run: str) -> Path:
    return results_dir() / recipe / method / run


def evaluation_path(folder: Path, split: str, size: str) -> Path:
    return folder / f"eval-{split}-{size}.json"


def write_result(path: Path, result: Record) -> None:
    write_text(path, json_text(result.model_dump(mode="json")))


def read_result(path: Path) -> Result:
    """Read and validate a result file, an evaluation `with_bounds`. Raises DataError that names it
    and the faulty key."""
    kinds: dict[str, type[Result]] = {
        "evaluation": Evaluation,
        "timing": Timing,
        "kernels": KernelTiming,
    }
    result = read_record(path, kinds, "is neither an evaluation nor a timing")
    return with_bounds(result) if isinstance(result, Evaluation) else result


def read_all(root: Path) -> list[tuple[Path, Result]]:
    """Every result below a results directory, in the order of their paths.

    Raises DataError that names the first that is broken, or whose name no figure could have.
    """
    timings = [*root.glob("*/*/*/timing-*.json"), *root.glob("kernels-*.json")]
    for path in sorted(timings):
        check_name(path)
    paths = sorted([*root.glob("*/*/*/eval-*.json"), *timings])
    return [(path, read_result(path)) for path in paths]


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
    if METRICS[name].of_groups:
        return f"{text} ({summary.n} {'group' if summary.n == 1 else 'groups'})"
    return f"{text} (n {summary.n})" if summary.undefined else text


def slopes_text(slopes: tuple[float, float] | None) -> str:
    """As in "0.21 to 3.1", or a dash where there are none."""
    return NONE if slopes is None else f"{slopes[0]:.2g} to {slopes[1]:.2g}"


def undefined_notes(results: Iterable[Evaluation]) -> list[str]:
    """Which means are over fewer pictures than there are, and why, each once."""
    notes = []
    for result in results:
        for name, summary in result.metrics.items():
            if summary.undefined and summary.n and _of_groups(name):
                notes.append(
                    f"{METRICS[name].label}: not defined for {summary.undefined} of "
                    f"{result.count(name)} groups, of which one picture alone is here; the mean is "
                    f"over the other {summary.n}"
                )
            elif summary.undefined and summary.n and name in METRICS:
                first = next(row for row in result.rows if name in row.undefined)
                notes.append(
                    f"{METRICS[name].label}: not defined for {summary.undefined} of "
                    f"{len(result.rows)} pictures ({first.id}: {first.undefined[name]}), the mean "
                    f"is over the other {summary.n}"
                )
    return list(dict.fromkeys(notes))
