"""A trained model for other runtimes: ONNX, or a torch.export program.

Both compute (lowres, fullres) -> output by the reference path, for pictures of any size: lowres
(B, 3, S, S), fullres and output (B, 3, H, W), float32 in about [0, 1], the output not clamped.
Making lowres from the picture is the caller's (area averages or nearest: the metadata says which).
"""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import input_description
from ..errors import CapabilityError
from ..files import json_line, write_bytes
from ..install import install_advice
from .hdrnet import HDRNet
from .pyramid import Size, neighbours

Format = Literal["onnx", "torch"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
OPSET = 20  # the first whose GridSample takes three dimensions
_MIN_SIDE = 8  # pixels: the pyramid's coarsest level must have some


class _Reference(nn.Module):
    """The whole network in plain torch, which the exporters understand."""

    def __init__(self, model: HDRNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, lowres: Tensor, fullres: Tensor) -> Tensor:
        grid = self.model.coefficients(lowres)
        return self.model.render(grid, fullres, "reference", _resize)


def _resize(picture: Tensor, old: Size, new: Size) -> Tensor:
    """As pyramid.resize, to the rounding: runtimes find the places of pixels by other roundings,
    which on large pictures shows (over 1e-4)."""
    for axis in (0, 1):
        before, after, weight = neighbours(0, new[axis], old[axis], new[axis])
        weight = weight.unflatten(0, (-1, 1) if axis == 0 else (1, -1))
        low, high = (picture.index_select(axis - 2, index) for index in (before, after))
        picture = low * (1 - weight) + high * weight
    return picture


def export(model: HDRNet, path: Path, kind: Format) -> dict[str, str]:
    """Write a model: whole and on the disk, or not at all.

    Returns:
        The metadata that stands in the file.

    Raises:
        CapabilityError: what ONNX needs is not installed.
        OSError: the file cannot be written.
    """
    if kind == "onnx":
        for name in ("onnx", "onnxscript"):
            if importlib.util.find_spec(name) is None:
                raise CapabilityError(f"exporting to ONNX needs {name}: {install_advice('onnx')}")
    metadata = _metadata(model)
    size = model.config.net_input_size
    # Two pictures, of sides that nothing else has: what is traced must hold for all.
    example = (torch.rand(2, 3, size, size), torch.rand(2, 3, 107, 83))
    batch = torch.export.Dim("batch", min=1)
    height, width = (torch.export.Dim(n, min=_MIN_SIDE, max=1 << 16) for n in ("height", "width"))
    shapes = {"lowres": {0: batch}, "fullres": {0: batch, 2: height, 3: width}}
    network = _Reference(model).eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporters' remarks about themselves
        program = torch.export.export(network, example, dynamic_shapes=shapes)
        content = _onnx(program, metadata) if kind == "onnx" else _program_bytes(program, metadata)
    # The libraries' own writers have errors of their own for a full disk.
    write_bytes(path, content, durable=True)
    return metadata


def _program_bytes(program: torch.export.ExportedProgram, metadata: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    files = {"hdrnet_bench.json": json_line(metadata)}
    torch.export.save(program, stream, extra_files=files)
    return stream.getvalue()


def _onnx(program: torch.export.ExportedProgram, metadata: dict[str, str]) -> bytes:
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    onnx_program = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=["lowres", "fullres"],
        output_names=["output"],
        verbose=False,
        external_data=False,
    )
    assert onnx_program is not None
    proto = onnx_program.model_proto
    onnx.helper.set_model_props(proto, metadata)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def _metadata(model: HDRNet) -> dict[str, str]:
    header: dict[str, Any] = model.header.model_dump(mode="json") if model.header else {}
    provenance = {name: str(header[name]) for name in _PROVENANCE if header.get(name) is not None}
    size = model.config.net_input_size
    return provenance | {
        "producer": "hdrnet-bench",
        "config": json_line(model.config.model_dump(mode="json")),
        "inputs": f"lowres (B, 3, {size}, {size}), fullres (B, 3, H, W); float32, about [0, 1]; "
        f"{input_description(model.config)}",
        "outputs": "output (B, 3, H, W); not clamped",
        "lowres": f"fullres resized to {size} x {size}, {model.config.lowres_resize}",
    }


_PROVENANCE = ("recipe", "recipe_digest", "dataset", "dataset_digest", "seed", "source")
