"""The tables of times, of published ones too, and of the machines that measured each result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..environment import Environment
from ..result_timing import (
    CopyRow,
    KernelTiming,
    MachineState,
    MachineTiming,
    NetworkTiming,
    Part,
    StepRow,
    ThroughputRow,
    TimedBackend,
    Timing,
    TimingRow,
    TrainingTiming,
    combined,
)
from ..results import NONE, Result
from .groups import TimingResult
from .published import SpeedRow
from .table import Cell, Column, Narrow, Table, columns, number, plain
from .tables import device_name


def timing_table(timed: TimingResult) -> Table:
    """Every part of the network at every resolution; and a copy of the picture, to compare with."""
    timing = timed.timing
    head, cells = timing_cells(timing.rows, timing.copies)
    state = state_text(timing.state, timing.environment)
    return Table(timed.stem, timed.title, head, cells, [state], row_header=4)


def timing_cells(
    rows: Sequence[TimingRow], copies: Sequence[CopyRow]
) -> tuple[list[Column], list[list[Cell]]]:
    """Columns and rows, as the report and the terminal have them."""
    head = [*columns("resolution"), *columns("batch", "dtype", priority=2)]
    head += columns("backend", "part")
    head += [Column("median ms", ("median_ms", "median_ms_low", "median_ms_high"), better=-1)]
    head += columns("p5 ms", "p95 ms", better=-1, priority=3)
    head += columns("repeats", priority=3)
    head += columns("MP/s=megapixels_per_s", better=1, priority=2)
    head += columns("GB/s=gigabytes_per_s", better=1, priority=3)
    head += columns("of a copy's=copy_share", better=1)
    head += columns("peak MiB", better=-1, priority=2)
    head += [*columns("max error", better=-1, priority=3), *columns("note", priority=2)]
    return head, [*map(_timing_cells, rows), *map(_copy_cells, copies)]


def _timing_cells(row: TimingRow) -> list[Cell]:
    low, high = row.interval_ms or (None, None)
    median = NONE if row.median_ms is None else f"{row.median_ms:.2f}"
    interval = "" if row.interval_ms is None else f" [{low:.2f}, {high:.2f}]"
    remarks = [*(["noisy"] if row.noisy else []), *([row.note] if row.note else [])]
    return [
        _resolution(row),
        number(row.batch, "{}"),
        plain(row.dtype),
        plain(row.backend),
        plain(row.part),
        Cell(median + interval, (row.median_ms, low, high)),
        number(row.p5_ms, "{:.2f}"),
        number(row.p95_ms, "{:.2f}"),
        number(row.repeats, "{}"),
        number(row.megapixels_per_s, "{:,.1f}"),
        number(row.gigabytes_per_s, "{:.2f}"),
        number(row.copy_share, "{:.0%}"),
        number(row.peak_memory_mib, "{:,.0f}"),
        number(row.max_error, "{:.1e}"),
        plain("; ".join(remarks) or None),
    ]


def _copy_cells(row: CopyRow) -> list[Cell]:
    megapixels = row.width * row.height / 1e6
    return [
        _resolution(row),
        number(1, "{}"),
        plain("float32"),
        plain(None),
        plain("copy (the floor)"),
        Cell(f"{row.median_ms:.2f}", (row.median_ms, None, None)),
        *(number(None, "") for _ in range(3)),
        number(megapixels / (row.median_ms / 1e3), "{:,.1f}"),
        number(row.gigabytes_per_s, "{:.2f}"),
        number(1.0, "{:.0%}"),
        *(number(None, "") for _ in range(2)),
        plain(None),
    ]


def _resolution(row: TimingRow | CopyRow) -> Cell:
    return Cell(f"{row.width} x {row.height}", (f"{row.width}x{row.height}",))


def state_text(state: MachineState, environment: Environment) -> str:
    """Clock, power and load while timing, as far as the machine reports them."""
    parts = []
    for name, values, unit in (
        ("clock", state.clock_mhz, " MHz"),
        ("power", state.power_w, " W"),
        ("load average", state.load, ""),
    ):
        span = values and f"{values[0]:g} to {values[1]:g}{unit}"
        parts.append(f"{name} {span or 'not known'}")
    return (
        f"While timing: {', '.join(parts)}; load average at the start {environment.load}. Where "
        "others used the machine, absolute times are worth little: compare rows."
    )


NETWORK_NOTE = (
    "Medians in ms, each row of one run that took its backends in turns. Of a copy: the part of "
    "the bandwidth of a copy of the picture in float32, whatever the row's type, that guide + "
    "slice + apply reach by the bytes that they must at least read and write. They are timed into "
    "a result that is there already; the whole makes one, of a picture that is on the device "
    "already; with transfers, from the host's pinned memory and back. On CUDA it replays its "
    "network as one graph, where the coefficients alone are launched layer by layer, and torch "
    "computes convolutions in TF32 by default, which the error against float64 shows (of uint8 in "
    "levels). "
    "An empty cell was not timed."
)


def network_table(timing: NetworkTiming, slug: str) -> Table:
    """A row a resolution and type of pictures."""
    head = [*columns("resolution"), *columns("MP=megapixels", priority=3)]
    head += [*columns("batch", priority=2), *columns("dtype")]
    head += columns("coefficients=coefficients_ms", better=-1, priority=2)
    head += columns("guide + slice + apply=slice_ms", better=-1, priority=2)
    head += columns("of a copy=slice_copy_share", better=1)
    head += columns("whole=whole_ms", better=-1)
    head += columns("with transfers=whole_with_transfer_ms", better=-1)
    head += columns("max error=whole_max_error", better=-1, priority=3)
    head += columns("whole, plain torch=reference_ms", better=-1)
    head += columns("whole, torch.compile=compiled_ms", better=-1, priority=2)
    rows, notes = [], dict[str, None]()
    for size in timing.sizes:
        by_part = {(row.backend, row.part): row for row in size.rows}

        def of(backend: TimedBackend, part: Part, by_part: Any = by_part) -> TimingRow | None:
            row: TimingRow | None = by_part.get((backend, part))
            return row

        first = size.rows[0]
        coefficients, slicing = of("native", "coefficients"), of("native", "guide + slice + apply")
        whole = of("native", "whole")
        others = [of("reference", "whole"), of("compiled", "whole")]
        rows.append(
            [
                _resolution(first),
                number(first.megapixels, "{:.2f}"),
                number(first.batch, "{}"),
                plain(first.dtype),
                _median(coefficients),
                _median(slicing),
                _share(slicing),
                _median(whole),
                _median(of("native", "whole with transfer")),
                number(None if whole is None else whole.max_error, "{:.1e}"),
                *map(_median, others),
            ]
        )
        for row in size.rows:
            where = f"{row.width} x {row.height}, {row.dtype}"
            if row.note:
                notes[f"{where}, {row.backend}: {row.note}."] = None
            elif row.noisy and row in (coefficients, slicing, whole, *others):
                low, high = row.interval_ms or (row.p5_ms, row.p95_ms)
                notes[f"{where}, {row.backend}, {row.part}: noisy, {low} to {high} ms."] = None
    state = combined(size.state for size in timing.sizes)
    states = [state_text(state, timing.environment)]
    title = f"The paper's network, untrained, {_on(timing)}"
    return Table(slug, title, head, rows, [*notes, *states], narrow=_narrow(timing))


def _narrow(timing: NetworkTiming) -> Narrow:
    """Of the type and batch size that come first, native beside plain torch."""
    kind = (timing.sizes[0].rows[0].dtype, timing.sizes[0].rows[0].batch)
    rows = []
    for size in timing.sizes:
        if (size.rows[0].dtype, size.rows[0].batch) != kind:
            continue
        whole = {row.backend: row.median_ms for row in size.rows if row.part == "whole"}
        native, plain_torch = whole.get("native"), whole.get("reference")
        rows.append(
            [
                _resolution(size.rows[0]).text,
                number(native, "{:.3f}").text,
                number(plain_torch, "{:.3f}").text,
                f"{plain_torch / native:.1f}×" if native and plain_torch else NONE,
            ]
        )
    return Narrow(
        ["resolution", "whole (ms)", "plain torch (ms)", "speed-up"],
        rows,
        [set() for _ in rows],
        set(),
        f"Medians of {kind[0]} pictures, batch {kind[1]}.",
    )


def _on(timing: MachineTiming) -> str:
    return f"on {device_name(timing.device, timing.environment)}"


def _median(row: TimingRow | None) -> Cell:
    return number(None if row is None else row.median_ms, "{:.3f}")


def _share(row: TimingRow | None) -> Cell:
    return number(None if row is None else row.copy_share, "{:.0%}")


def training_text(timing: TrainingTiming) -> str:
    """What the steps are of."""
    return (
        f"batch {timing.batch}, crops of {timing.crop} x {timing.crop}, the "
        f"{timing.config.variant} network"
    )


def parts_table(timing: TrainingTiming, slug: str) -> Table:
    """The parts of a training step, native against plain torch, in turns."""
    head = columns("part of a step=part")
    head += [
        _spread_column("native"),
        *columns("share", priority=2),
        _spread_column("plain torch", "reference"),
    ]
    head += columns("faster=speedup", better=1)
    rows = [_part_cells(row) for row in timing.parts]
    notes = sorted({f"{row.note}." for row in timing.parts if row.note})
    if timing.device.startswith("cuda"):
        notes.append("Times have the host's launches in them, which bound the small parts.")
    title = f"A training step in parts, {training_text(timing)}, float32, {_on(timing)}"
    return Table(slug, title, head, rows, notes)


def _spread_column(name: str, key: str | None = None) -> Column:
    key = key or name
    keys = (f"{key}_ms", f"{key}_p5_ms", f"{key}_p95_ms")
    return Column(f"{name} ms [p5, p95]", keys, better=-1)


def _part_cells(row: StepRow) -> list[Cell]:
    return [
        plain(row.part),
        _spread(row.native_ms, row.native_p5_ms, row.native_p95_ms),
        number(row.share, "{:.1%}"),
        _spread(row.reference_ms, row.reference_p5_ms, row.reference_p95_ms),
        number(row.speedup, "{:.1f}x"),
    ]


def _spread(median: float | None, p5: float | None, p95: float | None) -> Cell:
    known = None not in (median, p5, p95)
    return Cell(f"{median:.2f} [{p5:.2f}, {p95:.2f}]" if known else NONE, (median, p5, p95))


def throughput_table(timing: TrainingTiming, slug: str) -> Table:
    """Steps a second by precision and number of data workers."""
    head = columns("precision", "data workers=workers")
    head += [*columns("steps/s=steps_per_s", better=1), *columns("steps", priority=3)]
    head += [Column("step ms [p5, p95]", ("median_ms", "p5_ms", "p95_ms"), better=-1)]
    head += columns("of it waiting for data=data_wait_share", better=-1, priority=2)
    rows = [_throughput_cells(row) for row in timing.throughput]
    title = f"Training steps as the loop takes them, {training_text(timing)}, {_on(timing)}"
    return Table(slug, title, head, rows, [], row_header=1)


def _throughput_cells(row: ThroughputRow) -> list[Cell]:
    return [
        plain(row.precision),
        number(row.workers, "{}"),
        number(row.steps_per_s, "{:.1f}"),
        number(row.steps, "{}"),
        _spread(row.median_ms, row.p5_ms, row.p95_ms),
        number(row.data_wait_share, "{:.0%}"),
    ]


SPEED_NOTE = (
    "As published, each on the device that its row names and timed in its own way: no row here was "
    "measured by this project, and none stands in one row with what was. Checked says where the "
    "figure was read: in the source itself (primary), or in another's account (transcription)."
)


def speed_table(rows: Sequence[SpeedRow]) -> Table:
    """Published times on GPUs."""
    head = [*columns("method"), *columns("timed", priority=2), *columns("resolution")]
    head += [*columns("ms", better=-1), *columns("device"), *columns("source", priority=2)]
    head += columns("place", "checked", priority=3)
    head += columns("not comparable=differs", priority=2)
    cells = [
        [
            plain(row.method),
            plain(row.timed),
            plain(row.resolution),
            number(row.ms, "{:.2f}"),
            plain(row.device),
            plain(row.source),
            plain(row.place),
            plain(row.checked),
            plain(row.differs),
        ]
        for row in rows
    ]
    return Table("published-speed", "Published times on GPUs", head, cells, [SPEED_NOTE])


def where_table(results: Sequence[tuple[Path, Result | MachineTiming]]) -> Table:
    """A row for each result file: what was measured, of which data and model, on which machine."""
    head = [*columns("what"), *columns("recipe", priority=2), *columns("method")]
    head += [*columns("run", "data", "model", priority=3), *columns("machine")]
    head += [*columns("commit", priority=2), *columns("load", priority=3)]
    rows = [_where_cells(path, result) for path, result in results]
    return Table("where", "What ran where", head, rows, [])


def _where_cells(path: Path, result: Result | MachineTiming) -> list[Cell]:
    environment = result.environment
    machine = [plain(environment.machine()), plain(environment.commit)]
    machine += [number(environment.load, "{}")]
    if isinstance(result, KernelTiming | NetworkTiming | TrainingTiming):
        names = {"kernels": "slicing kernels", "network": "untrained network"}
        what = names.get(result.kind, "training steps")
        return [plain(f"{what}, {result.device}"), *map(plain, [None] * 5), *machine]
    recipe, method = result.recipe, result.method
    sha256 = method.model_sha256 or method.predictions_sha256
    if isinstance(result, Timing):
        what = f"time, {path.stem.removeprefix('timing-')}"
        data = None
    else:
        what = f"quality, {result.dataset.split}, {result.size}"
        what += " (stale)" if result.stale() else ""
        data = f"{result.dataset.name} {result.dataset.digest[:12]}"
    return [
        plain(what),
        plain(f"{recipe.name} {recipe.version} ({recipe.digest[:12]})"),
        plain(method.name),
        plain(method.run),
        plain(data),
        plain(sha256 and sha256[:12]),
        *machine,
    ]
