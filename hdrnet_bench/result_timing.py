"""Timings, as their result files hold them: of a method on a device; and of the slicing kernels,
the untrained network and training steps, which are a device's alone.

The last two are read here (`read_machine`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from .config import HDRNetConfig
from .environment import Environment
from .result_ids import MethodId, RecipeId, Record, check_name, read_record

# Nothing that was measured is so small or large: what is typed in must neither overflow nor leave
# the axes of a figure.
_Positive = Annotated[float, Field(ge=1e-12, le=1e12)]
_Number = Annotated[float, Field(ge=-1e12, le=1e12)]
_Count = Annotated[int, Field(ge=1, le=10**9)]
Part = Literal[
    "coefficients", "guide + slice + apply", "whole", "upload", "download", "whole with transfer"
]
PictureType = Literal["float32", "float16", "bfloat16", "uint8"]
# The last is of another method, an ONNX file: the others are of a network of this project.
TimedBackend = Literal["native", "reference", "compiled", "onnxruntime"]


class TimingRow(Record):
    """One part at one resolution; times in milliseconds, for a whole batch.

    Times are null, with `note` why, where it could not be run: out of memory, the process was
    killed. interval: 95 % of the median. peak_memory_mib: of the process on a CPU, of the device on
    CUDA. gigabytes_per_s: bytes that the part must at least read and write, over its median;
    copy_share: that over a copy's in the same run. max_error: largest absolute difference from the
    reference backend in float64; null for another method, which has none. noisy: the 5th and 95th
    percentile are more than a fifth of the median apart.
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
    peak_memory_mib: Annotated[float, Field(ge=0, le=1e12)] | None
    gigabytes_per_s: _Positive | None
    copy_share: _Positive | None
    max_error: _Number | None
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

    clock_mhz: tuple[_Number, _Number] | None = Field(description="lowest and highest")
    power_w: tuple[_Number, _Number] | None
    load: tuple[_Number, _Number] | None = Field(
        description="of the last minute, lowest and highest"
    )


def combined(states: Iterable[MachineState]) -> MachineState:
    """The lowest and highest of several."""
    states = list(states)

    def of(name: str) -> tuple[float, float] | None:
        values = [value for state in states for value in getattr(state, name) or ()]
        return (min(values), max(values)) if values else None

    return MachineState(clock_mhz=of("clock_mhz"), power_w=of("power_w"), load=of("load"))


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
    times_reference: _Number | None
    compiled_ms: _Positive | None
    copy_ms: _Positive
    times_copy: _Number
    max_error: _Number | None
    note: str | None

    @property
    def copy_share(self) -> float:
        """The part of a copy's bandwidth that the kernel reaches."""
        return self.copy_ms / self.median_ms


class KernelTiming(Record):
    """The slicing kernels' times on one device: kernels-<device>.json in the results' root."""

    schema_version: Literal[1] = 1
    kind: Literal["kernels"] = "kernels"
    device: str
    rows: list[KernelRow] = Field(min_length=1)
    environment: Environment


class SizeTiming(Record):
    """One resolution and type of pictures: what one run measured, in turns."""

    rows: list[TimingRow] = Field(min_length=1)
    copies: list[CopyRow] = Field(max_length=1)
    state: MachineState

    @model_validator(mode="after")
    def _of_one_size(self) -> SizeTiming:
        if len({_size_key(row) for row in self.rows}) > 1:
            raise ValueError("rows are of several sizes, batches or types")
        return self

    @property
    def key(self) -> tuple[int, int, int, int]:
        """Type of pictures, batch and size, to sort by."""
        return _size_key(self.rows[0])


def _size_key(row: TimingRow) -> tuple[int, int, int, int]:
    return get_args(PictureType).index(row.dtype), row.batch, row.width * row.height, row.width


class NetworkTiming(Record):
    """An untrained network's times on one device: network-<device>.json in the results' root.

    config: the network's. sizes: by type of pictures, batch and resolution, each once.
    """

    schema_version: Literal[1] = 1
    kind: Literal["network"] = "network"
    device: str
    config: HDRNetConfig
    sizes: list[SizeTiming] = Field(min_length=1)
    environment: Environment

    @model_validator(mode="after")
    def _each_once(self) -> NetworkTiming:
        keys = [size.key for size in self.sizes]
        if keys != sorted(set(keys)):
            raise ValueError("sizes are not sorted, or one is there twice")
        return self

    def backends_of(self, key: tuple[int, int, int, int]) -> set[str]:
        """Those that were timed of a size, type and batch (`SizeTiming.key`)."""
        return {row.backend for size in self.sizes if size.key == key for row in size.rows}

    def added_to(self, old: NetworkTiming) -> NetworkTiming:
        """What is there of the same network, device and installation, with these sizes in the place
        of what there was of them: rows of two runs were not taken in turns. The environment, and
        so the date, is the newer one."""
        sizes = {size.key: size for timing in (old, self) for size in timing.sizes}
        # Another process may have measured later and saved before. Dates sort as text.
        newer = max((self.environment, old.environment), key=lambda one: one.date or "")
        ordered = [sizes[key] for key in sorted(sizes)]
        return old.model_copy(update={"sizes": ordered, "environment": newer})

    def continues(self, other: NetworkTiming) -> bool:
        """Whether both are of one network, device and installation, so that they may share a
        file."""
        machines = [
            (t.device, t.config, t.environment.model_copy(update={"load": None, "date": None}))
            for t in (self, other)
        ]
        return machines[0] == machines[1]


class StepRow(Record):
    """One part of a training step; times in ms. Null, with `note` why, where plain torch could not
    run.

    speedup: reference over native median; null for the wait for data, which the backend does not
    touch. share: of the whole step with the native kernels.
    """

    part: str
    native_ms: _Number
    native_p5_ms: _Number
    native_p95_ms: _Number
    reference_ms: _Number | None
    reference_p5_ms: _Number | None
    reference_p95_ms: _Number | None
    speedup: _Number | None
    share: _Number
    note: str | None = None

    @model_validator(mode="after")
    def _null_has_a_note(self) -> StepRow:
        if self.reference_ms is None and not self.note:
            raise ValueError("a missing time needs its note")
        return self


class ThroughputRow(Record):
    """Training steps a second as the training loop takes them.

    workers: processes that make batches ahead. steps_per_s: steps over the time of all of them;
    percentiles: of single steps, the wait for data included. data_wait_share: of all that time.
    """

    precision: Literal["float32", "bfloat16", "float16"]
    workers: Annotated[int, Field(ge=0)]
    steps: _Count
    steps_per_s: _Positive
    median_ms: _Positive
    p5_ms: _Positive
    p95_ms: _Positive
    data_wait_share: Annotated[float, Field(ge=0, le=1)]


class TrainingTiming(Record):
    """Training steps' times on one device: training-<device>.json in the results' root."""

    schema_version: Literal[1] = 1
    kind: Literal["training"] = "training"
    device: str
    config: HDRNetConfig
    batch: _Count
    crop: _Count
    parts: list[StepRow] = Field(min_length=1)
    throughput: list[ThroughputRow]
    environment: Environment


MachineTiming = NetworkTiming | TrainingTiming
_KINDS: dict[str, type[MachineTiming]] = {"network": NetworkTiming, "training": TrainingTiming}


def read_machine(path: Path) -> MachineTiming:
    """Read and validate network-*.json or training-*.json. Raises DataError that names it and the
    faulty key."""
    return read_record(path, _KINDS, "is a timing neither of a network nor of training steps")


def read_machines(root: Path) -> list[tuple[Path, MachineTiming]]:
    """Those of a results directory, in the order of their names. Raises as `read_machine`, and
    DataError for a name that no figure could have."""
    paths = sorted([*root.glob("network-*.json"), *root.glob("training-*.json")])
    for path in paths:
        check_name(path)
    return [(path, read_machine(path)) for path in paths]
