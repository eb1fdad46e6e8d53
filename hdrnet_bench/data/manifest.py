"""Prepared datasets on disk: a header, rows beside the pictures, and the lock of both.

data/<dataset>/dataset.json               the header, with a digest over all rows
data/<dataset>/<split>/metadata.jsonl     one row a pair; `datasets` opens it as imagefolder
data/<dataset>/<split>/{input,target}/    the pictures; mask/ where the dataset has masks
data/<dataset>/rejected.jsonl             what was left out, and why
manifests/<dataset>.json, .jsonl          the committed lock: same header, same rows
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from ..config import FULL_SCALE, Encoding
from ..errors import DataError, first_fault, near_names
from ..files import (
    json_line,
    json_text,
    json_value,
    read_json,
    read_text,
    sha256_text,
    unreadable,
    write_text,
)
from ..images.pixels import Pixels, white_level
from ..paths import data_dir, search

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_DEEPEST = 64  # levels of what preparing measured


def _writable(text: str) -> str:
    """Raises ValueError for half a character, as JSON can spell it: no file can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it has a half of a character (a surrogate)") from None
    return text


def _as_name(text: str) -> str:
    """Raises ValueError for what leads elsewhere where it is taken for the name of a file."""
    if not text or text.startswith(".") or any(mark in text for mark in "/\\\0"):
        raise ValueError(f"{text!r} is no name of a dataset")
    return _writable(text)


def _as_relative_path(text: str) -> str:
    """Raises ValueError for what leads out of the folder that it is relative to, on any system."""
    parts = text.split("/")
    if "\\" in text or "\0" in text or {"", ".."}.intersection(parts) or text[1:2] == ":":
        raise ValueError(f"{text!r} leads outside its folder, or names no file")
    return _writable(text)


def _as_measured(text: str) -> str:
    """Raises ValueError for what is no JSON object, or is nested deeper than any reader goes."""
    value, level = json_value(text), 0
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    values: list[Any] = [value]
    while values := [v for each in values for v in _members(each)]:
        level += 1
        if level > _DEEPEST:
            raise ValueError("it is nested too deep")
    return _writable(text)


def _members(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


Text = Annotated[str, AfterValidator(_writable)]
FileName = Annotated[str, AfterValidator(_as_relative_path)]
PerChannel = Annotated[list[FiniteFloat], Field(min_length=3, max_length=3)]
Side = Annotated[int, Field(ge=1)]


class Row(BaseModel):
    """One pair.

    File names are relative to the split's folder; means and standard deviations are per channel,
    as shares of the white level. `measured` is JSON text, an open set of what preparing found:
    as text, because `datasets` wants the same columns of the same types in every split.

    mask_file_name, mask_pixels_sha256: of a mask that a metric weighs by, (H, W) of 8 bits.
    group: pictures that belong together, as those of one scene; splits keep groups whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Text
    split: Split
    input_file_name: FileName
    target_file_name: FileName
    width: Side
    height: Side
    input_bit_depth: int
    target_bit_depth: int
    input_pixels_sha256: Text
    target_pixels_sha256: Text
    source_names: list[Text]
    source_sha256: list[Text]
    licence: Text
    input_mean: PerChannel
    input_std: PerChannel
    target_mean: PerChannel
    target_std: PerChannel
    measured: Annotated[str, AfterValidator(_as_measured)] = "{}"
    mask_file_name: FileName | None = None
    mask_pixels_sha256: Text | None = None
    group: Text | None = None

    @model_validator(mode="after")
    def _mask_is_whole(self) -> Row:
        if (self.mask_file_name is None) != (self.mask_pixels_sha256 is None):
            raise ValueError("mask_file_name and mask_pixels_sha256 stand together")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Rows from before had neither mask nor group: their digests stay as they are."""
        fields: dict[str, Any] = handler(self)
        later = ("mask_file_name", "mask_pixels_sha256", "group")
        return {k: v for k, v in fields.items() if k not in later or v is not None}

    @property
    def file_names(self) -> list[str]:
        """Of the input, the target and, where there is one, the mask."""
        mask = [self.mask_file_name] if self.mask_file_name else []
        return [self.input_file_name, self.target_file_name, *mask]

    def line(self) -> str:
        return json_line(self.model_dump())


class Header(BaseModel):
    """dataset.json: what was prepared, from what, how, and with which tools."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: Annotated[str, AfterValidator(_as_name)]
    source: Text
    protocol: Text
    version: int
    licence: Text
    settings: dict[str, Any]
    tools: dict[str, str]
    counts: dict[str, int]
    digest: str
    input_encoding: Encoding = "srgb"
    input_white: int = Field(FULL_SCALE, description="what of 16-bit inputs stands for 1.0")

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Datasets from before had neither: their files stay as they are."""
        fields: dict[str, Any] = handler(self)
        usual = {"input_encoding": "srgb", "input_white": FULL_SCALE}
        return {k: v for k, v in fields.items() if k not in usual or v != usual[k]}


def channel_statistics(pixels: Pixels) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel as shares of the largest value that the depth can
    store (of inputs with a white of their own too), to eight digits."""
    flat = pixels.reshape(-1, 3).astype(np.float64) / white_level(pixels)
    mean, std = flat.mean(0), flat.std(0)
    return [round(float(v), 8) for v in mean], [round(float(v), 8) for v in std]


def rows_digest(rows: Iterable[Row]) -> str:
    """SHA-256 over the rows in their canonical order (split, then id)."""
    return sha256_text(rows_text(rows))


def pixel_bytes(rows: Iterable[Row]) -> int:
    """What the decoded pictures of these rows take, at their depths."""
    depths = ((row, row.input_bit_depth + row.target_bit_depth) for row in rows)
    return sum(row.width * row.height * 3 * bits // 8 for row, bits in depths)


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (SPLITS.index(row.split), row.id))


VALIDATION_SHARE = 0.05


def chosen_by_hash(ids: Sequence[str], share: float) -> set[str]:
    """A share of the ids, at least one: those with the lowest SHA-256.

    VALIDATION_SHARE of the training ids are validated on where a protocol has no such split.
    """
    count = max(1, round(share * len(ids)))
    return set(sorted(ids, key=sha256_text)[:count])


def rows_text(rows: Iterable[Row]) -> str:
    """A metadata.jsonl: a line for each, in the canonical order."""
    return "".join(row.line() + "\n" for row in in_order(rows))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    write_text(path, rows_text(rows))


def write_lock(folder: Path, header: Header, rows: Sequence[Row]) -> None:
    """manifests/<dataset>.jsonl, then .json: the header is there only when the rows are."""
    write_rows(folder / f"{header.name}.jsonl", rows)
    write_text(folder / f"{header.name}.json", json_text(header.model_dump()))


def read_header(path: Path) -> Header:
    try:
        return Header.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(f"{path} is not a dataset header: {first_fault(error)}") from None


def read_rows(path: Path) -> list[Row]:
    """Read a metadata.jsonl. Raises DataError that names the file and the line."""
    rows = []
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    # Not by `splitlines`: names may hold what that takes for line ends, as U+2028.
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
        try:
            rows.append(Row.model_validate(json_value(line)))
        except ValidationError as error:
            raise DataError(f"{path}, line {number}: {first_fault(error)}") from None
        except ValueError as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}") from None
    return rows


class Dataset:
    """A prepared dataset directory: its header and rows, with every file name checked.

    Raises DataError where the directory is not a dataset, or a row leads out of it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if not directory.is_dir():
            raise DataError(f"there is no dataset at {directory}")
        self.header = read_header(directory / "dataset.json")
        self.rows: list[Row] = []
        for split in SPLITS:
            if self.header.counts.get(split) or (directory / split).exists():
                self.rows += read_rows(directory / split / "metadata.jsonl")
        self._check_places()

    def _check_places(self) -> None:
        """Raises DataError where links lead a row's pictures out of the dataset's folder."""
        inside = os.path.realpath(self.directory)
        known: dict[Path, bool] = {}
        for row in self.rows:
            for path in self.paths(row):
                # A folder is looked at once for all that lie in it.
                for place in (path.parent, path) if path.is_symlink() else (path.parent,):
                    if place not in known:
                        known[place] = Path(os.path.realpath(place)).is_relative_to(inside)
                    if not known[place]:
                        raise DataError(f"{self.directory}: row {row.id}: {path} leads outside")

    def split(self, split: Split) -> list[Row]:
        return [row for row in self.rows if row.split == split]

    def input_path(self, row: Row) -> Path:
        return self.directory / row.split / row.input_file_name

    def target_path(self, row: Row) -> Path:
        return self.directory / row.split / row.target_file_name

    def mask_path(self, row: Row) -> Path | None:
        return self.directory / row.split / row.mask_file_name if row.mask_file_name else None

    def paths(self, row: Row) -> list[Path]:
        """Of all that lies there of a pair."""
        return [self.directory / row.split / name for name in row.file_names]


def open_dataset(name: str, advice: str | None = None) -> Dataset:
    """The prepared dataset of that name, or at that path.

    Raises DataError with `advice` on how it is made where it is not there.
    """
    directory = Path(name) if "/" in name or (Path(name) / "dataset.json").exists() else None
    directory = directory or data_dir() / name
    if not (directory / "dataset.json").exists():
        hint = advice or _prepared(name)
        if (data_dir() / f".{name}.building").is_dir():
            hint = "its preparation was stopped: the same `hdrbench prepare` goes on with it"
        raise DataError(f"dataset {name} is not prepared (no {directory}/dataset.json): {hint}")
    return Dataset(directory)


def prepared_names() -> list[str]:
    """The datasets that are prepared here."""
    return sorted(path.parent.name for path in data_dir().glob("[!.]*/dataset.json"))


def _prepared(name: str) -> str:
    names = prepared_names()
    if near := near_names(name, names):
        return f"did you mean {' or '.join(near)}?"
    return f"prepared here: {', '.join(names) or 'none, `hdrbench prepare` makes them'}"


def find_lock(name: str) -> tuple[Header, list[Row]] | None:
    """The committed header and rows of a dataset, or None where none is known."""
    for folder in search("manifests"):
        if (folder / f"{name}.json").exists():
            header = read_header(folder / f"{name}.json")
            rows = read_rows(folder / f"{name}.jsonl")
            if rows_digest(rows) != header.digest:
                raise DataError(f"the lock {folder / name}.json does not fit its rows in .jsonl")
            return header, rows
    return None
