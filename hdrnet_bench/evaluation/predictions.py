"""A folder of another method's pictures: paired with a split's rows, by id or by the name of a
source file, before any is scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

import torch
from torch import Tensor

from ..cleaning import name_text
from ..data.manifest import Row
from ..data.pairs import Pair
from ..data.sizes import size_of
from ..errors import DataError, StorageError
from ..files import sha256_text
from ..images.files import open_picture
from ..images.kinds import KINDS
from ..images.pixels import to_float32
from ..results import Size, Unpaired

SUFFIXES = tuple(KINDS)


class Predictions(NamedTuple):
    """files: by the id of their row, those that can be scored; digests: the SHA-256 of each as it
    was paired, by id; sha256: over these, names and contents; notes: what reading one had to do, by
    id, once it was read."""

    files: dict[str, Path]
    digests: dict[str, str]
    unpaired: Unpaired
    sha256: str
    notes: dict[str, tuple[str, ...]]

    def method(self, pair: Pair) -> Tensor:
        """(3, H, W) in [0, 1], 8 or 16 bit. Raises StorageError where the file is not the one that
        was paired any more."""
        file = open_picture(self.files[pair.row.id])
        if file.sha256() != self.digests[pair.row.id]:
            raise StorageError(
                f"{file.path} was changed since the pictures were paired: the same command scores "
                "them as they are now"
            )
        pixels, self.notes[pair.row.id] = file.read()
        return torch.from_numpy(to_float32(pixels)).to(pair.target.device)


def pair_predictions(
    folder: Path, rows: Sequence[Row], size: Size, others: Sequence[Row] = ()
) -> Predictions:
    """The folder's pictures, and what does not fit the rows: nothing is resized.

    They are called <id>.<suffix>, or as a row's source file, whatever the suffix, where no other
    row's is called so. others: the rows of the other splits, whose pictures may lie there too.

    Raises DataError where the folder is none, a file is broken, or two files are of one row.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of pictures")
    paths: dict[str, Path] = {}
    extra, unread = [], []
    ids = _ids_by_name(rows, others)
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        name = name_text(path)  # which need not be text, and a result is
        # macOS may write a letter and its accent as two characters.
        id_ = ids.get(normalize("NFC", path.stem))
        if id_ is None or not path.is_file():
            extra.append(name)
        elif path.suffix.lower() not in SUFFIXES:
            unread.append(name)
        elif id_ in paths:
            raise DataError(f"{folder} has {paths[id_].name} and {path.name}: keep one")
        else:
            paths[id_] = path
    digests: dict[str, str] = {}
    missing, wrong_size = [], []
    for row in rows:
        if row.id not in paths:
            missing.append(row.id)
        elif (file := open_picture(paths[row.id])).size() != size_of(row, size):
            wrong_size.append(row.id)
        else:
            digests[row.id] = file.sha256()
    files = {id_: paths[id_] for id_ in digests}
    return Predictions(
        files,
        digests,
        Unpaired(missing=missing, extra=extra, wrong_size=wrong_size, unread=unread),
        sha256_text("".join(f"{files[id_].name} {sha}\n" for id_, sha in digests.items())),
        {},
    )


def _ids_by_name(rows: Sequence[Row], others: Sequence[Row]) -> dict[str, str]:
    """What a prediction's file may be called, without suffix, to the id of its row."""
    taken = {normalize("NFC", row.id) for row in others} | {
        n for row in others for n in _names(row)
    }
    by_source: dict[str, set[str]] = {}
    for row in rows:
        for name in _names(row) - taken:
            by_source.setdefault(name, set()).add(row.id)
    alone = {name: ids.pop() for name, ids in by_source.items() if len(ids) == 1}
    return alone | {normalize("NFC", row.id): row.id for row in rows}


def _names(row: Row) -> set[str]:
    """What its source files are called, without suffix."""
    return {normalize("NFC", PurePosixPath(name).stem) for name in row.source_names}


def describe(unpaired: Unpaired) -> str:
    """What does not fit, in words; nothing where all fits."""
    kinds = (
        ("missing", unpaired.missing),
        ("of another size", unpaired.wrong_size),
        ("of a kind that is not read", unpaired.unread),
        ("of no picture in the split", unpaired.extra),
    )
    return "; ".join(f"{len(names)} {what}: {', '.join(names)}" for what, names in kinds if names)
