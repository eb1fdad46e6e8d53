"""The protocols of all sources, published or not."""

from __future__ import annotations

from typing import Any

from . import protocols
from .sources import bsds500, demo, folder, synthetic_hdrplus

_SHORT = ("source", "protocol", "summary")  # all that is said of one that is not published


def protocol_rows() -> list[dict[str, Any]]:
    """A row each: source, protocol, summary; of those that are published, all there is to say."""
    rows: list[dict[str, Any]] = [
        dict(zip(_SHORT, (source, protocol, summary), strict=True))
        for source, summaries in (
            ("demo", demo.protocols()),
            ("bsds500", bsds500.protocols()),
            ("folder", folder.protocols()),
            ("synthetic-hdrplus", synthetic_hdrplus.protocols()),
        )
        for protocol, summary in summaries.items()
    ]
    for source in protocols.SOURCES:
        of_source = protocols.load_source(source)
        rows += [
            {"source": source} | protocols.description(one, of_source)
            for one in protocols.all_protocols(source)
        ]
    return rows
