"""A run's TensorBoard events: scalars of each step, and a validation picture at each validation.

They are for looking at: where they cannot be written, training goes on without them. TensorBoard's
own writer would report that from a thread, or not before it is closed.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
from torch import Tensor
from torch.utils.tensorboard import summary

LONG_EDGE = 512
_FLUSH_EVERY = 5.0  # seconds


class Events:
    """Writes a run's events; after a resume, what came later than `done` steps is purged.

    log: told once where they cannot be written.
    """

    def __init__(self, directory: Path, done: int, log: Callable[[str], None]) -> None:
        self._log = log
        self._records: RecordWriter | None = None
        # As TensorBoard finds and orders them.
        parts = (f"{int(time.time()):010d}", platform.node(), os.getpid(), time.monotonic_ns())
        name = f"events.out.tfevents.{'.'.join(map(str, parts))}"
        self._flushed = time.monotonic()
        with self._without_failing():
            self._records = RecordWriter((directory / name).open("wb"))
        self._add(file_version="brain.Event:2")
        if done:
            self._add(step=done + 1, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._add(step=step, summary=summary.scalar(name, value))
        if time.monotonic() - self._flushed > _FLUSH_EVERY:
            self._flush()

    def comparison(self, step: int, name: str, *pictures: Tensor) -> None:
        """Pictures (3, H, W) side by side, made smaller to a long edge of 512."""
        row = torch.cat([p.detach().float().clamp(0, 1).cpu() for p in pictures], dim=2)
        scale = min(1.0, LONG_EDGE / max(pictures[0].shape[-2:]))
        if scale < 1:
            size = [max(1, round(length * scale)) for length in row.shape[-2:]]
            row = F.interpolate(row[None], size=size, mode="area")[0]
        self._add(step=step, summary=summary.image(name, row, dataformats="CHW"))
        self._flush()

    def close(self) -> None:
        with self._without_failing():
            records, self._records = self._records, None
            if records is not None:
                records.close()

    def _add(self, **fields: Any) -> None:
        with self._without_failing():
            if self._records is not None:
                self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        with self._without_failing():
            if self._records is not None:
                self._records.flush()

    @contextmanager
    def _without_failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            records, self._records = self._records, None
            self._log(
                f"no TensorBoard events from here on ({error.strerror or error}): training goes on"
            )
            if records is not None:
                with suppress(OSError):  # of the same fault, at what is still in its buffer
                    records.close()
