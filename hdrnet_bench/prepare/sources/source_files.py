"""Source files: found below folders, hashed, and read so that all that is made of one is made of
the same bytes.

What the bytes say leaves a pair out. What the system says raises StorageError: it may pass.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NoReturn

from ...errors import DataError, StorageError
from ...files import sha256_file, unreadable
from ..build import RejectedPair, decode_rejections
from ..schedule import in_threads


@contextmanager
def reading(*paths: Path, expected: Sequence[str] | None = None) -> Iterator[list[str]]:
    """Around what makes a pair of these files; gives their SHA-256.

    The files are read more than once: to hash them, and to decode them. Each one's size, time of
    change and inode before and after tell whether all that was of the same bytes, at the price of
    two looks. Where the pair is to be left out, the files are read once more: a failing disk looks
    to some decoders like a broken file.

    Args:
        paths: the files.
        expected: what they hashed to when the dataset was planned.

    Raises RejectedPair as `decode_rejections`, StorageError where a file cannot be read or is
    another one than it was.
    """
    before = [_state(path) for path in paths]
    hashes = [hashed(path) for path in paths]
    for path, now, then in zip(paths, hashes, expected or hashes, strict=True):
        if now != then:
            raise StorageError(f"{path} is another file than when the dataset was planned")
    try:
        with decode_rejections(*paths):
            yield hashes
    except RejectedPair:
        for path, sha256 in zip(paths, hashes, strict=True):
            if hashed(path) != sha256:
                raise _changed(path) from None
        raise
    for path, state in zip(paths, before, strict=True):
        if _state(path) != state:
            raise _changed(path)


def hashed(path: Path) -> str:
    """A source file's SHA-256. Raises StorageError where it cannot be read, and DataError where it
    is no regular file."""
    with readable(path):
        return sha256_file(path)


# Given how many files there are, opens what is called after each.
Counted = Callable[[int], AbstractContextManager[Callable[[], None]]]


def uncounted(count: int) -> AbstractContextManager[Callable[[], None]]:
    return nullcontext(lambda: None)


def hash_all(paths: Sequence[Path], counted: Counted = uncounted) -> dict[Path, str]:
    """The SHA-256 of each of these files, several read at once. Raises as `hashed`."""

    def hash_one(path: Path) -> str:
        sha256 = hashed(path)
        step()
        return sha256

    with counted(len(paths)) as step:
        return dict(zip(paths, in_threads(hash_one, paths), strict=True))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What the system says of the file inside is raised as StorageError that names it."""
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from None


def _not_listed(error: OSError) -> NoReturn:
    """For os.walk, which passes over folders that it cannot read."""
    raise StorageError(f"{error.filename} cannot be listed: {error.strerror or error}") from None


def is_utf8(name: str) -> bool:
    """Whether a file's name is text: on Linux it need not be, and rows are UTF-8."""
    return not any("\ud800" <= mark <= "\udfff" for mark in name)


def files_below(folders: list[Path]) -> list[Path]:
    """All files below the folders, each once, links followed.

    Paths are absolute: a cluster's workers have another current directory.
    """
    files: set[Path] = set()
    visited: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}")
        for place, subfolders, paths in _walk(folder.resolve(), follow_links=True):
            real = place.resolve()
            if real in visited:  # two options name it, or a link leads there: perhaps in a circle
                subfolders.clear()
                continue
            visited.add(real)
            files.update(path for path in paths if path.is_file())
    return sorted(files)


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, and links to some, in order; without those that are passed over."""
    place, names, _ = next(_walk(folder))
    return [place / name for name in names]


def files_by_name(folder: Path) -> dict[str, list[Path]]:
    """All but folders below a folder by their path without suffix."""
    files: dict[str, list[Path]] = {}
    for _, _, paths in _walk(folder):
        for path in paths:
            name = path.relative_to(folder).with_suffix("").as_posix()
            files.setdefault(name, []).append(path)
    return files


def _walk(
    folder: Path, *, follow_links: bool = False
) -> Iterator[tuple[Path, list[str], list[Path]]]:
    """Each folder, the names of those in it, of which a caller may strike some out, and what else
    is in it; in order.

    Passed over: what is hidden, as the rubbish bin of a disk is, and `lost+found` at the top of
    one, which is nobody's to read. Raises StorageError for another that cannot be listed.
    """
    walk = os.walk(folder, followlinks=follow_links, onerror=_not_listed)
    for place, subfolders, names in walk:
        shown = sorted(name for name in subfolders if not name.startswith("."))
        subfolders[:] = [name for name in shown if name != "lost+found"]
        paths = [Path(place) / name for name in sorted(names) if not name.startswith(".")]
        yield Path(place), subfolders, paths


def is_regular(path: Path) -> bool:
    """Whether what was listed is a regular file, or a link to one: not a pipe, nor a link that
    leads nowhere. Raises StorageError where it has gone since, or the system does not say."""
    with readable(path):
        try:
            return stat.S_ISREG(path.stat().st_mode)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink():
                return False
            raise


def _state(path: Path) -> tuple[int, int, int]:
    with readable(path):
        status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _changed(path: Path) -> StorageError:
    return StorageError(f"{path} has changed while it was read")
