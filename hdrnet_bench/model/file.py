"""Model files: safetensors with the weights, and in the header all it takes to use them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from ..config import HDRNetConfig
from ..errors import DataError, first_fault
from ..files import atomic_path, json_line

_KEY = "hdrnet_bench"
FORMAT = 1
Model = TypeVar("Model", bound=nn.Module)


class TrainedOn(BaseModel):
    """The pictures that weights, or their choice, were made with: training and validation.

    ids: of a source whose ids name pictures, else none. pixels: of the inputs, the first 16 digits
    of their SHA-256, by which the same file is known under any name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    ids: tuple[str, ...]
    pixels: tuple[str, ...]


class ModelHeader(BaseModel):
    """What a model file says of itself. `step` of `steps`: where training stood."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    config: HDRNetConfig
    recipe: str | None = None
    recipe_digest: str | None = None
    dataset: str | None = None
    dataset_digest: str | None = None
    seed: int | None = None
    step: int | None = None
    steps: int | None = None
    trained_on: TrainedOn | None = None
    source: str | None = None  # where the weights come from, if not from training here


def save_model(path: Path, model: nn.Module, header: ModelHeader) -> None:
    """Write a model file: whole, or not at all."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    # Left out where they have no value: older files are without these keys.
    absent = {key for key in ("source", "trained_on") if getattr(header, key) is None}
    metadata = {_KEY: json_line(header.model_dump(mode="json", exclude=absent))}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata=metadata)


def resolve(path: str | Path) -> Path:
    """The model file that a path stands for: itself, or a run directory's last.safetensors."""
    path = Path(path)
    if path.is_dir():
        path = path / "last.safetensors"
    if not path.exists():
        raise DataError(f"there is no model file {path}")
    return path


def read_network(
    path: Path, build: Callable[[HDRNetConfig], Model], device: str | torch.device = "cpu"
) -> tuple[Model, ModelHeader]:
    """A network in evaluation mode with a file's weights, and what the file says of them.

    Args:
        build: makes the network of a configuration, whose weights are then the file's.

    Raises DataError where the file is broken, or its weights are not such a network's.
    """
    header = read_model_header(path)
    try:
        tensors: dict[str, Any] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a whole safetensors file: {error}") from None
    # Without memory first: a header may claim a network of any size.
    with torch.device("meta"):
        expected = build(header.config).state_dict()
    _check_weights(path, tensors, expected)
    model = build(header.config)
    model.load_state_dict(tensors)
    return model.to(device).eval(), header


def _check_weights(
    path: Path, tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> None:
    """Names, shapes, types, finite values. Raises DataError."""
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is not of this network" for name in tensors if name not in expected]
    for name, tensor in tensors.items():
        model_tensor = expected.get(name)
        if model_tensor is None:
            continue
        if tensor.shape != model_tensor.shape or tensor.dtype != model_tensor.dtype:
            problems.append(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"not {model_tensor.dtype} {tuple(model_tensor.shape)}"
            )
        elif not torch.isfinite(tensor).all():
            problems.append(f"{name} holds NaN or infinity")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(
            f"{path}: the weights do not fit the configuration: {', '.join(problems[:3])}{more}"
        )


def read_model_header(path: Path) -> ModelHeader:
    """The header alone. Raises DataError for anything that is not a model of this project."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a model file of this project (safetensors): {error}"
        ) from None
    try:
        content = json.loads(metadata[_KEY])
        if isinstance(content, dict) and content.get("format") != FORMAT:
            raise DataError(f"{path} has model format {content.get('format')}, known is {FORMAT}")
        return ModelHeader.model_validate(content)
    except KeyError:
        raise DataError(f"{path} is safetensors, but holds no HDRNet configuration") from None
    except ValidationError as error:
        raise DataError(f"{path}: its configuration is not known: {first_fault(error)}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its header is not JSON: {error}") from None
