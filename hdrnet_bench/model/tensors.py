"""safetensors files: written whole and with the modes of other files, read by what they claim.

The library's own `save_file` leaves temporary files behind when it is killed, and makes the result
its user's alone; its `safe_open` waits for a pipe, and maps a file, so that a failing disk, or one
who shortens the file meanwhile, ends the process.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..errors import CapabilityError, DataError
from ..files import json_value, open_regular, unreadable, write_bytes
from ..memory import available

# The header of the largest model lists its tensors and the ids of some thousand pictures.
MOST_HEADER = 1 << 24
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Claims(NamedTuple):
    """What a file's header says: texts by key, and type and shape of each tensor."""

    metadata: dict[str, str]
    tensors: dict[str, tuple[torch.dtype, torch.Size]]


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a file: whole and on the disk, or not at all. Raises OSError."""
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(whole, metadata), durable=True)


_ASKED_ABOUT = 1 << 26


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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors, on the CPU.

    Raises as `read_claims`, and CapabilityError where they do not fit into memory.
    """
    read_claims(path)
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            # As it is read, and as tensors. What is small is not asked about: the kernel's own
            # count is no more exact.
            if size > _ASKED_ABOUT and 2 * size > available():
                raise CapabilityError(f"{path} has {size:,} bytes: more than there is memory for")
            return safetensors.torch.load(stream.read(size))
    except OSError as error:
        raise unreadable(path, error) from None
    except safetensors.SafetensorError as error:
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
    tensors: dict[str, tuple[torch.dtype, torch.Size]] = {}
    total = 0
    for name, entry in content.items():
        tensors[name], length_of_one = _claim(name, entry)
        total += length_of_one
    if total != size - 8 - length:
        raise ValueError(f"its tensors have {total:,} bytes, it holds {size - 8 - length:,}")
    return Claims(metadata, tensors)


def _claim(name: str, entry: Any) -> tuple[tuple[torch.dtype, torch.Size], int]:
    """A tensor's type and shape, and its length in bytes. Raises ValueError."""
    try:
        dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
        begin, end = entry["data_offsets"]
        sizes = [*shape, begin, end]
        if not all(type(each) is int and 0 <= each < 1 << 48 for each in sizes):
            raise ValueError
        length = math.prod(shape) * dtype.itemsize
        if end - begin != length:
            raise ValueError
        return (dtype, torch.Size(shape)), length
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"it does not say of what type and size {name[:80]!r} is") from None
