"""Processes that others start: none outlives the one that started it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

_SET_PARENT_DEATH_SIGNAL = 1  # of prctl


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
