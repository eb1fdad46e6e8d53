"""How far a command is: bars on a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..cleaning import clean
from ..metric_specs import METRICS
from .console import err

if TYPE_CHECKING:
    from ..training.run_writer import TrainingStep


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err) as bar:
        task = bar.add_task(clean(title, "line"), total=total)
        yield lambda: bar.advance(task)


class Transfer(NamedTuple):
    """What a transfer reports, from any thread: a picture that is done, and bytes that came."""

    picture: Callable[[], None]
    received: Callable[[int], None]


@contextmanager
def transfer_progress(title: str, total_pictures: int) -> Iterator[Transfer]:
    """A bar of pictures, with the bytes that came, their rate over the last seconds, and the time
    that the remaining pictures take at their rate over the last minutes."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    # Bytes are counted in a bar of their own, which is not shown: it keeps their rate.
    bytes_bar = Progress(console=err, disable=True)
    received = bytes_bar.add_task("", total=None)
    with Progress(
        *columns,
        _BytesColumn(bytes_bar.tasks[0]),
        TimeRemainingColumn(),
        console=err,
        speed_estimate_period=300,
    ) as bar:
        task = bar.add_task(clean(title, "line"), total=total_pictures)
        yield Transfer(lambda: bar.advance(task), lambda n: bytes_bar.advance(received, n))


class _BytesColumn(ProgressColumn):
    def __init__(self, received: Task) -> None:
        super().__init__()
        self.received = received

    def render(self, task: Task) -> Text:
        rate = decimal(int(self.received.speed or 0))
        return Text(f"{decimal(int(self.received.completed))}  {rate}/s")


@contextmanager
def training_progress(title: str) -> Iterator[Callable[[TrainingStep], None]]:
    """A bar with the loss and PSNR of the last steps and the share of the time that was waited for
    data, and a line for each validation."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[now]}"), console=err
    ) as bar:
        task = bar.add_task(clean(title, "line"), total=None, now="")
        smooth = math.nan

        def report(step: TrainingStep) -> None:
            nonlocal smooth
            first = math.isnan(smooth)
            smooth = step.psnr if first else 0.95 * smooth + 0.05 * step.psnr
            now = f"loss {step.loss:.5f}  PSNR {smooth:.2f} dB  data {step.data_wait_share:.0%}"
            bar.update(task, completed=step.step, total=step.steps, now=now)
            if step.validation is not None:
                measured = ", ".join(
                    f"{METRICS[name].label} {value:.{METRICS[name].decimals}f}"
                    + (f" {METRICS[name].unit}" if METRICS[name].unit else "")
                    for name, value in step.validation.items()
                )
                err.print(
                    f"step {step.step}/{step.steps}: training PSNR {smooth:.2f} dB, "
                    f"validation {measured}"
                )

        yield report
