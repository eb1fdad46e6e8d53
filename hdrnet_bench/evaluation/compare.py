"""Paired statistics between two methods' results on the same pictures (no torch).

Pictures are paired by id. A difference is A - B; whether that is a gain depends on the metric's
direction. The interval and the test resample pictures, with a fixed seed: the same two results give
the same figures. One method is better where the interval of the mean difference lies wholly on its
side and the difference is at least what the metric's last shown decimal rounds away; anything else
is within noise. With results of several seeds, a picture's value is its mean over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..errors import DataError
from ..metric_specs import METRICS
from ..results import Evaluation, spread
from ..statistics import (
    CONFIDENCE,
    Mean,
    count_wins,
    mean_interval,
    paired_bootstraps,
    permutation_tests,
)
from .pairing import (
    check_same_data,
    check_versions,
    common_ids,
    describe,
    label,
    metric_names,
    values,
)

Verdict = Literal["A better", "B better", "within noise", "too few pictures", "no value"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class MethodSummary(_Record):
    """One method over the common pictures. `seeds`: mean of each seed's training, `deviation` their
    sample standard deviation where there are several."""

    mean: float
    interval: tuple[float, float] | None
    seeds: list[float]
    deviation: float | None


class PictureDifference(_Record):
    id: str
    a: float
    b: float
    difference: float


class Paired(_Record):
    """The figures of one metric.

    difference: mean of A - B. win_rate: share of pictures on which A is better; ties, of equal
    values, count as none. p: of the sign-flip test, not corrected for there being several metrics.
    pictures: all common ones, by how much they differ, the most first.
    """

    a: MethodSummary
    b: MethodSummary
    difference: float
    interval: tuple[float, float] | None
    wins: int
    ties: int
    losses: int
    win_rate: float
    p: float
    pictures: list[PictureDifference]


class MetricComparison(_Record):
    """Of one metric, over the n common pictures. `reason` says why there are no figures, or no
    interval."""

    metric: str
    n: int
    verdict: Verdict
    reason: str | None
    paired: Paired | None


class Comparison(_Record):
    a: str
    b: str
    dataset: str
    split: str
    size: str
    common: int
    only_a: list[str]
    only_b: list[str]
    metrics: list[MetricComparison]
    notes: list[str]


class Regression(NamedTuple):
    """A metric that got worse. Differences are now - before; `interval` is None with a reason where
    there are fewer than six common pictures."""

    metric: str
    n: int
    before: float
    now: float
    difference: float
    interval: tuple[float, float] | None
    reason: str | None

    def __str__(self) -> str:
        metric = METRICS[self.metric]
        unit = f" {metric.unit}" if metric.unit else ""
        places = metric.decimals + 1
        text = (
            f"{metric.label} {self.before:.{places}f} -> {self.now:.{places}f}{unit} "
            f"({self.difference:+.{places}f}"
        )
        if self.interval is None:
            return f"{text}, worse on each of {self.n} pictures; {self.reason})"
        low, high = self.interval
        return f"{text}, 95 % interval [{low:+.{places}f}, {high:+.{places}f}], n {self.n})"


class RegressionCheck(NamedTuple):
    """What `check` finds. `undecided`: why nothing can be said of a metric, by its name; `notes`:
    the pictures that only one of the two results has."""

    regressions: list[Regression]
    undecided: dict[str, str]
    notes: list[str]


def compare(
    a: Evaluation | Sequence[Evaluation],
    b: Evaluation | Sequence[Evaluation],
    metrics: Sequence[str] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare two results, or the results of two methods' seeds.

    Args:
        metrics: which; by default all that either side names.
        seed: of the resampling.

    Raises:
        DataError: the two are of other data, another split or size, have a metric in different
            versions, or share no picture: what they say cannot be compared.
        UsageError: a metric of that name is not known, or is in neither.
    """
    first = [a] if isinstance(a, Evaluation) else list(a)
    second = [b] if isinstance(b, Evaluation) else list(b)
    for one in [*first[1:], *second]:
        check_same_data(first[0], one)
    for side in (first, second):
        methods = {(r.recipe.name, r.recipe.digest, r.method.name) for r in side}
        if len(methods) > 1:
            raise DataError(f"not seeds of one method: {', '.join(map(describe, side))}")
    names = metric_names(first, second, metrics)
    check_versions([*first, *second], names)

    ids_a, ids_b = common_ids(first), common_ids(second)
    in_a, in_b = set(ids_a), set(ids_b)
    ids = [id_ for id_ in ids_a if id_ in in_b]
    if not ids:
        raise DataError(f"{describe(first[0])} and {describe(second[0])} share no picture")
    data = first[0].dataset
    found = _compare_metrics(names, first, second, ids, seed)
    return Comparison(
        a=label(first),
        b=label(second),
        dataset=data.name,
        split=data.split,
        size=first[0].size,
        common=len(ids),
        only_a=[id_ for id_ in ids_a if id_ not in in_b],
        only_b=[id_ for id_ in ids_b if id_ not in in_a],
        metrics=found,
        notes=_notes(first, second, found),
    )


def check(now: Evaluation, before: Evaluation) -> RegressionCheck:
    """What of `before`'s metrics is worse now, and of what that cannot be said.

    A metric is worse where the paired 95 % interval of the mean difference lies wholly on the worse
    side. Under six common pictures there is no interval: it is worse where every picture is, not
    worse where no picture is by more than rounding, and of anything between nothing can be said.
    Only a mean difference that the shown decimals do not round away counts. Raises DataError as
    `compare`.
    """
    both = [name for name in METRICS if name in before.metrics and name in now.metrics]
    compared = compare(now, before, both)
    worse: list[Regression] = []
    undecided = {
        name: "not measured now" if name in METRICS else "not a metric of this version"
        for name in sorted(before.metrics)
        if name not in both
    }
    for one in compared.metrics:
        paired = one.paired
        if paired is None:
            undecided[one.metric] = one.reason or one.verdict
            continue
        regressed = one.verdict == "B better"
        if one.verdict == "too few pictures":
            noise, sign = rounding_noise(one.metric), _sign(one.metric)
            regressed = paired.losses == one.n and abs(paired.difference) >= noise
            if not regressed and any(-sign * p.difference >= noise for p in paired.pictures):
                undecided[one.metric] = f"cannot be told (n = {one.n})"
        if regressed:
            change = (paired.b.mean, paired.a.mean, paired.difference, paired.interval)
            worse.append(Regression(one.metric, one.n, *change, one.reason))
    notes = []
    if compared.only_b:
        notes.append(f"not judged now: {', '.join(compared.only_b)}")
    if compared.only_a:
        notes.append(f"not judged before: {', '.join(compared.only_a)}")
    return RegressionCheck(worse, undecided, notes)


def regressions(now: Evaluation, before: Evaluation) -> list[Regression]:
    """The metrics that are worse now, as `check` finds them."""
    return check(now, before).regressions


def rounding_noise(metric: str) -> float:
    """Half of the last decimal that a metric is shown with."""
    return 0.5 * 10.0 ** -METRICS[metric].decimals


def _sign(metric: str) -> int:
    """Of a gain: 1 where higher is better."""
    return 1 if METRICS[metric].higher_is_better else -1


def _method_summary(of: np.ndarray) -> MethodSummary:
    """of: values (seeds, pictures), finite."""
    pictures, seeds = of.mean(axis=0), [float(v) for v in of.mean(axis=1)]
    return MethodSummary(
        mean=float(pictures.mean()),
        interval=mean_interval(pictures).interval,
        seeds=seeds,
        deviation=spread(seeds)[1] if len(seeds) > 1 else None,
    )


def _compare_metrics(
    names: Sequence[str],
    first: Sequence[Evaluation],
    second: Sequence[Evaluation],
    ids: Sequence[str],
    seed: int,
) -> list[MetricComparison]:
    both = {name: _both_sides(name, first, second, ids) for name in names}
    told = {name: sides for name, sides in both.items() if not isinstance(sides, str)}
    differences = [a.mean(axis=0) - b.mean(axis=0) for a, b in told.values()]
    figures = zip(
        differences,
        paired_bootstraps(differences, seed),
        permutation_tests(differences, seed),
        strict=True,
    )
    paired = {
        name: _compare_metric(name, ids, told[name], *figure)
        for name, figure in zip(told, figures, strict=True)
    }
    return [
        MetricComparison(metric=name, n=len(ids), verdict="no value", reason=sides, paired=None)
        if isinstance(sides, str)
        else paired[name]
        for name, sides in both.items()
    ]


def _both_sides(
    name: str, first: Sequence[Evaluation], second: Sequence[Evaluation], ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray] | str:
    """A metric's values of both sides, (seeds, pictures) each and finite; or why there are none."""
    (of_a, why_a), (of_b, why_b) = values(name, first, ids), values(name, second, ids)
    if of_a is None or of_b is None:
        return why_a or why_b or "no value"
    bad = int((~np.isfinite(of_a.sum(axis=0) + of_b.sum(axis=0))).sum())
    return f"no finite value for {bad} of {len(ids)} pictures" if bad else (of_a, of_b)


def _compare_metric(
    name: str,
    ids: Sequence[str],
    sides: tuple[np.ndarray, np.ndarray],
    differences: np.ndarray,
    mean: Mean,
    p: float,
) -> MetricComparison:
    of_a, of_b = sides
    a, b = of_a.mean(axis=0), of_b.mean(axis=0)
    wins = count_wins(_sign(name) * differences)
    order = sorted(range(len(ids)), key=lambda i: (-abs(differences[i]), ids[i]))
    return MetricComparison(
        metric=name,
        n=len(ids),
        verdict=_verdict(name, mean),
        reason=mean.reason,
        paired=Paired(
            a=_method_summary(of_a),
            b=_method_summary(of_b),
            difference=float(differences.mean()),
            interval=mean.interval,
            wins=wins.wins,
            ties=wins.ties,
            losses=wins.losses,
            win_rate=wins.rate,
            p=p,
            pictures=[
                PictureDifference(id=ids[i], a=a[i], b=b[i], difference=differences[i])
                for i in order
            ],
        ),
    )


def _verdict(name: str, mean: Mean) -> Verdict:
    if mean.mean is None or mean.interval is None:
        return "too few pictures"
    low, high = mean.interval
    if low <= 0 <= high or abs(mean.mean) < rounding_noise(name):
        return "within noise"
    return "A better" if _sign(name) * mean.mean > 0 else "B better"


def _notes(
    first: Sequence[Evaluation], second: Sequence[Evaluation], found: Sequence[MetricComparison]
) -> list[str]:
    """What a reader of the figures must know besides."""
    notes = []
    told = [(one, one.paired.p) for one in found if one.paired]
    if len(told) > 1:
        notes.append("p-values are of one metric each, not corrected for there being several")
    for one, p in told:
        if one.verdict in ("A better", "B better") and p >= 1 - CONFIDENCE:
            notes.append(
                f"{METRICS[one.metric].label}: the interval excludes zero, but the sign-flip test "
                f"does not confirm it (p = {p:.3f})"
            )
    for which, results in (("A", first), ("B", second)):
        if results[0].method.oracle:
            notes.append(f"{which} is fitted to each picture's target: a bound, no method")
        elif len(results) == 1 and results[0].method.seed is not None:
            notes.append(f"{which} is one training: what another seed would change is not in here")
        if len(results) > 1:
            notes.append(
                f"{which}: each picture's mean over {len(results)} seeds is compared; the interval "
                "is over pictures, not over trainings"
            )
        leaked = max(result.leaked for result in results)
        if leaked:
            notes.append(
                f"{which} was trained with {leaked} of these pictures: its scores mean nothing"
            )
        stale = {METRICS[n].label for r in results for n in r.stale() if n in METRICS}
        if stale:
            notes.append(f"{which}: measured by an older version: {', '.join(sorted(stale))}")
    for name in sorted({n for r in [*first, *second] for n in r.metrics} - set(METRICS)):
        notes.append(f"{name} is not a metric of this version: left out")
    return notes
