"""What commands do with the MODEL that they are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .console import err

if TYPE_CHECKING:
    from ..model_names import ModelSource


def model_file(source: ModelSource, quiet: bool) -> Path:
    """The model's file, had from the Hub where it is there; what was found is said."""
    if quiet and source.path is None:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    path, origin = source.fetched()
    if not quiet:
        err.print(f"model: {origin}")
    return path
