"""The descriptions that stand in a prepared dataset, card and croissant.json, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..data.croissant import CROISSANT, file_places, lacking, rows_digest_of
from ..data.manifest import Dataset
from ..errors import DataError
from ..files import (
    json_value,
    read_bytes,
    read_json,
    read_text,
    sha256_bytes,
    unreadable,
    write_text,
)
from .finishing import descriptions
from .replacing import is_own_description

State = Literal["written", "as it was", "edited"]


class Described(NamedTuple):
    """files: what became of each. lacking: which required fields croissant.json has not.
    outdated: whether it was edited and is not of the rows, or not of the files with header and
    rows, that are there."""

    files: dict[Path, State]
    lacking: list[str]
    outdated: bool


def describe(dataset: Dataset, *, overwrite: bool = False, dry_run: bool = False) -> Described:
    """Write what is missing of a dataset's descriptions, or is not what this version writes. One
    that somebody has edited stays, unless `overwrite` says otherwise.

    Raises DataError for a dataset without rows, where something else than a file has the name of
    one, and where an edited croissant.json is no JSON object; StorageError where the system does
    not give a file.
    """
    if not dataset.rows:
        raise DataError(f"{dataset.directory} has no rows: there is nothing to describe")
    files: dict[Path, State] = {}
    contents = _contents(dataset)
    wanted = descriptions(dataset.header, dataset.rows, contents)
    for path in (dataset.directory / name for name in wanted):
        if (path.is_symlink() or path.exists()) and not path.is_file():
            raise DataError(
                f"{path} is no file, but a folder or a link that leads to none: move it away and "
                "describe again"
            )
    for name, text in wanted.items():
        path = dataset.directory / name
        there = path.exists()
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
    outdated = edited and (
        rows_digest_of(content) != dataset.header.digest
        or any(
            sha256_bytes(contents[place]) != sha256
            for place, sha256 in _stated_sha256(content)
            if place in contents
        )
    )
    return Described(files, lacking(content), outdated)


def _contents(dataset: Dataset) -> dict[str, bytes]:
    """What header and rows lie in. Others may have written the same with other white space."""
    contents = {}
    for place in file_places(dataset.rows):
        path = dataset.directory / place
        try:
            contents[place] = read_bytes(path)
        except OSError as error:
            raise unreadable(path, error) from None
    return contents


def _stated_sha256(content: dict[str, Any]) -> list[tuple[str, str]]:
    """What an edited croissant.json, of which anything may be anything, says of which files."""
    files = content.get("distribution")
    return [
        (str(each["contentUrl"]), str(each["sha256"]))
        for each in (files if isinstance(files, list) else [])
        if isinstance(each, dict) and {"contentUrl", "sha256"} <= each.keys()
    ]
