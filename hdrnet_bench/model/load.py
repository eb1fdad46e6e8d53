"""Models from files and runs."""

from __future__ import annotations

from pathlib import Path

import torch

from ..model_names import find_model, no_model
from .file import ModelHeader, read_network
from .hdrnet import HDRNet


def load_model(path: str | Path, device: str | torch.device = "cpu") -> HDRNet:
    """An HDRNet in evaluation mode. Nothing is unpickled.

    Args:
        path: a .safetensors file, a run directory (its `last`), or RECIPE/RUN below
            `paths.runs_dir()`.

    Raises:
        UsageError: nothing has that name; the message says what is near.
        DataError: a run without a model yet, or what is no model of this project.
    """
    file = find_model(path)
    if file is None:
        raise no_model(path, "a model file nor a run")
    return read_model(file, device)[0]


def read_model(path: Path, device: str | torch.device = "cpu") -> tuple[HDRNet, ModelHeader]:
    """A model file's network and header. Raises DataError as `load_model`."""
    model, header = read_network(path, HDRNet, device)
    model.header = header
    return model, header
