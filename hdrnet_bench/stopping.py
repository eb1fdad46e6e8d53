"""Being asked to stop: Ctrl-C (SIGINT) and SIGTERM, one way for every command.

The first signal raises `Stopped` in the main thread, so that what is open is closed on the way out;
the second ends the process at once. Whoever keeps something of what was begun says so with
`says_when_stopped`; the command line prints it and exits with 128 + the signal's number.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Somebody asked the command to stop. No Exception, and no KeyboardInterrupt either: nothing
    that handles those takes it for its own. `__notes__` say what is kept and how to go on."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'}")
        self.exit_code = 128 + number


def raise_when_asked_to_stop() -> None:
    """From now on the first SIGINT or SIGTERM raises Stopped in the main thread."""
    for number in SIGNALS:
        signal.signal(number, _raise)


def leave_when_asked_to_stop() -> None:
    """From now on a signal ends the process at once: for when all is done and said."""
    for number in SIGNALS:
        signal.signal(number, _leave)


def _raise(number: int, frame: FrameType | None) -> None:
    leave_when_asked_to_stop()
    raise Stopped(number)


def _leave(number: int, frame: FrameType | None) -> None:
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

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None


@contextmanager
def asked_to_stop() -> Iterator[Request]:
    """Hold the first signal back: the block looks at what is given to it between its steps, saves
    what there is, and raises Stopped(request.number). A second signal ends the process at once.

    Signals come to the main thread alone: in another one nothing is held back.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.number = number
        leave_when_asked_to_stop()

    before = {each: signal.signal(each, note) for each in SIGNALS}
    try:
        yield request
    finally:
        if not request:
            for each, handler in before.items():
                signal.signal(each, handler)


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
