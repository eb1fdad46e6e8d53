"""What the files in recipes/protocols/ say of the protocols of each source."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ..data.manifest import Split
from ..images.raw import Development
from ..images.resize import SizeRule
from ..metric_specs import PUBLISHED
from .source_models import ID, Address, Facts, Place


class Side(Facts):
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
    kinds: list[Literal["jpeg", "png", "tiff"]] = Field(default_factory=list)

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


class SrgbSide(Side):
    """A finished picture in sRGB."""

    space: Literal["srgb"]


class FinishedSide(SrgbSide):
    """The camera's own JPEG."""

    bit_depth: Literal[8]


class ById(Facts):
    """A split that is a range of numbers, both ends included."""

    first: int = Field(ge=1)
    last: int = Field(ge=1)


class ByList(Facts):
    """A split that is a published list."""

    list: str


class ByHash(Facts):
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


class ByGroup(Facts):
    """A split that is a range of groups, both ends included: pictures of one scene stay together.
    pairs: how many the published files give it."""

    groups: tuple[int, int]
    pairs: int = Field(ge=1)

    @model_validator(mode="after")
    def _is_range(self) -> ByGroup:
        first, last = self.groups
        if not 0 <= first <= last:
            raise ValueError("groups: the first and the last, from 0")
        return self


Rule = ByList | ById | ByHash | ByGroup


class _Entry(Facts):
    """What is written down of every protocol."""

    name: str = Field(pattern=ID)
    version: int = Field(ge=1)
    summary: str
    used_by: list[str]
    published: str


class Unrunnable(_Entry):
    """A protocol of the literature that cannot be prepared. not_runnable: why."""

    not_runnable: str


def _mode(name: str) -> str:
    if name not in PUBLISHED:
        raise ValueError(f"{name!r} is none of {', '.join(PUBLISHED)}")
    return name


class Protocol(_Entry):
    """What decides a dataset. The first of `sizes` is the default.

    needs: what the user has to bring. automatic: what `prepare` does without them. measured_as: how
    the papers on it measured, a mode of metric_specs.PUBLISHED; None where that is not known.
    """

    input: Side
    target: Side
    sizes: Annotated[dict[str, SizeRule], Field(min_length=1)]
    resampling: str
    differing_sizes: str
    notes: list[str] = Field(default_factory=list)
    needs: str
    automatic: str
    measured_as: Annotated[str, AfterValidator(_mode)] | None = None

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


class LightroomFile(Facts):
    """A file as Lightroom's Export dialog makes it. quality: of a JPEG, from 1 to 100."""

    format: Literal["jpeg", "png", "tiff"]
    space: Literal["srgb", "prophoto"]
    bit_depth: Literal[8, 16]
    quality: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _is_in_the_dialog(self) -> LightroomFile:
        if (self.quality is None) == (self.format == "jpeg"):
            raise ValueError("quality is given for a JPEG, and for nothing else")
        if self.format == "jpeg" and self.bit_depth != 8:
            raise ValueError("a JPEG has 8 bits")
        return self


def _collection(name: str) -> str:
    if not all(part.strip() for part in name.split("/")):
        raise ValueError("a collection has a name, and so has every set before it")
    return name


class LightroomExport(Facts):
    """Which collections of fivek.lrcat are exported as which files; their sizes are the protocol's
    `sizes`. A collection is named as Lightroom shows it, behind the sets that it is in where they
    matter: Experts/C. recipes/lightroom/hdrbench.lrplugin exports by it."""

    input_collection: Annotated[str, AfterValidator(_collection)]
    target_collection: Annotated[str, AfterValidator(_collection)]
    input: LightroomFile
    target: LightroomFile


class PackFolders(Facts):
    """Where the pictures of one size lie in an extracted pack, below its top."""

    input: Place
    target: Place


class Pack(Facts):
    """A protocol's pictures as somebody publishes them.

    described: where. downloads: addresses by what they are; none where code reads such folders but
    nobody publishes them. amount: as stated. folders: by size of the protocol, as far as known.
    """

    name: str
    described: Address
    downloads: dict[str, Address] = Field(default_factory=dict)
    amount: str
    folders: dict[str, PackFolders] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)


class FiveKProtocol(Protocol):
    """The first of `experts` is the default. lightroom: of renderings, how they are exported.
    without_pack: why there is no pack of them."""

    input: FiveKSide
    target: FiveKSide
    experts: Annotated[list[Literal["a", "b", "c", "d", "e"]], Field(min_length=1)]
    export: str | None = None
    lightroom: LightroomExport | None = None
    packs: list[Pack] = Field(default_factory=list)
    without_pack: str | None = None
    development: Development | None = None
    splits: dict[Split, ByList | ById]

    @model_validator(mode="after")
    def _sides_fit(self) -> FiveKProtocol:
        if (self.input.source == "rendering") != (self.target.source == "rendering"):
            raise ValueError("input and target are both renderings, or neither is")
        if (self.lightroom is None) == self.of_renderings:
            raise ValueError("lightroom is given for renderings, and for nothing else")
        if self.lightroom is not None:
            if f'"{self.lightroom.input_collection}"' not in self.input.rendering:
                raise ValueError("lightroom: input_collection is not that of input.rendering")
            _check_exported(self.input, self.lightroom.input)
            _check_exported(self.target, self.lightroom.target)
        if bool(self.packs) + (self.without_pack is not None) != self.of_renderings:
            raise ValueError("packs or without_pack is given for renderings, and for nothing else")
        for pack in self.packs:
            if unknown := set(pack.folders) - set(self.sizes):
                raise ValueError(f"packs: {', '.join(sorted(unknown))} is none of the sizes")
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
            "lightroom": self.lightroom and self.lightroom.model_dump(exclude_none=True),
            "packs": [pack.model_dump() for pack in self.packs],
            "without pack": self.without_pack,
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


class Ppr10kProtocol(Protocol):
    """The first of `experts` is the default. augmented: whether the published versions of each
    picture for training are inputs too, all with the one target."""

    input: SrgbSide
    target: SrgbSide
    experts: Annotated[list[Literal["a", "b", "c"]], Field(min_length=1)]
    augmented: bool
    splits: dict[Split, ByGroup]

    @model_validator(mode="after")
    def _groups_are_apart(self) -> Ppr10kProtocol:
        _check_train_and_test(self.splits)
        ranges = sorted(rule.groups for rule in self.splits.values())
        if any(end >= start for (_, end), (start, _) in pairwise(ranges)):
            raise ValueError("splits: a group is in two of them")
        return self

    def rules(self, part: str | None = None) -> Mapping[Split, Rule]:
        return self.splits

    def details(self) -> dict[str, Any]:
        return {"experts": self.experts, "augmented": self.augmented}


def _check_exported(side: FiveKSide, file: LightroomFile) -> None:
    """What Lightroom exports is what the side says, or, for XYZ, what XYZ is then made of."""
    if side.space == "xyz":
        if file.space != "prophoto" or file.bit_depth != 16:
            raise ValueError("lightroom: XYZ is made of 16-bit ProPhoto")
        return
    if file.format not in side.kinds:
        raise ValueError(f"lightroom: {file.format} is none of the kinds {', '.join(side.kinds)}")
    if (file.space, file.bit_depth) != (side.space, side.bit_depth):
        raise ValueError(f"lightroom: {side.bit_depth} bits in {side.space} are wanted")


def _check_train_and_test(splits: Mapping[Split, Rule]) -> None:
    if "train" not in splits or "test" not in splits:
        raise ValueError("splits: train and test are needed")
