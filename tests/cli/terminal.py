"""Terminals to print to: made up ones, and real pseudo terminals."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

from hdrnet_bench.cli.console import CleanConsole
from tests.conftest import clean_environment


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def console(width: int, terminal: bool = True) -> tuple[CleanConsole, io.StringIO]:
    """A console like those of the command line, and what is written there."""
    written = _Terminal() if terminal else io.StringIO()
    options = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}
    return CleanConsole(file=written, width=width, color_system=None, **options), written


def shown_on_a_terminal(
    width: int, folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> tuple[int, list[str]]:
    """The exit code of a command whose streams are a pseudo terminal that is so wide, and the lines
    that it wrote there, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {k: v for k, v in clean_environment().items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "hdrnet_bench", *arguments],
        cwd=folder,
        env=environment | {"TERM": "xterm", "OMP_NUM_THREADS": "1"} | dict(env or {}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    received = b""
    try:
        while block := os.read(ours, 1 << 16):
            received += block
    except OSError:  # Linux's end of a pseudo terminal
        pass
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", received.decode()).replace("\r\n", "\n")
    return process.wait(60), text.splitlines()
