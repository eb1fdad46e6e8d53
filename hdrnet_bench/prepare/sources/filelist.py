"""Files that list names, one a line: a filelist.txt, as the reference implementation has it, and
the lists of a split."""

from __future__ import annotations

import codecs
import io
from pathlib import Path, PurePosixPath

from ...errors import DataError
from ...files import read_bytes, sha256_bytes
from .source_files import readable


def entries(path: Path, folder: Path) -> list[str]:
    """The paths that the file lists, below `folder`, each written in one way only.

    Raises DataError that names a file which is no UTF-8 text, or cannot be read.
    """
    return [_in_one_way(line, folder) for line in lines(path)[0]]


def lines(path: Path) -> tuple[list[str], str]:
    """The lines that say something, and the file's SHA-256. Raises as `entries`."""
    with readable(path):
        content = read_bytes(path)
    try:
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds zero bytes, as UTF-16 does")
    except ValueError as error:
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        reason = "it is UTF-16" if is_utf16 else str(error)
        raise DataError(f"{path} cannot be read: {reason}; save it as UTF-8") from None
    stripped = (line.strip() for line in io.StringIO(text, newline=None))
    return [line for line in stripped if line], sha256_bytes(content)


def _in_one_way(line: str, folder: Path) -> str:
    """A line as a path with slashes, each path in one way only. Windows writes backslashes; on
    other systems one may belong to a name, and does where there is such a file."""
    if "\\" in line and not is_file(folder / line):
        line = line.replace("\\", "/")
    return str(PurePosixPath(line))


def is_file(path: Path) -> bool:
    """Also of a line that could be no file's name, as one that is too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
