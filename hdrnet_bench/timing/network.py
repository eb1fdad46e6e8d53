"""Forward time per resolution, on a CPU each in a process of its own, so that running out of memory
costs a row of the table and not the rest of it.

On CUDA it is an error that can be caught, and starting a process takes longer than measuring: all
sizes are timed in this one. On a CPU the system kills a process that asks for too much memory. What
it was running is then left out and the rest of that size tried again, so that a backend that does
not fit takes none of the others' figures with it. child.py is what happens in such a process.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..config import HDRNetConfig
from ..errors import CapabilityError, UsageError, near_matches
from ..processes import signals_kept_from_children
from ..result_timing import MachineState, PictureType, TimedBackend, combined
from .child import measure_what_fits, serve
from .clock import require_kernels, why_no_kernels
from .job import BACKENDS, EXACT, PICTURE_TYPES, START, Measurement, TimedOnnx, TimingJob

SIZES = {
    "480p": (640, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "4K": (3840, 2160),
    "12 MP": (4000, 3000),
    "24 MP": (6000, 4000),
    "48 MP": (8000, 6000),
}
# Of the untrained network, for `time --save`.
SAVED = ("480p", "1080p", "4K", "12 MP", "24 MP", "48 MP")
CLOSING_S = 5.0


def time_model(
    model: Path | HDRNetConfig | None,
    sizes: Sequence[tuple[int, int]],
    device: str = "cpu",
    *,
    onnx: TimedOnnx | None = None,
    backends: Sequence[TimedBackend] = ("native", "reference"),
    batch: int = 1,
    dtype: PictureType = "float32",
    budget_s: float = 10.0,
    step: Callable[[], None] = lambda: None,
    on_size: Callable[[Measurement], None] = lambda measured: None,
) -> Measurement:
    """Time a model's parts at (width, height) resolutions, and another method's whole.

    The network's weights are float32, whatever the pictures: half precision is computed in float32
    where there is no kernel for it, as `enhance` does. Parts: "coefficients" from the low-res input
    to the grid; "guide + slice + apply" from picture and grid to picture, into a result that is
    there already where the fused kernel serves, else into a fresh one; "whole" is `enhance`, from
    picture to a fresh picture; on CUDA also to the device and back, from and to pinned memory.

    Args:
        model: a model file, or the configuration of an untrained network; None for another method
            alone.
        sizes: (width, height) in pixels.
        device: where to run.
        onnx: another method, on a CPU; from picture to a fresh picture, as "whole" is.
        backends: those that `choose_backends` gives, and job.ONNX with `onnx`.
        batch: pictures at a time.
        dtype: of the pictures.
        budget_s: seconds of repeats for each size; at least six are made of each part.
        step: called after each size.
        on_size: called with what was measured of each size, as soon as it was.
    """
    rows, copies, states = [], [], []
    for width, height in sizes:
        job = TimingJob(
            model=model,
            onnx=onnx,
            device=device,
            threads=torch.get_num_threads(),
            width=width,
            height=height,
            batch=batch,
            dtype=dtype,
            backends=tuple(backends),
            budget_s=budget_s,
        )
        measured = _one_size(job) if torch.device(device).type == "cpu" else _here(job)
        rows += measured.rows
        copies += measured.copies
        states.append(measured.state)
        on_size(measured)
        step()
    return Measurement(rows=rows, copies=copies, state=combined(states))


def choose_backends(names: Sequence[str] | None, device: str) -> list[TimedBackend]:
    """The backends to time; by default native, where it is there, and reference.

    Raises UsageError for an unknown name, CapabilityError for what this machine cannot do.
    """
    where = torch.device(device)
    if not names:
        return ["reference"] if why_no_kernels(where) else ["native", "reference"]
    chosen = []
    for name in dict.fromkeys(names):
        backend = next((backend for backend in BACKENDS if backend == name), None)
        if backend is None:
            raise UsageError(f"unknown backend {name!r}: {near_matches(name, BACKENDS)}")
        chosen.append(backend)
    if "native" in chosen:
        require_kernels(where)
    if "compiled" in chosen:
        _try_to_compile(where)
    return chosen


def picture_type(name: str) -> PictureType:
    dtype = next((dtype for dtype in PICTURE_TYPES if dtype == name), None)
    if dtype is None:
        raise UsageError(f"unknown dtype {name!r}: {near_matches(name, PICTURE_TYPES)}")
    return dtype


def _try_to_compile(device: torch.device) -> None:
    """Raises CapabilityError where torch.compile lacks a compiler."""

    def one_more(x: Tensor) -> Tensor:
        return x + 1

    try:
        torch.compile(one_more)(torch.zeros(8, device=device))
    except Exception as error:  # whatever a back end of torch.compile meets
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CapabilityError(
            f"torch.compile cannot be timed here: {reason}; on a CPU it needs a C++ compiler (g++)"
        ) from None


def _here(job: TimingJob) -> Measurement:
    """A size on CUDA, in this process, with nothing left of the size before."""
    gc.collect()
    torch.cuda.empty_cache()
    if "compiled" in job.backends:
        torch._dynamo.reset()  # else a second size is compiled for all sizes
    return measure_what_fits(job, lambda doing: None)


def _one_size(job: TimingJob) -> Measurement:
    """A size, again without what it was killed at."""
    order = job.backends
    notes: dict[TimedBackend, str] = {}
    nothing = MachineState(clock_mhz=None, power_w=None, load=None)
    measured = Measurement(rows=[], copies=[], state=nothing)
    while job.backends:
        measurement, doing, note = _in_a_child(job)
        if measurement is not None:
            measured = measurement
            break
        if doing == EXACT:
            job = job.model_copy(update={"no_exact": note})
            continue
        # Killed while it started, or in the repeats, no backend can be blamed: all are given up.
        failed = tuple(b for b in job.backends if b == doing) or job.backends
        notes |= dict.fromkeys(failed, note)
        job = job.model_copy(update={"backends": tuple(b for b in job.backends if b not in failed)})
    rows = measured.rows + job.rows_without_times(notes)
    rows.sort(key=lambda row: order.index(row.backend))  # stable: parts stay in their order
    return Measurement(rows=rows, copies=measured.copies, state=measured.state)


def _in_a_child(job: TimingJob) -> tuple[Measurement | None, str, str]:
    """What a child measured; else None, what it was at, and what became of it."""
    # Spawned, not forked: the parent may hold threads (progress bar, torch).
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=serve, args=(job.model_dump_json(), theirs))
    doing = START
    try:
        with signals_kept_from_children():
            child.start()
        theirs.close()
        while True:
            message = json.loads(ours.recv_bytes())
            if isinstance(message, dict):
                child.join(CLOSING_S)
                return Measurement.model_validate(message), doing, ""
            doing = message
    except EOFError:
        child.join()
    finally:
        if child.pid is not None:
            child.kill()  # where it has not ended: this process was stopped
            child.join()
        ours.close()
    assert child.exitcode is not None
    if child.exitcode >= 0:
        raise RuntimeError(f"the process that timed ended with exit code {child.exitcode}")
    name = signal.Signals(-child.exitcode).name
    why = ", most likely because memory ran out" if name == "SIGKILL" else ""
    return None, doing, f"its process was ended by {name}{why}"
