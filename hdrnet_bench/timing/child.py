"""One size timed: on a CPU in a process that network.py starts, on CUDA in the one it runs in."""

from __future__ import annotations

import contextlib
import ctypes
import json
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import HDRNetConfig
from ..errors import DataError
from ..files import by_name
from ..memory import high_water_mib, lack_of_memory
from ..model.hdrnet import HDRNet
from ..model.load import read_model
from ..model.lowres import make_lowres
from ..model.onnx_file import read_onnx
from ..model.onnx_model import OnnxModel
from ..processes import end_with_parent
from ..result_timing import CopyRow, Part, TimedBackend, TimingRow
from ..slicing.fused import fused, fused_packed, packed_parameters
from .clock import Clock, copier, natural_picture
from .exact import Exact, exact, largest_difference, model_input
from .job import EXACT, ONNX, TIMING, Measurement, TimedOnnx, TimingJob
from .state import Watch
from .turns import NO_MEMORY, TimedRun, in_turns, median_interval

NOISY = 0.2
TRANSFERS = ("upload", "download", "whole with transfer")


def serve(job_json: str, pipe: Connection) -> None:
    """Measure a TimingJob: what is being done goes to the pipe as JSON strings, then the result."""
    end_with_parent()
    with contextlib.suppress(OSError):  # where memory runs out, this process is the one to end
        Path("/proc/self/oom_score_adj").write_text("1000")
    job = TimingJob.model_validate_json(job_json)
    torch.set_num_threads(job.threads)

    def log(doing: str) -> None:
        pipe.send_bytes(json.dumps(doing).encode())

    pipe.send_bytes(measure_what_fits(job, log).model_dump_json().encode())


def measure_what_fits(job: TimingJob, log: Callable[[str], None]) -> Measurement:
    """`measure`; where memory runs out, rows that say so."""
    try:
        return measure(job, log)
    except Exception as error:
        if not lack_of_memory(error):
            raise
        rows = job.rows_without_times(dict.fromkeys(job.backends, NO_MEMORY))
        return Measurement(rows=rows, copies=[], state=Watch(torch.device("cpu")).state())


Key = tuple[TimedBackend, Part]


@torch.no_grad()
def measure(job: TimingJob, log: Callable[[str], None] = lambda doing: None) -> Measurement:
    """Time one size in this process. `log` is told what is being done: EXACT, a backend, TIMING."""
    device = torch.device(job.device)
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)  # whose events and streams are meant
    model = None if job.model is None else _model(job.model).to(device)
    picture = natural_picture(job.width, job.height)[None]
    if job.dtype == "uint8":
        picture = (picture * 255).round().byte()
    else:
        picture = picture.to(getattr(torch, job.dtype))
    truth, note = None, job.no_exact
    if model is not None and note is None:
        log(EXACT)
        try:
            truth = exact(model, picture.to(device))
        except Exception as error:
            if not lack_of_memory(error):
                raise
            note = NO_MEMORY
    batch = (picture if job.batch == 1 else picture.repeat(job.batch, 1, 1, 1)).to(device)
    del picture  # a picture more would show in the peak
    parts = {} if model is None else _parts(job, model, batch, truth)
    if job.onnx is not None and ONNX in job.backends:
        parts[ONNX, "whole"] = _other_method(job.onnx, batch)
    expected = _expected(job, truth)
    held = truth.mebibytes if truth else 0.0
    for backend in job.backends:
        log(backend)
        for part in job.parts(backend):
            right = None if backend == ONNX else expected.get(part)
            _first(parts[backend, part], backend, right, device, held)
    del truth, expected
    log(TIMING)
    copy = _copy(job, device)
    watch = Watch(device)
    runs = [*parts.values(), copy]
    in_turns(runs, Clock(device), budget_s=job.budget_s, watch=watch)
    note = note and f"no float64 to compare with: {note}"
    copies = []
    if copy.note is None:
        copies.append(
            CopyRow(
                width=job.width,
                height=job.height,
                median_ms=_digits(copy.median),
                gigabytes_per_s=_digits(copy.gigabytes_per_s),
            )
        )
    rows = [_row(job, key, timed, copy, note) for key, timed in parts.items()]
    return Measurement(rows=rows, copies=copies, state=watch.state())


def _copy(job: TimingJob, device: torch.device) -> TimedRun:
    """Of one picture in float32."""
    moved = 24 * job.width * job.height
    try:
        return TimedRun(copier(moved, device), moved)
    except Exception as error:
        if not lack_of_memory(error):
            raise
        lacking = TimedRun(lambda: torch.empty(0), 0)
        lacking.note = NO_MEMORY
        return lacking


def _model(model: Path | HDRNetConfig) -> HDRNet:
    if isinstance(model, HDRNetConfig):
        torch.manual_seed(0)
        return HDRNet(model).eval()
    return read_model(model)[0]


def _other_method(onnx: TimedOnnx, batch: Tensor) -> TimedRun:
    """Opened in its first run, so that what goes wrong costs its row alone."""
    opened: list[OnnxModel] = []

    def run() -> Tensor:
        try:
            if not opened:
                file = read_onnx(onnx.path)
                if file.sha256 != onnx.sha256:
                    raise DataError(f"{onnx.path.name} was changed meanwhile")
                opened.append(OnnxModel(file, onnx.settings))
            return opened[0].enhance(batch)
        except DataError as error:  # a row's note is published
            raise DataError(by_name(str(error), onnx.path)) from None

    return TimedRun(run, 2 * batch.nbytes + onnx.path.stat().st_size)


def _parts(
    job: TimingJob, model: HDRNet, batch: Tensor, truth: Exact | None
) -> dict[Key, TimedRun]:
    """What is timed, and the bytes that each must at least read and write."""
    size, resize = model.config.net_input_size, model.config.lowres_resize
    if truth:
        lowres, grid = (t.float().repeat(job.batch, *[1] * (t.ndim - 1)) for t in truth[:2])
    else:
        lowres = make_lowres(model_input(model, batch, torch.float32), size, resize)
        grid = model.coefficients(lowres)
    grid = grid.contiguous()
    weights = sum(p.nbytes for p in model.coefficient_network.parameters())
    pictures = 2 * batch.nbytes
    moved: dict[Part, int] = {
        "coefficients": lowres.nbytes + weights + grid.nbytes,
        "guide + slice + apply": pictures + grid.nbytes,
        "whole": pictures + weights,
        "upload": batch.nbytes,
        "download": batch.nbytes,
        "whole with transfer": pictures,
    }
    parts = {}
    for backend in (b for b in job.backends if b != ONNX):
        plain = partial(torch.compile, dynamic=False) if backend == "compiled" else _as_it_is
        slicing: Any = "native" if backend == "native" else "reference"
        enhance = plain(partial(model.enhance, backend=slicing))
        runs: dict[Part, Callable[[], Tensor]] = {
            "coefficients": partial(plain(model.coefficients), lowres),
            "guide + slice + apply": _slicer(model, grid, batch, slicing, plain),
            "whole": partial(enhance, batch),
        }
        if batch.is_cuda:
            runs |= _transfers(batch, enhance)
        for part in job.parts(backend):
            often = backend == "native" or part in ("coefficients", "upload", "download")
            parts[backend, part] = TimedRun(runs[part], moved[part], often)
    return parts


def _as_it_is(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return function


def _slicer(
    model: HDRNet, grid: Tensor, batch: Tensor, backend: Any, plain: Callable[[Any], Any]
) -> Callable[[], Tensor]:
    """Picture to picture, as `enhance` does it once it has the grid."""
    white = 255 if batch.dtype == torch.uint8 else 1
    guide: Any = model.guides[0]
    if model.config.input_transfer == "none" and model.serves_fused(batch, backend):
        out = torch.empty_like(batch)
        parameters, width = guide.kernel_parameters()
        # Packed once, as `enhance` has it in the graph that it replays.
        packed = packed_parameters(parameters, width)
        into = partial(fused_packed, grid, batch, packed, width, out)
        if into() is not None:
            return into  # type: ignore[return-value]

    def whole(grid: Tensor, batch: Tensor) -> Tensor:
        output = None
        fullres = model_input(model, batch, torch.float32)
        if model.serves_fused(fullres, backend):
            output = fused(grid, fullres, *guide.kernel_parameters())
        if output is None:
            output = model.render_fast(grid, fullres, backend)
        return (output.clamp(0, 1).mul(255).round() if white == 255 else output).to(batch.dtype)

    return partial(plain(whole), grid, batch)


def _transfers(
    batch: Tensor, enhance: Callable[[Tensor], Tensor]
) -> dict[Part, Callable[[], Tensor]]:
    """Between the device and pinned memory."""
    source = batch.cpu().pin_memory()
    target, device_batch = torch.empty_like(source).pin_memory(), torch.empty_like(batch)

    def upload() -> Tensor:
        return device_batch.copy_(source, non_blocking=True)

    def there_and_back() -> Tensor:
        return target.copy_(enhance(upload()), non_blocking=True)

    return {
        "upload": upload,
        "download": lambda: target.copy_(batch, non_blocking=True),
        "whole with transfer": there_and_back,
    }


def _expected(job: TimingJob, truth: Exact | None) -> dict[str, Tensor]:
    """What a part's result should be, in float64."""
    if truth is None:
        return {}
    if job.dtype == "uint8":
        truth.output.clamp_(0, 1).mul_(255)
    return {
        "coefficients": truth.grid,
        "guide + slice + apply": truth.output,
        "whole": truth.output,
    }


def _first(
    timed: TimedRun,
    backend: TimedBackend,
    expected: Tensor | None,
    device: torch.device,
    held: float,
) -> None:
    """Run it once, to see whether it fits, with how much memory (less what is `held` to compare
    with), and how far it is off."""
    try:
        # Compiled, or opened, at its first run; what `enhance` captures on CUDA, at its second.
        for _ in range(2 if device.type == "cuda" else int(backend in ("compiled", ONNX))):
            timed.run()
        _forget_peak(device)
        result = timed.run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        peak = _peak_mib(device)
        timed.peak = None if peak is None else round(peak - held, 1)
        if expected is not None:
            timed.error = largest_difference(result, expected)
    except Exception as error:
        if lack_of_memory(error):
            timed.note = NO_MEMORY
            torch.cuda.empty_cache()  # for the others
        elif backend == ONNX and isinstance(error, DataError):
            timed.note = str(error)
        elif backend == "compiled":  # it may meet anything
            timed.note = f"torch.compile failed: {(str(error) or 'nothing said').splitlines()[0]}"
        else:
            raise


def _row(
    job: TimingJob, key: Key, timed: TimedRun, copy: TimedRun, no_exact: str | None
) -> TimingRow:
    backend, part = key
    if timed.note is not None:
        return job.row_without_time(backend, part, timed.note)
    p5, median, p95 = (float(v) for v in np.percentile(timed.times, (5, 50, 95)))
    interval = median_interval(timed.times)
    assert interval is not None
    rate, on_the_bus = timed.gigabytes_per_s, part in TRANSFERS
    share = None
    if copy.note is None and not on_the_bus:
        share = _digits(rate / copy.gigabytes_per_s)
    return TimingRow(
        width=job.width,
        height=job.height,
        batch=job.batch,
        dtype=job.dtype,
        backend=backend,
        part=part,
        repeats=len(timed.times),
        median_ms=round(median, 4),
        interval_ms=(round(interval[0], 4), round(interval[1], 4)),
        p5_ms=round(p5, 4),
        p95_ms=round(p95, 4),
        peak_memory_mib=timed.peak,
        gigabytes_per_s=_digits(rate),
        copy_share=share,
        max_error=None if timed.error is None else _digits(timed.error),
        noisy=p95 - p5 > NOISY * median,
        note=None if on_the_bus or backend == ONNX else no_exact,
    )


def _digits(value: float) -> float:
    """To four of them: a rate may be small."""
    return float(f"{value:.4g}")


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    # What the C library keeps of freed memory first goes back to the system: it is not this run's.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib(device: torch.device) -> float | None:
    """The most since `_forget_peak`: on CUDA what torch took, else what the process held; None
    where the system cannot tell (Linux can)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return high_water_mib()
