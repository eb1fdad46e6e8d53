"""Is a model judged on pictures that it was trained with? Told by ids, under any protocol."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.file import TrainedOn
from .manifest import Dataset, Row

# Sources whose ids name the same picture under every protocol.
_NAMING = ("demo", "fivek", "hdrplus")


def trained_on(dataset: Dataset) -> TrainedOn:
    rows = [*dataset.split("train"), *dataset.split("validation")]
    source = dataset.header.source
    ids = sorted(row.id for row in rows) if source in _NAMING else []
    return TrainedOn(source=source, ids=tuple(ids), pixels=tuple(sorted(map(_pixels, rows))))


def leaked(known: TrainedOn, dataset: Dataset, rows: Sequence[Row]) -> list[str]:
    """Ids of the rows that are among the pictures of training or validation."""
    ids = set(known.ids) if known.source == dataset.header.source else set()
    pixels = set(known.pixels)
    return [row.id for row in rows if row.id in ids or _pixels(row) in pixels]


def _pixels(row: Row) -> str:
    return row.input_pixels_sha256[:16]
