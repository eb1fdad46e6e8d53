"""Is a model evaluated on pictures that it was trained with? By ids, under any protocol, and by
pixels."""

from __future__ import annotations

from collections.abc import Sequence

from ..model_header import TrainedOn
from .manifest import Dataset, Row

# Sources whose ids name the same picture under every protocol.
_SHARED_IDS = ("demo", "fivek", "hdrplus", "bsds500", "ppr10k")


def trained_on(dataset: Dataset) -> TrainedOn:
    rows = [*dataset.split("train"), *dataset.split("validation")]
    source = dataset.header.source
    ids = sorted(row.id for row in rows) if source in _SHARED_IDS else []
    return TrainedOn(source=source, ids=tuple(ids), pixels=tuple(sorted(map(_pixels, rows))))


def leaked_ids(training: TrainedOn, dataset: Dataset, rows: Sequence[Row]) -> list[str]:
    """Ids of the rows that are among the pictures of training or validation."""
    ids = set(training.ids) if training.source == dataset.header.source else set()
    pixels = set(training.pixels)
    return [row.id for row in rows if row.id in ids or _pixels(row) in pixels]


def _pixels(row: Row) -> str:
    return row.input_pixels_sha256[:16]
