"""Published figures: results/published/<source>.csv, transcribed from papers, and speed.csv, of
times on GPUs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DataError, first_fault
from ..files import read_bytes, unreadable
from ..metric_specs import METRICS
from ..paths import shipped
from ..prepare.protocols import find_protocol, whole_test_split
from ..result_ids import Slug
from ..results import Evaluation
from .groups import Group

FOLDER = "published"
SPEED = "speed.csv"
HDRNET = "HDRNet"  # a row's method, with or without a note in brackets
# A figure's metric, as the canonical ones and the modes call it.
_METRICS_OF = {
    "psnr": ("psnr",),
    "ssim": ("ssim",),
    "delta_e76": ("delta_e_76", "delta_e"),
    "lpips": ("lpips",),
}

_Positive = Annotated[float, Field(gt=0)]
# An arXiv id, or a DOI of characters that mean nothing in Markdown and HTML: both become links.
_PaperId = Annotated[str, Field(pattern=r"^(\d{4}\.\d{4,5}|10\.\d{4,9}/[A-Za-z0-9._/-]+)$")]
_Row = TypeVar("_Row", bound=BaseModel)


class PublishedRow(BaseModel):
    """One row of a paper's table.

    protocol, resolution: as the papers of that protocol call them.
    dataset: what `hdrbench prepare` calls the data of that protocol at that resolution; None where
        it cannot be prepared. The row is shown beside what was measured on it, and nowhere else.
    checked: "primary" where the figure was read in the paper itself, "transcription" where in
        another paper's table that cites it.
    arxiv: the arXiv id of the paper that `source` names (of the later one where it says "via"), or
        its DOI where it is not on arXiv; None where neither was found.
    table: the number of the table in that paper; None where it is not known.
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
    arxiv: _PaperId | None = None
    table: Annotated[int, Field(ge=1, le=99)] | None = None
    checked: Literal["transcription", "primary"]


class SpeedRow(BaseModel):
    """A published time on a GPU.

    timed: what of the method. resolution: as the source calls it. place: where in the source the
    figure stands. arxiv, checked: as for `PublishedRow`; "primary" for a file of the source too.
    differs: why it does not compare with a time of this project.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: str = Field(min_length=1)
    timed: Literal["whole network", "slice, forward", "slice, backward"]
    resolution: str = Field(min_length=1)
    device: str = Field(min_length=1)
    ms: _Positive
    source: str = Field(min_length=1)
    arxiv: _PaperId | None = None
    place: str = Field(min_length=1)
    checked: Literal["transcription", "primary"]
    differs: str = Field(min_length=1)


def read_published(root: Path) -> list[PublishedRow]:
    """The rows of root/published/, else of the files that come with the package, in the order of
    the files' names; without those of `read_speed`.

    Raises DataError that names the file, the line and the faulty column.
    """
    paths = sorted(path for path in _folder(root).glob("*.csv") if path.name != SPEED)
    return [row for path in paths for row in _read(path, PublishedRow)]


def read_speed(root: Path) -> list[SpeedRow]:
    """The rows of speed.csv in the same folder; none where it is not there. Raises as
    `read_published`."""
    path = _folder(root) / SPEED
    return _read(path, SpeedRow) if path.exists() else []


def _folder(root: Path) -> Path:
    own = root / FOLDER
    return own if own.is_dir() else shipped(f"results/{FOLDER}")


def _read(path: Path, kind: type[_Row]) -> list[_Row]:
    published, line = [], 1
    try:
        # Spreadsheets write a byte order mark first.
        text = read_bytes(path).decode("utf-8-sig")
        head, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        for line, row in enumerate(rows, start=2):
            if len(row) != len(head):
                raise DataError(
                    f"{path}, line {line}: {len(row)} columns, its head has {len(head)}"
                )
            values = {key: text or None for key, text in zip(head, row, strict=True)}
            published.append(kind.model_validate(values))
    except ValidationError as error:
        raise DataError(f"{path}, line {line}: {first_fault(error)}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from None
    return published


def is_hdrnet(method: str) -> bool:
    """Whether a row's method is HDRNet, as its paper or somebody who ran it again had it."""
    return method.partition(" (")[0] == HDRNET


def metrics_as_published(protocol: str) -> dict[str, str]:
    """For each figure of a `PublishedRow`, the metric that compares with it on this protocol: as
    its papers measured, or the canonical one where that is not known."""
    found = find_protocol(protocol)
    mode = found[1].measured_as if found else None
    names = {}
    for figure, candidates in _METRICS_OF.items():
        for name in candidates:
            metric = f"{mode}.{name}" if mode else name
            if metric in METRICS:
                names[figure] = metric
    return names


def whole_split(result: Evaluation) -> int:
    """How many pictures the figures beside a result are of: those of its protocol's test split, or
    where that is not known those of the result and those that its predictions lacked."""
    known = whole_test_split(result.dataset.protocol)
    if known is not None:
        return known
    unpaired = result.unpaired
    return len(result.rows) + (len(unpaired.missing + unpaired.wrong_size) if unpaired else 0)


def rows_of_group(group: Group, published: Sequence[PublishedRow]) -> list[PublishedRow]:
    """What was published on a group's data: the same protocol and size, the test split; not all of
    its pictures need have been prepared (`whole_split`)."""
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
