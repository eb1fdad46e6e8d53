"""Processes that others start: none outlives the one that started it."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Called in a new process: it ends at once, and without a word, when its parent has ended.

    A killed parent cannot tell its children: they would go on working for nobody, and hold what
    they inherited, as the lock of a run.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
