"""What the files in recipes/protocols/ say: sources, and protocols of each source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .. import addresses
from ..data.manifest import Split
from ..images.raw import Development
from ..images.resize import SizeRule

_ID = r"^[a-z0-9][a-z0-9-]*$"
_SHA256 = r"^[0-9a-f]{64}$"


class _Facts(BaseModel):
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


_Address = Annotated[str, AfterValidator(_address)]
_Place = Annotated[str, AfterValidator(_place())]
_BurstPlace = Annotated[str, AfterValidator(_place("id"))]


class PinnedList(_Facts):
    """A published list of ids, by its address in a pinned commit."""

    url: _Address
    sha256: str = Field(pattern=_SHA256)
    count: int = Field(ge=1)


class Source(_Facts):
    """source.yaml: where a dataset's files lie, on which terms, and its published lists."""

    name: str = Field(pattern=_ID)
    title: str
    paper: str
    base_url: _Address
    terms: str
    lists: dict[str, PinnedList]


class Licence(_Facts):
    """A licence class: where its text lies and where the names of the pictures that it holds for,
    both relative to the base address."""

    id: str
    text: _Place
    text_sha256: str = Field(pattern=_SHA256)
    names: _Place
    file_sha256: str = Field(pattern=_SHA256)
    names_sha256: str = Field(pattern=_SHA256, description="of the sorted names, a line each")
    count: int = Field(ge=1)


class FiveKSource(Source):
    """files: where the files of each kind lie below the base address, by {name} and {expert}."""

    files: dict[str, Annotated[str, AfterValidator(_place("name", "expert"))]]
    licences: list[Licence]


class BurstFiles(_Facts):
    """Where a burst's files lie below a part's prefix, by {id} and the reference {frame}."""

    merged: _BurstPlace
    final: _BurstPlace
    reference_frame: _BurstPlace
    rgb2rgb: _BurstPlace
    shading: Annotated[str, AfterValidator(_place("id", "frame"))]


class BurstSet(_Facts):
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


class Side(_Facts):
    """What a protocol's input or target is. channel_order: of the file."""

    rendering: str
    space: str
    bit_depth: Literal[8, 16]
    channel_order: Literal["rgb"]

    @property
    def description(self) -> str:
        """For `hdrbench protocols`."""
        return f"{self.rendering}; {self.bit_depth} bits, {self.space}, order {self.channel_order}"


class FiveKSide(Side):
    """source: "dng", "expert" and "as_shot_zeroed" are made from the dataset's own files;
        "rendering" is a file that the user exported or that a published pack holds.
    kinds: the kinds of file that a rendering may be.
    """

    source: Literal["dng", "expert", "as_shot_zeroed", "rendering"]
    space: Literal["srgb", "xyz"]
    kinds: list[Literal["jpeg", "png", "tiff"]] = []

    @model_validator(mode="after")
    def _kinds_of_renderings(self) -> FiveKSide:
        if bool(self.kinds) != (self.source == "rendering"):
            raise ValueError("kinds are given for renderings, and for nothing else")
        return self

    @property
    def description(self) -> str:
        return super().description + (f", {' or '.join(self.kinds)}" if self.kinds else "")


class LinearSide(Side):
    """A merged raw frame as linear light. white: the stored value that stands for 1.0."""

    space: Literal["camera", "linear-srgb"]
    bit_depth: Literal[16]
    white: int = Field(ge=1, le=65535)

    @property
    def description(self) -> str:
        return f"{super().description}, 1.0 stored as {self.white}"


class FinishedSide(Side):
    """The camera's own JPEG."""

    space: Literal["srgb"]
    bit_depth: Literal[8]


class ById(_Facts):
    """A split that is a range of numbers, both ends included."""

    first: int = Field(ge=1)
    last: int = Field(ge=1)


class ByList(_Facts):
    """A split that is a published list."""

    list: str


class ByHash(_Facts):
    """A split by the SHA-256 of the id: its first eight hexadecimal digits, as a number modulo 100,
    are at least the first of these and below the second. Which other ids there are does not
    matter."""

    hash_percent: tuple[int, int]

    @model_validator(mode="after")
    def _is_range(self) -> ByHash:
        first, end = self.hash_percent
        if not 0 <= first < end <= 100:
            raise ValueError("hash_percent: two numbers from 0 to 100, the lower one first")
        return self


Rule = ByList | ById | ByHash


class _Entry(_Facts):
    """What is written down of every protocol."""

    name: str = Field(pattern=_ID)
    version: int = Field(ge=1)
    summary: str
    used_by: list[str]
    published: str


class Unrunnable(_Entry):
    """A protocol of the literature that cannot be prepared. not_runnable: why."""

    not_runnable: str


class Protocol(_Entry):
    """What decides a dataset. The first of `sizes` is the default.

    needs: what the user has to bring. automatic: what `prepare` does without them.
    """

    input: Side
    target: Side
    sizes: Annotated[dict[str, SizeRule], Field(min_length=1)]
    resampling: str
    differing_sizes: str
    notes: list[str] = []
    needs: str
    automatic: str

    def rules(self, part: str | None) -> Mapping[Split, Rule]:
        """How the dataset, or a part of it, is split."""
        raise NotImplementedError

    @property
    def parts(self) -> list[str | None]:
        """The parts of the dataset that are split each by its own rules."""
        return [None]

    def details(self) -> dict[str, Any]:
        """What only protocols of this source have, for `hdrbench protocols`."""
        raise NotImplementedError


class FiveKProtocol(Protocol):
    """The first of `experts` is the default."""

    input: FiveKSide
    target: FiveKSide
    experts: Annotated[list[Literal["a", "b", "c", "d", "e"]], Field(min_length=1)]
    export: str | None = None
    development: Development | None = None
    splits: dict[Split, ByList | ById]

    @model_validator(mode="after")
    def _sides_fit(self) -> FiveKProtocol:
        if (self.input.source == "rendering") != (self.target.source == "rendering"):
            raise ValueError("input and target are both renderings, or neither is")
        if (self.development is None) == (self.input.source == "dng"):
            raise ValueError("development is given where the input is a DNG, and nowhere else")
        _check_train_and_test(self.splits)
        return self

    @property
    def of_renderings(self) -> bool:
        return self.input.source == "rendering"

    def rules(self, part: str | None = None) -> Mapping[Split, Rule]:
        return self.splits

    def details(self) -> dict[str, Any]:
        return {
            "experts": self.experts,
            "export": self.export,
            "development": self.development and self.development.model_dump(),
        }


class HdrplusProtocol(Protocol):
    """aspect_tolerance: by how much the aspect ratios of the cropped input and of the target may
    differ, as a share, beside a pixel of rounding."""

    input: LinearSide
    target: FinishedSide
    aspect_tolerance: float = Field(ge=0, lt=0.1)
    splits: dict[Literal["subset", "full"], dict[Split, ByList | ByHash]]

    @model_validator(mode="after")
    def _splits_are_whole(self) -> HdrplusProtocol:
        for rules in self.splits.values():
            _check_train_and_test(rules)
        return self

    def rules(self, part: str | None) -> Mapping[Split, Rule]:
        return next(rules for name, rules in self.splits.items() if name == part)

    @property
    def parts(self) -> list[str | None]:
        return list(self.splits)

    def details(self) -> dict[str, Any]:
        return {"aspect tolerance": self.aspect_tolerance}


def _check_train_and_test(splits: Mapping[Split, Rule]) -> None:
    if "train" not in splits or "test" not in splits:
        raise ValueError("splits: train and test are needed")
