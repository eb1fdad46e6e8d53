"""What a result is of: recipe, method and dataset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# What becomes part of a path or of a figure's name.
Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
