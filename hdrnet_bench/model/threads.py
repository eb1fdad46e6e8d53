"""Torch on one thread of the CPU, where work is small."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOCK = threading.Lock()
_inside: list[int] = []  # what was set before, of each thread that is inside


@contextmanager
def one_thread() -> Iterator[None]:
    """For work as small as the coefficient network's: threads that wait for each other at every
    layer, while other programs, or decoders and encoders, have the cores, cost ten times what they
    save.

    Torch keeps the number for each thread, and for threads to come the one that was set last: what
    the first that is inside had is what all have afterwards.
    """
    with _LOCK:
        before = _inside[0] if _inside else torch.get_num_threads()
        _inside.append(before)
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _LOCK:
            _inside.remove(before)
            torch.set_num_threads(before)
