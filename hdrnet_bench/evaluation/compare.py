"""Paired statistics between two methods' results on the same pictures (no torch).

Pictures are paired by id. A difference is A - B; whether that is a gain depends on the metric's
direction. The interval and the test resample pictures, with a fixed seed: the same two results give
the same figures. One method is better where the interval of the mean difference lies wholly on its
side of zero, and the mean difference is not so small that the decimals shown round it away;
anything else is within noise. With results of several seeds, a picture's value is its mean over
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..errors import DataError
from ..metric_specs import METRICS
from ..results import Evaluation
from ..statistics import (
    CONFIDENCE,
    Mean,
    count_wins,
    mean_interval,
    paired_bootstraps,
    permutation_tests,
    spread,
)
from .pairing import (
    NOT_PAIRED,
    Sides,
    both_sides,
    check_same_data,
    check_versions,
    common_ids,
    describe,
    label,
    metric_names,
)

Verdict = Literal["A better", "B better", "within noise", "too few pictures", "no value"]


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class MethodSummary(_Figures):
    """One method over the common pictures. `seeds`: the mean of each training, by seed;
    `deviation`: their sample standard deviation, null where there is only one."""

    mean: float
    interval: tuple[float, float] | None
    seeds: list[float]
    deviation: float | None


class PictureDifference(_Figures):
    """One picture's values, means over seeds, and A - B."""

    id: str
    a: float
    b: float
    difference: float


class Paired(_Figures):
    """The figures of one metric.

    difference: mean of A - B. win_rate: share of pictures on which A is better; ties (equal values)
    are not wins. p: of the sign-flip test, not corrected for there being several metrics.
    pictures: all common ones, the largest difference first.
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


class MetricComparison(_Figures):
    """One metric over n common pictures. `reason`: why there are no figures, or no interval.
    left_out: the ids of the common pictures that it is not defined for."""

    metric: str
    n: int
    verdict: Verdict
    reason: str | None
    paired: Paired | None
    left_out: list[str] = []


class Comparison(_Figures):
    """Two methods' results. common: how many pictures both have; only_a, only_b: the ids of the
    pictures that one side alone has, which are left out."""

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
    """A metric that got worse. `difference`: the mean of now - before; `interval`: None with a
    reason where there are fewer than six common pictures."""

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
    """What `check` finds. `undecided`: why it is not known whether a metric got worse, by its name;
    `notes`: the pictures that only one of the two results has, or that a metric is not defined
    for."""

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
        metrics: which; by default all that either side has.
        seed: of the resampling.

    Raises:
        DataError: the two are of different data, splits or sizes, have a metric in different
            versions, or share no picture: they cannot be compared.
        UsageError: a metric is unknown, or neither side has it.
    """
    first = [a] if isinstance(a, Evaluation) else list(a)
    second = [b] if isinstance(b, Evaluation) else list(b)
    for result in [*first[1:], *second]:
        check_same_data(first[0], result)
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
    comparisons = _compare_metrics(names, first, second, ids, seed)
    comparison = Comparison(
        a=label(first),
        b=label(second),
        dataset=data.name,
        split=data.split,
        size=first[0].size,
        common=len(ids),
        only_a=[id_ for id_ in ids_a if id_ not in in_b],
        only_b=[id_ for id_ in ids_b if id_ not in in_a],
        metrics=comparisons,
        notes=_notes(first, second, comparisons),
    )
    notes = [*left_out_notes(comparison), *comparison.notes]
    return comparison.model_copy(update={"notes": notes})


def check(now: Evaluation, before: Evaluation) -> RegressionCheck:
    """Which of `before`'s metrics are worse now, and which are undecided.

    A metric is worse where the paired 95 % interval of the mean difference lies wholly on the worse
    side of zero. With fewer than six common pictures there is no interval: it is worse where every
    picture is, not worse where no picture is by more than rounding, and anything between is
    undecided. Only a mean difference that the decimals shown do not round away counts. Raises
    DataError as `compare`.
    """
    both = [name for name in metric_names([now], [before], None) if name in before.metrics]
    both = [name for name in both if name in now.metrics]
    comparison = compare(now, before, both)
    regressions: list[Regression] = []
    undecided = {
        name: _not_checked(name, now) for name in sorted(before.metrics) if name not in both
    }
    for metric in comparison.metrics:
        name, paired = metric.metric, metric.paired
        if paired is None:
            undecided[name] = metric.reason or metric.verdict
            continue
        # A is now, B is before.
        is_worse = metric.verdict == "B better"
        if metric.verdict == "too few pictures":
            noise, sign = rounding_noise(name), METRICS[name].sign
            is_worse = paired.losses == metric.n and abs(paired.difference) >= noise
            # A picture that is worse by less than rounding raises no doubt. One that is worse by
            # more does: without an interval, nothing tells its loss from chance.
            if not is_worse and any(-sign * p.difference >= noise for p in paired.pictures):
                undecided[name] = f"cannot be told (n = {metric.n})"
        if is_worse:
            change = (paired.b.mean, paired.a.mean, paired.difference, paired.interval)
            regressions.append(Regression(name, metric.n, *change, metric.reason))
    notes = left_out_notes(comparison)
    if comparison.only_b:
        notes.append(f"not evaluated now: {', '.join(comparison.only_b)}")
    if comparison.only_a:
        notes.append(f"not evaluated before: {', '.join(comparison.only_a)}")
    return RegressionCheck(regressions, undecided, notes)


def _not_checked(name: str, now: Evaluation) -> str:
    if name not in METRICS:
        return "not a metric of this version"
    return NOT_PAIRED if name in now.metrics else "not measured now"


def rounding_noise(metric: str) -> float:
    """The least mean difference that counts: half a unit of the last decimal that is shown. Without
    it, methods that agree in every figure of a table could differ in their verdict."""
    return 0.5 * 10.0 ** -METRICS[metric].decimals


def _method_summary(name: str, table: np.ndarray) -> MethodSummary:
    """table: a metric's values (seeds, pictures), finite."""
    pictures, seeds = table.mean(axis=0), [float(v) for v in table.mean(axis=1)]
    return MethodSummary(
        mean=float(pictures.mean()),
        interval=mean_interval(pictures, METRICS[name].bounds).interval,
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
    sides = {name: both_sides(name, first, second, ids) for name in names}
    of_pictures: dict[tuple[str, ...], dict[str, Sides]] = {}
    for name, found in sides.items():
        if isinstance(found, Sides):
            of_pictures.setdefault(found.ids, {})[name] = found
    paired = {}
    for complete in of_pictures.values():
        differences = [found.differences for found in complete.values()]
        # All of the same pictures at once: they share the resampling, which takes the time.
        figures = zip(
            paired_bootstraps(differences, seed), permutation_tests(differences, seed), strict=True
        )
        for (name, found), (mean, p) in zip(complete.items(), figures, strict=True):
            paired[name] = _compare_metric(name, found, mean, p)
    return [
        MetricComparison(metric=name, n=len(ids), verdict="no value", reason=reason, paired=None)
        if isinstance(reason := sides[name], str)
        else paired[name]
        for name in names
    ]


def _compare_metric(name: str, sides: Sides, mean: Mean, p: float) -> MetricComparison:
    ids, differences = sides.ids, sides.differences
    a, b = sides.a.mean(axis=0), sides.b.mean(axis=0)
    wins = count_wins(METRICS[name].sign * differences)
    # By id where they differ alike, so that the order does not depend on that of the rows.
    order = sorted(range(len(ids)), key=lambda i: (-abs(differences[i]), ids[i]))
    return MetricComparison(
        metric=name,
        n=len(ids),
        verdict=_verdict(name, mean),
        reason=mean.reason,
        paired=Paired(
            a=_method_summary(name, sides.a),
            b=_method_summary(name, sides.b),
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
        left_out=sides.left_out,
    )


def left_out_notes(comparison: Comparison) -> list[str]:
    """The metrics that are compared on fewer than the common pictures."""
    return [
        f"{METRICS[metric.metric].label}: not defined for {len(metric.left_out)} of "
        f"{comparison.common} pictures, which are left out ({_some(metric.left_out)})"
        for metric in comparison.metrics
        if metric.left_out
    ]


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")


def _verdict(name: str, mean: Mean) -> Verdict:
    if mean.mean is None or mean.interval is None:
        return "too few pictures"
    low, high = mean.interval
    # Zero at an end is inside: ties alone can put it there.
    if low <= 0 <= high or abs(mean.mean) < rounding_noise(name):
        return "within noise"
    return "A better" if METRICS[name].sign * mean.mean > 0 else "B better"


def _notes(
    first: Sequence[Evaluation],
    second: Sequence[Evaluation],
    comparisons: Sequence[MetricComparison],
) -> list[str]:
    """What a reader must know besides the figures."""
    notes = []
    p_values = [(metric, metric.paired.p) for metric in comparisons if metric.paired]
    if len(p_values) > 1:
        notes.append("p-values are of one metric each, not corrected for there being several")
    for metric, p in p_values:
        if metric.verdict in ("A better", "B better") and p >= 1 - CONFIDENCE:
            notes.append(
                f"{METRICS[metric.metric].label}: the interval excludes zero, but the sign-flip "
                f"test does not confirm it (p = {p:.3f})"
            )
    for side, results in (("A", first), ("B", second)):
        if results[0].method.oracle:
            notes.append(f"{side} is fitted to each picture's target: a bound, not a method")
        elif len(results) == 1 and results[0].method.seed is not None:
            notes.append(f"{side} is one training: the variation between seeds is not included")
        if len(results) > 1:
            notes.append(
                f"{side}: each picture's mean over {len(results)} seeds is compared; the interval "
                "is over pictures, not over trainings"
            )
        leaked = max(result.leaked for result in results)
        if leaked:
            notes.append(
                f"{side} was trained with {leaked} of these pictures: its scores mean nothing"
            )
        stale = {METRICS[n].label for r in results for n in r.stale() if n in METRICS}
        if stale:
            notes.append(f"{side}: measured by an older version: {', '.join(sorted(stale))}")
    for name in sorted({n for r in [*first, *second] for n in r.metrics} - set(METRICS)):
        notes.append(f"{name} is not a metric of this version: left out")
    measured = {name for result in [*first, *second] for name in result.metrics}
    groups = [name for name in METRICS if name in measured and METRICS[name].of_groups]
    notes += [f"{METRICS[name].label} {NOT_PAIRED}" for name in groups]
    return notes
