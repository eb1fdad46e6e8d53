"""What the decoders' libraries log while they read: their warnings, which they raise for nobody."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread, self.heard = threading.get_ident(), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.heard.append(" ".join(record.getMessage().split())[:200])


@contextmanager
def warnings_of(library: str) -> Iterator[list[str]]:
    """A list of what the library logs from now on, of this thread's work alone."""
    logger, ear = logging.getLogger(library), _Ear()
    logger.addHandler(ear)
    try:
        yield ear.heard
    finally:
        logger.removeHandler(ear)
