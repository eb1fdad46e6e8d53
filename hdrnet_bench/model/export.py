"""A trained model as a torch.export program, which torch runs without this package.

It computes (lowres, fullres) -> output by the reference path, for pictures of any size: lowres
(B, 3, S, S), fullres and output (B, 3, H, W), float32 in about [0, 1], the output not clamped.
Making lowres from the picture is the caller's (area averages or nearest: the metadata says which).
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import input_description
from ..files import json_line, write_bytes
from .hdrnet import HDRNet

# How the names end of what `hdrbench export` writes beside a model file.
PROGRAM, ONNX = ".pt2", ".onnx"
PARTS = ("-network.onnx", "-slicing.onnx", "-guide.hdrg")
_MIN_SIDE = 8  # pixels: the pyramid's coarsest level must have some


class _Reference(nn.Module):
    """The whole network in plain torch, which the exporter understands."""

    def __init__(self, model: HDRNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, lowres: Tensor, fullres: Tensor) -> Tensor:
        return self.model(lowres, fullres, "reference")


def write_program(model: HDRNet, path: Path) -> dict[str, str]:
    """Write a program: whole and on the disk, or not at all.

    Returns:
        The metadata that stands in the file.

    Raises:
        OSError: the file cannot be written.
    """
    size = model.config.net_input_size
    content = metadata(model) | {
        "inputs": f"lowres (B, 3, {size}, {size}), fullres (B, 3, H, W); float32, about [0, 1]; "
        f"{input_description(model.config)}",
        "outputs": "output (B, 3, H, W); not clamped",
        "lowres": f"fullres resized to {size} x {size}, {model.config.lowres_resize}",
    }
    # Two pictures, of sides that nothing else has: what is traced must hold for all.
    example = (torch.rand(2, 3, size, size), torch.rand(2, 3, 107, 83))
    batch = torch.export.Dim("batch", min=1)
    height, width = (torch.export.Dim(n, min=_MIN_SIDE, max=1 << 16) for n in ("height", "width"))
    shapes = {"lowres": {0: batch}, "fullres": {0: batch, 2: height, 3: width}}
    network = _Reference(model).eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's remarks about itself
        program = torch.export.export(network, example, dynamic_shapes=shapes)
        stream = io.BytesIO()
        files = {"hdrnet_bench.json": json_line(content)}
        torch.export.save(program, stream, extra_files=files)
    # The library's own writer has errors of its own for a full disk.
    write_bytes(path, stream.getvalue(), durable=True)
    return content


def metadata(model: HDRNet) -> dict[str, str]:
    """What every exported file says: who made it, its configuration, where the weights are from."""
    header: dict[str, Any] = model.header.model_dump(mode="json") if model.header else {}
    provenance = {name: str(header[name]) for name in _PROVENANCE if header.get(name) is not None}
    config = json_line(model.config.model_dump(mode="json"))
    return provenance | {"producer": "hdrnet-bench", "config": config}


_PROVENANCE = ("recipe", "recipe_digest", "dataset", "dataset_digest", "seed", "source")
