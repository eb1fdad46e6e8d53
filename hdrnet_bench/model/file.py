"""Model files: safetensors with the weights, and in the header all it takes to use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from ..config import HDRNetConfig
from ..errors import DataError, StorageError, first_fault
from ..files import json_line, json_value
from .tensors import Claims, read_claims, read_tensors, write_tensors

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
    """Write a model file: whole and on the disk, or not at all. Raises OSError."""
    # Left out where they have no value: older files are without these keys.
    absent = {key for key in ("source", "trained_on") if getattr(header, key) is None}
    metadata = {_KEY: json_line(header.model_dump(mode="json", exclude=absent))}
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
    claims, header = _read_header(path)
    # Without memory first: a header may claim a network of any size.
    with torch.device("meta"):
        expected = build(header.config).state_dict()
    _check_weights(path, claims, expected)
    tensors = read_tensors(path)
    spoilt = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if spoilt:
        _do_not_fit(path, [f"{name} holds NaN or infinity" for name in spoilt])
    model = build(header.config)
    model.load_state_dict(tensors)
    return model.to(device).eval(), header


def _check_weights(path: Path, claims: Claims, expected: Mapping[str, torch.Tensor]) -> None:
    """Names, shapes and types, as the file claims them. Raises DataError."""
    problems = [f"{name} is missing" for name in expected if name not in claims.tensors]
    problems += [
        f"{name[:80]} is not of this network" for name in claims.tensors if name not in expected
    ]
    for name, tensor in expected.items():
        dtype, shape = claims.tensors.get(name, (tensor.dtype, tensor.shape))
        if shape != tensor.shape or dtype != tensor.dtype:
            problems.append(
                f"{name} is {dtype} {tuple(shape)}, not {tensor.dtype} {tuple(tensor.shape)}"
            )
    if problems:
        _do_not_fit(path, problems)


def _do_not_fit(path: Path, problems: list[str]) -> NoReturn:
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    raise DataError(
        f"{path}: the weights do not fit the configuration: {', '.join(problems[:3])}{more}"
    )


def read_model_header(path: Path) -> ModelHeader:
    """The header alone. Raises DataError for anything that is not a model of this project,
    StorageError where it cannot be read."""
    return _read_header(path)[1]


def _read_header(path: Path) -> tuple[Claims, ModelHeader]:
    try:
        claims = read_claims(path)
    except StorageError:
        raise
    except DataError as error:
        raise DataError(f"{path} is not a model file of this project: {error}") from None
    try:
        content = json_value(claims.metadata[_KEY])
        if isinstance(content, dict) and content.get("format") != FORMAT:
            known = str(content.get("format"))[:20]
            raise DataError(f"{path} has model format {known}, known is {FORMAT}")
        return claims, ModelHeader.model_validate(content)
    except KeyError:
        raise DataError(f"{path} is safetensors, but holds no HDRNet configuration") from None
    except ValidationError as error:
        reason = first_fault(error)[:300]
        raise DataError(f"{path}: its configuration is not known: {reason}") from None
    except ValueError as error:
        raise DataError(f"{path}: its header is not JSON: {error}") from None
