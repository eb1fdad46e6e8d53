"""Timings, as their result files hold them: of a method on a device, and of the slicing kernels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .environment import Environment
from .result_ids import MethodId, RecipeId, Record

_Positive = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]
Part = Literal[
    "coefficients", "guide + slice + apply", "whole", "upload", "download", "whole with transfer"
]
PictureType = Literal["float32", "float16", "bfloat16", "uint8"]
TimedBackend = Literal["native", "reference", "compiled"]


class TimingRow(Record):
    """One part at one resolution; times in milliseconds, for a whole batch.

    Times are null, with `note` why, where it could not be run: out of memory, the process was
    killed. interval: 95 % of the median. peak_memory_mib: of the process on a CPU, of the device on
    CUDA. gigabytes_per_s: bytes that the part must at least read and write, over its median;
    copy_share: that over a copy's in the same run. max_error: largest absolute difference from the
    reference backend in float64. noisy: the 5th and 95th percentile are more than a fifth of the
    median apart.
    """

    width: _Count
    height: _Count
    batch: _Count
    dtype: PictureType
    backend: TimedBackend
    part: Part
    repeats: Annotated[int, Field(ge=0)]
    median_ms: _Positive | None
    interval_ms: tuple[_Positive, _Positive] | None
    p5_ms: _Positive | None
    p95_ms: _Positive | None
    peak_memory_mib: Annotated[float, Field(ge=0)] | None
    gigabytes_per_s: _Positive | None
    copy_share: _Positive | None
    max_error: float | None
    noisy: bool
    note: str | None = None

    @model_validator(mode="after")
    def _null_has_a_note(self) -> TimingRow:
        if self.median_ms is None and not self.note:
            raise ValueError("a missing time needs its note")
        return self

    @property
    def megapixels(self) -> float:
        """Of the batch."""
        return self.batch * self.width * self.height / 1e6

    @property
    def megapixels_per_s(self) -> float | None:
        return None if self.median_ms is None else self.megapixels / (self.median_ms / 1e3)


class CopyRow(Record):
    """A copy of a float32 RGB picture in the same run: about the least time that anything which
    reads and writes such a picture can take."""

    width: _Count
    height: _Count
    median_ms: _Positive
    gigabytes_per_s: _Positive


class MachineState(Record):
    """The machine while timing, as it was read, never set; null where it does not report it."""

    clock_mhz: tuple[float, float] | None = Field(description="lowest and highest")
    power_w: tuple[float, float] | None
    load: tuple[float, float] | None = Field(description="of the last minute, lowest and highest")


class Timing(Record):
    """One method's times on one device: timing-<device>.json."""

    schema_version: Literal[2] = 2
    kind: Literal["timing"] = "timing"
    recipe: RecipeId
    method: MethodId
    device: str
    rows: list[TimingRow] = Field(min_length=1)
    copies: list[CopyRow]
    state: MachineState
    environment: Environment


class KernelRow(Record):
    """One slicing kernel at one size. Times in milliseconds; null where nothing was measured, with
    `note` why. `max_error` is against float64, null where that ran out of memory."""

    size: str
    megapixels: _Positive
    guide: Literal["natural", "noise"]
    kernel: str
    median_ms: _Positive
    p5_ms: _Positive
    p95_ms: _Positive
    ns_per_pixel: _Positive
    reference_ms: _Positive | None
    times_reference: float | None
    compiled_ms: _Positive | None
    copy_ms: _Positive
    times_copy: float
    max_error: float | None
    note: str | None


class KernelTiming(Record):
    """The slicing kernels' times on one device: kernels-<device>.json in the results' root."""

    schema_version: Literal[1] = 1
    kind: Literal["kernels"] = "kernels"
    device: str
    rows: list[KernelRow] = Field(min_length=1)
    environment: Environment
