"""What there is to report: the results of a directory, sorted into what the pages show."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..results import Evaluation, KernelTiming, Result, Timing, read_all
from . import plots_quality, plots_time
from .groups import Group, TimingResult, group, timing_results
from .plots import Plot
from .published import PublishedRow, beside, not_run, read_published
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
    groups: list[GroupPart]
    training: list[Plot]
    timings: list[TimingPart]
    kernels: list[KernelPart]
    where: Table
    not_run: list[str]

    @property
    def tables(self) -> list[Table]:
        found = [t for part in self.groups for t in (part.quality, part.paired, part.published)]
        found += [part.table for part in self.timings]
        found += [part.table for part in self.kernels]
        return [*(table for table in found if table is not None), self.where]

    @property
    def plots(self) -> list[Plot]:
        found = [plot for part in self.groups for plot in part.plots]
        return [*found, *self.training, *(part.plot for part in self.timings)]

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
    found: list[tuple[Path, Result]] = read_all(root)
    evaluations = [(path, r) for path, r in found if isinstance(r, Evaluation)]
    timings = timing_results([(path, r) for path, r in found if isinstance(r, Timing)], evaluations)
    # What a GPU did comes after what a CPU did.
    timings.sort(key=lambda one: one.on_gpu)
    groups = group(evaluations)
    published = read_published(root)
    return Contents(
        [_group(of, timings, published) for of in groups],
        plots_quality.training(evaluations),
        [TimingPart(one, timing_table(one), plots_time.of_timing(one)) for one in timings],
        [
            KernelPart(r, kernel_table(r, path.stem))
            for path, r in found
            if isinstance(r, KernelTiming)
        ],
        where_table(found),
        not_run(groups, published),
    )


def _group(of: Group, timings: list[TimingResult], published: list[PublishedRow]) -> GroupPart:
    rows = beside(of, published)
    return GroupPart(
        of,
        quality_table(of),
        paired_table(of),
        published_table(of, rows) if rows else None,
        plots_quality.of_group(of, timings),
    )
