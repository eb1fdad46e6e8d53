"""Model files: safetensors with the weights, and in the header all it takes to use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
import torch
from torch import nn

from ..config import HDRNetConfig
from ..errors import DataError
from ..files import json_line
from ..model_header import KEY, read_header
from ..model_header import ModelHeader as ModelHeader
from ..model_header import TrainedOn as TrainedOn
from ..model_header import read_model_header as read_model_header
from ..safetensors_header import Claims
from .layers import fill_scales
from .tensors import DTYPES, read_tensors, write_tensors

Model = TypeVar("Model", bound=nn.Module)


def save_model(path: Path, model: nn.Module, header: ModelHeader) -> None:
    """Write a model file: whole and on the disk, or not at all. Raises OSError."""
    # Left out where they have no value: older files are without these keys.
    absent = {key for key in ("source", "trained_on") if getattr(header, key) is None}
    metadata = {KEY: json_line(header.model_dump(mode="json", exclude=absent))}
    write_tensors(path, model.state_dict(), metadata)


def read_network(
    path: Path, build: Callable[[HDRNetConfig], Model], device: str | torch.device = "cpu"
) -> tuple[Model, ModelHeader]:
    """A network in evaluation mode with a file's weights, and what the file says of them.

    Args:
        build: makes the network of a configuration, whose weights are then the file's.

    Raises DataError where the file is broken, or its weights are not such a network's; StorageError
    where it cannot be read; CapabilityError where there is no memory for it.
    """
    claims, header = read_header(path)
    # Without memory first: a header may claim a network of any size.
    with torch.device("meta"):
        model = build(header.config)
    _check_weights(path, claims, model.state_dict())
    tensors = read_tensors(path)
    # By NumPy: torch's threads, waiting for each other beside other programs, took up to a second.
    spoilt = [name for name, tensor in tensors.items() if not np.isfinite(tensor.numpy()).all()]
    if spoilt:
        _do_not_fit(path, [f"{name} holds NaN or infinity" for name in spoilt])
    model.load_state_dict(tensors, assign=True)
    fill_scales(model)
    return model.to(device).eval(), header


def _check_weights(path: Path, claims: Claims, expected: Mapping[str, torch.Tensor]) -> None:
    """Names, shapes and types, as the file claims them. Raises DataError."""
    problems = [f"{name} is missing" for name in expected if name not in claims.tensors]
    problems += [
        f"{name[:80]} is not of this network" for name in claims.tensors if name not in expected
    ]
    for name, tensor in expected.items():
        if name not in claims.tensors:
            continue
        dtype, shape = claims.tensors[name]
        if (DTYPES[dtype], shape) != (tensor.dtype, tuple(tensor.shape)):
            problems.append(
                f"{name} is {DTYPES[dtype]} {shape}, not {tensor.dtype} {tuple(tensor.shape)}"
            )
    if problems:
        _do_not_fit(path, problems)


def _do_not_fit(path: Path, problems: list[str]) -> NoReturn:
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    raise DataError(
        f"{path}: the weights do not fit the configuration: {', '.join(problems[:3])}{more}"
    )
