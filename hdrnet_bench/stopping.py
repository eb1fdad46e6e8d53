"""Being asked to stop: Ctrl-C (SIGINT), SIGTERM and SIGHUP, one way for every command.

The first signal raises `Stopped` in the main thread, so that what is open is closed on the way out;
the second ends the process at once. Whoever keeps something of what was begun says so with
`says_when_stopped`; the command line prints it and exits with 128 + the signal's number. A signal
that was ignored when the process began, as Ctrl-C is for what a script runs in the background, goes
on being ignored. In a program that is not the command line, Ctrl-C is Python's KeyboardInterrupt as
ever, only held back where `asked_to_stop` holds it back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Of a terminal that is closed, or a connection that is lost: SIGHUP, which Windows has not.
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([] if sys.platform == "win32" else [signal.SIGHUP]))
# Signals so near to each other are one: a terminal and make, which started this, both send theirs.
ONE_SIGNAL_S = 0.5

Handler = Callable[[int, FrameType | None], None]


class Stopped(BaseException):
    """Somebody asked the command to stop. No Exception, and no KeyboardInterrupt either: nothing
    that handles those takes it for its own. `__notes__` say what is kept and how to go on."""

    def __init__(self, number: int) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f"stopped by {name}")
        self.exit_code = 128 + number


def raise_when_asked_to_stop() -> None:
    """From now on the first SIGINT or SIGTERM raises Stopped in the main thread."""
    _handle(_First())


def leave_when_asked_to_stop() -> None:
    """From now on a signal ends the process at once: for when all is done and said."""
    _handle(_leave)


def _handle(handler: Handler) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, handler)


class _First:
    """The handler that heeds a first signal. In the midst of an import it waits for the end of it,
    as an extension whose beginning is cut off ends the process; a second signal does not wait."""

    def __init__(self) -> None:
        self.asked: float | None = None
        self.waited = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        waited, self.waited = self.waited, False
        if self.asked is None:
            self.asked = now
        elif not waited and now - self.asked > ONE_SIGNAL_S:
            _leave(number, frame)
        if _imports(frame):
            again = threading.Timer(0.05, self._again, (number,))
            again.daemon = True
            again.start()
            return
        _leave_at_the_second(number, self.asked)
        raise Stopped(number)

    def _again(self, number: int) -> None:
        self.waited = True
        os.kill(os.getpid(), number)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported there, by a command or by what it calls."""
    while frame is not None and "hdrnet_bench/cli/" not in frame.f_code.co_filename:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave_at_the_second(number: int, first: float) -> None:
    _handle(_Second(number, first))


class _Second:
    """The handler once a first signal was heeded."""

    def __init__(self, number: int, first: float) -> None:
        self.number, self.first = number, first

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() - self.first > ONE_SIGNAL_S:
            _leave(number, frame)


def heeded() -> int | None:
    """The signal by which this process was asked to stop; None where it was not."""
    handlers = map(signal.getsignal, SIGNALS)
    return next((one.number for one in handlers if isinstance(one, _Second)), None)


def _leave(number: int, frame: FrameType | None) -> None:
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")  # the cursor, which a progress bar hides
    os._exit(128 + number)


@contextmanager
def says_when_stopped(text: str | Callable[[], str]) -> Iterator[None]:
    """Where the block is stopped, this is said: what is kept, and how to go on."""
    try:
        yield
    except (Stopped, KeyboardInterrupt) as stop:
        stop.add_note(text if isinstance(text, str) else text())
        raise


class Request:
    """Whether a stop was asked for while `asked_to_stop` held it back."""

    def __init__(self, of_the_command_line: bool) -> None:
        self.number: int | None = None
        self.of_the_command_line = of_the_command_line

    def __bool__(self) -> bool:
        return self.number is not None

    def stop(self) -> Stopped | KeyboardInterrupt:
        """What is to be raised for it."""
        if self.number is None or not self.of_the_command_line:
            return KeyboardInterrupt()
        return Stopped(self.number)


@contextmanager
def asked_to_stop() -> Iterator[Request]:
    """Hold the first signal back: the block looks at what is given to it between its steps, saves
    what there is, and raises its `stop()`. A second signal is not held back.

    Signals come to the main thread alone: in another one nothing is held back, and nothing is where
    they are handled by somebody else, or held back already.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if threading.current_thread() is not threading.main_thread():
        before = {}
    ours = {n: h for n, h in before.items() if isinstance(h, _First)}
    held = ours | {n: h for n, h in before.items() if h is signal.default_int_handler}
    request = Request(of_the_command_line=bool(ours))

    def release() -> None:
        for number, handler in held.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        request.number = number
        if request.of_the_command_line:
            _leave_at_the_second(number, time.monotonic())
        else:
            release()

    for number in held:
        signal.signal(number, note)
    try:
        yield request
    finally:
        if not (request and request.of_the_command_line):
            release()


@contextmanager
def signals_blocked() -> Iterator[None]:
    """No signal to stop arrives inside: it does at the end."""
    if sys.platform == "win32":  # which has no such masks
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
