"""Published figures: results/published/<source>.csv, transcribed from papers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DataError
from ..paths import shipped
from ..results import Slug
from .groups import Group

FOLDER = "published"

_Positive = Annotated[float, Field(gt=0)]


class PublishedRow(BaseModel):
    """One row of a paper's table.

    protocol, resolution: as the papers of that protocol call them.
    dataset: what `hdrbench prepare` calls the data of that protocol at that resolution; None where
        it cannot be had. The row stands beside what was measured on it, and nowhere else.
    checked: "primary" where the paper itself was read, "transcription" where another's table that
        cites it was.
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
    """What root/published/ holds, else what came with the package, in the files' order.

    Raises DataError that names the file, the line and the faulty column.
    """
    own = root / FOLDER
    folder = own if own.is_dir() else shipped(f"results/{FOLDER}")
    return [row for path in sorted(folder.glob("*.csv")) for row in _read(path)]


def _read(path: Path) -> list[PublishedRow]:
    found, line = [], 1
    try:
        # A spreadsheet puts a mark of the encoding first.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head, *rows = csv.reader(stream, strict=True)
        for line, row in enumerate(rows, start=2):
            if len(row) != len(head):
                raise DataError(
                    f"{path}, line {line}: {len(row)} columns, its head has {len(head)}"
                )
            values = {key: text or None for key, text in zip(head, row, strict=True)}
            found.append(PublishedRow.model_validate(values))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise DataError(f"{path}, line {line}: {where}: {fault['msg']}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from None
    return found


def beside(of: Group, published: Sequence[PublishedRow]) -> list[PublishedRow]:
    """What was published on a group's data: the same protocol and size, the whole test split."""
    first = of.first
    if first.dataset.split != "test":
        return []
    return [
        row
        for row in published
        if row.dataset == first.dataset.name
        and row.protocol == first.dataset.protocol
        # As prepared; or made 480p by `eval`, which changes nothing where it is 480p already.
        and (first.size == "full" or row.resolution == first.size)
    ]


def not_run(groups: Sequence[Group], published: Sequence[PublishedRow]) -> list[str]:
    """The protocols of published figures beside which nothing was measured."""
    shown = {id(row) for of in groups for row in beside(of, published)}
    beside_something = {row.protocol for row in published if id(row) in shown}
    return sorted({row.protocol for row in published} - beside_something)
