"""Bars on terminals, lines in logs: on a clock that the tests turn."""

from __future__ import annotations

import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hdrnet_bench.cli import progress
from hdrnet_bench.stopping import Stopped
from hdrnet_bench.training.run_writer import TrainingStep
from tests.cli.terminal import console, shown_on_a_terminal
from tests.conftest import Workspace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


class Log:
    """What a command without a terminal writes, as lines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int = 80) -> None:
        err, self._written = console(width, terminal=False)
        monkeypatch.setattr(progress, "err", err)

    @property
    def lines(self) -> list[str]:
        return self._written.getvalue().splitlines()


class Screen:
    """What a command draws on a terminal: the state of its bar when the block was left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        monkeypatch.setenv("TERM", "xterm")
        err, self._written = console(width)
        monkeypatch.setattr(progress, "err", err)

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._written.getvalue())

    @property
    def bar(self) -> str:
        return [line for line in self.text.splitlines() if line.strip()][-1].strip()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(monkeypatch)


def training_step(
    step: int, steps: int, validation: dict[str, float] | None = None
) -> TrainingStep:
    return TrainingStep(step, steps, 0.01234, 23.456, 1e-4, validation, 10.0, 1.2)


def test_a_log_gets_a_line_every_thirty_seconds_and_a_last_one(log: Log, clock: Clock) -> None:
    with progress.progress("eval demo", 100, clock=clock) as step:
        for _ in range(100):
            clock.passes(0.7)
            step()
    assert log.lines == [
        "eval demo: 43 of 100, 1.4 a second, 40 s left",
        "eval demo: 86 of 100, 1.4 a second, 10 s left",
        "eval demo: done, 100 of 100 in 1 min 10 s",
    ]


@pytest.mark.parametrize(("seconds", "written"), [(29.9, 0), (30.0, 2)])
def test_a_log_of_a_short_command_stays_clean(
    log: Log, clock: Clock, seconds: float, written: int
) -> None:
    with progress.progress("verify demo", 3, clock=clock) as step:
        step()
        clock.passes(seconds)
        step()
        step()
    assert len(log.lines) == written


def test_the_end_alone_is_no_reason_for_a_line(log: Log, clock: Clock) -> None:
    with progress.progress("export model.onnx", 1, clock=clock) as step:
        clock.passes(40)
        step()
    assert log.lines == []


@pytest.mark.parametrize("error", [RuntimeError("broken"), Stopped(15)], ids=["failed", "stopped"])
@pytest.mark.parametrize(("seconds", "last"), [(10, None), (40, "time: 2 of 9 after 1 min 20 s")])
def test_a_block_that_is_left_early_says_how_far_it_was(
    log: Log, clock: Clock, error: BaseException, seconds: float, last: str | None
) -> None:
    def block() -> None:
        with progress.progress("time", 9, clock=clock) as step:
            for _ in range(2):
                clock.passes(seconds)
                step()
            raise error

    with pytest.raises(type(error)):
        block()
    assert log.lines[-1:] == ([last] if last else [])
    assert not any("done" in line for line in log.lines)


def test_lines_are_whole_however_narrow_and_of_one_line(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    log = Log(monkeypatch, width=20)
    with progress.progress("eval a\nb\x1b[2J " + "x" * 90, 9, clock=clock) as step:
        clock.passes(31)
        step()
    first, _ = log.lines
    assert first.startswith(r"eval a\x0ab\x1b[2J xx")
    assert first.endswith("x: 1 of 9, 31 s each, 4 min left")


def test_a_log_file_gets_no_bar_where_colours_are_forced(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    log = Log(monkeypatch)
    with progress.progress("verify demo", 3, clock=clock) as step:
        step()
    assert log.lines == []


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("TERM", "dumb")
    err, written = console(40)
    monkeypatch.setattr(progress, "err", err)
    title = "verify " + "demo" * 20
    with progress.progress(title, 3, clock=clock) as step:
        clock.passes(30)
        step()
    assert written.getvalue().splitlines() == [
        f"{title}: 1 of 3, 30 s each, 1 min left",
        f"{title}: done, 1 of 3 in 30 s",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing(monkeypatch: pytest.MonkeyPatch, clock: Clock, terminal: bool) -> None:
    shown = Screen(monkeypatch, 80) if terminal else Log(monkeypatch)
    with progress.progress("eval", 9, True, clock=clock) as step:
        clock.passes(40)
        step()
    with progress.transfer_progress("prepare", 9, True, clock=clock) as transfer:
        clock.passes(40)
        transfer.received(10)
        transfer.picture()
    with progress.training_progress("demo", True, clock=clock) as report:
        clock.passes(40)
        report(training_step(1, 9, validation={"psnr": 20.0}))
    assert shown._written.getvalue() == ""


def test_a_transfer_in_a_log_has_bytes_and_their_rate(log: Log, clock: Clock) -> None:
    with progress.transfer_progress("prepare fivek", 500, clock=clock) as transfer:
        for _ in range(8):
            for _ in range(10):
                clock.passes(0.5)
                transfer.received(1_000_000)
            transfer.picture()
    assert log.lines == [
        "prepare fivek: 5 of 500, 60.0 MB, 2.0 MB/s, 5.0 s each, 41 min left",
        "prepare fivek: done, 8 of 500 in 40 s",
    ]


def test_a_transfer_that_stalls_is_seen(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    screen = Screen(monkeypatch, 120)
    with progress.transfer_progress("fivek", 3, clock=clock) as transfer:
        for _ in range(10):
            clock.passes(1)
            transfer.received(1_500_000)
        transfer.picture()
        clock.passes(120)
    for part in ("1/3", "15.0 MB"):
        assert part in screen.bar
    rate = re.search(r"MB ([\d.]+) (\w+)/s", screen.bar)
    assert rate is not None
    assert rate[2] in ("bytes", "kB")


def test_training_in_a_log(log: Log, clock: Clock) -> None:
    with progress.training_progress("demo seed 0", clock=clock) as report:
        for step in range(1, 41):
            clock.passes(1)
            validation = {"psnr": 25.31} if step == 20 else None
            report(training_step(step, 40, validation=validation))
    assert log.lines == [
        "step 20/40: training PSNR 23.46 dB, validation PSNR 25.31 dB",
        "demo seed 0: step 30 of 40, loss 0.01234, PSNR 23.46 dB, 1.0 a second, 10 s left",
        "demo seed 0: done, step 40 of 40 in 40 s",
    ]


@pytest.mark.parametrize("first", [1, 9001])
def test_what_is_left_is_by_the_rate_of_this_session(log: Log, clock: Clock, first: int) -> None:
    """A run that is resumed has not done its first 9000 steps within seconds."""
    with progress.training_progress("demo", clock=clock) as report:
        for step in range(first, first + 31):
            clock.passes(1)
            report(training_step(step, first + 89))
    assert "1.0 a second, 1 min left" in log.lines[0]


def test_the_first_step_of_a_resumed_run_is_one_step(log: Log, clock: Clock) -> None:
    with progress.training_progress("demo", clock=clock) as report:
        clock.passes(40)
        report(training_step(9001, 9004))
        assert "step 9001 of 9004" in log.lines[0]
        assert log.lines[0].endswith(" 40 s each, 2 min left")


def test_validations_count_in_what_is_left(log: Log, clock: Clock) -> None:
    with progress.training_progress("demo", clock=clock) as report:
        for step in range(1, 791):
            clock.passes(300 if step % 400 == 0 else 1)
            report(training_step(step, 4000))
    assert "1.4 s each" in log.lines[-2]


def test_what_an_earlier_run_had_made_is_no_pace(log: Log, clock: Clock) -> None:
    """Pairs that are there already are counted within a moment, after the pool has opened."""
    with progress.progress("prepare", 1000, clock=clock) as step:
        clock.passes(5)
        for _ in range(900):
            clock.passes(0.0002)
            step()
        for _ in range(3):
            clock.passes(12)
            step()
    assert log.lines[0] == "prepare: 903 of 1000, 12 s each, 19 min left"


def test_parallel_workers_that_end_together_have_the_pace_of_all() -> None:
    clock = Clock()
    tally = progress.Tally(1000, clock)
    for _ in range(5):
        clock.passes(20)
        for _ in range(8):
            clock.passes(0.01)
            tally.advance()
    assert tally.now().rate == pytest.approx(8 / 20, rel=0.15)


def test_the_pace_is_that_of_the_last_minutes() -> None:
    clock = Clock()
    tally = progress.Tally(10_000, clock)
    for seconds in (0.1, 1.0):
        for _ in range(1000):
            clock.passes(seconds)
            tally.advance()
    assert tally.now().rate == pytest.approx(1, rel=0.02)
    assert tally.now().left == pytest.approx(8000, rel=0.02)


def test_steps_of_minutes_have_a_pace_and_count_down() -> None:
    clock = Clock()
    tally = progress.Tally(5, clock)
    assert tally.now().left is None
    for _ in range(2):
        clock.passes(600)
        tally.advance()
    left = []
    for _ in range(4):
        left.append(tally.now().left)
        clock.passes(400)
    assert left == pytest.approx([1800, 1400, 1200, 1200])  # two more take 1200 in any case
    for _ in range(3):
        tally.advance()
    assert tally.now().left == 0


def test_a_title_is_only_read(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    screen = Screen(monkeypatch, 80)
    with progress.progress("eval \x1b[2Jdemo\n", 3, clock=clock):
        pass
    assert screen.bar.startswith(r"eval \x1b[2Jdemo\x0a ")


def test_a_total_of_nothing_is_done(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    screen = Screen(monkeypatch, 60)
    with progress.progress("sizes", 0, clock=clock):
        pass
    assert "0/0 in 0:00:00" in screen.bar


def test_a_bar_says_how_long_it_has_run_until_it_can_say_what_is_left(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    bars = []
    for steps in range(4):
        screen = Screen(monkeypatch, 80)
        with progress.progress("time", 3, clock=clock) as step:
            for _ in range(steps):
                clock.passes(4000)
                step()
            clock.passes(5 if steps < 3 else 0)
        bars.append(screen.bar.rpartition("/3 ")[2])
    assert bars == ["0:00:05 so far", "2:13:15 left", "1:06:35 left", "in 3:20:00"]


@given(
    st.integers(1, 200),
    st.text(max_size=40),
    st.lists(st.text(st.characters(codec="ascii"), min_size=1, max_size=16), min_size=1),
    st.lists(st.text("data 0%", min_size=1), max_size=2),
)
def test_a_bar_is_one_line_of_whole_parts(
    width: int, title: str, needed: list[str], spare: list[str]
) -> None:
    shown, bar, parts = progress.fitted(width, title, needed, spare)
    cells = [*([shown] if shown else []), *([" " * bar] if bar else []), *parts]
    if len(parts) > 1 or bar or shown:
        assert cell_len(" ".join(cells)) <= width
    assert parts == [*needed, *spare][: len(parts)]
    assert bar == 0 or progress.NARROWEST_BAR <= bar <= progress.WIDEST_BAR
    if len(parts) < len(needed):  # only what has no place at all goes
        assert cell_len(" ".join([*parts, needed[len(parts)]])) > width


def test_the_title_is_shortened_before_the_numbers() -> None:
    title, needed = "eval demo-retouch-pyramid seed-0 test full", ["120/500", "0:02:03 left"]
    assert progress.fitted(72, title, needed, ["data 5%"])[1:] == (8, needed)
    shown, bar, parts = progress.fitted(60, title, needed, ["data 5%"])
    assert (len(shown), bar, parts) == (60 - 30, 8, needed)


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (22, "eval demo seed-0 test"),
        (21, "eval demo seed-0 test"),
        (20, "eval demo …ed-0 test"),
        (8, "eval…est"),
        (7, ""),
    ],
)
def test_a_shortened_title_keeps_both_ends(width: int, text: str) -> None:
    assert progress.shortened("eval demo seed-0 test", width) == text


def test_a_wide_title_is_measured_in_cells() -> None:
    assert progress.shortened("写真写真写真写真写真", 11) == "写真…写真"


def test_steps_from_many_threads(log: Log, clock: Clock) -> None:
    """No line is torn or twice, and none goes back."""
    together = threading.Barrier(8)
    with progress.transfer_progress("prepare", 8001, clock=clock) as transfer:

        def work() -> None:
            together.wait()
            for _ in range(1000):
                clock.passes(0.05)
                transfer.received(1000)
                transfer.picture()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    *lines, last = log.lines
    assert last.startswith("prepare: done, 8000 of 8001 in ")
    counts = []
    for line in lines:
        match = re.fullmatch(
            r"prepare: (\d+) of 8001, [\d.]+ [kM]B, [\d.]+ \w+/s, \d+ a second, .* left", line
        )
        assert match, line
        counts.append(int(match[1]))
    assert counts == sorted(set(counts))
    assert 8000 * 0.05 / 30 - 2 <= len(counts) <= 8000 * 0.05 / 30 + 1


@pytest.mark.parametrize(
    ("width", "data"), [(80, ""), (140, r" data \d+%")], ids=["80 columns", "140 columns"]
)
def test_the_training_bar_of_a_real_terminal(tiny: Workspace, width: int, data: str) -> None:
    """At 80 columns all is whole but the share of the time that was waited for data."""
    set_ = ("--set", "training.steps=12345", "--set", "training.steps=12")
    code, lines = shown_on_a_terminal(width, tiny.path, "train", "tiny.yaml", *set_)
    assert code == 0, lines
    bars = [line.rstrip() for line in lines if line.startswith("tiny-set-")]
    assert all(cell_len(bar) <= width for bar in bars)
    numbers = r" 12/12 in 0:00:\d\d loss \d\.\d{5} PSNR [\d.]+ dB"
    assert re.search(numbers + data + "$", bars[-1]), bars[-1]
