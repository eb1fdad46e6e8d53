"""`hdrbench compare`: two methods' results on the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..metric_specs import METRICS, heading
from . import completion
from .console import out, print_json
from .options import Json, SplitOption, Wide
from .tables import Column, print_table

if TYPE_CHECKING:
    from ..evaluation.compare import Comparison, MethodSummary, MetricComparison

_SHOWN_IDS = 5
# The difference's interval is what the verdict rests on: it stays longer than those of the means.
_METRICS = (
    Column("metric"),
    Column("n", 2, number=True),
    Column("A [95 %]", interval=3, number=True),
    Column("B [95 %]", interval=3, number=True),
    Column("A - B [95 %]", number=True),
    Column("A wins", 2),
    Column("p", 2, number=True),
    Column("verdict"),
)
_PICTURES = (
    Column("differ most by"),
    Column("picture"),
    *(Column(heading, number=True) for heading in ("A", "B", "A - B")),
)


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A result file or folder, RECIPE/RUN, a recipe (its seeds), or a method's name.",
            autocompletion=completion.results,
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="What to compare it with, likewise.",
            autocompletion=completion.results,
        ),
    ],
    split: SplitOption = "test",
    size: Annotated[
        Literal["full", "480p"],
        typer.Option(metavar="NAME", help="Of the pictures: full, or 480p."),
    ] = "full",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Only this metric; repeatable.",
            autocompletion=completion.metrics,
        ),
    ] = None,
    worst: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="How many of the pictures that differ most to list."),
    ] = 3,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Which of two methods is better on the same pictures, and whether it is more than noise."""
    from ..evaluation.compare import compare as compare_results
    from ..evaluation.find import find_two

    comparison = compare_results(*find_two(first, second, split, size), metric)
    if as_json:
        content = comparison.model_dump(mode="json")
        for entry in content["metrics"]:
            if entry["paired"]:
                entry["paired"]["pictures"] = entry["paired"]["pictures"][:worst]
        print_json(content)
        return
    out.print(f"A: {comparison.a}")
    out.print(f"B: {comparison.b}")
    out.print(
        f"{comparison.dataset}, {comparison.split} split, {comparison.size} size: "
        f"{comparison.common} pictures in both"
    )
    for which, ids in (("A", comparison.only_a), ("B", comparison.only_b)):
        if ids:
            more = ", …" if len(ids) > _SHOWN_IDS else ""
            out.print(f"only in {which}: {len(ids)} ({', '.join(ids[:_SHOWN_IDS])}{more})")
    print_table(_METRICS, [_row(entry) for entry in comparison.metrics], wide)
    _print_seeds(comparison)
    for entry in comparison.metrics:
        if entry.reason:
            out.print(f"  {METRICS[entry.metric].label}: {entry.reason}")
    for note in comparison.notes:
        out.print(f"  {note}")
    rows = [
        [
            METRICS[entry.metric].label,
            picture.id,
            *(_number(entry.metric, value) for value in (picture.a, picture.b)),
            _change(entry.metric, picture.difference),
        ]
        for entry in comparison.metrics
        for picture in (entry.paired.pictures[:worst] if entry.paired else [])
    ]
    if rows:
        print_table(_PICTURES, rows, wide)


def _row(entry: MetricComparison) -> list[str]:
    from ..statistics import MIN_FOR_INTERVAL

    paired, row = entry.paired, [heading(entry.metric), str(entry.n)]
    if paired is None:
        return [*row, *["–"] * 5, entry.verdict]
    for side in (paired.a, paired.b):
        row.append(_with_interval(_number, entry.metric, side.mean, side.interval))
    row.append(_with_interval(_change, entry.metric, paired.difference, paired.interval))
    ties = f", {paired.ties} tied" if paired.ties else ""
    row.append(f"{paired.wins} of {entry.n} ({paired.win_rate:.0%}){ties}")
    few = f" (n < {MIN_FOR_INTERVAL})" if entry.verdict == "too few pictures" else ""
    return [*row, f"{paired.p:.4f}", entry.verdict + few]


def _print_seeds(comparison: Comparison) -> None:
    """A line for each side with several seeds."""
    for which in ("a", "b"):
        spreads = []
        for entry in comparison.metrics:
            side: MethodSummary | None = getattr(entry.paired, which, None)
            if side and side.deviation is not None:
                mean, deviation = (_number(entry.metric, v) for v in (side.mean, side.deviation))
                spreads.append(f"{METRICS[entry.metric].label} {mean} ± {deviation}")
        if spreads:
            title = f"{which.upper()}, mean ± standard deviation over its seeds"
            out.print(f"{title}: {', '.join(spreads)}", hang=2)


def _number(metric: str, value: float) -> str:
    return f"{value:.{METRICS[metric].decimals}f}"


def _change(metric: str, value: float) -> str:
    """A difference, with its sign and one decimal more."""
    return f"{value:+.{METRICS[metric].decimals + 1}f}"


def _with_interval(
    text: Callable[[str, float], str],
    metric: str,
    mean: float,
    interval: tuple[float, float] | None,
) -> str:
    if interval is None:
        return text(metric, mean)
    low, high = (text(metric, value) for value in interval)
    return f"{text(metric, mean)} [{low}, {high}]"
