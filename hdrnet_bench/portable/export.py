"""The files of `hdrbench export --format onnx`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import CapabilityError
from ..files import write_bytes
from ..install import install_advice
from ..model.export import PARTS
from ..model.hdrnet import HDRNet
from .grid_file import grid_file
from .models import Numbers, network_model, slicing_model, whole_model


def write_onnx(model: HDRNet, path: Path, numbers: Numbers = "float32") -> dict[str, str]:
    """Write the whole model as one graph: whole and on the disk, or not at all.

    Args:
        numbers: of picture and output, see `whole_model`.

    Returns:
        The metadata that stands in the file.

    Raises:
        CapabilityError: onnx is not installed.
        OSError: the file cannot be written.
    """
    check_onnx()
    proto = whole_model(model, numbers)
    write_bytes(path, proto.SerializeToString(), durable=True)
    return {prop.key: prop.value for prop in proto.metadata_props}


def part_paths(path: Path) -> tuple[Path, Path, Path]:
    """Where the parts go of what as a whole would go to a path: network, slicing, guide."""
    network, slicing, guide = (path.with_name(path.stem + ending) for ending in PARTS)
    return network, slicing, guide


def write_parts(model: HDRNet, path: Path, numbers: Numbers = "float32") -> dict[str, str]:
    """Write network and slicing as two graphs, and the guide for those who slice by themselves.
    Each file is whole and on the disk, or not there. Returns and raises as `write_onnx`."""
    check_onnx()
    graphs = network_model(model, numbers), slicing_model(model, numbers)
    contents = [*(proto.SerializeToString() for proto in graphs), grid_file(model)]
    for part, content in zip(part_paths(path), contents, strict=True):
        write_bytes(part, content, durable=True)
    return {prop.key: prop.value for prop in graphs[1].metadata_props}


def check_onnx() -> None:
    """Raises CapabilityError where onnx is not installed."""
    if importlib.util.find_spec("onnx") is None:
        raise CapabilityError(f"exporting to ONNX needs onnx: {install_advice('onnx')}")
