"""One process at a time: a lock file beside what is written, gone when the work is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from .errors import DataError, StorageError
from .stopping import signals_blocked


@contextmanager
def locked(path: Path, busy: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Inside, no other process of this machine is inside for the same path, a hidden file.

    Args:
        busy: says what the other one does.
        waiting: is given `busy` where there is another, and its end is waited for.

    Raises DataError with `busy` where there is another one, unless it is waited for; StorageError
    where the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        if not _acquired(lock):
            if waiting is None:
                raise DataError(busy)
            waiting(busy)
            while not _acquired(lock):
                time.sleep(0.05)
        yield
    finally:
        if lock.is_locked:
            # While it is held: whoever opened it before finds that it has no name any more, and
            # takes the next one.
            path.unlink(missing_ok=True)
            lock.release()


def _acquired(lock: filelock.BaseFileLock) -> bool:
    """Whether it is this process's now. Where a signal comes meanwhile, it is so first: the file
    is known to be there."""
    with signals_blocked():
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(
                f"{lock.lock_file} cannot be locked: {reason}; a folder on a disk of this machine "
                "can be"
            ) from None
    return True
