"""The files of `hdrbench export --format onnx`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..errors import CapabilityError, UsageError
from ..files import atomic_path, write_bytes
from ..install import install_advice
from ..model.export import ONNX, PARTS
from ..model.hdrnet import HDRNet
from .grid_file import grid_file
from .models import Numbers, network_model, slicing_model, whole_model

if TYPE_CHECKING:
    from onnx import ModelProto


def write_onnx(
    model: HDRNet,
    path: str | PathLike[str],
    numbers: Numbers = "float32",
    *,
    overwrite: bool = False,
) -> dict[str, str]:
    """Write the whole model as one graph: whole and on the disk, or not at all.

    Args:
        path: its name ends in .onnx.
        numbers: of picture and output, see `whole_model`.
        overwrite: replace what is there.

    Returns:
        The metadata that stands in the file.

    Raises:
        UsageError: the file is there, or of another name.
        CapabilityError: onnx is not installed.
        OSError: the file cannot be written.
    """
    file = _checked(path, numbers)
    _not_there([file], overwrite)
    proto = whole_model(model, numbers)
    write_bytes(file, proto.SerializeToString(), durable=True)
    return _metadata(proto)


def part_paths(path: Path) -> tuple[Path, Path, Path]:
    """Where the parts go of what as a whole would go to a path: network, slicing, guide."""
    network, slicing, guide = (path.with_name(path.stem + ending) for ending in PARTS)
    return network, slicing, guide


def write_parts(
    model: HDRNet,
    path: str | PathLike[str],
    numbers: Numbers = "float32",
    *,
    overwrite: bool = False,
) -> dict[str, dict[str, str]]:
    """Write network and slicing as two graphs, and the guide for those who slice by themselves: all
    three, or none. Arguments and errors as of `write_onnx`, by whose path they have their names.

    Returns:
        The metadata of both graphs, by the names of their files.
    """
    paths = part_paths(_checked(path, numbers))
    _not_there(paths, overwrite)
    graphs = network_model(model, numbers), slicing_model(model, numbers)
    contents = [*(proto.SerializeToString() for proto in graphs), grid_file(model)]
    with ExitStack() as stack:
        # Renamed only when the last is written: a network beside another one's slicing would run.
        for part, content in zip(paths, contents, strict=True):
            stack.enter_context(atomic_path(part, durable=True)).write_bytes(content)
    return {part.name: _metadata(proto) for part, proto in zip(paths[:2], graphs, strict=True)}


def _metadata(proto: ModelProto) -> dict[str, str]:
    return {prop.key: prop.value for prop in proto.metadata_props}


def _checked(path: str | PathLike[str], numbers: Numbers) -> Path:
    check_onnx()
    file = Path(path)
    if file.suffix != ONNX:
        raise UsageError(f"{file}: the name of this format ends in {ONNX}")
    if numbers not in get_args(Numbers):
        raise UsageError(f"numbers is {numbers!r}, not one of {', '.join(get_args(Numbers))}")
    return file


def _not_there(paths: Sequence[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already: overwrite=True replaces it")


def check_onnx() -> None:
    """Raises CapabilityError where onnx is not installed."""
    if importlib.util.find_spec("onnx") is None:
        raise CapabilityError(f"exporting to ONNX needs onnx: {install_advice('onnx')}")
