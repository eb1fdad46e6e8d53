"""Commands in processes of their own, to be stopped; and what they have started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.conftest import clean_environment

HDRBENCH = (sys.executable, "-m", "hdrnet_bench")


def start(
    folder: Path, *arguments: str, command: Sequence[str] = HDRBENCH
) -> subprocess.Popen[str]:
    """As a terminal starts it: in a group of its own, which Ctrl-C reaches as a whole."""
    return subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=clean_environment() | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = 60) -> tuple[str, str]:
    """Its output and messages once it has ended. Where it goes on, or something that it started
    holds these open, an error says what runs, and where its threads stand."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        running = {
            pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            for pid in (process.pid, *descendants(process.pid))
            if _is_running(pid)
        }
        process.send_signal(signal.SIGABRT)  # of which Python's faulthandler writes all threads
        time.sleep(1)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=seconds)
        raise AssertionError(f"not ended after {seconds} s: {running}\n{errors}") from None


def children(process: int) -> list[int]:
    """What any of its threads has started; nothing where it has just ended."""
    try:
        tasks = list(Path(f"/proc/{process}/task").glob("*/children"))
        return sorted(int(child) for task in tasks for child in task.read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return []


def workers(process: int) -> list[int]:
    """Its children that were spawned to work: not multiprocessing's tracker of resources."""
    found = []
    for child in children(process):
        try:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants(process: int) -> set[int]:
    direct = children(process)
    return set(direct).union(*map(descendants, direct))


def all_gone(processes: Iterable[int]) -> bool:
    """Whether they have ended, waited for as long as the kernel takes."""
    deadline = time.monotonic() + 20
    while any(map(_is_running, processes)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _is_running(process: int) -> bool:
    """Not one that has ended, and that nobody has asked about yet."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
