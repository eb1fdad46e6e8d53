"""What a result is of: recipe, method and dataset; and reading one by its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from .cleaning import name_text
from .errors import DataError, first_fault
from .file_names import is_plain
from .files import read_json

# What becomes part of a path or of a figure's name; no longer than fits into a file's name with
# what is put after it.
SLUG = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_LONGEST = 240
Slug = Annotated[str, Field(pattern=f"^{SLUG}$", max_length=_LONGEST)]


def _as_picture_id(text: str) -> str:
    """Raises ValueError for what is no name of a photograph that files could be called after."""
    if not is_plain(text):
        raise ValueError(f"{text[:40]!r} has a character that no picture's id has")
    if len(text.encode()) > _LONGEST:
        raise ValueError(f"{text[:40]!r}… is longer than a file's name can be")
    return text


PictureId = Annotated[str, AfterValidator(_as_picture_id)]
# No network has more: quotients and sums of what is typed in must not overflow.
_Count = Annotated[int, Field(ge=0, le=10**18)]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


R = TypeVar("R", bound=Record)


def check_name(path: Path) -> None:
    """Raises DataError where a result file's name could not be part of a figure's."""
    if not re.fullmatch(SLUG, path.stem):
        raise DataError(
            f"{path.parent / name_text(path)}: its name becomes part of figures' and tables' "
            "names: rename it with letters, digits, '.', '_' and '-' alone, or move it away"
        )


def read_record(path: Path, kinds: Mapping[str, type[R]], other: str) -> R:
    """Read and validate a file by its `kind`. Raises DataError that names it and the faulty key;
    `other` is what it says of a file of another kind."""
    return validated(path, read_json(path), kinds, other)


def validated(path: Path, content: Any, kinds: Mapping[str, type[R]], other: str) -> R:
    """The same of what was read of a file already."""
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
                f"{str(fault['input'])[:40]}: measure it again, or remove it"
            ) from None
        raise DataError(f"{path}: {first_fault(error)}") from None


class RecipeId(Record):
    name: Slug
    version: int
    digest: str


OnnxValues = Literal["0..1", "0..255", "-1..1"]


class OnnxSettings(Record):
    """How an ONNX file was run. values: what a picture's 0 and 1 are to it, in and out. multiple:
    of what each side is made a multiple, by mirroring at the right and at the bottom."""

    values: OnnxValues = "0..1"
    multiple: Annotated[int, Field(ge=1, le=4096)] = 1


class MethodId(Record):
    """The method that was evaluated or timed. Null where it has no such value, or none is known.

    network_macs: multiply-accumulates of predicting the grid, once a picture. pixel_macs: of guide,
    slice and apply, for each pixel. predictions_sha256: over the names and contents of the
    prediction files, where these were made by another program. onnx: where model_sha256 is of an
    ONNX file; not in the file where it is not.
    """

    name: Slug
    run: Slug
    parameters: _Count | None
    network_macs: _Count | None = None
    pixel_macs: _Count | None = None
    model_sha256: str | None
    predictions_sha256: str | None = None
    seed: int | None
    onnx: OnnxSettings | None = None

    @model_serializer(mode="wrap")
    def _without_onnx(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        return {k: v for k, v in content.items() if k != "onnx" or v is not None}

    @property
    def oracle(self) -> bool:
        """Whether it was fitted to the targets themselves: it bounds what a method of its form can
        reach, and is no competitor."""
        return self.name.startswith("oracle-")


class DatasetId(Record):
    name: Slug
    protocol: str
    split: Literal["train", "validation", "test"]
    digest: Slug  # part of the path of its pictures
