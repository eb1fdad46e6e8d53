"""Source `bsds500`: the photographs of the Berkeley Segmentation Data Set (BSDS500; Arbelaez et
al., TPAMI 2011) in its own splits, and targets by an operator.

500 photographs of 481 x 321 pixels, JPEG: enough for intervals, small enough for a CPU. They may be
used for research and teaching that is not commercial, and are not passed on here: they lie in a
copy of the published archive. The protocol is the name of the operator (see operators.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ...data.manifest import Split
from ...errors import DataError, UsageError, near_matches
from ...files import json_line, sha256_text
from ...images.files import read_picture
from ...images.pixels import quantise
from ..build import PreparedPair
from ..operators import OPERATORS, as_planar
from ..staging import Plan, Task
from .source_files import Counted, folders_in, hash_all, reading, uncounted

VERSION = 1
DEFAULT_PROTOCOL = "local-laplacian"
LICENCE = "BSDS500-non-commercial-research"
# Where the archive has the photographs, for whoever gives its folder, or one inside.
_INSIDE = ("", "images", "data/images", "BSDS500/data/images", "BSR/BSDS500/data/images")
# Each split's folder, as the archive calls it and as others do, and how many photographs it has.
_SPLITS: dict[Split, tuple[tuple[str, ...], int]] = {
    "train": (("train",), 200),
    "validation": (("val", "validation"), 100),
    "test": (("test",), 200),
}


class BsdsJob(NamedTuple):
    """What a worker gets: the operator, the photograph, how its row names it, and its SHA-256."""

    operator: str
    path: Path
    name: str
    sha256: str


def protocols() -> dict[str, str]:
    """Name and summary of each protocol of this source."""
    return {
        name: f"the 500 photographs of BSDS500, in a copy of it: {operator.summary}"
        for name, operator in OPERATORS.items()
    }


def plan_and_tasks(
    protocol: str | None, source: Path | None, counted: Counted = uncounted
) -> tuple[Plan, list[Task]]:
    """What is made of a copy of the data set.

    Args:
        source: the extracted archive, or a folder in it down to the one with train/, val/ and
            test/.
        counted: told of the files that are hashed.

    Raises UsageError without `source` or for a protocol that is no operator; DataError where the
    folder has not the 500 photographs.
    """
    operator = DEFAULT_PROTOCOL if protocol is None else protocol
    if operator not in OPERATORS:
        raise UsageError(
            f"source bsds500 has no protocol {operator!r}: {near_matches(operator, OPERATORS)}"
        )
    if source is None:
        raise UsageError(
            "source bsds500 needs --source-dir DIR: the extracted archive of BSDS500 "
            "(BSR_bsds500.tgz, from the Berkeley computer vision group), or the folder in it that "
            "has train/, val/ and test/"
        )
    photographs = _find(source)
    hashes = hash_all([path for paths in photographs.values() for path in paths], counted)
    tasks = [
        Task(path.stem, split, BsdsJob(operator, path, f"{split}/{path.name}", hashes[path]))
        for split, paths in photographs.items()
        for path in paths
    ]
    listing = sorted(json_line([job.name, job.sha256]) for job in (task.payload for task in tasks))
    plan = Plan(
        name=f"bsds500-{operator}",
        source="bsds500",
        protocol=operator,
        version=VERSION,
        licence=LICENCE,
        settings={
            "operator": operator,
            "operator_version": OPERATORS[operator].version,
            "pictures": "the photographs of BSDS500 in its own splits, full size, 8-bit sRGB",
            "files_sha256": sha256_text("".join(f"{line}\n" for line in listing)),
        },
    )
    return plan, tasks


def _find(source: Path) -> Mapping[Split, list[Path]]:
    """The photographs of each split, by name. Raises DataError where they are not all there."""
    if not source.is_dir():
        raise DataError(f"there is no folder {source}")
    for inside in _INSIDE:
        images = source / inside
        if images.is_dir() and (places := _split_folders(images)):
            break
    else:
        raise DataError(
            f"{source} has no folders train, val and test, nor BSDS500/data/images with them: give "
            "the extracted archive of BSDS500"
        )
    photographs: dict[Split, list[Path]] = {}
    for split, place in places.items():
        paths = sorted(path for path in place.iterdir() if path.suffix.lower() == ".jpg")
        expected = _SPLITS[split][1]
        if len(paths) != expected:
            raise DataError(
                f"{place} has {len(paths)} JPEGs, and BSDS500 has {expected} there: extract the "
                "archive again (`hdrbench prepare folder` takes any other pictures)"
            )
        photographs[split] = paths
    return photographs


def _split_folders(images: Path) -> dict[Split, Path] | None:
    """The folder of each split; None where one is missing."""
    there = {folder.name: folder for folder in folders_in(images)}
    found: dict[Split, Path] = {}
    for split, (names, _) in _SPLITS.items():
        place = next((there[name] for name in names if name in there), None)
        if place is None:
            return None
        found[split] = place
    return found


def make(job: BsdsJob) -> PreparedPair:
    """Read one photograph and compute its target in float64, rounded once to 8 bits. Raises
    RejectedPair."""
    with reading(job.path, expected=[job.sha256]) as hashes:
        picture = read_picture(job.path)
    return PreparedPair(
        input=picture.pixels,
        target=quantise(OPERATORS[job.operator].apply(as_planar(picture.pixels))),
        source_names=[job.name],
        source_sha256=hashes,
        licence=LICENCE,
        measured={"notes": list(picture.notes)} if picture.notes else {},
    )
