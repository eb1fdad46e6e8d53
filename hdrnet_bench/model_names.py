"""Which model file a name means: a file, a run directory, or RECIPE/RUN. Without torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .errors import DataError, HdrbenchError, UsageError, near_matches, near_names
from .paths import runs_dir

LAST = "last.safetensors"  # of a run: the weights at its end, or where it was stopped

_ANY = "[!.]*.safetensors"


def find_model(name: str | Path) -> Path | None:
    """A file of that name, or the `LAST` of a directory; else the same below `paths.runs_dir()`,
    where RECIPE/RUN is a directory. None where there is neither."""
    if not str(name):
        return None
    for path in (Path(name), runs_dir() / name):
        file = path / LAST if os.path.isdir(path) else path  # noqa: PTH112 (no error for any name)
        if os.path.exists(file):  # noqa: PTH110
            return file
    return None


def no_model(name: str | Path, kinds: str, recipes: Iterable[str] = ()) -> HdrbenchError:
    """What is wrong with a name that `find_model` finds nothing for: a UsageError with what is
    near, or a DataError where something of that name is there.

    Args:
        kinds: what the name might have been, in words.
        recipes: that may be meant too.
    """
    path, text = Path(name), str(name)
    if text and os.path.isdir(path):  # noqa: PTH112
        inside = sorted(map(str, [*path.glob(_ANY), *path.glob(f"[!.]*/{LAST}")]))
        more = f"; there is {', '.join(inside[:3])}" if inside else ""
        return DataError(f"there is no model file {path / LAST}{more}")
    if text and os.path.lexists(path):
        return DataError(f"there is no model file {path}: it is a link that leads nowhere")
    files = path.parent.glob(_ANY) if os.path.isdir(path.parent) else ()  # noqa: PTH112
    runs = runs_dir().glob(f"[!.]*/[!.]*/{LAST}")
    there = [*map(str, files), *("/".join(file.parts[-3:-1]) for file in runs)]
    if near := near_names(text, {*there, *recipes}):
        hint = f"did you mean {' or '.join(near)}?"
    elif there:
        hint = near_matches(text, there)
    else:
        hint = "there is none yet, `hdrbench train RECIPE` makes one"
    return UsageError(f"{text!r} is neither {kinds}: {hint}")
