"""Torch on one thread of the CPU, where work is small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """For work as small as the coefficient network's: threads that wait for each other at every
    layer, while other programs, or decoders and encoders, have the cores, cost ten times what they
    save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
