"""The results of a directory as the tables and figures that the report's pages show."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..result_timing import KernelTiming, Timing
from ..results import Evaluation, Result, read_all
from . import plots_quality, plots_time
from .groups import Group, TimingResult, group_results, timing_results
from .plots import Plot
from .published import PublishedRow, read_published, rows_of_group, unmeasured_protocols
from .table import Table
from .tables import kernel_table, published_table, quality_table
from .tables_paired import paired_table
from .tables_time import timing_table, where_table

NOTHING_MEASURED = "Nothing measured yet: `hdrbench eval`."
NOTHING_TIMED = "Nothing timed yet: `hdrbench time RUN`."
NO_GPU = "No GPU has been measured: every time here is of a CPU."


class GroupPart(NamedTuple):
    group: Group
    quality: Table
    paired: Table | None
    published: Table | None
    plots: list[Plot]


class TimingPart(NamedTuple):
    timed: TimingResult
    table: Table
    plot: Plot


class KernelPart(NamedTuple):
    timing: KernelTiming
    table: Table


class Contents(NamedTuple):
    """training: a figure a recipe. where: which machine measured what. unmeasured: the protocols
    with published figures on which nothing was measured."""

    groups: list[GroupPart]
    training: list[Plot]
    timings: list[TimingPart]
    kernels: list[KernelPart]
    where: Table
    unmeasured: list[str]

    @property
    def tables(self) -> list[Table]:
        tables = [t for part in self.groups for t in (part.quality, part.paired, part.published)]
        tables += [part.table for part in self.timings]
        tables += [part.table for part in self.kernels]
        return [*(table for table in tables if table is not None), self.where]

    @property
    def plots(self) -> list[Plot]:
        plots = [plot for part in self.groups for plot in part.plots]
        return [*plots, *self.training, *(part.plot for part in self.timings)]

    @property
    def no_gpu(self) -> bool:
        """Whether something was timed, and nothing on a GPU."""
        devices = [part.timed.timing.device for part in self.timings]
        devices += [part.timing.device for part in self.kernels]
        return bool(devices) and not any(device.startswith("cuda") for device in devices)


def read(root: Path) -> Contents:
    """Raises DataError where the directory is missing, or a file in it is broken."""
    if not root.is_dir():
        raise DataError(f"{root} holds no result: `hdrbench eval` and `hdrbench time` make them")
    results: list[tuple[Path, Result]] = read_all(root)
    evaluations = [(path, r) for path, r in results if isinstance(r, Evaluation)]
    timings = timing_results(
        [(path, r) for path, r in results if isinstance(r, Timing)], evaluations
    )
    # Times of GPUs come after those of CPUs.
    timings.sort(key=lambda timed: timed.on_gpu)
    groups = group_results(evaluations)
    published = read_published(root)
    return Contents(
        groups=[_group_part(group, timings, published) for group in groups],
        training=plots_quality.training(evaluations),
        timings=[
            TimingPart(timed, timing_table(timed), plots_time.of_timing(timed)) for timed in timings
        ],
        kernels=[
            KernelPart(r, kernel_table(r, path.stem))
            for path, r in results
            if isinstance(r, KernelTiming)
        ],
        where=where_table(results),
        unmeasured=unmeasured_protocols(groups, published),
    )


def _group_part(
    group: Group, timings: list[TimingResult], published: list[PublishedRow]
) -> GroupPart:
    rows = rows_of_group(group, published)
    return GroupPart(
        group,
        quality_table(group),
        paired_table(group),
        published_table(group, rows) if rows else None,
        plots_quality.of_group(group, timings),
    )
