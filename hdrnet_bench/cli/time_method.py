"""Timing a method of a recipe, and writing its times beside its scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..stopping import says_when_stopped
from .progress import progress
from .timings import print_network

if TYPE_CHECKING:
    from ..result_ids import MethodId, RecipeId
    from ..result_timing import PictureType
    from ..timing.job import Measurement, TimedOnnx
    from .time_plan import Plan


class Written(NamedTuple):
    """Where a method's times are written, and what they are of."""

    path: Path
    recipe: RecipeId
    method: MethodId


def time_method(
    model: Path | None,
    plan: Plan,
    dtype: PictureType,
    budget: float,
    written: Written | None,
    quiet: bool,
    wide: bool,
    as_json: bool,
    onnx: TimedOnnx | None = None,
) -> Path | None:
    """Time a run's model, another method as an ONNX file, or that beside a run, of which then that
    alone is written. Returns what was written; written None: times are shown alone."""
    from ..environment import describe
    from ..result_timing import Timing
    from ..results import write_result
    from ..timing.job import ONNX
    from ..timing.network import time_model

    if written is not None:  # not to fail after minutes of timing
        written.path.parent.mkdir(parents=True, exist_ok=True)
    environment = describe(onnxruntime=onnx is not None)
    done: list[Measurement] = []

    def kept() -> str:
        """Of the sizes that are timed a table, which no file has."""
        if done:
            print_network(done, environment, wide, as_json)
        shown = "those that are timed are shown" if done else "none was timed"
        return f"nothing was written, as a method's times are once all sizes are: {shown}"

    with says_when_stopped(kept), progress("time", len(plan.sizes), quiet) as step:
        measured = time_model(
            model,
            plan.sizes,
            plan.device,
            onnx=onnx,
            backends=plan.backends,
            batch=plan.batch,
            dtype=dtype,
            budget_s=budget,
            step=step,
            on_size=done.append,
        )
    if written is not None:
        timing = Timing(
            recipe=written.recipe,
            method=written.method,
            device=plan.device,
            rows=[row for row in measured.rows if onnx is None or row.backend == ONNX],
            copies=measured.copies,
            state=measured.state,
            environment=environment,
        )
        write_result(written.path, timing)
    print_network([measured], environment, wide, as_json)
    return None if written is None else written.path
