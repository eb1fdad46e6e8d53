"""Model files: safetensors with the weights, and in the header all it takes to use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from .config import HDRNetConfig
from .errors import DataError
from .files import atomic_path, json_line
from .model import HDRNet

_KEY = "hdrnet_bench"
FORMAT = 1


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


def save_model(path: Path, model: HDRNet, header: ModelHeader) -> None:
    """Write a model file: whole, or not at all."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    metadata = {_KEY: json_line(header.model_dump(mode="json"))}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata=metadata)


def load_model(path: str | Path, device: str | torch.device = "cpu") -> HDRNet:
    """An HDRNet in evaluation mode, from a .safetensors file or a run directory (its `last`).

    Raises DataError where it is missing, or is no model of this project. Nothing is unpickled.
    """
    return read_model(resolve(path), device)[0]


def resolve(path: str | Path) -> Path:
    """The model file that a path stands for: itself, or a run directory's last.safetensors."""
    path = Path(path)
    if path.is_dir():
        path = path / "last.safetensors"
    if not path.exists():
        raise DataError(f"there is no model file {path}")
    return path


def read_model(path: Path, device: str | torch.device = "cpu") -> tuple[HDRNet, ModelHeader]:
    header = read_model_header(path)
    try:
        tensors: dict[str, Any] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a whole safetensors file: {error}") from None
    model = HDRNet(header.config)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: the weights do not fit the configuration: {problem}") from None
    return model.to(device).eval(), header


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
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise DataError(
            f"{path}: its configuration is not known: {where}: {fault['msg']}"
        ) from None
    except ValueError as error:
        raise DataError(f"{path}: its header is not JSON: {error}") from None
