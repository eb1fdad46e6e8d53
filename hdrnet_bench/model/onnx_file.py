"""An ONNX file of anybody's: read whole, checked, and opened with onnxruntime.

What runs is what was read and hashed: weights in a second file, which the hash would not cover and
whose path the file chooses, are refused, and no library of operators is loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..cleaning import clean
from ..errors import CapabilityError, DataError
from ..files import read_bytes, sha256_bytes, unreadable
from ..install import install_advice
from ..memory import lack_of_memory

MOST_BYTES = (1 << 31) - 1  # no message of ONNX's format can be larger
_LACKS = re.compile("bad.?alloc|failed to allocate|out of memory", re.IGNORECASE)
_LONGEST = 300  # characters of what onnxruntime says


class OnnxFile(NamedTuple):
    """content: the whole file. parameters: numbers in its weights, as far as they are floating or
    quantised; None where it has none that are told from a formula's constants. metadata: as its
    writer put it there."""

    path: Path
    content: bytes
    sha256: str
    parameters: int | None
    metadata: dict[str, str]


def read_onnx(path: Path) -> OnnxFile:
    """Read a file, run nothing.

    Raises:
        CapabilityError: onnx or onnxruntime is not installed.
        DataError: it is no ONNX model, or has weights in other files; StorageError where it cannot
            be read.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 (said before anything is read)
    except ImportError as error:
        raise CapabilityError(
            f"running ONNX files needs {error.name}: {install_advice('onnx')}"
        ) from None
    try:
        content = read_bytes(path, MOST_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf has classes of its own, which have no annotations
        if lack_of_memory(error):
            raise
        raise DataError(f"{path} is not an ONNX model") from None
    if not model.graph.node:
        raise DataError(f"{path} is not an ONNX model: it computes nothing")
    tensors = list(_tensors(model))
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise DataError(
            f"{path} has its weights in another file, which its hash does not cover: make one file "
            "of both (in Python, onnx.save(onnx.load(FILE), NEW))"
        )
    # Integers are shapes and indices, but for the narrow ones of quantised weights; what has no
    # axis is a constant of some formula.
    indices = {onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL}
    weights = (t for t in tensors if t.dims and t.data_type not in indices)
    parameters = sum(math.prod(tensor.dims) for tensor in weights) or None
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    return OnnxFile(path, content, sha256_bytes(content), parameters, metadata)


def open_session(file: OnnxFile, device: str, threads: int) -> Any:
    """An onnxruntime session on "cpu" or a CUDA device, never on another one than was asked for.

    Raises CapabilityError where onnxruntime has no CUDA here, DataError where it cannot run the
    file, MemoryError where there is no room for it.
    """
    import onnxruntime

    where = torch.device(device)
    provider: Any = "CPUExecutionProvider"
    if where.type == "cuda":
        provider = ("CUDAExecutionProvider", {"device_id": where.index or 0})
        if provider[0] not in onnxruntime.get_available_providers():
            raise _no_cuda("the onnxruntime that is installed has none")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes as an exception
    options.intra_op_num_threads = threads
    # Else its threads go on spinning after a run, and slow down whatever is timed next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = onnxruntime.InferenceSession(file.content, options, providers=[provider])
    except Exception as error:  # onnxruntime has a class of its own for each fault
        raise fault(error, f"{file.path} cannot be run by onnxruntime") from None
    if where.type == "cuda" and session.get_providers()[0] != provider[0]:
        raise _no_cuda("its libraries are not those that onnxruntime was built with")
    return session


def _no_cuda(why: str) -> CapabilityError:
    return CapabilityError(
        f"onnxruntime has no CUDA here ({why}): use --device cpu, or install onnxruntime-gpu in "
        "the place of onnxruntime"
    )


def fault(error: Exception, what: str) -> Exception:
    """What onnxruntime raised as the error to raise: one line, or that memory ran out."""
    if lack_of_memory(error) or _LACKS.search(str(error)):
        return MemoryError(f"{what}: out of memory")
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    said = re.sub(r"/\S*/onnxruntime/\S+ ", "", said)  # places in the sources it was built from
    said = clean(said, "line")
    return DataError(f"{what}: {said[:_LONGEST]}{'…' if len(said) > _LONGEST else ''}")


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a model, wherever: weights, constants, in subgraphs and functions."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _tensors(one)
