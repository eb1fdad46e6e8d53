"""The tables of times, and the table of the machines that measured each result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..environment import Environment
from ..result_timing import CopyRow, KernelTiming, MachineState, Timing, TimingRow
from ..results import NONE, Result
from .groups import TimingResult
from .table import Cell, Column, Table, columns, number, plain


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
    head = columns("resolution", "batch", "dtype", "backend", "part")
    head += [Column("median ms", ("median_ms", "median_ms_low", "median_ms_high"))]
    head += columns("p5 ms", "p95 ms", "repeats", "MP/s=megapixels_per_s", "GB/s=gigabytes_per_s")
    head += columns("of a copy's=copy_share", "peak MiB", "max error", "note")
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


def where_table(results: Sequence[tuple[Path, Result]]) -> Table:
    """A row for each result file: what was measured, of which data and model, on which machine."""
    head = columns("what", "recipe", "method", "run", "data", "model", "machine", "commit", "load")
    rows = [_where_cells(path, result) for path, result in results]
    return Table("where", "What ran where", head, rows, [])


def _where_cells(path: Path, result: Result) -> list[Cell]:
    environment = result.environment
    machine = [plain(environment.machine()), plain(environment.commit)]
    machine += [number(environment.load, "{}")]
    if isinstance(result, KernelTiming):
        return [plain(f"slicing kernels, {result.device}"), *map(plain, [None] * 5), *machine]
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
