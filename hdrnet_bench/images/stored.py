"""The bytes of a picture file, read once and whole before anything decodes them.

What the system says (a failing disk, no permission, too many open files) is then told from what the
bytes say: decoders, LibRaw among them, make one error of both. And nothing is waited for: a pipe is
no picture, and a file has so many bytes at most.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import DataError, StorageError
from ..files import open_regular, unreadable
from .limits import max_bytes

_BLOCK = 1 << 20


def picture_bytes(path: Path) -> bytes:
    """The whole file.

    Raises StorageError where the system does not give it, and DataError where it is no regular
    file, or has more bytes than the largest picture (`limits.max_bytes`).
    """
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > max_bytes():
                raise DataError(
                    f"{path} has {size:,} bytes, over the {max_bytes():,} that a picture of the "
                    "most megapixels can have: HDRBENCH_MAX_MEGAPIXELS lifts the limit"
                )
            content = stream.read(size + 1)  # not as many as allowed: room is taken for all
    except FileNotFoundError:
        raise StorageError(f"{path} is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError:  # a NUL, or half a character
        raise DataError(f"{str(path)!r} is not the name of a file") from None
    if len(content) != size:
        raise StorageError(f"{path} has changed while it was read")
    return content


def not_zero(content: bytes, place: int) -> tuple[int, int]:
    """Where that begins and ends which is not only zeros from a place on; the same place twice
    where nothing is. Without a copy: behind a picture there may be gigabytes."""
    numbers = np.frombuffer(content, np.uint8)
    first, last = place, len(content)
    while first < last and not numbers[first : first + _BLOCK].any():
        first += _BLOCK
    if first >= last:
        return place, place
    first += int((numbers[first : first + _BLOCK] != 0).argmax())
    while not numbers[max(first, last - _BLOCK) : last].any():
        last -= _BLOCK
    rest = numbers[max(first, last - _BLOCK) : last]
    return first, last - int((rest[::-1] != 0).argmax())
