"""Source `demo`: photographs that installed packages carry, and targets by an operator.

Nothing is downloaded. The protocol is the name of the operator (see operators.py).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...data.manifest import Split
from ...errors import DataError, UsageError, near_matches
from ...files import sha256_file
from ...images.files import Picture, quantise, read_picture, white_level
from ..build import PreparedPair, RejectedPair
from ..operators import OPERATORS
from ..staging import Plan, Task

VERSION = 2


class Photograph(NamedTuple):
    id: str
    split: Split
    package: str
    path: str
    licence: str


def _skimage(name: str, split: Split, file: str, licence: str) -> Photograph:
    return Photograph(name, split, "skimage", f"data/{file}", licence)


# Each split has its own scenes; the two motorcycle views are one scene. Training has what the test
# pictures ask for (skin, fur-like texture, white, deep shade, blue): six pictures teach no more
# than they show. Six test pictures are the fewest whose mean has an interval; the packages have no
# more in colour, so three are grey. Licences are as scikit-image's and matplotlib's documentation
# states them.
PHOTOGRAPHS = (
    _skimage("hubble", "train", "hubble_deep_field.jpg", "public-domain"),
    _skimage("motorcycle-left", "train", "motorcycle_left.png", "not-stated"),
    _skimage("motorcycle-right", "train", "motorcycle_right.png", "not-stated"),
    _skimage("retina", "train", "retina.jpg", "CC0-1.0"),
    _skimage("rocket", "train", "rocket.jpg", "public-domain"),
    Photograph(
        "grace-hopper",
        "train",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "public-domain",
    ),
    _skimage("immunohistochemistry", "validation", "ihc.png", "no-known-restrictions"),
    _skimage("astronaut", "test", "astronaut.png", "public-domain"),
    _skimage("chelsea", "test", "chelsea.png", "CC0-1.0"),
    _skimage("coffee", "test", "coffee.png", "CC0-1.0"),
    _skimage("camera", "test", "camera.png", "CC0-1.0"),
    _skimage("brick", "test", "brick.png", "CC0-1.0"),
    _skimage("gravel", "test", "gravel.png", "CC0-1.0"),
)


def protocols() -> dict[str, str]:
    """Name and summary of each protocol of this source."""
    return {name: operator.summary for name, operator in OPERATORS.items()}


def plan(protocol: str) -> Plan:
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
            "pictures": "scikit-image's and matplotlib's sample photographs, full size, 8-bit sRGB",
        },
    )


def tasks(protocol: str) -> list[Task]:
    return [Task(photo.id, photo.split, (protocol, photo)) for photo in PHOTOGRAPHS]


def read(photo: Photograph) -> tuple[Path, Picture]:
    """Where the installed package has it, and the picture. Raises RejectedPair."""
    path = Path(str(files(photo.package))) / photo.path
    try:
        return path, read_picture(path)
    except DataError as error:
        reason = f"{error} (a sample photograph of the installed {photo.package})"
        raise RejectedPair("decode", reason) from None


def make(payload: tuple[str, Photograph]) -> PreparedPair:
    """Read one photograph and compute its target in float64, rounded once to 8 bits."""
    protocol, photo = payload
    path, picture = read(photo)
    planar = picture.pixels.transpose(2, 0, 1).astype(np.float64) / white_level(picture.pixels)
    return PreparedPair(
        input=picture.pixels,
        target=quantise(OPERATORS[protocol].apply(planar)),
        source_names=[f"{photo.package}/{photo.path}"],
        source_sha256=[sha256_file(path)],
        licence=photo.licence,
        measured={"notes": list(picture.notes)} if picture.notes else {},
    )
