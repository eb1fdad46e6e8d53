"""Writing files so that a half-written one never looks complete, reading them so that nothing that
somebody hands in is waited for or swallowed without end; JSON and digests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from .errors import DataError, StorageError

# The most that a file of text may have: of the largest datasets, rows take some megabytes.
MOST_BYTES = 1 << 28


def _numbering() -> str:
    """In which numbers of processes mean the same: a machine, or a container on it."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 (no file of its own)
    except OSError:
        namespace = 0
    return f"{zlib.crc32(f'{platform.node()} {namespace}'.encode()):08x}"


_HOST = _numbering()
_TEMPORARY = re.compile(r"\.tmp-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\b.*")


@contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`; renamed over it when the block succeeds, removed when not.

    The temporary name keeps the suffix, by which some writers choose the format, and says whose it
    is, so that `sweep` finds what a process that was killed has left.

    durable: on the disk before it has its name, so that a machine that loses power has the old file
        or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = f".tmp-{_HOST}-{os.getpid()}-{secrets.token_hex(6)}{path.suffix}"
    temporary = path.with_name(name)
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # the name that somebody gave
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # A file system that cannot say so, as some that lie on a network.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the temporary files that processes of this machine which have ended left in a folder.
    Those of another machine stay: nobody here knows whether it still writes them."""
    for path in folder.glob(".tmp-*"):
        owner = _TEMPORARY.fullmatch(path.name)
        if owner and owner[1] == _HOST and not _is_running(int(owner[2])) and path.is_file():
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user, or no number of a process
        return True
    return True


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    write_bytes(path, text.encode(), durable=durable)


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """A file, opened for reading, which is a regular one: a pipe would be waited for without end,
    and a device never ends.

    Raises DataError where it is something else, OSError where it cannot be opened.
    """
    # Without waiting for whoever might write into a pipe; a folder is refused by open itself.
    with open(path, "rb", opener=_without_waiting) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise DataError(f"{path} is not a regular file")
        yield stream


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """A regular file's content. Raises DataError where it is none, or has more than `most` bytes;
    OSError where it cannot be read."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        # A byte more than it has tells a file that grows meanwhile, or that has no size, as those
        # of /proc.
        content = b"" if size > most else stream.read(size + 1)
        if len(content) > size:
            content += stream.read(most + 1 - len(content))
        if max(size, len(content)) > most:
            raise DataError(f"{path} has over {most:,} bytes, more than such a file may have")
        return content


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """The same as text. Raises ValueError besides where it is not UTF-8."""
    return read_bytes(path, most).decode("utf-8")


def json_text(value: Any) -> str:
    """JSON as this project writes it: sorted keys, indented, NaN and infinity refused."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def json_line(value: Any) -> str:
    """The same on one line, without white space: the canonical form that digests are taken of."""
    return json.dumps(
        value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )


def unreadable(path: Path, error: OSError) -> StorageError:
    """What the system said of a file that was to be read, as the error that names it."""
    return StorageError(f"{path} cannot be read: {error.strerror or error}")


def json_value(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError for anything that is none, or is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_json(path: Path) -> Any:
    """Parse a JSON file. Raises DataError that names the file where it is missing or broken."""
    return read_json_bytes(path)[0]


def read_json_bytes(path: Path, most: int = MOST_BYTES) -> tuple[Any, bytes]:
    """The same, and the bytes that were parsed, for whoever passes them on. Raises DataError
    besides where it has more than `most` bytes."""
    try:
        content = read_bytes(path, most)
        return json_value(content.decode("utf-8")), content
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from None


def sha256_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256_text(text: str) -> str:
    return sha256_bytes(text.encode())


def sha256_file(path: Path) -> str:
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def by_name(text: str, *paths: Path) -> str:
    """A message with each path replaced by its file name: a dataset that is passed on must not
    tell where files lay on this machine."""
    for path in paths:
        text = text.replace(str(path), path.name)
    return text
