"""Where the thumbnails beside results lie: what is a method's in its folder, what is the data's
once for all methods and recipes that were measured on it.

    <recipe>/<method>/<run>/pictures/<split>-<size>/<id>-{output,error}.webp
    pictures/<dataset>-<digest>/<split>-<size>/<id>-{input,target}.webp

The identity's are all the data's: its output is the input, and its error map, <id>-error.webp, is
the same under every recipe.
"""

from __future__ import annotations

from pathlib import Path

from .result_ids import DatasetId, MethodId
from .results import Size

ROLES = ("input", "output", "target", "error")
IDENTITY = "identity"
PICTURES = "pictures"
SUFFIX = ".webp"


def method_pictures(folder: Path, dataset: DatasetId, size: Size) -> Path:
    """The folder of a method's own; folder: its result's."""
    return folder / PICTURES / f"{dataset.split}-{size}"


def data_pictures(folder: Path, dataset: DatasetId, size: Size) -> Path:
    """The folder of what is shown beside every method; folder: as above, of any of them."""
    root = folder.parents[2]  # without recipe, method and run
    return root / PICTURES / f"{dataset.name}-{dataset.digest[:12]}" / f"{dataset.split}-{size}"


def picture_files(
    folder: Path, dataset: DatasetId, method: MethodId, size: Size, id_: str
) -> dict[str, Path]:
    """A picture's files by role, for a result in `folder`; of the identity, input and output are
    one file."""
    shared = data_pictures(folder, dataset, size)
    unchanged = method.name == IDENTITY
    own = shared if unchanged else method_pictures(folder, dataset, size)
    output = "input" if unchanged else "output"
    return {
        "input": shared / f"{id_}-input{SUFFIX}",
        "output": own / f"{id_}-{output}{SUFFIX}",
        "target": shared / f"{id_}-target{SUFFIX}",
        "error": own / f"{id_}-error{SUFFIX}",
    }
