"""The coefficient network on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch's layers on one thread of the CPU, for a network as small as the coefficients': threads
    that wait for each other at every layer, while decoders and encoders have the cores, cost ten
    times what they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
