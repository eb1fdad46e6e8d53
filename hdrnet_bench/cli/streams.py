"""stdout and stderr of a command: what happens where nobody reads them, or they cannot be written.

What a command reports goes to stdout: where that fails, the command has failed. Messages and
progress go to stderr: where nobody reads these any more, the work goes on all the same.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO, cast


class OutputFailed(BaseException):
    """stdout cannot be written. No Exception, and no OSError: libraries on the way (rich, typer)
    have exit codes of their own for these."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"stdout cannot be written: {error.strerror or error}")
        self.nobody_reads = error.errno == errno.EPIPE


class _Stream:
    """A text stream whose failures to write go to `failed`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _failed(self, error: OSError) -> None:
        raise NotImplementedError


class _Output(_Stream):
    def _failed(self, error: OSError) -> None:
        raise OutputFailed(error) from None


class _Messages(_Stream):
    def _failed(self, error: OSError) -> None:
        """Nobody reads them: the work goes on."""


def guard() -> None:
    """Make stdout and stderr such streams. A terminal that knows no Greek gets a "?"."""
    # A descriptor that is closed would be given to the next file that is opened, and whatever
    # writes to it by its number would write into that file.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, _Output(sys.stdout))
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, _Messages(sys.stderr))


def give_up_stdout() -> None:
    """What is still to be written there goes nowhere: else Python tries once more at its end, and
    has an exit code of its own for it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
