"""The descriptions that stand in a prepared dataset, card and croissant.json, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from ..data.croissant import CROISSANT, lacking, rows_digest_of
from ..data.manifest import Dataset
from ..errors import DataError
from ..files import json_value, read_json, read_text, write_text
from .finishing import descriptions
from .replacing import is_own_description

State = Literal["written", "as it was", "edited"]


class Described(NamedTuple):
    """files: what became of each. lacking: which required fields croissant.json has not.
    outdated: whether it was edited and is of other rows than the dataset's."""

    files: dict[Path, State]
    lacking: list[str]
    outdated: bool


def describe(dataset: Dataset, *, overwrite: bool = False, dry_run: bool = False) -> Described:
    """Write what is missing of a dataset's descriptions, or is not what this version writes. One
    that somebody has edited stays, unless `overwrite` says otherwise.

    Raises DataError for a dataset without rows, and where an edited croissant.json is no JSON
    object; StorageError where the system does not give a file.
    """
    if not dataset.rows:
        raise DataError(f"{dataset.directory} has no rows: there is nothing to describe")
    files: dict[Path, State] = {}
    wanted = descriptions(dataset.header, dataset.rows)
    for name, text in wanted.items():
        path = dataset.directory / name
        there = path.exists() or path.is_symlink()
        if there and not overwrite and not is_own_description(path):
            files[path] = "edited"
        elif there and is_own_description(path) and read_text(path) == text:
            files[path] = "as it was"
        else:
            files[path] = "written"
            if not dry_run:
                write_text(path, text)
    path = dataset.directory / CROISSANT
    edited = files[path] == "edited"
    content = read_json(path) if edited else json_value(wanted[CROISSANT])
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object: edit it, or --overwrite writes a new one")
    outdated = edited and rows_digest_of(content) != dataset.header.digest
    return Described(files, lacking(content), outdated)
