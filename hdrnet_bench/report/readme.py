"""results/README.md: the tables as Markdown, with the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..cleaning import clean
from ..environment import Environment
from ..result_ids import DatasetId
from . import front, published_page
from .contents import NO_GPU, NOTHING_MEASURED, NOTHING_TIMED, Contents, GroupPart, TimingPart
from .plots import Plot
from .published import FOLDER
from .table import Table, markdown
from .tables import KERNELS_NOTE, machine_text
from .tables_time import NETWORK_NOTE


def page(contents: Contents, comparisons: Mapping[str, str]) -> str:
    """The whole page. comparisons: the file of a group's sheet of pictures, by the group's slug."""
    parts = [
        "# Results",
        *_summary(contents),
        "Made by `hdrbench report` from the result files beside this page, which `hdrbench eval` "
        "and `hdrbench time` measured. [report.html](report.html) shows the same with pictures; "
        "[tables/](tables) holds the same tables as CSV, unrounded, and as LaTeX. A metric's mean "
        "is over n pictures; its 95 % interval stands in brackets.",
        "## Quality",
        *([] if contents.groups else [NOTHING_MEASURED]),
    ]
    shown = {_data(part) for part in contents.groups if part.group.slug in comparisons}
    for part in contents.groups:
        parts += _group(part)
        if part.group.slug in comparisons:
            parts.append(f"![Input, output and target](figures/{comparisons[part.group.slug]})")
        elif _data(part) not in shown:
            parts.append("Its pictures are not here: no trained method, or they may not be shown.")
    if note := unmeasured_text(contents):
        parts.append(note)
    if contents.training:
        parts += ["## Training", *map(_figure, contents.training)]
    parts.append("## Time")
    parts += [] if contents.timings or contents.networks else [NOTHING_TIMED]
    parts += [NO_GPU] if contents.no_gpu else []
    if contents.networks:
        parts.append(NETWORK_NOTE + " `hdrbench time --save`.")
    for network in contents.networks:
        parts += _with_machine([network.table], network.timing.environment)
    parts += [_with_title(contents.speed)] if contents.speed else []
    for timing in contents.timings:
        parts += _timing(timing)
    if contents.kernels:
        parts += ["## Slicing kernels", KERNELS_NOTE + " `hdrbench time --kernels --save`."]
    for kernels in contents.kernels:
        parts += _with_machine([kernels.table], kernels.timing.environment)
    if contents.steps:
        parts += ["## Training steps", "`hdrbench time --training --save`."]
    for steps in contents.steps:
        tables = [table for table in (steps.parts, steps.throughput) if table]
        parts += _with_machine(tables, steps.timing.environment)
    if contents.where.rows:
        parts += ["## What ran where", markdown(contents.where)]
    return "\n\n".join(parts) + "\n"


def _summary(contents: Contents) -> list[str]:
    """The page's first tables; none where there is nothing to sum up."""
    quality, speed = front.quality(contents), front.speed(contents)
    parts = [_with_title(table) for table in (quality, speed) if table.rows]
    return ["## Summary", *parts, "## How to read this"] if parts else []


def blocks(contents: Contents) -> dict[str, str]:
    """What stands between the marks of another page, by the marks' names."""
    return {
        "results": _or(front.quality(contents), NOTHING_MEASURED),
        "quality": "\n\n".join(_with_title(part.quality) for part in contents.groups),
        "speed": "\n\n".join(
            [
                _or(front.speed(contents), NOTHING_TIMED),
                *_sentences(front.transfers(contents), front.kernels(contents)),
            ]
        ),
        "published": published_page.hdrnet_table(contents.published),
    }


def _sentences(*of: Sequence[str]) -> list[str]:
    """All of them, as a paragraph; none where there is none."""
    text = " ".join(sentence for sentences in of for sentence in sentences)
    return [clean(text, "markdown")] if text else []


def _or(table: Table, nothing: str) -> str:
    return markdown(table) if table.rows else nothing


def unmeasured_text(contents: Contents) -> str | None:
    """Which published figures are not shown, and why; None where all are."""
    if not contents.unmeasured:
        return None
    return (
        f"Published figures of {', '.join(contents.unmeasured)} are known ({FOLDER}/) and not "
        "shown: nothing was measured on those protocols, and figures of two protocols do not "
        "compare."
    )


def _data(part: GroupPart) -> DatasetId:
    """What was measured on, at whatever size: of one there is one sheet of pictures."""
    return part.group.first.dataset


def _group(part: GroupPart) -> list[str]:
    parts = [_with_title(table) for table in part.tables]
    machines = sorted({machine_text(result.environment) for _, result in part.group.results})
    parts.append(clean("Measured on " + "; and on ".join(machines) + ".", "markdown"))
    return [*parts, *map(_figure, part.plots)]


def _timing(part: TimingPart) -> list[str]:
    machine = machine_text(part.timed.timing.environment)
    return [
        _with_title(part.table),
        clean(f"Measured on {machine}.", "markdown"),
        _figure(part.plot),
    ]


def _with_machine(tables: Sequence[Table], machine: Environment) -> list[str]:
    where = f"Measured on {machine_text(machine)}; load {machine.load}."
    return [*map(_with_title, tables), clean(where, "markdown")]


def _with_title(table: Table) -> str:
    return f"**{clean(table.title, 'markdown')}**\n\n{markdown(table)}"


def _figure(plot: Plot) -> str:
    return f"![{clean(plot.title, 'markdown')}](figures/{plot.stem}.svg)"
