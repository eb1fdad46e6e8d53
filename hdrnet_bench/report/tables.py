"""The tables of quality and of kernels."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence

from ..environment import Environment
from ..metric_specs import METRICS, heading
from ..result_timing import KernelTiming
from ..results import (
    NONE,
    Evaluation,
    MetricSummary,
    cell,
    group_seeds,
    slopes_text,
    undefined_notes,
)
from ..statistics import mean_interval, spread
from .groups import Group, by_seed, is_baseline, marks
from .table import Cell, Column, Narrow, Table, columns, number, plain

# As in "Intel(R) Xeon(R) CPU @ 2.80GHz".
_TRADE = re.compile(r"\((R|TM)\)| Processor| CPU|@.*")


def quality_table(group: Group) -> Table:
    """Means with intervals, n and what a method costs; besides, a row for each method with several
    seeds."""
    head = [*columns("recipe", priority=2), *columns("method")]
    head += columns("run", "parameters", priority=2)
    head += columns("network MACs=network_macs", "MACs/pixel=pixel_macs", priority=3)
    head += columns("n")
    suffixes = ("", "_low", "_high", "_n", "_seeds_sd")
    head += [
        Column(
            heading(name),
            tuple(name + s for s in suffixes),
            METRICS[name].sign,
            metric_priority(name),
        )
        for name in group.metrics
    ]
    with_slopes = any(result.slopes() for _, result in group.results)
    # No direction: a target may ask for any contrast.
    head += [Column("slopes", ("slope_low", "slope_high"), priority=3)] if with_slopes else []
    rows = []
    for _, result in group.results:
        rows.append(
            [
                plain(result.recipe.name),
                plain(result.method.name + marks(result)),
                plain(result.method.run),
                *_cost(result),
                number(result.metrics["psnr"].n, "{}"),
                *(_mean(name, result.metrics.get(name)) for name in group.metrics),
                *([_slopes([result])] if with_slopes else []),
            ]
        )
    for seeds in by_seed(group):
        rows.append(_seeds(group, seeds) + ([_slopes(seeds)] if with_slopes else []))
    return Table(
        f"quality-{group.slug}",
        group.title,
        head,
        rows,
        notes(group),
        row_header=1,
        narrow=_narrow(group),
    )


def _narrow(group: Group) -> Narrow:
    """A row a method, its seeds together: PSNR, SSIM and one perceptual distance: LPIPS where it
    was measured, else CIEDE2000."""
    methods = group_seeds(result for _, result in group.results)
    measured = {n for _, r in group.results for n, s in r.metrics.items() if s.mean is not None}
    last = "lpips" if "lpips" in measured else "delta_e_2000"
    metrics = [name for name in ("psnr", "ssim", last) if name in measured]
    rows = [[name] for name in _names(methods)]
    best: list[set[int]] = [set() for _ in rows]
    fair = [not is_baseline(s[0]) and not any(r.leaked or r.stale() for r in s) for s in methods]
    for column, name in enumerate(metrics, 1):
        means = [_over_seeds(name, seeds) for seeds in methods]
        for row, mean in zip(rows, means, strict=True):
            row.append(NONE if mean is None else f"{mean:.{METRICS[name].decimals}f}")
        rivals = [i for i, mean in enumerate(means) if fair[i] and mean is not None]
        if len(rivals) > 1:
            top = max(rivals, key=lambda i: METRICS[name].sign * (means[i] or 0.0))
            for i in rivals:
                # What is shown alike is as good.
                best[i] |= {column} if rows[i][column] == rows[top][column] else set()
    oracles = [i for i, seeds in enumerate(methods) if seeds[0].method.oracle]
    note = "Means over the pictures, of several seeds the mean of theirs; intervals stand in "
    note += f"quality-{group.slug}.tex."
    note += " Bold: the best method." if any(best) else ""
    note += " Oracles, which are fitted to the targets, stand below a line." if oracles else ""
    return Narrow(["method", *map(heading, metrics)], rows, best, set(oracles[:1]) - {0}, note)


def _names(methods: Sequence[Sequence[Evaluation]]) -> list[str]:
    """As short as tells them apart: the method, its recipe where others have that method too, and
    its run where that is still not enough."""
    names = []
    for seeds in methods:
        first = seeds[0]
        alike = [other[0] for other in methods if other[0].method.name == first.method.name]
        recipes = [other.recipe.name for other in alike]
        parts = [first.method.name, *([first.recipe.name] if len(set(recipes)) > 1 else [])]
        if recipes.count(first.recipe.name) > 1:
            parts.append(first.method.run if len(seeds) == 1 else f"{len(seeds)} seeds")
        names.append(", ".join(parts) + marks(first))
    return names


def _over_seeds(name: str, seeds: Sequence[Evaluation]) -> float | None:
    means = [result.metrics[name].mean for result in seeds if name in result.metrics]
    values = [mean for mean in means if mean is not None]
    return statistics.fmean(values) if len(values) == len(seeds) else None


def metric_priority(name: str) -> int:
    """Of a metric's column: those that every paper on this task gives, then the perceptual ones."""
    return {
        "psnr": 1,
        "ssim": 1,
        "delta_e_2000": 1,
        "lpips": 2,
        "grid_artefact": 2,
        "inversions": 2,
    }.get(name, 3)


def _cost(result: Evaluation) -> list[Cell]:
    method = result.method
    macs = method.network_macs
    return [
        number(method.parameters, "{:,}"),
        Cell(NONE if macs is None else f"{macs / 1e6:,.1f} M", (macs,)),
        number(method.pixel_macs, "{:,}"),
    ]


def _mean(name: str, summary: MetricSummary | None) -> Cell:
    """A mean with its interval."""
    if summary is None:
        return Cell(NONE, (None,) * 5)
    low, high = summary.interval or (None, None)
    return Cell(cell(name, summary), (summary.mean, low, high, summary.n, None))


def over_seeds(group: Group, results: Sequence[Evaluation]) -> list[Cell]:
    """A cell a metric: mean ± standard deviation over the seeds of their means over the pictures;
    and the interval over the pictures, of each picture's mean over the seeds."""
    cells = []
    for name in group.metrics:
        means = [result.metrics[name].mean for result in results if name in result.metrics]
        values = [mean for mean in means if mean is not None]
        if len(values) < len(results):
            cells.append(Cell(NONE, (None,) * 5))
            continue
        mean, deviation = spread(values)
        decimals = METRICS[name].decimals
        text = f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"
        n, interval = _over_pictures(name, results)
        if interval:
            text += f" [{interval[0]:.{decimals}f}, {interval[1]:.{decimals}f}]"
        if METRICS[name].of_groups:
            text += f" ({n} group{'' if n == 1 else 's'})"
        elif any(result.metrics[name].undefined for result in results):
            text += f" (n {n})"
        cells.append(Cell(text, (mean, *(interval or (None, None)), n, deviation)))
    return cells


def _over_pictures(
    name: str, results: Sequence[Evaluation]
) -> tuple[int, tuple[float, float] | None]:
    """Of how many pictures, or groups, all seeds have a value, and the interval of their means over
    seeds."""
    of_seeds: dict[str, list[float]] = {}
    for result in results:
        for of, value in result.by_name(name).items():
            if value is not None:
                of_seeds.setdefault(of, []).append(value)
    means = [statistics.fmean(v) for v in of_seeds.values() if len(v) == len(results)]
    return len(means), mean_interval(means, METRICS[name].bounds).interval


def _seeds(group: Group, results: Sequence[Evaluation]) -> list[Cell]:
    first = results[0]
    return [
        plain(first.recipe.name),
        plain(first.method.name + marks(first)),
        plain(f"{len(results)} seeds"),
        *_cost(first),
        number(first.metrics["psnr"].n, "{}"),
        *over_seeds(group, results),
    ]


def _slopes(results: Sequence[Evaluation]) -> Cell:
    """From the lowest to the highest of all seeds."""
    found = [slopes for result in results if (slopes := result.slopes())]
    if not found:
        return Cell(NONE, (None, None))
    lowest, highest = min(low for low, _ in found), max(high for _, high in found)
    return Cell(slopes_text((lowest, highest)), (lowest, highest))


INTERVAL_NOTE = (
    "Intervals: 95 %, of the mean over the pictures, by Student's t; of metrics with bounds on a "
    "scale that has these at infinity, so that no interval reaches beyond what the metric can be."
)


SLOPES_NOTE = (
    "slopes: how much an output channel rises for each level that the input gets lighter, the "
    "grid held, from the lowest to the highest but for 0.1 % of a picture's at either end; "
    "inversions: the share of them that fall."
)


def notes(group: Group) -> list[str]:
    """Why a value or an interval is missing, each reason once with the metrics it is for; and what
    the marks and special rows mean."""
    reasons: dict[str, list[str]] = {}
    for name in group.metrics:
        for _, result in group.results:
            summary = result.metrics.get(name)
            if summary and summary.reason:
                labels = reasons.setdefault(summary.reason, [])
                if METRICS[name].label not in labels:
                    labels.append(METRICS[name].label)
    lines = [f"{', '.join(labels)}: {reason}." for reason, labels in reasons.items()]
    results = [result for _, result in group.results]
    if any(s.interval for result in results for s in result.metrics.values()):
        lines.insert(0, INTERVAL_NOTE)
    lines += [f"{note}." for note in undefined_notes(results)]
    lines += [f"{note}." for note in meanings(group.metrics)]
    if any(result.slopes() for result in results):
        lines.append(SLOPES_NOTE)
    if by_seed(group):
        lines.append("seeds: mean ± standard deviation over the seeds of a recipe's trainings.")
    if any(result.method.oracle for result in results):
        lines.append("oracle: fitted to each picture's target: a bound, no method.")
    if any(result.leaked for result in results):
        lines.append("trained with: the model has seen these pictures; its scores mean nothing.")
    if any(result.stale() for result in results):
        lines.append("stale: measured with an older definition of a metric; run `hdrbench eval`.")
    for result in results:
        if (unpaired := result.unpaired) and (counts := _counts(unpaired.model_dump())):
            lines.append(f"{result.method.name}, {result.method.run}: {counts}.")
    return lines


def meanings(names: Sequence[str]) -> list[str]:
    """What the metrics are that not every dataset has."""
    specs = [METRICS[name] for name in names]
    return [f"{spec.label}: {spec.meaning}" for spec in specs if spec.needs]


def _counts(unpaired: dict[str, list[str]]) -> str:
    """How many pictures of a folder of predictions could not be evaluated; empty for none."""
    words = {
        "missing": "missing",
        "extra": "not of this split",
        "wrong_size": "of the wrong size",
        "unread": "of a kind that is not read",
    }
    counts = [f"{len(unpaired[key])} {word}" for key, word in words.items() if unpaired.get(key)]
    return f"of its pictures, {', '.join(counts)}" if counts else ""


def kernel_table(timing: KernelTiming, slug: str) -> Table:
    """Each kernel at each size, beside plain and compiled PyTorch and a copy."""
    head = columns("size, guide=size_guide", "kernel")
    head += [Column("ms [p5, p95]", ("median_ms", "p5_ms", "p95_ms"), better=-1)]
    head += columns("ns/pixel=ns_per_pixel", better=-1, priority=3)
    head += columns("plain torch ms=reference_ms", better=-1, priority=2)
    head += columns("compiled torch ms=compiled_ms", better=-1, priority=2)
    head += columns("faster than plain=times_reference", "of a copy=copy_share", better=1)
    head += columns("max error", better=-1, priority=3)
    rows = [
        [
            plain(f"{row.size}, {row.guide}"),
            plain(row.kernel),
            Cell(
                f"{_ms(row.median_ms)} [{_ms(row.p5_ms)}, {_ms(row.p95_ms)}]",
                (row.median_ms, row.p5_ms, row.p95_ms),
            ),
            number(row.ns_per_pixel, "{:.2f}" if row.ns_per_pixel >= 0.1 else "{:.4f}"),
            number(row.reference_ms, "{:.1f}" if (row.reference_ms or 0) >= 10 else "{:.3g}"),
            number(row.compiled_ms, "{:.1f}" if (row.compiled_ms or 0) >= 10 else "{:.3g}"),
            number(row.times_reference, "{:.0f}x"),
            number(round(row.copy_share, 4), "{:.0%}"),
            number(row.max_error, "{:.1e}"),
        ]
        for row in timing.rows
    ]
    title = f"Slicing kernels, {device_name(timing.device, timing.environment)}"
    return Table(slug, title, head, rows, kernel_notes(timing), row_header=1)


def _ms(value: float) -> str:
    """A GPU's times are of hundredths of a millisecond."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


KERNELS_NOTE = (
    "A row's figures are medians of one run, taken in turns with a copy that moves as many bytes "
    "as the kernel must: of a copy is the part of its bandwidth that the kernel reaches. Plain "
    "torch is the reference backend. The error is against float64: of "
    "the output; for the backward of the gradients, relative to the largest; for bytes in levels."
)


def kernel_notes(timing: KernelTiming) -> list[str]:
    return sorted({row.note for row in timing.rows if row.note})


def device_name(device: str, environment: Environment) -> str:
    """A device by its processor's name."""
    name = environment.gpu if device.startswith("cuda") else environment.cpu
    return f"{device}: {name or 'not known'}"


def processor(environment: Environment, on_gpu: bool) -> str:
    """What computed, without what makers add to a processor's name."""
    if on_gpu and environment.gpu:
        return environment.gpu
    return f"{_TRADE.sub('', environment.cpu).strip()}, {environment.cores} cores"


def machine_text(environment: Environment) -> str:
    """The machine, the installation and the commit, on one line."""
    return f"{environment.machine()}; commit {environment.commit_text}"
