"""`hdrbench compare`: two methods' results on the same pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .cli_options import Json
from .console import out, print_table
from .files import json_text
from .metric_specs import METRICS

if TYPE_CHECKING:
    from .compare import Comparison, MetricComparison, Side

_SHOWN_IDS = 5


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A result file or folder, RECIPE/RUN, a recipe (its seeds), or a method's name.",
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="What to compare it with, likewise.")],
    split: Annotated[Literal["train", "validation", "test"], typer.Option()] = "test",
    size: Annotated[Literal["full", "480p"], typer.Option()] = "full",
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Only this metric; repeatable.")
    ] = None,
    worst: Annotated[
        int, typer.Option(min=0, help="How many of the pictures that differ most to list.")
    ] = 3,
    as_json: Json = False,
) -> None:
    """Which of two methods is better on the same pictures, and whether it is more than noise."""
    from .compare import compare as compare_results
    from .find_results import find_two

    found = compare_results(*find_two(first, second, split, size), metric)
    if as_json:
        content = found.model_dump(mode="json")
        for one in content["metrics"]:
            one["pictures"] = one["pictures"][:worst]
        print(json_text(content), end="")
        return
    out.print(f"A: {found.a}\nB: {found.b}")
    out.print(
        f"{found.dataset}, {found.split} split, {found.size} size: {found.common} pictures in both"
    )
    for which, ids in (("A", found.only_a), ("B", found.only_b)):
        if ids:
            more = ", …" if len(ids) > _SHOWN_IDS else ""
            out.print(f"only in {which}: {len(ids)} ({', '.join(ids[:_SHOWN_IDS])}{more})")
    header = ["metric", "n", "A [95 %]", "B [95 %]", "A - B [95 %]", "A wins", "p", "verdict"]
    print_table(header, [_row(one) for one in found.metrics])
    _print_seeds(found)
    for one in found.metrics:
        if one.reason:
            out.print(f"  {METRICS[one.metric].label}: {one.reason}")
    for note in found.notes:
        out.print(f"  {note}")
    rows = [
        [
            METRICS[one.metric].label,
            picture.id,
            *(_number(one.metric, value) for value in (picture.a, picture.b)),
            _number(one.metric, picture.difference, "+"),
        ]
        for one in found.metrics
        for picture in one.pictures[:worst]
    ]
    if rows:
        print_table(["differ most by", "picture", "A", "B", "A - B"], rows)


def _row(one: MetricComparison) -> list[str]:
    from .statistics import MIN_FOR_INTERVAL

    metric = METRICS[one.metric]
    unit = f" ({metric.unit})" if metric.unit else ""
    verdict: str = one.verdict
    if one.verdict == "too few pictures":
        verdict += f" (n < {MIN_FOR_INTERVAL})"
    row = [f"{metric.label}{unit} {'↑' if metric.higher_is_better else '↓'}", str(one.n)]
    if (
        one.a is None
        or one.b is None
        or one.difference is None
        or one.win_rate is None
        or one.p is None
    ):
        return [*row, "–", "–", "–", "–", "–", verdict]
    wins = f"{one.wins} of {one.n} ({one.win_rate:.0%})"
    if one.ties:
        wins += f", {one.ties} tie{'s' if one.ties > 1 else ''}"
    row += [_interval(one.metric, side.mean, side.interval) for side in (one.a, one.b)]
    row.append(_interval(one.metric, one.difference, one.interval, "+"))
    return [*row, wins, f"{one.p:.4f}", verdict]


def _print_seeds(found: Comparison) -> None:
    """A line for each side with several seeds."""

    def spread(metric: str, side: Side | None) -> str:
        if side is None or side.deviation is None:
            return ""
        mean, deviation = (_number(metric, value) for value in (side.mean, side.deviation))
        return f"{METRICS[metric].label} {mean} ± {deviation}"

    for which, sides in (
        ("A", [(one.metric, one.a) for one in found.metrics]),
        ("B", [(one.metric, one.b) for one in found.metrics]),
    ):
        spreads = [text for metric, side in sides if (text := spread(metric, side))]
        if spreads:
            out.print(f"{which}, mean ± standard deviation over its seeds: {', '.join(spreads)}")


def _number(metric: str, value: float, sign: str = "") -> str:
    return f"{value:{sign}.{METRICS[metric].decimals}f}"


def _interval(
    metric: str, mean: float, interval: tuple[float, float] | None, sign: str = ""
) -> str:
    text = _number(metric, mean, sign)
    if interval is None:
        return text
    return f"{text} [{', '.join(_number(metric, value, sign) for value in interval)}]"
