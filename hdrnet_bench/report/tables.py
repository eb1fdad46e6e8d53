"""Markdown tables. Pictures of one dataset, one version of it and one split share a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..metric_specs import METRICS
from ..results import (
    Environment,
    Evaluation,
    KernelTiming,
    MetricSummary,
    Timing,
    spread,
)

NONE = "–"


class Group(NamedTuple):
    """Evaluations that may stand in one table, the baseline first, with the folders they lie in."""

    slug: str
    title: str
    results: list[tuple[Path, Evaluation]]

    @property
    def metrics(self) -> list[str]:
        named = {name for _, result in self.results for name in result.metrics}
        return [name for name in METRICS if name in named]


def group(evaluations: Sequence[tuple[Path, Evaluation]]) -> list[Group]:
    """By dataset, its digest, split and size; identity first, then by recipe, method and run."""
    found: dict[tuple[str, str, str, str], list[tuple[Path, Evaluation]]] = {}
    for path, result in evaluations:
        data = result.dataset
        found.setdefault((data.name, data.split, result.size, data.digest), []).append(
            (path.parent, result)
        )
    versions: dict[tuple[str, ...], int] = {}
    groups = []
    for key, results in sorted(found.items()):
        name, split, size, digest = key
        number = versions[key[:3]] = versions.get(key[:3], 0) + 1
        slug = f"{name}-{split}" + (f"-{number}" if number > 1 else "")
        title = f"{name}, {split} split, {size} size (data {digest[:12]})"
        results.sort(key=lambda item: (item[1].method.name != "identity", str(item[0])))
        groups.append(Group(slug, title, results))
    return groups


def cell(name: str, summary: MetricSummary | None) -> str:
    """A mean with its interval, or a dash where there is no value."""
    if summary is None or summary.mean is None:
        return NONE
    decimals = METRICS[name].decimals
    text = f"{summary.mean:.{decimals}f}"
    if summary.interval:
        low, high = summary.interval
        text += f" [{low:.{decimals}f}, {high:.{decimals}f}]"
    return text


def heading(name: str) -> str:
    metric = METRICS[name]
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.label}{unit} {'↑' if metric.higher_is_better else '↓'}"


def quality_rows(of: Group) -> tuple[list[str], list[list[str]]]:
    """Heading and cells of a group's table."""
    header = ["recipe", "method", "run", "parameters", "n", *map(heading, of.metrics)]
    rows = []
    for _, result in of.results:
        marks = " (stale)" if result.stale() else ""
        marks += f" (trained with {result.leaked} of these)" if result.leaked else ""
        method = result.method
        parameters = NONE if method.parameters is None else f"{method.parameters:,}"
        n = str(result.metrics["psnr"].n)
        cells = [cell(name, result.metrics.get(name)) for name in of.metrics]
        rows.append([result.recipe.name, method.name + marks, method.run, parameters, n, *cells])
    return header, rows + [seeds_row(of, results) for results in by_seed(of)]


def by_seed(of: Group) -> list[list[Evaluation]]:
    """The results of one recipe and method with several seeds, up to date and each seed once."""
    found: dict[tuple[str, str, str], dict[int, Evaluation]] = {}
    for _, result in of.results:
        method = result.method
        if method.seed is not None and not result.stale():
            key = (result.recipe.name, result.recipe.digest, method.name)
            found.setdefault(key, {}).setdefault(method.seed, result)
    return [list(seeds.values()) for _, seeds in sorted(found.items()) if len(seeds) > 1]


def seeds_row(of: Group, results: Sequence[Evaluation]) -> list[str]:
    """Mean ± standard deviation over the seeds of each metric's mean over the pictures."""
    cells = []
    for name in of.metrics:
        means = [result.metrics[name].mean for result in results if name in result.metrics]
        values = [mean for mean in means if mean is not None]
        if len(values) < len(results):
            cells.append(NONE)
            continue
        mean, deviation = spread(values)
        decimals = METRICS[name].decimals
        cells.append(f"{mean:.{decimals}f} ± {deviation:.{decimals}f}")
    first = results[0]
    parameters = f"{first.method.parameters:,}" if first.method.parameters else NONE
    n = str(first.metrics["psnr"].n)
    seeds = f"{len(results)} seeds"
    return [first.recipe.name, first.method.name, seeds, parameters, n, *cells]


def notes(of: Group) -> list[str]:
    """Why a value or an interval is missing, each reason once, with the metrics it is for."""
    reasons: dict[str, list[str]] = {}
    for name in of.metrics:
        for _, result in of.results:
            summary = result.metrics.get(name)
            if summary and summary.reason:
                labels = reasons.setdefault(summary.reason, [])
                if METRICS[name].label not in labels:
                    labels.append(METRICS[name].label)
    lines = [f"{', '.join(labels)}: {reason}." for reason, labels in reasons.items()]
    if by_seed(of):
        lines.append("seeds: mean ± standard deviation over the seeds of a recipe's trainings.")
    if any(result.leaked for _, result in of.results):
        lines.append("trained with: the model has seen these pictures; its scores mean nothing.")
    if any(result.stale() for _, result in of.results):
        lines.append("stale: measured with an older definition of a metric; run `hdrbench eval`.")
    return lines


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def quality(of: Group) -> str:
    """A group's title, table and notes."""
    parts = [f"**{of.title}**", markdown_table(*quality_rows(of))]
    parts += ["\n".join(f"- {note}" for note in notes(of))] if notes(of) else []
    return "\n\n".join(parts)


def timing_rows(timing: Timing) -> tuple[list[str], list[list[str]]]:
    header = ["resolution", "megapixels", "part", "median ms", "p5 ms", "p95 ms", "repeats"]
    return header, [
        [
            f"{row.width} x {row.height}",
            f"{row.megapixels:.2f}",
            row.part,
            *(f"{value:.1f}" for value in (row.median_ms, row.p5_ms, row.p95_ms)),
            str(row.repeats),
        ]
        for row in timing.rows
    ]


def kernel_rows(timing: KernelTiming) -> tuple[list[str], list[list[str]]]:
    header = ["size, guide", "kernel", "ms [p5, p95]", "ns/pixel", "plain torch ms"]
    header += ["compiled torch ms", "faster than plain", "of a copy's time", "max error"]
    return header, [
        [
            f"{row.size}, {row.guide}",
            row.kernel,
            f"{row.median_ms:.2f} [{row.p5_ms:.2f}, {row.p95_ms:.2f}]",
            f"{row.ns_per_pixel:.2f}",
            *(
                NONE if value is None else f"{value:.1f}"
                for value in (row.reference_ms, row.compiled_ms)
            ),
            NONE if row.times_reference is None else f"{row.times_reference:.0f}x",
            f"{row.times_copy:.2f}",
            NONE if row.max_error is None else f"{row.max_error:.1e}",
        ]
        for row in timing.rows
    ]


KERNELS_NOTE = (
    "A row's figures are medians of one run, taken in turns with a copy that moves as many bytes "
    "as the kernel must; plain torch is the reference backend. The error is against float64: of "
    "the output; for the backward of the gradients, relative to the largest; for bytes in levels."
)


def measured_on(environment: Environment) -> str:
    return f"{environment.machine()}; commit {environment.commit or 'unknown'}"


class Timed(NamedTuple):
    """A timing with its figure's name, and whether another model file has been evaluated since."""

    timing: Timing
    stem: str
    stale: bool

    @property
    def title(self) -> str:
        timing = self.timing
        stale = "; stale: the model file is another by now, run `hdrbench time`"
        return (
            f"{timing.recipe.name}, {timing.method.name}, {timing.method.run}: "
            f"{timing.device}, {timing.backend} slicing, float32, batch 1"
            f"{stale if self.stale else ''}"
        )


def timed(
    timings: Sequence[tuple[Path, Timing]], evaluations: Sequence[tuple[Path, Evaluation]]
) -> list[Timed]:
    """Timings with what can be told of them from the results beside them."""
    judged = {path.parent: result.method.model_sha256 for path, result in evaluations}
    found = []
    for path, timing in timings:
        device = path.stem.removeprefix("timing-")
        parts = (timing.recipe.name, timing.method.name, timing.method.run, device)
        sha256 = timing.method.model_sha256
        stale = judged.get(path.parent, sha256) != sha256
        found.append(Timed(timing, "time-" + "-".join(parts), stale))
    return found


def markdown(
    groups: Sequence[Group],
    timings: Sequence[Timed],
    kernels: Sequence[KernelTiming],
    comparisons: dict[str, Path],
) -> str:
    """The whole results/README.md."""
    parts = [
        "# Results",
        "Made by `make report` from the result files beside this page, which `hdrbench eval` and "
        "`hdrbench time` measured (`make results` runs them all). [report.html](report.html) shows "
        "the same with pictures. A metric's mean is over n pictures; its 95 % interval stands in "
        "brackets.",
        "## Quality",
    ]
    for of in groups:
        parts.append(quality(of))
        machines = sorted({measured_on(result.environment) for _, result in of.results})
        parts.append("Measured on " + "; and on ".join(machines) + ".")
        if of.slug in comparisons:
            figure = comparisons[of.slug]
            parts.append(f"![Input, output and target](figures/{figure.name})")
        else:
            parts.append("Its pictures are not here: no trained method, or they may not be shown.")
    parts.append("## Time")
    if not timings:
        parts.append("Nothing timed yet: `hdrbench time RUN`.")
    for one in timings:
        environment = one.timing.environment
        parts.append(f"**{one.title}**")
        parts.append(markdown_table(*timing_rows(one.timing)))
        parts.append(
            f"Measured on {measured_on(environment)}. One process at a time; the machine's load "
            f"average when it began was {environment.load}, so absolute times are worth little: "
            "compare rows."
        )
        parts.append(f"![Time against resolution](figures/{one.stem}.svg)")
    if kernels:
        parts += ["## Slicing kernels", KERNELS_NOTE + " `hdrbench time --kernels --save`."]
    for timed_kernels in kernels:
        parts.append(markdown_table(*kernel_rows(timed_kernels)))
        parts += [f"- {note}" for note in kernel_notes(timed_kernels)]
        on = timed_kernels.environment
        parts.append(f"Measured on {timed_kernels.device}: {measured_on(on)}; load {on.load}.")
    return "\n\n".join(parts) + "\n"


def kernel_notes(timing: KernelTiming) -> list[str]:
    return sorted({row.note for row in timing.rows if row.note})
