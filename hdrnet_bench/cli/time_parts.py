"""`hdrbench time --kernels` and `--training`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..stopping import says_when_stopped
from .console import parse_size, print_json, report_values
from .progress import progress
from .timings import print_kernels, print_training

if TYPE_CHECKING:
    from ..result_timing import KernelRow, KernelTiming, TrainingTiming


class _Saved(NamedTuple):
    """Where a timing goes, if it is saved. One that is stopped keeps what it has, but not in the
    place of a whole one: early says whether there is none."""

    path: Path | None
    early: bool

    def write(self, timing: KernelTiming | TrainingTiming, whole: bool) -> None:
        from ..results import write_result

        if self.path and (whole or self.early):
            write_result(self.path, timing)

    def kept(self, what: str) -> str:
        if self.early and self.path and self.path.exists():
            return f"{what} in {self.path}"
        return f"{self.path} is as it was" if self.path else "nothing was to be written"


def _path(kind: str, device: str, save: bool) -> Path | None:
    from ..environment import device_slug
    from ..paths import results_dir

    return results_dir() / f"{kind}-{device_slug(device)}.json" if save else None


def _saved(path: Path | None) -> _Saved:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)  # not to fail after minutes of timing
    return _Saved(path, path is not None and not path.exists())


def time_kernels(
    size: list[str] | None,
    device: str,
    compiled: bool,
    save: bool,
    dry_run: bool,
    quiet: bool,
    wide: bool,
    as_json: bool,
) -> Path | None:
    """`hdrbench time --kernels`. Returns what it wrote."""
    from ..environment import describe
    from ..result_timing import KernelTiming
    from ..timing import kernels

    sizes = {text: parse_size(text) for text in size} if size else kernels.SIZES
    path = _path("kernels", device, save)
    if dry_run:
        report_values({"sizes": list(sizes), "would write": path and str(path)}, as_json)
        return None
    environment = describe()
    rows: list[KernelRow] = []
    saved = _saved(path)

    def timing() -> KernelTiming:
        return KernelTiming(device=device, rows=rows, environment=environment)

    def after_a_guide() -> None:
        saved.write(timing(), whole=False)
        step()

    with (
        says_when_stopped(lambda: saved.kept("the guides that were timed before are")),
        progress("time --kernels", len(sizes) * len(kernels.GUIDES), quiet) as step,
    ):
        for row in kernels.time_kernels(sizes, device, compiled, after_a_guide):
            rows.append(row)
    saved.write(timing(), whole=True)
    if as_json:
        print_json([row.model_dump() for row in rows])
    else:
        print_kernels(timing(), wide)
    return path


def time_steps(
    device: str, save: bool, dry_run: bool, quiet: bool, wide: bool, as_json: bool
) -> Path | None:
    """`hdrbench time --training`. Returns what it wrote."""
    from ..config import HDRNetConfig
    from ..environment import describe
    from ..result_timing import TrainingTiming
    from ..timing import steps

    workers, precisions = steps.workers_here(), steps.precisions_of(device)
    path = _path("training", device, save)
    if dry_run:
        plan = {"batch": steps.BATCH, "crop": steps.CROP, "device": device, "workers": workers}
        written = {"would write": str(path) if path else "nothing"}
        report_values(plan | {"precision": list(precisions)} | written, as_json)
        return None
    saved = _saved(path)
    environment = describe()
    repeats = steps.REPEATS[device.partition(":")[0]]
    total = repeats + steps.WARM_UPS + len(workers) * len(precisions)

    with (
        says_when_stopped(lambda: saved.kept("what was timed before is")),
        progress("time --training", total, quiet) as step,
    ):
        timing = TrainingTiming(
            device=device,
            config=HDRNetConfig(),
            batch=steps.BATCH,
            crop=steps.CROP,
            parts=steps.time_training(repeats, step, crop=steps.CROP, device=device),
            throughput=[],
            environment=environment,
        )
        saved.write(timing, whole=False)
        for row in steps.time_throughput(device, workers, step, crop=steps.CROP):
            timing = timing.model_copy(update={"throughput": [*timing.throughput, row]})
            saved.write(timing, whole=False)
    saved.write(timing, whole=True)
    if as_json:
        print_json(timing.model_dump(mode="json"))
    else:
        print_training(timing, wide)
    return path
