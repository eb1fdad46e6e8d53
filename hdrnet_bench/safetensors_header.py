"""What a safetensors file claims to hold: its header, read by hand and without torch.

The library's own `safe_open` waits for a pipe, and maps a file, so that a failing disk, or one who
shortens the file meanwhile, ends the process.
"""

from __future__ import annotations

import math
import os
import struct
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from .errors import DataError
from .files import json_value, open_regular, unreadable

# The header of the largest model lists its tensors and the ids of some thousand pictures.
MOST_HEADER = 1 << 24
# Bytes of a number, by the format's names.
_SIZES = {
    **dict.fromkeys(("F64", "I64"), 8),
    **dict.fromkeys(("F32", "I32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL"), 1),
}


class Claims(NamedTuple):
    """What a file's header says: texts by key, and of each tensor type (as the format names it,
    "F32") and shape."""

    metadata: dict[str, str]
    tensors: dict[str, tuple[str, tuple[int, ...]]]


def read_claims(path: Path) -> Claims:
    """The header alone, which must account for every byte of the file.

    Raises DataError where it is no safetensors file, or not a whole one; StorageError where it
    cannot be read.
    """
    try:
        with open_regular(path) as stream:
            return _claims(stream)
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, DataError) as error:
        raise DataError(f"{path} is not a whole safetensors file: {error}") from None


def _claims(stream: BufferedReader) -> Claims:
    size = os.fstat(stream.fileno()).st_size
    start = stream.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= length <= min(MOST_HEADER, size - 8):
        raise ValueError(f"it claims a header of {length:,} bytes, and has {size:,} in all")
    content = json_value(stream.read(length))
    if not isinstance(content, dict):
        raise ValueError("its header is not a mapping")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata is not text")
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    total = 0
    for name, entry in content.items():
        tensors[name], length_of_one = _claim(name, entry)
        total += length_of_one
    if total != size - 8 - length:
        raise ValueError(f"its tensors have {total:,} bytes, it holds {size - 8 - length:,}")
    return Claims(metadata, tensors)


def _claim(name: str, entry: Any) -> tuple[tuple[str, tuple[int, ...]], int]:
    """A tensor's type and shape, and its length in bytes. Raises ValueError."""
    try:
        dtype, shape = entry["dtype"], entry["shape"]
        begin, end = entry["data_offsets"]
        sizes = [*shape, begin, end]
        if not all(type(each) is int and 0 <= each < 1 << 48 for each in sizes):
            raise ValueError
        length = math.prod(shape) * _SIZES[dtype]
        if end - begin != length:
            raise ValueError
        return (dtype, tuple(shape)), length
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"it does not say of what type and size {name[:80]!r} is") from None
