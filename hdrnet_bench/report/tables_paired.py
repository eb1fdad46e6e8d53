"""Methods against the best one, picture by picture, each two as `hdrbench compare` does."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation.compare import Comparison, MetricComparison, compare, left_out_notes
from ..evaluation.pairing import common_ids
from ..evaluation.pairing import label as name_of
from ..metric_specs import METRICS, heading
from ..results import NONE, Evaluation
from ..statistics import CONFIDENCE
from .groups import Group, by_method, is_identity
from .table import Cell, Column, Table, columns, number, plain
from .tables import metric_priority

_VERDICTS = {"A better": "better", "B better": "worse", "within noise": "noise"}
_SUFFIXES = ("", "_low", "_high", "_wins", "_ties", "_p", "_verdict")
NOTE = (
    "Mean difference with its 95 % interval (pictures resampled in pairs), and on how many of the "
    "n pictures the first is better; noise: the interval holds zero, or the shown decimals round "
    "the difference away. No correction for there being several metrics and methods."
)
ONE_TRAINING = "One training each: what another seed would change is not in here."


def paired_table(group: Group) -> Table | None:
    """The method with the highest mean PSNR minus each other one, and minus the identity; None
    where there are no two.

    Seeds count as their mean. Oracles, stale results, and models that were trained with the
    pictures are left out.
    """
    fair = [s for s in by_method(group) if not s[0].method.oracle and not any(r.leaked for r in s)]
    methods = sorted((s for s in fair if not is_identity(s[0])), key=_mean_psnr, reverse=True)
    if not methods:
        return None
    best, *others = methods
    others += [s for s in fair if is_identity(s[0])]
    others = [s for s in others if set(common_ids(best)) & set(common_ids(s))]
    if not others:
        return None
    head = [*columns("recipe", priority=2), *columns("method"), *columns("run", priority=2)]
    head += columns("n")
    # No direction: a row's difference is what the best method gains over it, no value of its own.
    head += [
        Column(
            heading(name),
            tuple(name + s for s in _SUFFIXES),
            priority=metric_priority(name),
        )
        for name in group.metrics
    ]
    single = any(len(s) == 1 and s[0].method.seed is not None for s in (best, *others))
    comparisons = [compare(best, other) for other in others]
    left_out = dict.fromkeys(f"{n}." for c in comparisons for n in left_out_notes(c))
    return Table(
        f"paired-{group.slug}",
        f"{name_of(best)}, less each other method, paired over the pictures",
        head,
        [_row(group, *both) for both in zip(others, comparisons, strict=True)],
        [NOTE, *left_out, *([ONE_TRAINING] if single else [])],
        row_header=1,
    )


def _mean_psnr(seeds: Sequence[Evaluation]) -> float:
    means = [result.metrics["psnr"].mean for result in seeds]
    return sum(mean or 0.0 for mean in means) / len(means)


def _row(group: Group, other: Sequence[Evaluation], comparison: Comparison) -> list[Cell]:
    by_metric = {metric.metric: metric for metric in comparison.metrics}
    first = other[0]
    return [
        plain(first.recipe.name),
        plain(first.method.name),
        plain(first.method.run if len(other) == 1 else f"{len(other)} seeds"),
        number(comparison.common, "{}"),
        *(_cell(by_metric.get(name)) for name in group.metrics),
    ]


def _cell(comparison: MetricComparison | None) -> Cell:
    if comparison is None or comparison.paired is None:
        return Cell(NONE, (None,) * len(_SUFFIXES))
    paired, decimals = comparison.paired, METRICS[comparison.metric].decimals
    text = f"{paired.difference:+.{decimals}f}"
    if paired.interval:
        low, high = paired.interval
        text += f" [{low:+.{decimals}f}, {high:+.{decimals}f}]"
    text += f", {paired.wins}/{comparison.n}"
    if verdict := _VERDICTS.get(comparison.verdict):
        text += f": {verdict}"
        if verdict != "noise" and paired.p >= 1 - CONFIDENCE:
            text += f" (sign-flip test: p = {paired.p:.2f})"
    bounds = paired.interval or (None, None)
    figures = [paired.difference, *bounds, paired.wins, paired.ties, paired.p]
    return Cell(text, (*map(_six_digits, figures), verdict))


def _six_digits(value: float | None) -> float | None:
    """Rounded: processors differ in the last digits of a sum, and the committed files must not."""
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")
