"""Models that are known by name: pretrained/models.yaml, and the folders beside it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .errors import UsageError
from .hub_files import COMMIT, REPOSITORY, WEIGHTS
from .paths import LONGEST_NAME, NAME, search
from .yaml_files import read_mapping, validated

FOLDER, LIST = "pretrained", "models.yaml"


def _is(pattern: str, words: str) -> AfterValidator:
    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"it must be {words}")
        return text

    return AfterValidator(check)


class Entry(BaseModel):
    """What the list says of a model. Without `hub` it lies in the folder of its name beside the
    list."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: Annotated[str, _is(r"[0-9a-f]{64}", "64 hexadecimal digits, of model.safetensors")]
    summary: str = Field(min_length=1, description="what it is, in a sentence")
    licence: str = Field(min_length=1, description="of the weights, as the Hub calls it")
    hub: Annotated[str, _is(REPOSITORY, "OWNER/NAME")] | None = None
    revision: Annotated[str, _is(COMMIT, "a whole commit, 40 hexadecimal digits")] | None = None

    @model_validator(mode="after")
    def _of_one_commit(self) -> Entry:
        if (self.hub is None) != (self.revision is None):
            raise ValueError("hub and revision go together: what lies on a branch changes")
        return self


class _List(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    models: dict[Annotated[str, Field(pattern=f"^{NAME}$", max_length=LONGEST_NAME)], Entry]


class PretrainedModel(NamedTuple):
    """path: its file, None where it lies on the Hub; source: the list that names it."""

    entry: Entry
    path: Path | None
    source: Path


def pretrained_models() -> dict[str, PretrainedModel]:
    """The models of all lists by name. One of the current directory's list hides the project's.

    Raises UsageError that names every fault of a list, DataError where one cannot be read.
    """
    models: dict[str, PretrainedModel] = {}
    for folder in search(FOLDER):
        source = folder / LIST
        if not os.path.lexists(source):
            continue
        try:
            content = validated(_List, read_mapping(source, "a list of models"), str(source))
        except UsageError as error:
            raise UsageError(
                f"{error}: {source} is read as hdrnet-bench's list of pretrained models; if it is "
                "another program's, work in another folder"
            ) from None
        for name, entry in content.models.items():
            path = None if entry.hub else folder / name / WEIGHTS
            models.setdefault(name, PretrainedModel(entry, path, source))
    return models
