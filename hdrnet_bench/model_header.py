"""What a model file says of itself, in its header: read without torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from .config import HDRNetConfig
from .errors import DataError, StorageError, first_fault
from .files import json_value
from .safetensors_header import Claims, read_claims

KEY = "hdrnet_bench"  # of the header's text, in the file's metadata
FORMAT = 1


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


def read_model_header(path: Path) -> ModelHeader:
    """The header alone. Raises DataError for anything that is not a model of this project,
    StorageError where it cannot be read."""
    return read_header(path)[1]


def read_header(path: Path) -> tuple[Claims, ModelHeader]:
    """The same, and what the file claims to hold."""
    try:
        claims = read_claims(path)
    except StorageError:
        raise
    except DataError as error:
        raise DataError(f"{path} is not a model file of this project: {error}") from None
    try:
        content = json_value(claims.metadata[KEY])
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
