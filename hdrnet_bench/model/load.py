"""Models from files, runs, names and the Hub."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import CapabilityError
from ..model_names import find_model
from .file import ModelHeader, read_network
from .hdrnet import HDRNet


def load_model(name: str | Path, device: str | torch.device = "cpu") -> HDRNet:
    """An HDRNet in evaluation mode, whose `origin` says in a line what was found. Nothing is
    unpickled.

    Args:
        name: a .safetensors file, a run directory (its `last`), RECIPE/RUN below
            `paths.runs_dir()`, a folder that `save_pretrained` wrote, a recipe with one finished
            run, a pretrained model (pretrained/models.yaml), or a repository "owner/name" on the
            Hub. What is here wins in this order; the Hub is asked last.

    Raises:
        CapabilityError: a CUDA device is asked for and not there.
        UsageError: nothing has that name; the message says what is near.
        DataError: a run without a model yet, what cannot be had from the Hub, or what is no model
            of this project, or not the one that the list of pretrained models means.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise CapabilityError("torch sees no CUDA device here: `hdrbench doctor` says why")
    path, origin = find_model(name).fetched()
    model = read_model(path, device)[0]
    model.origin = origin
    return model


def read_model(path: Path, device: str | torch.device = "cpu") -> tuple[HDRNet, ModelHeader]:
    """A model file's network and header. Raises DataError as `load_model`."""
    model, header = read_network(path, HDRNet, device)
    model.header = header
    return model, header
