"""Whether results may be compared, and a metric's values on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import DataError, UsageError, near_matches
from ..metric_specs import METRICS
from ..results import Evaluation


def describe(result: Evaluation) -> str:
    """A result's recipe, method and run, as messages name it."""
    return f"{result.recipe.name}, {result.method.name}, {result.method.run}"


def label(results: Sequence[Evaluation]) -> str:
    """The name of one side of a comparison: its run, or how many seeds it has."""
    if len(results) == 1:
        return describe(results[0])
    return f"{results[0].recipe.name}, {results[0].method.name}, {len(results)} seeds"


def check_same_data(a: Evaluation, b: Evaluation) -> None:
    """Raises DataError where two results differ in dataset, its version, split or size."""

    def mismatch(what: str, of_a: str, of_b: str) -> DataError:
        return DataError(
            f"{describe(a)} and {describe(b)} cannot be compared: {what} {of_a} and {of_b}"
        )

    if a.dataset.name != b.dataset.name:
        raise mismatch("datasets", a.dataset.name, b.dataset.name)
    if a.dataset.digest != b.dataset.digest:
        raise mismatch(
            f"versions of {a.dataset.name}", a.dataset.digest[:12], b.dataset.digest[:12]
        )
    if a.dataset.split != b.dataset.split:
        raise mismatch("splits", a.dataset.split, b.dataset.split)
    if a.size != b.size:
        raise mismatch("sizes", a.size, b.size)


NOT_PAIRED = (
    "is of groups of pictures, and pictures are paired here: `hdrbench eval` and `hdrbench report` "
    "show each method's with its interval"
)


def metric_names(
    first: Sequence[Evaluation], second: Sequence[Evaluation], selection: Sequence[str] | None
) -> list[str]:
    """The metrics to compare, in the order of METRICS: those of `selection`, or by default all that
    any of the results has and that pictures have.

    Raises UsageError for a name that is not a metric, that none of the results has, or that is of
    groups of pictures.
    """
    measured = [n for n in METRICS if any(n in r.metrics for r in [*first, *second])]
    names = [name for name in measured if not METRICS[name].of_groups]
    if selection is None:
        return names
    for name in selection:
        if name not in METRICS:
            raise UsageError(f"unknown metric {name!r}: {near_matches(name, METRICS)}")
        if METRICS[name].of_groups:
            raise UsageError(f"{name} {NOT_PAIRED}")
        if name not in names:
            raise UsageError(f"{name} is not in either result: {near_matches(name, names)}")
    return [name for name in METRICS if name in selection]


def check_versions(results: Sequence[Evaluation], names: Sequence[str]) -> None:
    """Raises DataError where a metric was measured by different definitions of it."""
    for name in names:
        versions = {r.metrics[name].version for r in results if name in r.metrics}
        if len(versions) > 1:
            both = " and ".join(map(str, sorted(versions)))
            raise DataError(
                f"{name} was measured by its versions {both}, which cannot be compared: measure "
                "again with `hdrbench eval`, or choose other metrics (--metric)"
            )


def common_ids(results: Sequence[Evaluation]) -> list[str]:
    """The ids that all of a method's results have, in the order of the first."""
    ids = set.intersection(*({row.id for row in result.rows} for result in results))
    return [row.id for row in results[0].rows if row.id in ids]


def _values(
    name: str, results: Sequence[Evaluation], ids: Sequence[str]
) -> tuple[np.ndarray | None, str | None]:
    """A metric's values, (seeds, pictures) float64, NaN where one is null; or None with the reason
    why there are none."""
    for result in results:
        summary = result.metrics.get(name)
        if summary is None:
            return None, f"not measured for {describe(result)}"
        # A null mean alone says little: one value that is not finite makes it null for all.
        if summary.mean is None and all(row.value(name) is None for row in result.rows):
            return None, f"{describe(result)}: {summary.reason}"
    table = []
    for result in results:
        rows = {row.id: row.value(name) for row in result.rows}
        table.append([np.nan if rows[id_] is None else rows[id_] for id_ in ids])
    return np.array(table, dtype=np.float64), None


class Sides(NamedTuple):
    """A metric's values on the pictures `ids`, (seeds, pictures) each and finite; left_out: the
    common pictures that it is not defined for."""

    a: np.ndarray
    b: np.ndarray
    ids: tuple[str, ...]
    left_out: list[str]

    @property
    def differences(self) -> np.ndarray:
        difference: np.ndarray = self.a.mean(axis=0) - self.b.mean(axis=0)
        return difference


def both_sides(
    name: str, first: Sequence[Evaluation], second: Sequence[Evaluation], ids: Sequence[str]
) -> Sides | str:
    """A metric's values of both sides, or why there are none."""
    undefined = {r.id for result in (*first, *second) for r in result.rows if name in r.undefined}
    left_out = [id_ for id_ in ids if id_ in undefined]
    kept = [id_ for id_ in ids if id_ not in undefined]
    (a, reason_a), (b, reason_b) = _values(name, first, kept), _values(name, second, kept)
    if a is None or b is None:
        return reason_a or reason_b or "no value"
    if not kept:
        return f"not defined for any of {len(ids)} pictures"
    # What is not finite is the best or the worst there can be: a mean of the others would be of
    # other pictures than the table says. All or none.
    missing = int((~np.isfinite(a.sum(axis=0) + b.sum(axis=0))).sum())
    if missing:
        return f"no finite value for {missing} of {len(kept)} pictures"
    return Sides(a, b, tuple(kept), left_out)
