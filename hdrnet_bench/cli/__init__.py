"""The command line, a module for each group of commands.

Open app.py first: it collects the commands and turns errors into exit codes.
"""

from __future__ import annotations

import sys

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
    run()
