"""Methods against the best one, and each against the next, picture by picture, each two as
`hdrbench compare` does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
    fair = _fair(group)
    methods = sorted((s for s in fair if not is_identity(s[0])), key=_mean_psnr, reverse=True)
    if not methods:
        return None
    best, *others = methods
    others += [s for s in fair if is_identity(s[0])]
    others = [s for s in others if set(common_ids(best)) & set(common_ids(s))]
    if not others:
        return None
    return _table(
        f"paired-{group.slug}",
        f"{name_of(best)}, less each other method, paired over the pictures",
        group,
        list(_NAMES),
        [(_names(other), best, other) for other in others],
    )


def ranked_table(group: Group) -> Table | None:
    """Each method, and the identity, minus the next by mean PSNR: whether the order holds. None
    where there are less than three, of which `paired_table` says it already.

    Seeds count, and what is left out is left out, as there.
    """
    ranked = sorted(_fair(group), key=_mean_psnr, reverse=True)
    two = [both for both in pairwise(ranked) if set(common_ids(both[0])) & set(common_ids(both[1]))]
    if len(two) < 2:
        return None
    return _table(
        f"ranked-{group.slug}",
        "by mean PSNR, each method less the next, paired over the pictures",
        group,
        [*_NAMES, *columns("less")],
        [([*_names(first), plain(name_of(second))], first, second) for first, second in two],
    )


def _fair(group: Group) -> list[list[Evaluation]]:
    return [s for s in by_method(group) if not s[0].method.oracle and not any(r.leaked for r in s)]


_NAMES = (*columns("recipe", priority=2), *columns("method"), *columns("run", priority=2))


def _table(
    slug: str,
    title: str,
    group: Group,
    names: list[Column],
    rows: Sequence[tuple[list[Cell], Sequence[Evaluation], Sequence[Evaluation]]],
) -> Table:
    """A row for each two methods: what it is called, in columns `names`, and the first less the
    second."""
    head = [*names, *columns("n")]
    # No direction: a difference is no value of a method's own.
    head += [
        Column(
            heading(name),
            tuple(name + s for s in _SUFFIXES),
            priority=metric_priority(name),
        )
        for name in _of_pictures(group)
    ]
    single = any(len(s) == 1 and s[0].method.seed is not None for _, *both in rows for s in both)
    comparisons = [compare(first, second) for _, first, second in rows]
    left_out = dict.fromkeys(f"{n}." for c in comparisons for n in left_out_notes(c))
    return Table(
        slug,
        title,
        head,
        [
            [*called, *_differences(group, comparison)]
            for (called, _, _), comparison in zip(rows, comparisons, strict=True)
        ],
        [NOTE, *left_out, *([ONE_TRAINING] if single else [])],
        row_header=1,
    )


def _mean_psnr(seeds: Sequence[Evaluation]) -> float:
    means = [result.metrics["psnr"].mean for result in seeds]
    return sum(mean or 0.0 for mean in means) / len(means)


def _names(seeds: Sequence[Evaluation]) -> list[Cell]:
    first = seeds[0]
    run = first.method.run if len(seeds) == 1 else f"{len(seeds)} seeds"
    return [plain(first.recipe.name), plain(first.method.name), plain(run)]


def _differences(group: Group, comparison: Comparison) -> list[Cell]:
    by_metric = {metric.metric: metric for metric in comparison.metrics}
    return [
        number(comparison.common, "{}"),
        *(_cell(by_metric.get(name)) for name in _of_pictures(group)),
    ]


def _of_pictures(group: Group) -> list[str]:
    return [name for name in group.metrics if not METRICS[name].of_groups]


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
