"""Is a model judged on pictures that it was trained with? Told by ids, under any protocol."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from .manifest import Dataset, Row

# Sources whose ids name the same picture under every protocol; of others the pixels tell.
_NAMING = ("demo", "fivek", "hdrplus")


class TrainedOn(BaseModel):
    """The pictures that weights or their choice were made with: training and validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    pictures: tuple[str, ...]


def trained_on(dataset: Dataset) -> TrainedOn:
    rows = [*dataset.split("train"), *dataset.split("validation")]
    source = dataset.header.source
    return TrainedOn(source=source, pictures=tuple(sorted(_key(source, row) for row in rows)))


def leaked(known: TrainedOn, dataset: Dataset, rows: Sequence[Row]) -> list[str]:
    """Ids of the rows that are among the pictures of training or validation."""
    source = dataset.header.source
    if source != known.source:
        return []
    pictures = set(known.pictures)
    return [row.id for row in rows if _key(source, row) in pictures]


def _key(source: str, row: Row) -> str:
    return row.id if source in _NAMING else row.input_pixels_sha256[:16]
