"""The command line, a module for each group of commands.

Open app.py first: it collects the commands and turns errors into exit codes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from ..stopping import Stopped, raise_when_asked_to_stop


def main() -> None:
    """Entry point of `hdrbench` and of `python -m hdrnet_bench`."""
    # First of all: the imports of the commands take long enough for a Ctrl-C.
    raise_when_asked_to_stop()
    try:
        from .app import main as run
    except Stopped as stop:
        sys.stderr.write(f"hdrbench: {stop}\n")
        sys.exit(stop.exit_code)
    try:
        run()
    except SystemExit as end:
        if "TORCHELASTIC_RUN_ID" in os.environ:
            _leave(end.code if isinstance(end.code, int) else 1)
        raise


def _leave(code: int) -> NoReturn:
    """End a process of torchrun without Python's and C++'s clearing up, in which torch's threads
    now and then abort it ("terminate called without an active exception") and with it the others,
    when all is written and said."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
