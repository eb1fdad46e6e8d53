"""The results of a directory as the tables and figures that the report's pages show."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..result_timing import (
    KernelTiming,
    MachineTiming,
    NetworkTiming,
    Timing,
    TrainingTiming,
    read_machines,
)
from ..results import Evaluation, Result, read_all
from . import plots_quality, plots_time
from .groups import Group, TimingResult, group_results, timing_results
from .plots import Plot
from .published import (
    FOLDER,
    PublishedRow,
    SpeedRow,
    read_published,
    read_speed,
    rows_of_group,
    unmeasured_protocols,
)
from .table import Table
from .tables import kernel_table, quality_table
from .tables_paired import paired_table, ranked_table
from .tables_published import published_table
from .tables_time import (
    network_table,
    parts_table,
    speed_table,
    throughput_table,
    timing_table,
    where_table,
)

NOTHING_MEASURED = "Nothing measured yet: `hdrbench eval`."
NOTHING_TIMED = "Nothing timed yet: `hdrbench time RUN`."
NO_GPU = "No GPU has been measured: every time here is of a CPU."


class GroupPart(NamedTuple):
    group: Group
    quality: Table
    paired: Table | None
    ranked: Table | None
    published: Table | None
    plots: list[Plot]

    @property
    def tables(self) -> list[Table]:
        tables = (self.quality, self.paired, self.ranked, self.published)
        return [table for table in tables if table]


class TimingPart(NamedTuple):
    timed: TimingResult
    table: Table
    plot: Plot


class KernelPart(NamedTuple):
    timing: KernelTiming
    table: Table


class NetworkPart(NamedTuple):
    timing: NetworkTiming
    table: Table


class StepsPart(NamedTuple):
    """throughput: None where there is none yet, of a run that was stopped."""

    timing: TrainingTiming
    parts: Table
    throughput: Table | None


class Contents(NamedTuple):
    """training: a figure a recipe. networks: of the untrained network. steps: of training steps.
    speed: published times on GPUs, where something was timed on one. where: which machine measured
    what. unmeasured: the protocols with published figures on which nothing was measured. published,
    published_speed: all published figures. own_published: whether they are those of the directory,
    in a folder that is no link; else they came with the package."""

    groups: list[GroupPart]
    training: list[Plot]
    timings: list[TimingPart]
    networks: list[NetworkPart]
    steps: list[StepsPart]
    kernels: list[KernelPart]
    speed: Table | None
    where: Table
    unmeasured: list[str]
    published: list[PublishedRow]
    published_speed: list[SpeedRow]
    own_published: bool

    @property
    def tables(self) -> list[Table]:
        tables: list[Table | None] = [table for part in self.groups for table in part.tables]
        tables += [part.table for part in self.networks]
        tables += [part.table for part in self.timings]
        tables += [part.table for part in self.kernels]
        tables += [table for part in self.steps for table in (part.parts, part.throughput)]
        tables += [self.speed]
        return [*(table for table in tables if table is not None), self.where]

    @property
    def plots(self) -> list[Plot]:
        plots = [plot for part in self.groups for plot in part.plots]
        return [*plots, *self.training, *(part.plot for part in self.timings)]

    @property
    def no_gpu(self) -> bool:
        """Whether something was timed, and nothing on a GPU."""
        devices = [part.timed.timing.device for part in self.timings]
        devices += [part.timing.device for part in self.networks]
        devices += [part.timing.device for part in self.steps]
        devices += [part.timing.device for part in self.kernels]
        return bool(devices) and not any(device.startswith("cuda") for device in devices)


def read(root: Path) -> Contents:
    """Raises DataError where the directory is missing, or a file in it is broken."""
    if not root.is_dir():
        raise no_results(root)
    results: list[tuple[Path, Result]] = read_all(root)
    machines = _gpus_last(read_machines(root))
    evaluations = [(path, r) for path, r in results if isinstance(r, Evaluation)]
    timings = timing_results(
        [(path, r) for path, r in results if isinstance(r, Timing)], evaluations
    )
    # Times of GPUs come after those of CPUs.
    timings.sort(key=lambda timed: timed.on_gpu)
    kernels = [(path, r) for path, r in results if isinstance(r, KernelTiming)]
    groups = group_results(evaluations)
    published = read_published(root)
    timed = [*(part.timing for part in timings), *(r for _, r in (*machines, *kernels))]
    on_gpu = any(timing.device.startswith("cuda") for timing in timed)
    speed = read_speed(root)
    own = root / FOLDER
    return Contents(
        groups=[_group_part(group, timings, published) for group in groups],
        training=plots_quality.training(evaluations),
        timings=[
            TimingPart(timed, timing_table(timed), plots_time.of_timing(timed)) for timed in timings
        ],
        networks=[
            NetworkPart(r, network_table(r, path.stem))
            for path, r in machines
            if isinstance(r, NetworkTiming)
        ],
        steps=[_steps_part(r, path.stem) for path, r in machines if isinstance(r, TrainingTiming)],
        kernels=[KernelPart(r, kernel_table(r, path.stem)) for path, r in kernels],
        speed=speed_table(speed) if speed and on_gpu else None,
        where=where_table([*results, *machines]),
        unmeasured=unmeasured_protocols(groups, published),
        published=published,
        published_speed=speed,
        own_published=own.is_dir() and not own.is_symlink(),
    )


def no_results(root: Path) -> DataError:
    return DataError(f"{root} holds no result: `hdrbench eval` and `hdrbench time` make them")


def _gpus_last(timings: list[tuple[Path, MachineTiming]]) -> list[tuple[Path, MachineTiming]]:
    return sorted(timings, key=lambda item: item[1].device.startswith("cuda"))


def _steps_part(timing: TrainingTiming, stem: str) -> StepsPart:
    throughput = throughput_table(timing, f"{stem}-throughput") if timing.throughput else None
    return StepsPart(timing, parts_table(timing, stem), throughput)


def _group_part(
    group: Group, timings: list[TimingResult], published: list[PublishedRow]
) -> GroupPart:
    rows = rows_of_group(group, published)
    return GroupPart(
        group,
        quality_table(group),
        paired_table(group),
        ranked_table(group),
        published_table(group, rows) if rows else None,
        plots_quality.of_group(group, timings),
    )
