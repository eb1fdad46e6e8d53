"""Small files of servers that are fetched once for all: lists of names, texts of licences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import DataError, StorageError
from ...files import read_bytes, sha256_bytes, write_bytes
from ...locks import locked
from ...paths import cache_dir
from .download import SMALL, Downloads
from .partial import ExpectedFile


def cached_content(url: str, sha256: str) -> bytes:
    """A small file's content, from the cache, or from its address and into the cache.

    Raises DataError where neither has it, StorageError where the cache cannot be used.
    """
    path = cache_dir() / sha256
    with in_cache(path):
        try:
            if not path.is_file() or ExpectedFile(sha256, None, None).contradiction(path):
                with Downloads(retries=2) as downloads:
                    downloads.fetch(url, path, sha256=sha256, limits=SMALL)
            return read_bytes(path, SMALL.size)
        except StorageError:
            raise
        except DataError as error:
            raise DataError(f"{error}; or get that file otherwise and put it at {path}") from None


def keep_content(content: bytes) -> None:
    """Put a small file's content, which came another way, where fetching would have put it. Raises
    StorageError where the cache cannot be used."""
    sha256 = sha256_bytes(content)
    path = cache_dir() / sha256
    with in_cache(path):
        if not path.is_file() or ExpectedFile(sha256, None, None).contradiction(path):
            write_bytes(path, content)


@contextmanager
def in_cache(path: Path) -> Iterator[None]:
    """Inside, no other process fetches that file of the cache: its end is waited for, and then the
    file is there. Raises StorageError, besides, where the cache cannot be used."""
    lock, busy = path.with_name(f".{path.name}.lock"), f"another process is fetching {path}"
    try:
        with locked(lock, busy, waiting=lambda busy: None):  # a few seconds
            yield
    except StorageError as error:
        raise StorageError(f"{error}; HDRBENCH_CACHE puts the cache elsewhere") from None
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path}: {reason}; HDRBENCH_CACHE puts the cache elsewhere") from None
