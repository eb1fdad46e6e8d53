"""What a source's source.yaml says: where a dataset's files and its published lists lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .. import addresses

ID = r"^[a-z0-9][a-z0-9-]*$"
_SHA256 = r"^[0-9a-f]{64}$"


class Facts(BaseModel):
    """Read from a file and never changed; a key that is not known is a mistake in that file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _address(url: str) -> str:
    if problem := addresses.fault(url):
        raise ValueError(problem)
    return url


def _place(*names: str) -> Callable[[str], str]:
    """Checks a place below an address and below the folder that files are fetched into: it holds
    those names in braces, and leads nowhere else."""

    def check(place: str) -> str:
        for _, name, *_ in Formatter().parse(place):
            if name is not None and name not in names:
                raise ValueError(f"in braces stands one of: {', '.join(names)}")
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
            raise ValueError("a place is relative, and without ..")
        return place

    return check


Address = Annotated[str, AfterValidator(_address)]
Place = Annotated[str, AfterValidator(_place())]
_BurstPlace = Annotated[str, AfterValidator(_place("id"))]


class PinnedList(Facts):
    """A published list of ids, by its address in a pinned commit; `parts` joined are the same."""

    url: Address
    sha256: str = Field(pattern=_SHA256)
    count: int = Field(ge=1)
    parts: list[str] = []


class Source(Facts):
    """source.yaml: where a dataset's files lie, on which terms, and its published lists."""

    name: str = Field(pattern=ID)
    title: str
    paper: str
    base_url: Address
    terms: str
    lists: dict[str, PinnedList]


class Licence(Facts):
    """A licence class: where its text lies and where the names of the pictures that it holds for,
    both relative to the base address."""

    id: str
    text: Place
    text_sha256: str = Field(pattern=_SHA256)
    names: Place
    file_sha256: str = Field(pattern=_SHA256)
    names_sha256: str = Field(pattern=_SHA256, description="of the sorted names, a line each")
    count: int = Field(ge=1)


class FiveKSource(Source):
    """files: where the files of each kind lie below the base address, by {name} and {expert}."""

    files: dict[str, Annotated[str, AfterValidator(_place("name", "expert"))]]
    licences: list[Licence]


class Ppr10kSource(Source):
    """licence: of every picture, as rows name it. pictures: how many photographs are published for
    training and for the test."""

    licence: str
    pictures: dict[Literal["train", "test"], int]


class BurstFiles(Facts):
    """Where a burst's files lie below a part's prefix, by {id} and the reference {frame}."""

    merged: _BurstPlace
    final: _BurstPlace
    reference_frame: _BurstPlace
    rgb2rgb: _BurstPlace
    shading: Annotated[str, AfterValidator(_place("id", "frame"))]


class BurstSet(Facts):
    """A part of the HDR+ dataset: where it lies in the bucket, and how many bursts it has."""

    prefix: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    bursts: int = Field(ge=1)


class HdrplusSource(Source):
    """A bucket: `objects` and `listing` are below the base address."""

    bucket: str
    objects: Annotated[str, AfterValidator(_place("bucket", "name"))]
    listing: Annotated[str, AfterValidator(_place("bucket"))]
    licence: str
    files: BurstFiles
    parts: dict[Literal["subset", "full"], BurstSet]
