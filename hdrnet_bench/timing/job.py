"""What is timed in a process of its own, and what comes back from it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict

from ..config import HDRNetConfig
from ..result_ids import OnnxSettings
from ..result_timing import CopyRow, MachineState, Part, PictureType, TimedBackend, TimingRow

ONNX: TimedBackend = "onnxruntime"
# Those of a network of this project.
BACKENDS: tuple[TimedBackend, ...] = tuple(b for b in get_args(TimedBackend) if b != ONNX)
PICTURE_TYPES: tuple[PictureType, ...] = get_args(PictureType)
# What the process is doing, beside a backend's name.
START, EXACT, TIMING = "start", "float64", "timing"


class TimedOnnx(BaseModel):
    """Another method: its file as it was when its inputs were looked at, and how it is run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    sha256: str
    settings: OnnxSettings


class TimingJob(BaseModel):
    """One size for a child: a model by its file or its configuration (then untrained), another
    method beside it, or that alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Path | HDRNetConfig | None
    onnx: TimedOnnx | None = None
    device: str
    threads: int
    width: int
    height: int
    batch: int
    dtype: PictureType
    backends: tuple[TimedBackend, ...]
    budget_s: float
    no_exact: str | None = None

    def parts(self, backend: TimedBackend) -> tuple[Part, ...]:
        if backend == ONNX:
            return ("whole",)
        every: tuple[Part, ...] = get_args(Part)
        return every if self.device.startswith("cuda") else every[:3]

    def rows_without_times(self, notes: dict[TimedBackend, str]) -> list[TimingRow]:
        """For backends that could not be timed, with the reason."""
        return [
            self.row_without_time(backend, part, note)
            for backend, note in notes.items()
            for part in self.parts(backend)
        ]

    def row_without_time(self, backend: TimedBackend, part: Part, note: str) -> TimingRow:
        return TimingRow(
            width=self.width,
            height=self.height,
            batch=self.batch,
            dtype=self.dtype,
            backend=backend,
            part=part,
            repeats=0,
            median_ms=None,
            interval_ms=None,
            p5_ms=None,
            p95_ms=None,
            peak_memory_mib=None,
            gigabytes_per_s=None,
            copy_share=None,
            max_error=None,
            noisy=False,
            note=note,
        )


class Measurement(BaseModel):
    rows: list[TimingRow]
    copies: list[CopyRow]
    state: MachineState
