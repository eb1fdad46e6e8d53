"""Fingerprints of a whole rendering: a file of lines, `manifests/fingerprints/<dataset>.jsonl`.

The first line says what the pictures are and where they came from; each other line is a
fingerprint. Whoever has the published pictures can write one, and others compare with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DataError, first_fault
from ..files import json_line, json_value, read_text, sha256_text, unreadable, write_text
from ..paths import search
from ..version import __version__
from .picture import Fingerprint

FOLDER = "fingerprints"  # in manifests/
LONGEST_ORIGIN = 1000  # characters
_Word = Annotated[str, Field(min_length=1, max_length=100)]


class Header(BaseModel):
    """origin: where the pictures came from, in the words of who made this. sha256: of the lines
    below, as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["fingerprints"] = "fingerprints"
    schema_version: Literal[1] = 1
    dataset: _Word
    protocol: _Word
    protocol_version: int
    size: _Word
    origin: str = Field(min_length=1, max_length=LONGEST_ORIGIN)
    inputs: int = Field(ge=0)
    targets: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    made_by: _Word = f"hdrnet-bench {__version__}"


class Reference(NamedTuple):
    """prints: by side and id."""

    path: Path
    header: Header
    prints: dict[tuple[str, str], Fingerprint]


def place(dataset: str, folder: Path = Path("manifests")) -> Path:
    return folder / FOLDER / f"{dataset}.jsonl"


def find_reference(dataset: str) -> Reference | None:
    """Of the current directory's manifests or the project's; None where neither has it."""
    for folder in search("manifests"):
        if (path := place(dataset, folder)).exists():
            return read_reference(path)
    return None


def write_reference(
    path: Path,
    prints: Iterable[Fingerprint],
    *,
    dataset: str,
    protocol: str,
    protocol_version: int,
    size: str,
    origin: str,
) -> None:
    """Write the file as a whole, or leave what was there."""
    ordered = sorted(prints, key=lambda one: (one.side, one.id))
    lines = "".join(json_line(one.model_dump(mode="json")) + "\n" for one in ordered)
    header = Header(
        dataset=dataset,
        protocol=protocol,
        protocol_version=protocol_version,
        size=size,
        origin=origin,
        inputs=_count(ordered, "input"),
        targets=_count(ordered, "target"),
        sha256=sha256_text(lines),
    )
    write_text(path, json_line(header.model_dump(mode="json")) + "\n" + lines)


def _count(prints: Sequence[Fingerprint], side: str) -> int:
    return sum(one.side == side for one in prints)


def read_reference(path: Path) -> Reference:
    """Raises DataError that names the file, and the line, where it is not such a file, has been
    changed since it was written, or names a picture twice."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    first, _, rest = text.partition("\n")
    prints: dict[tuple[str, str], Fingerprint] = {}
    number = 1
    try:
        header = Header.model_validate(json_value(first))
        for number, line in enumerate(rest.removesuffix("\n").split("\n") if rest else [], 2):
            one = Fingerprint.model_validate(json_value(line))
            if (one.side, one.id) in prints:
                raise DataError(f"{path}, line {number}: {one.side} of {one.id} is there twice")
            prints[one.side, one.id] = one
    except ValidationError as error:
        raise DataError(f"{path}, line {number}: {first_fault(error)}") from None
    except ValueError as error:
        raise DataError(f"{path}, line {number} is not JSON: {error}") from None
    counts = _count(list(prints.values()), "input"), _count(list(prints.values()), "target")
    if sha256_text(rest) != header.sha256 or counts != (header.inputs, header.targets):
        raise DataError(
            f"{path}: its lines are not those that its first line was written with; take the file "
            "from where it was published"
        )
    return Reference(path, header, prints)
