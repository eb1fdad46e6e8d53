"""What a result is of: recipe, method and dataset; and reading one by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import DataError, first_fault
from .files import read_json

# What becomes part of a path or of a figure's name.
Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


R = TypeVar("R", bound=Record)


def read_record(path: Path, kinds: Mapping[str, type[R]], other: str) -> R:
    """Read and validate a file by its `kind`. Raises DataError that names it and the faulty key;
    `other` is what it says of a file of another kind."""
    content = read_json(path)
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise DataError(f"{path} {other}")
    try:
        return kinds[kind].model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        if fault["loc"] == ("schema_version",):
            raise DataError(
                f"{path}: written by another version of hdrnet-bench, in its schema "
                f"{fault['input']}: measure it again, or remove it"
            ) from None
        raise DataError(f"{path}: {first_fault(error)}") from None


class RecipeId(Record):
    name: Slug
    version: int
    digest: str


class MethodId(Record):
    """The method that was evaluated or timed. Null where it has no such value, or none is known.

    network_macs: multiply-accumulates of predicting the grid, once a picture. pixel_macs: of guide,
    slice and apply, for each pixel. predictions_sha256: over the names and contents of the
    prediction files, where these were made by another program.
    """

    name: Slug
    run: Slug
    parameters: int | None
    network_macs: int | None = None
    pixel_macs: int | None = None
    model_sha256: str | None
    predictions_sha256: str | None = None
    seed: int | None

    @property
    def oracle(self) -> bool:
        """Whether it was fitted to the targets themselves: it bounds what a method of its form can
        reach, and is no competitor."""
        return self.name.startswith("oracle-")


class DatasetId(Record):
    name: Slug
    protocol: str
    split: Literal["train", "validation", "test"]
    digest: str
