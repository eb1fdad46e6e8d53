"""Source `demo`: photographs that installed packages carry, and targets by an operator.

Nothing is downloaded. The protocol is the name of the operator (see operators.py).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from ...data.manifest import Split
from ...errors import DataError, StorageError, UsageError, near_matches
from ...files import by_name
from ...images.files import Picture, read_picture
from ...images.photo import STORED
from ...images.pixels import quantise
from ..build import PreparedPair, RejectedPair
from ..operators import OPERATORS, as_planar
from ..staging import Plan, Task
from .source_files import reading

VERSION = 3  # the test pictures are in colour


class Photograph(NamedTuple):
    """A photograph and the installed package that has it; path: below the package's folder."""

    id: str
    split: Split
    package: str
    path: str
    licence: str


def _skimage(name: str, split: Split, file: str, licence: str) -> Photograph:
    return Photograph(name, split, "skimage", f"data/{file}", licence)


def _sklearn(name: str, split: Split) -> Photograph:
    return Photograph(name, split, "sklearn", f"datasets/images/{name}.jpg", "CC-BY-2.0")


# Each split has its own scenes; the two motorcycle views are one scene. Six test pictures are the
# fewest whose mean has a confidence interval. They are in colour, as photographs are, and the
# packages carry no more such: the sixth to train on is grey. Licences are as the packages'
# documentation states them.
PHOTOGRAPHS = (
    _skimage("hubble", "train", "hubble_deep_field.jpg", "public-domain"),
    _skimage("motorcycle-left", "train", "motorcycle_left.png", "not-stated"),
    _skimage("motorcycle-right", "train", "motorcycle_right.png", "not-stated"),
    _skimage("retina", "train", "retina.jpg", "CC0-1.0"),
    Photograph(
        "grace-hopper",
        "train",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "public-domain",
    ),
    _skimage("camera", "train", "camera.png", "CC0-1.0"),
    _skimage("immunohistochemistry", "validation", "ihc.png", "no-known-restrictions"),
    _skimage("astronaut", "test", "astronaut.png", "public-domain"),
    _skimage("chelsea", "test", "chelsea.png", "CC0-1.0"),
    _skimage("coffee", "test", "coffee.png", "CC0-1.0"),
    _skimage("rocket", "test", "rocket.jpg", "public-domain"),
    _sklearn("china", "test"),
    _sklearn("flower", "test"),
)


PICTURES = "sample photographs of scikit-image, scikit-learn and matplotlib, full size, 8-bit sRGB"


def protocols() -> dict[str, str]:
    """Name and summary of each protocol of this source."""
    return {name: operator.summary for name, operator in OPERATORS.items()}


def plan(protocol: str) -> Plan:
    """What the dataset is. Raises UsageError for a protocol that is no operator."""
    if protocol not in OPERATORS:
        raise UsageError(
            f"source demo has no protocol {protocol!r}: {near_matches(protocol, OPERATORS)}"
        )
    return Plan(
        name=f"demo-{protocol}",
        source="demo",
        protocol=protocol,
        version=VERSION,
        licence="each picture its own, see the rows",
        settings={
            "operator": protocol,
            "operator_version": OPERATORS[protocol].version,
            "pictures": PICTURES,
        },
    )


def tasks(protocol: str) -> list[Task]:
    """One for each photograph."""
    return [Task(photo.id, photo.split, (protocol, photo)) for photo in PHOTOGRAPHS]


def path_of(photo: Photograph) -> Path:
    """Where the installed package has it."""
    return Path(str(files(photo.package))) / photo.path


def read(photo: Photograph) -> Picture:
    """The photograph's picture, whose numbers are taken as sRGB: one has another profile, which its
    row notes. Raises RejectedPair where it cannot be decoded."""
    path = path_of(photo)
    try:
        return read_picture(path, STORED)
    except StorageError:
        raise
    except DataError as error:
        reason = f"{error} (a sample photograph of the installed {photo.package})"
        raise RejectedPair("decode", by_name(reason, path)) from None


def make(payload: tuple[str, Photograph]) -> PreparedPair:
    """Read one photograph and compute its target in float64, rounded once to 8 bits."""
    protocol, photo = payload
    with reading(path_of(photo)) as hashes:
        picture = read(photo)
    return PreparedPair(
        input=picture.pixels,
        target=quantise(OPERATORS[protocol].apply(as_planar(picture.pixels))),
        source_names=[f"{photo.package}/{photo.path}"],
        source_sha256=hashes,
        licence=photo.licence,
        measured={"notes": list(picture.notes)} if picture.notes else {},
    )
