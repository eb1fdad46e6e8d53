"""What `time` shows of what it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import out, print_json
from .tables import print_report_table

if TYPE_CHECKING:
    from ..environment import Environment
    from ..result_timing import KernelTiming, TrainingTiming
    from ..timing.job import Measurement

# Where there is not room for all. A median's interval, which comes after what has 1, says more than
# columns whose cells are mostly alike.
_NETWORK = {"of a copy's": 1.2, "batch": 3, "dtype": 3}
_KERNELS = {"faster than plain": 1.8}


def print_network(
    measured: list[Measurement], environment: Environment, wide: bool, as_json: bool
) -> None:
    """The network in parts, at each size: a table for each type of pictures."""
    if as_json:
        one = _joined(measured)
        rows = [
            row.model_dump(mode="json") | {"megapixels_per_s": row.megapixels_per_s}
            for row in one.rows
        ]
        print_json(one.model_dump(mode="json") | {"rows": rows})
        return
    for one in measured:
        _print_measured(one, environment, wide)
    out.print(f"on {environment.machine()}")


def _joined(measured: list[Measurement]) -> Measurement:
    from ..result_timing import combined
    from ..timing.job import Measurement

    return Measurement(
        rows=[row for one in measured for row in one.rows],
        copies=[copy for one in measured for copy in one.copies],
        state=combined(one.state for one in measured),
    )


def _print_measured(measured: Measurement, environment: Environment, wide: bool) -> None:
    from ..report.tables_time import state_text, timing_cells

    left_out = print_report_table(*timing_cells(measured.rows, measured.copies), wide, _NETWORK)
    for row in measured.rows if "note" in left_out.columns else []:
        if row.note:
            where = f"{row.width} x {row.height}, {row.dtype}, {row.backend}, {row.part}"
            out.print(f"{where}: {row.note}", hang=2)
    if not left_out.intervals:
        out.print("In brackets: the median's 95 % interval.")
    out.print(state_text(measured.state, environment))
    if noisy := sum(row.noisy for row in measured.rows):
        out.print(
            f"noisy: of {noisy} of {len(measured.rows)} rows the 5th and 95th percentile are more "
            "than a fifth of the median apart"
        )


def print_kernels(timing: KernelTiming, wide: bool) -> None:
    """Each slicing kernel beside plain torch and a copy."""
    from ..report.tables import KERNELS_NOTE, kernel_notes, kernel_table

    table = kernel_table(timing, "")
    print_report_table(table.columns, table.rows, wide, _KERNELS)
    for note in [KERNELS_NOTE, *kernel_notes(timing)]:
        out.print(f"  {note}")
    out.print(f"on {timing.environment.machine()}")


def print_training(timing: TrainingTiming, wide: bool) -> None:
    """Training steps: their parts, then as many as the loop takes."""
    from ..report.tables_time import parts_table, throughput_table, training_text

    for table in (parts_table(timing, ""), throughput_table(timing, "")):
        print_report_table(table.columns, table.rows, wide)
    out.print(f"{training_text(timing)}; on {timing.environment.machine()}")
