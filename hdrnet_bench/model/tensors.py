"""Tensors in safetensors files: written whole and with the modes of other files, read by what the
header claims (safetensors_header.py).

The library's own `save_file` leaves temporary files behind when it is killed, and makes the result
its user's alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..errors import CapabilityError, DataError
from ..files import open_regular, unreadable, write_bytes
from ..memory import available
from ..safetensors_header import read_claims

# By the names of the format.
DTYPES = {
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


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a file: whole and on the disk, or not at all. Raises OSError."""
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(whole, metadata), durable=True)


_ASKED_ABOUT = 1 << 26


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
