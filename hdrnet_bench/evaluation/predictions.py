"""A folder of another method's pictures: paired with a split's rows by id, before any is scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..cleaning import name_text
from ..data.manifest import Row
from ..data.pairs import Pair
from ..data.sizes import size_of
from ..errors import DataError
from ..files import sha256_file, sha256_text
from ..images.files import read_picture
from ..images.kinds import KINDS
from ..images.photo import picture_size
from ..images.pixels import to_float32
from ..results import Size, Unpaired

SUFFIXES = tuple(KINDS)


class Predictions(NamedTuple):
    """files: by the id of their row, those that can be scored; sha256: over these, names and
    contents; notes: what reading one had to do, by id, once it was read."""

    files: dict[str, Path]
    unpaired: Unpaired
    sha256: str
    notes: dict[str, tuple[str, ...]]

    def method(self, pair: Pair) -> Tensor:
        """(3, H, W) in [0, 1], 8 or 16 bit."""
        path = self.files[pair.row.id]
        pixels, self.notes[pair.row.id] = read_picture(path)
        if pixels.shape[:2] != pair.target.shape[-2:]:
            raise DataError(f"{path} is not as large as its target any more")
        return torch.from_numpy(to_float32(pixels)).to(pair.target.device)


def pair_predictions(folder: Path, rows: Sequence[Row], size: Size) -> Predictions:
    """The folder's pictures <id>.<suffix>, and what does not fit the rows: nothing is resized.

    Raises DataError where the folder is none, a file is broken, or two files have the same id.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of pictures")
    paths: dict[str, Path] = {}
    extra, unread = [], []
    ids = {row.id for row in rows}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        name = name_text(path)  # which need not be text, and a result is
        if path.stem not in ids or not path.is_file():
            extra.append(name)
        elif path.suffix.lower() not in SUFFIXES:
            unread.append(name)
        elif path.stem in paths:
            raise DataError(f"{folder} has {paths[path.stem].name} and {path.name}: keep one")
        else:
            paths[path.stem] = path
    wrong_size = [
        row.id
        for row in rows
        if row.id in paths and picture_size(paths[row.id]) != size_of(row, size)
    ]
    files = {row.id: paths[row.id] for row in rows if row.id in paths and row.id not in wrong_size}
    missing = [row.id for row in rows if row.id not in paths]
    digests = (f"{path.name} {sha256_file(path)}\n" for path in files.values())
    return Predictions(
        files,
        Unpaired(missing=missing, extra=extra, wrong_size=wrong_size, unread=unread),
        sha256_text("".join(digests)),
        {},
    )


def describe(unpaired: Unpaired) -> str:
    """What does not fit, in words; nothing where all fits."""
    kinds = (
        ("missing", unpaired.missing),
        ("of another size", unpaired.wrong_size),
        ("of a kind that is not read", unpaired.unread),
        ("of no picture in the split", unpaired.extra),
    )
    return "; ".join(f"{len(names)} {what}: {', '.join(names)}" for what, names in kinds if names)
