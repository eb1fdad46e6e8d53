"""After each test the handlers of signals are those from before."""

import signal
from collections.abc import Iterator

import pytest

from hdrnet_bench.stopping import SIGNALS


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """A signal that was heeded leaves the handlers of the next one in place."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
