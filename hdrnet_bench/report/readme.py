"""results/README.md: the tables as Markdown, with the figures."""

from __future__ import annotations

from pathlib import Path

from .contents import NO_GPU, NOTHING_MEASURED, NOTHING_TIMED, Contents, GroupPart, TimingPart
from .plots import Plot
from .published import FOLDER
from .table import Table, escape_markdown, markdown
from .tables import KERNELS_NOTE, measured_on


def page(contents: Contents, comparisons: dict[str, Path]) -> str:
    """`comparisons`: a sheet of pictures by a group's slug, where there is one."""
    parts = [
        "# Results",
        "Made by `make report` from the result files beside this page, which `hdrbench eval` and "
        "`hdrbench time` measured (`make results` runs them all). [report.html](report.html) shows "
        "the same with pictures; [tables/](tables) holds the same tables as CSV, unrounded, and "
        "as LaTeX. A metric's mean is over n pictures; its 95 % interval stands in brackets.",
        "## Quality",
        *([] if contents.groups else [NOTHING_MEASURED]),
    ]
    for part in contents.groups:
        parts += _group(part, comparisons.get(part.group.slug))
    if note := not_run_text(contents):
        parts.append(note)
    if contents.training:
        parts += ["## Training", *map(_figure, contents.training)]
    parts.append("## Time")
    parts += [] if contents.timings else [NOTHING_TIMED]
    parts += [NO_GPU] if contents.no_gpu else []
    for timing in contents.timings:
        parts += _timing(timing)
    if contents.kernels:
        parts += ["## Slicing kernels", KERNELS_NOTE + " `hdrbench time --kernels --save`."]
    for kernels in contents.kernels:
        on = kernels.timing.environment
        parts.append(_titled(kernels.table))
        parts.append(escape_markdown(f"Measured on {measured_on(on)}; load {on.load}."))
    if contents.where.rows:
        parts += ["## What ran where", markdown(contents.where)]
    return "\n\n".join(parts) + "\n"


def quality(contents: Contents) -> str:
    """The quality tables alone, as another page takes them in."""
    return "\n\n".join(_titled(part.quality) for part in contents.groups) or NOTHING_MEASURED


def not_run_text(contents: Contents) -> str | None:
    if not contents.not_run:
        return None
    return (
        f"Published figures of {', '.join(contents.not_run)} are known ({FOLDER}/) and not shown: "
        "nothing was measured on those protocols, and figures of two protocols do not compare."
    )


def _group(part: GroupPart, comparison: Path | None) -> list[str]:
    tables = (part.quality, part.paired, part.published)
    parts = [_titled(table) for table in tables if table]
    machines = sorted({measured_on(result.environment) for _, result in part.group.results})
    parts.append(escape_markdown("Measured on " + "; and on ".join(machines) + "."))
    parts += map(_figure, part.plots)
    if comparison is not None:
        parts.append(f"![Input, output and target](figures/{comparison.name})")
    else:
        parts.append("Its pictures are not here: no trained method, or they may not be shown.")
    return parts


def _timing(part: TimingPart) -> list[str]:
    on = part.timed.timing.environment
    return [
        _titled(part.table),
        escape_markdown(f"Measured on {measured_on(on)}."),
        _figure(part.plot),
    ]


def _titled(table: Table) -> str:
    return f"**{escape_markdown(table.title)}**\n\n{markdown(table)}"


def _figure(plot: Plot) -> str:
    return f"![{escape_markdown(plot.title)}](figures/{plot.stem}.svg)"
