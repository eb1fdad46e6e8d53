"""Published figures: results/published/<source>.csv, transcribed from papers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DataError, first_fault
from ..paths import shipped
from ..result_ids import Slug
from .groups import Group

FOLDER = "published"

_Positive = Annotated[float, Field(gt=0)]


class PublishedRow(BaseModel):
    """One row of a paper's table.

    protocol, resolution: as the papers of that protocol call them.
    dataset: what `hdrbench prepare` calls the data of that protocol at that resolution; None where
        it cannot be prepared. The row is shown beside what was measured on it, and nowhere else.
    checked: "primary" where the figure was read in the paper itself, "transcription" where in
        another paper's table that cites it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    protocol: Slug
    resolution: Slug
    dataset: Slug | None
    method: str = Field(min_length=1)
    psnr: float = Field(gt=0, lt=100)
    ssim: Annotated[float, Field(gt=0, le=1)] | None
    delta_e76: _Positive | None
    lpips: _Positive | None
    time_ms: _Positive | None
    gpu: str | None
    source: str = Field(min_length=1)
    checked: Literal["transcription", "primary"]


def read_published(root: Path) -> list[PublishedRow]:
    """The rows of root/published/, else of the files that come with the package, in the order of
    the files' names.

    Raises DataError that names the file, the line and the faulty column.
    """
    own = root / FOLDER
    folder = own if own.is_dir() else shipped(f"results/{FOLDER}")
    return [row for path in sorted(folder.glob("*.csv")) for row in _read(path)]


def _read(path: Path) -> list[PublishedRow]:
    published, line = [], 1
    try:
        # Spreadsheets write a byte order mark first.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head, *rows = csv.reader(stream, strict=True)
        for line, row in enumerate(rows, start=2):
            if len(row) != len(head):
                raise DataError(
                    f"{path}, line {line}: {len(row)} columns, its head has {len(head)}"
                )
            values = {key: text or None for key, text in zip(head, row, strict=True)}
            published.append(PublishedRow.model_validate(values))
    except ValidationError as error:
        raise DataError(f"{path}, line {line}: {first_fault(error)}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from None
    return published


def rows_of_group(group: Group, published: Sequence[PublishedRow]) -> list[PublishedRow]:
    """What was published on a group's data: the same protocol and size, the whole test split."""
    first = group.first
    if first.dataset.split != "test":
        return []
    return [
        row
        for row in published
        if row.dataset == first.dataset.name
        and row.protocol == first.dataset.protocol
        # In the size that was prepared; or resized to 480p by `eval`, which comes to the same only
        # where 480p was prepared.
        and (first.size == "full" or row.resolution == first.size)
    ]


def unmeasured_protocols(groups: Sequence[Group], published: Sequence[PublishedRow]) -> list[str]:
    """The protocols of published figures on whose data nothing was measured."""
    measured = {row.protocol for group in groups for row in rows_of_group(group, published)}
    return sorted({row.protocol for row in published} - measured)
