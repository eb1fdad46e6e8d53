"""Whether the user accepts the terms that a dataset comes on: asked once, and remembered."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from ..files import read_bytes, write_text
from ..paths import cache_dir
from .source_models import Source


def place(source: Source) -> Path:
    """Where it is remembered."""
    return cache_dir() / f"{source.name}-licence-accepted"


def is_accepted(source: Source, terms: str) -> bool:
    """Whether these very terms were accepted before, on this machine. terms: what changes where
    they do, as digests of their texts."""
    path, wanted = place(source), terms.encode()
    try:
        return path.is_file() and read_bytes(path, len(wanted)) == wanted
    except DataError:  # it is longer, and so another
        return False


def accept(source: Source, terms: str) -> None:
    """Remember that the user accepts these terms."""
    write_text(place(source), terms)
