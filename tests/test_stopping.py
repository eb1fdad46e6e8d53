"""Being asked to stop, in real processes that get real signals."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BEGIN = """
import sys, time
from hdrnet_bench.stopping import *
from hdrnet_bench.stopping import Stopped
raise_when_asked_to_stop()
"""


def run(code: str, *signals: int, pause_s: float = 0.8) -> tuple[int, str]:
    """Run it; once it says "ready", send it the signals. Its exit code, and what it said then."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for number in signals:
        process.send_signal(number)
        time.sleep(pause_s)
    # Not communicate: it does not see what was read ahead with the first line.
    text = process.stdout.read()
    return process.wait(timeout=30), text


@pytest.mark.fault("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_raises_what_no_handler_of_errors_takes(number: int) -> None:
    code = """
try:
    try:
        with says_when_stopped(lambda: "three of four are kept"):
            print("ready", flush=True)
            time.sleep(20)
    except (Exception, KeyboardInterrupt):
        print("taken for an error")
    finally:
        print("closed")
except Stopped as stop:
    print(stop, stop.__notes__)
    sys.exit(stop.exit_code)
"""
    by = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    said = f"closed\nstopped by {by} ['three of four are kept']\n"
    assert run(code, number) == (128 + number, said)


@pytest.mark.fault("signals")
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("held_back", [False, True])
def test_the_second_signal_ends_the_process(second: int, held_back: bool) -> None:
    code = """
try:
    print("ready", flush=True)
    time.sleep(20)
except Stopped:
    time.sleep(20)
"""
    if held_back:
        code = """
with asked_to_stop() as request:
    print("ready", flush=True)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        time.sleep(0.01)
"""
    start = time.monotonic()
    assert run(code, signal.SIGINT, second) == (128 + second, "")
    assert time.monotonic() - start < 15


@pytest.mark.fault("signals")
@pytest.mark.parametrize("numbers", [(2, 15), (15, 2), (2, 2, 2)])
def test_signals_at_once_are_one(numbers: tuple[int, ...]) -> None:
    """A terminal and a program that started this one, as make does, both send theirs."""
    code = """
try:
    with says_when_stopped("all is kept"):
        print("ready", flush=True)
        time.sleep(20)
except Stopped as stop:
    time.sleep(0.3)
    print(*stop.__notes__)
    sys.exit(stop.exit_code)
"""
    ends, said = run(code, *numbers, pause_s=0.02)
    assert (ends in (130, 143), said) == (True, "all is kept\n")


@pytest.mark.fault("signals")
def test_a_signal_that_was_ignored_goes_on_being_ignored() -> None:
    """As Ctrl-C is for what a script runs in the background."""
    command = f"trap '' INT; exec {sys.executable} -c "
    code = """
with asked_to_stop() as request:
    print("ready", flush=True)
    time.sleep(1)
    print(bool(request))
time.sleep(0.5)
"""
    process = subprocess.Popen(
        ["sh", "-c", command + shlex.quote(BEGIN + code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.6)
    assert process.stdout.read() == "False\n"
    assert process.wait(timeout=30) == 0


@pytest.mark.fault("signals")
def test_in_another_program_ctrl_c_is_pythons_own_and_its_handlers_stay() -> None:
    """There nobody has called `raise_when_asked_to_stop`, and SIGTERM ends it as ever."""
    code = """
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with asked_to_stop() as request:
    print("ready", flush=True)
    while not request:
        time.sleep(0.01)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
print(type(request.stop()).__name__)
"""
    assert run("import signal\n" + code, signal.SIGINT) == (0, "KeyboardInterrupt\n")
    assert run("import signal\n" + code, signal.SIGTERM) == (-signal.SIGTERM, "")


@pytest.mark.fault("signals")
def test_a_signal_can_be_held_back_until_a_step_is_whole() -> None:
    code = """
with asked_to_stop() as request:
    print("ready", flush=True)
    for step in range(100):
        time.sleep(0.05)
        if request:
            print("whole", step < 99)
            raise SystemExit(request.number)
"""
    assert run(code, signal.SIGTERM) == (signal.SIGTERM, "whole True\n")


@pytest.mark.fault("signals")
def test_after_holding_back_the_first_signal_raises_again() -> None:
    code = """
with asked_to_stop() as request:
    pass
assert not request
try:
    print("ready", flush=True)
    time.sleep(20)
except Stopped:
    print("raised")
"""
    assert run(code, signal.SIGINT) == (0, "raised\n")


@pytest.mark.fault("signals")
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_process_that_is_started_answers_no_signal(method: str) -> None:
    """As when the terminal sends Ctrl-C to both; and the one that started it answers at once."""
    code = f"""
import multiprocessing, os
from hdrnet_bench.processes import signals_kept_from_children

context = multiprocessing.get_context({method!r})
child = context.Process(target=time.sleep, args=(2,))
with signals_kept_from_children():
    child.start()
try:
    print("ready", flush=True)
    os.kill(child.pid, 2)
    os.kill(child.pid, 15)
    time.sleep(20)
except Stopped:
    child.join()
    print("child ended with", child.exitcode)
"""
    assert run(code, signal.SIGINT) == (0, "child ended with 0\n")


@pytest.mark.fault("signals")
def test_what_is_blocked_arrives_at_the_end() -> None:
    code = """
try:
    with signals_blocked():
        print("ready", flush=True)
        time.sleep(1)
        print("whole", flush=True)
    print("too far")
except Stopped:
    print("stopped")
"""
    assert run(code, signal.SIGINT) == (0, "whole\nstopped\n")


@pytest.mark.fault("signals")
def test_a_signal_while_the_command_line_is_imported() -> None:
    """It waits for the end of the imports; what is done first afterwards is made to last."""
    code = """
import os, pathlib, sys
from hdrnet_bench.cli import main

here = pathlib.Path.cwd()
pathlib.Path.cwd = lambda: time.sleep(1) or here

class Finder:
    def find_spec(self, name, *arguments):
        if name == "typer":
            os.kill(os.getpid(), 2)

sys.meta_path.insert(0, Finder())
print("ready", flush=True)
sys.argv[1:] = ["recipes"]
main()
"""
    ends, said = run(code)
    assert ends == 130
    assert "Traceback" not in said


@pytest.mark.fault("signals")
def test_a_signal_when_all_is_done_is_no_traceback() -> None:
    code = """
import atexit, os
from hdrnet_bench.cli import main

print("ready", flush=True)
sys.argv[1:] = ["--version"]
atexit.register(lambda: os.kill(os.getpid(), 15))
main()
"""
    code_, said = run(code)
    assert code_ == 143
    assert "Traceback" not in said
    assert "Stopped" not in said


@pytest.mark.fault("signals")
def test_a_stop_that_became_an_error_of_foreign_code_is_a_stop() -> None:
    """As in matplotlib's C code, which has an error of its own for whatever is raised in it."""
    code = """
from hdrnet_bench.cli import app

def command(standalone_mode):
    try:
        print("ready", flush=True)
        time.sleep(20)
    except Stopped:
        raise ValueError("invalid matrix") from None

app._command = lambda: command
app.main()
"""
    assert run(code, signal.SIGINT) == (130, "hdrbench: stopped by Ctrl-C\n")


@pytest.mark.fault("signals")
def test_no_import_is_cut_off(tmp_path: Path) -> None:
    """An extension whose beginning is cut off ends the process."""
    (tmp_path / "slow.py").write_text(
        "import time\nprint('ready', flush=True)\ntime.sleep(1)\nprint('imported', flush=True)\n"
    )
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
try:
    import slow
    time.sleep(20)
except Stopped:
    print("stopped")
"""
    assert run(code, signal.SIGINT) == (0, "imported\nstopped\n")


IMPORTING = """
import pathlib, tempfile
folder = tempfile.mkdtemp()
pathlib.Path(folder, "slow_module.py").write_text(
    "import time\\nprint('ready', flush=True)\\n"
    "end = time.monotonic() + {seconds}\\n"
    "while time.monotonic() < end: time.sleep(0.01)\\n"
    "print('imported', flush=True)\\n"
)
sys.path.insert(0, folder)
try:
    import slow_module
    time.sleep(20)
except Stopped as stop:
    print(stop)
    sys.exit(stop.exit_code)
"""


@pytest.mark.fault("signals")
@pytest.mark.parametrize(
    ("seconds", "signals", "expected"),
    [
        (1.5, (signal.SIGINT,), (130, "imported\nstopped by Ctrl-C\n")),
        (20, (signal.SIGINT, signal.SIGTERM), (143, "")),
    ],
)
def test_a_signal_waits_for_an_import_and_a_second_one_does_not(
    seconds: float, signals: tuple[int, ...], expected: tuple[int, str]
) -> None:
    start = time.monotonic()
    assert run(IMPORTING.replace("{seconds}", str(seconds)), *signals) == expected
    assert time.monotonic() - start < 15
