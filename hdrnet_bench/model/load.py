"""Models from files and run directories."""

from __future__ import annotations

from pathlib import Path

import torch

from .file import ModelHeader, read_network, resolve
from .hdrnet import HDRNet


def load_model(path: str | Path, device: str | torch.device = "cpu") -> HDRNet:
    """An HDRNet in evaluation mode, from a .safetensors file or a run directory (its `last`).

    Raises DataError where it is missing, or is no model of this project. Nothing is unpickled.
    """
    return read_model(resolve(path), device)[0]


def read_model(path: Path, device: str | torch.device = "cpu") -> tuple[HDRNet, ModelHeader]:
    """A model file's network and header. Raises DataError as `load_model`."""
    model, header = read_network(path, HDRNet, device)
    model.header = header
    return model, header
