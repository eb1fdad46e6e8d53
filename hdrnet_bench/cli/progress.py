"""How far a command is: a bar on a terminal, now and then a line where there is none.

A log file gets no bar: `verify demo-retouch: 120 of 500, 3.2 a second, 2 min left`, every 30
seconds at most, and nothing of a command that is over before. --quiet shows neither.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..cleaning import clean
from ..durations import about, duration, pace
from ..metric_specs import metric_text
from .console import err

if TYPE_CHECKING:
    from ..training.run_writer import TrainingStep

Clock = Callable[[], float]  # seconds, of which only differences mean something

INTERVAL_S = 30.0  # between two lines, and before the first
PACE_WINDOW_S = 300.0
BYTES_WINDOW_S = 30.0
WIDEST_BAR = 40
NARROWEST_BAR = 8
SHORTEST_TITLE = 12


@contextmanager
def progress(
    title: str, total: int, quiet: bool = False, *, clock: Clock = time.monotonic
) -> Iterator[Callable[[], None]]:
    """Show how many of `total` are done. Yields what is called after each, from any thread."""
    tally = Tally(total, clock)
    with _shown(_Display(title, tally), quiet) as told:

        def step() -> None:
            tally.advance()
            told()

        yield step


class Transfer(NamedTuple):
    """What a transfer reports, from any thread: a picture that is done, and bytes that came."""

    picture: Callable[[], None]
    received: Callable[[int], None]


@contextmanager
def transfer_progress(
    title: str, total_pictures: int, quiet: bool = False, *, clock: Clock = time.monotonic
) -> Iterator[Transfer]:
    """As `progress`, of pictures, with the bytes that came and their rate over the last seconds."""
    tally, received = Tally(total_pictures, clock), Tally(None, clock, BYTES_WINDOW_S)

    def details() -> list[str]:
        received.advance(0)  # seconds in which nothing comes count
        now = received.now()
        return [decimal(now.done), f"{decimal(int(now.rate or 0))}/s"]

    with _shown(_Display(title, tally, details), quiet) as told:

        def picture() -> None:
            tally.advance()
            told()

        def more(count: int) -> None:
            received.advance(count)
            told()

        yield Transfer(picture, more)


@contextmanager
def training_progress(
    title: str, quiet: bool = False, *, clock: Clock = time.monotonic
) -> Iterator[Callable[[TrainingStep], None]]:
    """Steps with the loss and PSNR of the last ones and, where there is room, the share of the time
    that was waited for data; and a line for each validation."""
    # Validations come seldom and take long: only the whole session has them in their proportion.
    tally = Tally(None, clock, math.inf)
    smooth, details, spare = math.nan, list[str](), list[str]()
    display = _Display(title, tally, lambda: details, lambda: spare, what="step ")
    with _shown(display, quiet) as told:

        def report(step: TrainingStep) -> None:
            nonlocal smooth, details, spare
            first = math.isnan(smooth)
            smooth = step.psnr if first else 0.95 * smooth + 0.05 * step.psnr
            details = [f"loss {step.loss:.5f}", f"PSNR {smooth:.2f} dB"]
            spare = [f"data {step.data_wait_share:.0%}"]
            tally.reach(step.step, step.steps)
            if step.validation is not None and not quiet:
                measured = ", ".join(metric_text(*each) for each in step.validation.items())
                err.print(
                    f"step {step.step}/{step.steps}: training PSNR {smooth:.2f} dB, "
                    f"validation {measured}"
                )
            told()

        yield report


class Now(NamedTuple):
    """Where a tally stands: rate in steps a second, elapsed and left in seconds; None where that
    cannot be said."""

    done: int
    total: int | None
    elapsed: float
    rate: float | None
    left: float | None


class Tally:
    """What is done of a total, and how fast this session does it. For any thread.

    window_s: the rate is that of so many last seconds, and of one step at least.
    """

    def __init__(self, total: int | None, clock: Clock, window_s: float = PACE_WINDOW_S) -> None:
        self._clock, self._window_s = clock, window_s
        self._done, self._total = 0, total
        self._began = self._last = clock()
        self._first: float | None = None  # of the steps that the rate is of
        self._marks = deque([(self._began, 0)])  # (when, done) that the rate is measured from
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._go_to(self._done + count)

    def reach(self, done: int, total: int) -> None:
        """What a run that is resumed had done before is known by its first step."""
        with self._lock:
            if self._first is None:
                self._marks = deque([(self._began, done - 1)])
            self._total = total
            self._go_to(done)

    def _go_to(self, done: int) -> None:
        now = self._clock()
        if self._first is None:
            self._first = now
        elif now - self._last > self._last - self._first:
            # One step that takes longer than all before it: these were starting up, or what an
            # earlier run had done, and say nothing of what comes.
            self._marks = deque([(self._last, self._done)])
            self._first = self._last
        elif now - self._marks[-1][0] >= self._window_s / 64:
            self._marks.append((self._last, self._done))
        while len(self._marks) > 1 and self._marks[1][0] <= now - self._window_s:
            self._marks.popleft()
        self._done, self._last = done, now

    def now(self) -> Now:
        with self._lock:
            now = self._clock()
            since, before = self._marks[0]
            took, made = self._last - since, self._done - before
            rate = made / took if took > 0 and made > 0 else None
            left = None
            if self._total is not None and rate:
                remaining = max(self._total - self._done, 0)
                # Between slow steps it counts down, by one step at most.
                left = (remaining - min(remaining, 1, (now - self._last) * rate)) / rate
            return Now(self._done, self._total, now - self._began, rate, left)


@dataclass(frozen=True)
class _Display:
    """What is shown: details in bar and line, spare parts in a bar that is wide enough for them."""

    title: str
    tally: Tally
    details: Callable[[], list[str]] = list
    spare: Callable[[], list[str]] = list
    what: str = ""

    def line(self) -> str:
        now = self.tally.now()
        parts = [self.count(now), *self.details()]
        parts += [pace(now.rate)] if now.rate else []
        parts += [f"{about(now.left)} left"] if now.left is not None else []
        return f"{self.title}: {', '.join(parts)}"

    def last_line(self, whole: bool) -> str:
        now = self.tally.now()
        took = duration(now.elapsed)
        said = f"done, {self.count(now)} in {took}" if whole else f"{self.count(now)} after {took}"
        return f"{self.title}: {said}"

    def count(self, now: Now) -> str:
        return f"{self.what}{now.done}" + ("" if now.total is None else f" of {now.total}")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As a bar of one line, as wide as the terminal is now."""
        now, title = self.tally.now(), clean(self.title, "line")
        count = [] if now.total is None else [f"{now.done:>{len(str(now.total))}}/{now.total}"]
        needed = [*count, clock_text(now), *self.details()]
        title, bar, parts = fitted(options.max_width, title, needed, self.spare())
        styles = ["progress.download"] * len(count) + ["progress.remaining"]
        styles += [""] * (len(parts) - len(styles))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            *([Text(title)] if title else []),
            *([ProgressBar(now.total, now.done, width=bar)] if bar else []),
            *(
                Text(part, style, no_wrap=True, overflow="ellipsis")
                for part, style in zip(parts, styles, strict=False)
            ),
        )
        yield row


@contextmanager
def _shown(display: _Display, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show it while the block runs. Yields what is called when something has changed."""
    if quiet:
        yield lambda: None
    elif err.is_interactive and err.terminal_width():  # not TERM=dumb, and no file
        with Live(display, console=err):
            yield lambda: None
    else:
        lines = _Lines(display)
        try:
            yield lines.changed
        except BaseException:
            lines.end(whole=False)
            raise
        lines.end(whole=True)


class _Lines:
    """A line at most every INTERVAL_S; a last one where there was one. For any thread."""

    def __init__(self, display: _Display) -> None:
        self.display, self.written, self.due = display, False, INTERVAL_S
        self.lock = threading.Lock()

    def changed(self) -> None:
        with self.lock:
            now = self.display.tally.now()
            if now.elapsed >= self.due and now.done != now.total:  # of the end the last line tells
                self.due, self.written = now.elapsed + INTERVAL_S, True
                err.print(self.display.line(), soft_wrap=True)

    def end(self, whole: bool) -> None:
        with self.lock:
            if self.written:
                err.print(self.display.last_line(whole), soft_wrap=True)


def clock_text(now: Now) -> str:
    """The time left as a bar has it; before that can be said, or when all is done, how long it has
    taken."""
    is_done = now.total is not None and now.done >= now.total
    seconds = math.ceil(now.elapsed if now.left is None or is_done else now.left)
    text = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if is_done:
        return f"in {text}"
    return f"{text} so far" if now.left is None else f"{text} left"


def fitted(
    width: int, title: str, needed: list[str], spare: list[str]
) -> tuple[str, int, list[str]]:
    """The title, the width of the bar and the parts that go into one line of `width` cells. Spare
    parts go first, then the bar gets smaller, then the title shorter, then both go, and the last
    parts where the terminal is narrower than they are."""

    def room(parts: list[str]) -> int:
        return width - sum(cell_len(part) + 1 for part in parts)

    least = min(cell_len(title), SHORTEST_TITLE) + 1 + NARROWEST_BAR
    parts = [*needed, *spare]
    if room(parts) < cell_len(title) + 1 + NARROWEST_BAR:
        parts = needed
    while len(parts) > 1 and room(parts) < -1:
        parts = parts[:-1]
    bar = room(parts) - cell_len(title) - 1
    if room(parts) >= least:
        bar = min(max(bar, NARROWEST_BAR), WIDEST_BAR)
        return shortened(title, room(parts) - bar - 1), bar, parts
    return shortened(title, room(parts)), 0, parts


def shortened(text: str, width: int) -> str:
    """`text` in `width` cells at most: its beginning and its end, which tell one title from another
    of the same command."""
    if cell_len(text) <= width:
        return text
    if width < 8:
        return ""
    tail_width = (width - 1) // 2
    head_width = width - 1 - tail_width
    head = next(text[:i] for i in range(len(text), -1, -1) if cell_len(text[:i]) <= head_width)
    tail = next(text[i:] for i in range(len(text) + 1) if cell_len(text[i:]) <= tail_width)
    return f"{head}…{tail}"
