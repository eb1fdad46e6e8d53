"""What commands do with the MODEL that they are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .console import err

if TYPE_CHECKING:
    from ..model_header import ModelHeader
    from ..model_names import ModelSource


def model_file(source: ModelSource, quiet: bool) -> tuple[Path, str]:
    """The model's file, had from the Hub where it is there, and what was found, which is said."""
    if quiet and source.path is None:
        silence_hub()
    path, origin = source.fetched()
    if not quiet:
        err.print(f"model: {origin}")
    return path, origin


def silence_hub() -> None:
    """No bars of progress from the Hub's own library."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()


def say_unfinished(file: Path, header: ModelHeader) -> None:
    """That a training did not come to its end."""
    if header.step != header.steps:
        err.print(f"{file}: of a training that stands at step {header.step} of {header.steps}")
