"""Processes that others start: none outlives the one that started it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from .stopping import signals_blocked

_SET_PARENT_DEATH_SIGNAL = 1  # of prctl


@contextmanager
def signals_kept_from_children() -> Iterator[None]:
    """A process that is started inside never gets the terminal's Ctrl-C, even while it imports:
    that is its parent's to answer, which ends it."""
    if sys.platform != "win32":
        # It starts with the first process, and then unblocks what was blocked before.
        resource_tracker.ensure_running()
    with signals_blocked():
        yield


def end_with_parent() -> None:
    """Called in a new process: it ends at once, and without a word, when its parent has ended.

    A killed parent cannot tell its children: they would go on working for nobody, and hold what
    they inherited, as the lock of a run. Linux kills them; elsewhere, and where the parent has
    ended before Linux was asked to, a thread that waits for the parent sees it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
