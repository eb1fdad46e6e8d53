"""What the command line shows and understands: tables, progress bars, devices, sizes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
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

from ..cleaning import clean, json_shown
from ..errors import CapabilityError, UsageError
from ..files import json_text
from ..metric_specs import METRICS

if TYPE_CHECKING:
    from ..results import Evaluation
    from ..training.run_writer import TrainingStep


class CleanConsole(Console):
    """What is printed may be of anybody's choice: a terminal shows it, and obeys none of it."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Each text on one line: no name of a file begins a line of its own."""
        super().print(
            *(clean(one, "line") if isinstance(one, str) else one for one in objects), **options
        )

    def print_text(self, text: str) -> None:
        """A text of several lines."""
        super().print(clean(text, "terminal"), end="" if text.endswith("\n") else "\n")


err = CleanConsole(stderr=True, highlight=False, soft_wrap=True, markup=False)
out = CleanConsole(highlight=False, soft_wrap=True, markup=False)

MAX_PIXELS = 500_000_000
_NOTE_KINDS = 6  # that a line lists


def print_json(value: Any) -> None:
    print(json_shown(json_text(value)), end="")


def print_evaluations(results: list[Evaluation]) -> None:
    """A row a result, each mean with its 95 % interval; then the spread over seeds, the reasons of
    what is missing, and the distance to the identity baseline."""
    from ..report.groups import by_seed, group_results, marks
    from ..report.tables import over_seeds
    from ..results import NONE, cell, undefined_notes

    def count(value: int | None) -> str:
        return "–" if value is None else f"{value:,}"

    names = [name for name in METRICS if any(name in result.metrics for result in results)]
    header = ["recipe", "method", "run", "size", "parameters", "MACs", "MACs/pixel", "n"]
    rows = []
    for result in results:
        method = result.method
        costs = (
            method.parameters,
            method.network_macs,
            method.pixel_macs,
            result.metrics["psnr"].n,
        )
        cells = [cell(name, result.metrics.get(name)) for name in names]
        named = [result.recipe.name, method.name + marks(result), method.run, result.size]
        rows.append([*named, *map(count, costs), *cells])
    print_table([*header, *(METRICS[n].label for n in names)], rows)
    for of in group_results([(Path(), result) for result in results]):
        for seeds in by_seed(of):
            first = seeds[0]
            spread = zip(of.metrics, over_seeds(of, seeds), strict=True)
            spreads = [f"{METRICS[n].label} {one.text}" for n, one in spread if one.text != NONE]
            out.print(
                f"{first.recipe.name}, {first.method.name}, {first.size}, {len(seeds)} seeds, "
                f"n {first.metrics['psnr'].n}: {', '.join(spreads)}"
            )
    reasons = {s.reason for r in results for s in r.metrics.values() if s.reason}
    for reason in [*sorted(reasons), *undefined_notes(results)]:
        out.print(f"  {reason}")
    if any(r.method.oracle for r in results):
        out.print("  oracle: fitted to each picture's target; a bound, not a method")
    for result in results:
        if result.unpaired and len(result.unpaired.missing + result.unpaired.wrong_size):
            left_out = len(result.unpaired.missing + result.unpaired.wrong_size)
            out.print(
                f"  {result.method.name}: {left_out} pictures of the split are not among these"
            )
    baselines = {(r.recipe.name, r.size): r for r in results if r.method.name == "identity"}
    for result in results:
        base = baselines.get((result.recipe.name, result.size))
        if base is None or result is base or len(base.rows) != len(result.rows):
            continue
        psnr, identity_psnr = result.metrics["psnr"].mean, base.metrics["psnr"].mean
        if psnr is not None and identity_psnr is not None:
            out.print(
                f"{result.recipe.name}, {result.method.name} {result.method.run}, {result.size}: "
                f"PSNR {psnr:.2f} dB, identity {identity_psnr:.2f} dB: "
                f"{psnr - identity_psnr:+.2f} dB"
            )


def note_counts(notes: Iterable[str]) -> dict[str, int]:
    """How many notes there are of each kind, the most frequent first. What of a note stands after
    a colon is of one picture alone."""
    return _most_first(note.partition(": ")[0] for note in notes)


def _most_first(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def rejection_counts(rejections: Iterable[dict[str, str]]) -> dict[str, int]:
    """How many pairs were left out at each stage, the most frequent first."""
    return _most_first(rejection["stage"] for rejection in rejections)


def rejections_text(rejections: Sequence[dict[str, str]]) -> str:
    """The same in words; of files of a wrong kind their suffixes as well."""
    # Such a reason begins with the file's name.
    names = [Path(r["reason"].rpartition(": ")[0]) for r in rejections if r["stage"] == "kind"]
    suffixes = _most_first(name.suffix.lower() or "without suffix" for name in names)
    shown = [f"{count} {suffix}" for suffix, count in list(suffixes.items())[:_NOTE_KINDS]]
    if more := len(suffixes) - len(shown):
        shown.append(f"{more} more suffix{'es' if more > 1 else ''}")
    return "; ".join(
        f"{stage} {count}" + (f": {', '.join(shown)}" if stage == "kind" else "")
        for stage, count in rejection_counts(rejections).items()
    )


def print_notes(counts: dict[str, int], where: str) -> None:
    """One line with how often what was noted; nothing where nothing was. where: it is in full."""
    if not counts:
        return
    shown = [f"{count} x {text}" for text, count in list(counts.items())[:_NOTE_KINDS]]
    if more := len(counts) - len(shown):
        shown[-1] += f" and {more} more kind{'s' if more > 1 else ''}"
    err.print(f"notes: {', '.join(shown)}; {where}")


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Aligned columns, never shortened or wrapped, whatever the terminal's width."""
    lines = [[clean(cell, "line") for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, row in enumerate(lines):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print(line.rstrip(), style="bold" if number == 0 else None)


def report_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A line for each row: its first values, then, indented, the last one."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        *first, last = row.values()
        out.print("  ".join(str(value) for value in first), style="bold")
        out.print(f"    {last}")


def report_values(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(values)
        return
    for key, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        if isinstance(value, list):
            value = ", ".join(map(str, value)) or "nothing"
        if isinstance(value, bool):
            value = "yes" if value else "no"
        out.print(f"{key}: {value}")


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


def choose_device(name: str | None) -> str:
    """The device to use. Raises CapabilityError where CUDA is asked for and not there."""
    if name is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"device {name!r}: use cpu, cuda or cuda:N")
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if torch.device(name).index is not None and torch.device(name).index >= count > 0:
            raise CapabilityError(f"there is no {name}: {count} CUDA device(s) are here")
        if not count:
            raise CapabilityError(
                "no CUDA device here (torch.cuda.is_available() is false): use --device cpu"
            )
        # Events, names and synchronisation are of the current device.
        torch.cuda.set_device(name if ":" in name else 0)
    return name


def parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or min(int(match[1]), int(match[2])) < 8:
        raise UsageError(f"size {text!r}: write WIDTHxHEIGHT in pixels, at least 8x8, as 1920x1080")
    width, height = int(match[1]), int(match[2])
    if width * height > MAX_PIXELS:
        raise UsageError(f"size {text!r} is over {MAX_PIXELS / 1e6:.0f} megapixels")
    return width, height
