"""What `eval` shows of its results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..metric_specs import METRICS
from .console import out
from .published import print_beside_published
from .tables import Column, print_table

if TYPE_CHECKING:
    from ..report.published import PublishedRow
    from ..results import Evaluation


def print_evaluations(
    results: list[Evaluation], wide: bool = False, published: Sequence[PublishedRow] = ()
) -> None:
    """A row a result, each mean with its 95 % interval; then the spread over seeds, the reasons of
    what is missing, the distance to the identity baseline, and what papers published on the same
    data."""
    from ..report.groups import by_seed, group_results, marks
    from ..report.tables import meanings, over_seeds
    from ..results import NONE, cell, slopes_text, undefined_notes

    def count(value: int | None) -> str:
        return "–" if value is None else f"{value:,}"

    names = [name for name in METRICS if any(name in result.metrics for result in results)]
    columns = [
        *(Column(heading) for heading in ("recipe", "method", "run", "size")),
        *(Column(heading, 4, number=True) for heading in ("parameters", "MACs", "MACs/pixel")),
        Column("n", 2, number=True),
        *(_metric_column(name, results) for name in names),
        Column("slopes", 4, number=True),
    ]
    rows = []
    for result in results:
        method = result.method
        costs = (
            method.parameters,
            method.network_macs,
            method.pixel_macs,
            result.metrics["psnr"].n,
        )
        cells = [cell(name, result.metrics.get(name)) for name in names]
        cells.append(slopes_text(result.slopes()))
        named = [result.recipe.name, method.name + marks(result), method.run, result.size]
        rows.append([*named, *map(count, costs), *cells])
    recipes = {row[0] for row in rows}
    if len(recipes) == 1 and not wide and out.terminal_width():
        # Once, as long names would leave no room for a metric.
        out.print(f"recipe {rows[0][0]}")
        columns, rows = columns[1:], [row[1:] for row in rows]
    print_table(columns, rows, wide)
    for of in group_results([(Path(), result) for result in results]):
        for seeds in by_seed(of):
            first = seeds[0]
            spread = zip(of.metrics, over_seeds(of, seeds), strict=True)
            spreads = [f"{METRICS[n].label} {one.text}" for n, one in spread if one.text != NONE]
            out.print(
                f"{first.recipe.name}, {first.method.name}, {first.size}, {len(seeds)} seeds, "
                f"n {first.metrics['psnr'].n}: {', '.join(spreads)}",
                hang=2,
            )
    reasons = {s.reason for r in results for s in r.metrics.values() if s.reason}
    for reason in [*sorted(reasons), *undefined_notes(results), *meanings(names)]:
        out.print(f"  {reason}")
    if any(r.method.oracle for r in results):
        out.print("  oracle: fitted to each picture's target; a bound, not a method")
    for result in results:
        if result.unpaired and len(result.unpaired.missing + result.unpaired.wrong_size):
            left_out = len(result.unpaired.missing + result.unpaired.wrong_size)
            out.print(
                f"  {result.method.name}: {left_out} pictures of the split are not among these"
            )
    baselines = {(r.recipe.name, r.size): r for r in results if r.method.name == "identity"}
    for result in results:
        base = baselines.get((result.recipe.name, result.size))
        if base is None or result is base or len(base.rows) != len(result.rows):
            continue
        psnr, identity_psnr = result.metrics["psnr"].mean, base.metrics["psnr"].mean
        if psnr is not None and identity_psnr is not None:
            out.print(
                f"{result.recipe.name}, {result.method.name} {result.method.run}, {result.size}: "
                f"PSNR {psnr:.2f} dB, identity {identity_psnr:.2f} dB: "
                f"{psnr - identity_psnr:+.2f} dB",
                hang=2,
            )
    print_beside_published(results, wide, published)


def _metric_column(name: str, results: list[Evaluation]) -> Column:
    """Two metrics are always shown; the others come before the intervals of any."""
    means = [result.metrics[name].mean for result in results if name in result.metrics]
    if not any(mean is not None for mean in means):
        return Column(METRICS[name].label, 5, number=True)
    priority = {"psnr": 1, "ssim": 1, "delta_e_2000": 2, "lpips": 2}.get(name, 3)
    return Column(METRICS[name].label, priority, max(priority, 2) + 0.5, number=True)
