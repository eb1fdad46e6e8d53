"""Protocols: which pictures, rendered how, split by which lists. One YAML file each, in
recipes/protocols/<source>/, beside the source's own facts (source.yaml)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import DataError, UsageError, near_matches
from ..manifest import SPLITS, VALIDATION_SHARE, Split, chosen_by_hash
from ..paths import search
from ..yaml_files import read_mapping, validated
from .download import cached
from .raw import Development
from .resize import SizeRule

FOLDER = "protocols"
SOURCE_FILE = "source.yaml"
_ID = r"^[a-z0-9][a-z0-9-]*$"
_SHA256 = r"^[0-9a-f]{64}$"


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PinnedList(_Facts):
    """A published list of ids, by its address in a pinned commit."""

    url: str
    sha256: str = Field(pattern=_SHA256)
    count: int = Field(ge=1)


class Licence(_Facts):
    """A licence class: its text and the file names it holds for, relative to the base address."""

    id: str
    text: str
    text_sha256: str = Field(pattern=_SHA256)
    names: str
    file_sha256: str = Field(pattern=_SHA256)
    names_sha256: str = Field(pattern=_SHA256, description="of the sorted names, a line each")
    count: int = Field(ge=1)


class Source(_Facts):
    """source.yaml: where a dataset's files lie, under which licences, and its published lists."""

    name: str = Field(pattern=_ID)
    title: str
    paper: str
    base_url: str = Field(pattern=r"^https?://")
    terms: str
    files: dict[str, str]
    licences: list[Licence]
    lists: dict[str, PinnedList]


class Side(_Facts):
    """What a protocol's input or target is.

    source: "dng", "expert" and "as_shot_zeroed" are made here of the dataset's own files;
        "rendering" is a file that the user exported or a published pack holds.
    kinds: of such files.
    channel_order: of the file.
    """

    rendering: str
    source: Literal["dng", "expert", "as_shot_zeroed", "rendering"]
    space: Literal["srgb", "xyz"]
    bit_depth: Literal[8, 16]
    kinds: list[Literal["jpeg", "png", "tiff"]] = []
    channel_order: Literal["rgb"]

    @model_validator(mode="after")
    def _kinds_of_renderings(self) -> Side:
        if bool(self.kinds) != (self.source == "rendering"):
            raise ValueError("kinds are said of renderings, and of nothing else")
        return self


class ById(_Facts):
    """A split that is a range of numbers, both ends included."""

    first: int = Field(ge=1)
    last: int = Field(ge=1)


class ByList(_Facts):
    """A split that is a published list."""

    list: str


class _Known(_Facts):
    name: str = Field(pattern=_ID)
    version: int = Field(ge=1)
    summary: str
    used_by: list[str]
    published: str


class Unrunnable(_Known):
    """A protocol that is known, and cannot be had."""

    not_runnable: str


class Protocol(_Known):
    """What decides a dataset. The first of `experts` and of `sizes` is the default."""

    input: Side
    target: Side
    experts: Annotated[list[Literal["a", "b", "c", "d", "e"]], Field(min_length=1)]
    sizes: Annotated[dict[str, SizeRule], Field(min_length=1)]
    export: str | None = None
    resampling: str
    differing_sizes: str
    development: Development | None = None
    splits: dict[Split, ByList | ById]
    notes: list[str] = []
    needs: str
    automatic: str

    @model_validator(mode="after")
    def _fits(self) -> Protocol:
        rendered = {side.source == "rendering" for side in (self.input, self.target)}
        if len(rendered) > 1:
            raise ValueError("input and target are renderings, or neither is")
        if (self.development is None) == (self.input.source == "dng"):
            raise ValueError("development is said where the input is a DNG, and nowhere else")
        if "train" not in self.splits or "test" not in self.splits:
            raise ValueError("splits: train and test are needed")
        return self

    @property
    def of_renderings(self) -> bool:
        return self.input.source == "rendering"


def load_source(name: str) -> Source:
    path = _files(name)[SOURCE_FILE.removesuffix(".yaml")]
    return validated(Source, read_mapping(path, "a source"), str(path))


def load_protocol(source: str, name: str) -> Protocol:
    """Raises UsageError for an unknown protocol and for one that cannot be had, with the reason."""
    known = protocol_names(source)
    if name not in known:
        raise UsageError(f"source {source} has no protocol {name!r}: {near_matches(name, known)}")
    protocol = _load(_files(source)[name])
    if isinstance(protocol, Unrunnable):
        raise UsageError(f"{source} {name} cannot be prepared: {protocol.not_runnable}")
    return protocol


def protocol_names(source: str) -> list[str]:
    return sorted(set(_files(source)) - {SOURCE_FILE.removesuffix(".yaml")})


def all_protocols(source: str) -> list[Protocol | Unrunnable]:
    return [_load(_files(source)[name]) for name in protocol_names(source)]


def _load(path: Path) -> Protocol | Unrunnable:
    content = read_mapping(path, "a protocol")
    protocol = (
        validated(Unrunnable, content, str(path))
        if "not_runnable" in content
        else validated(Protocol, content, str(path))
    )
    if protocol.name != path.stem:
        raise UsageError(f"{path}: its name {protocol.name!r} must be that of its file")
    return protocol


def _files(source: str) -> dict[str, Path]:
    """YAML files of a source by name: the current directory's first, then the project's own."""
    found: dict[str, Path] = {}
    for folder in search("recipes"):
        for path in sorted((folder / FOLDER / source).glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def read_list(source: Source, name: str) -> list[str]:
    """The ids of a published list, fetched from its pinned address, or from the cache.

    Raises DataError where it cannot be had, or is not the pinned one.
    """
    if name not in source.lists:
        raise UsageError(f"unknown list {name!r}: {near_matches(name, source.lists)}")
    pinned = source.lists[name]
    text = cached(pinned.url, pinned.sha256).decode()
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    if len(set(ids)) != pinned.count or len(ids) != pinned.count:
        raise DataError(f"{pinned.url}: {len(set(ids))} ids, {pinned.count} are stated")
    return ids


def splits(protocol: Protocol, source: Source, number: Mapping[str, int]) -> dict[str, Split]:
    """The split of every id of a protocol.

    Without a validation split of its own, a share of the training ids, by hash, is that.

    Args:
        number: the number of each known id, for splits by range.
    """
    chosen: dict[str, Split] = {}
    for split in SPLITS:
        rule = protocol.splits.get(split)
        if isinstance(rule, ByList):
            ids = read_list(source, rule.list)
        elif rule is not None:
            ids = [id_ for id_, n in number.items() if rule.first <= n <= rule.last]
            if len(ids) != rule.last - rule.first + 1:
                raise DataError(
                    f"{source.name}: {len(ids)} pictures from number {rule.first} to {rule.last}"
                )
        else:
            continue
        twice = [id_ for id_ in ids if id_ in chosen]
        unknown = [id_ for id_ in ids if id_ not in number]
        if twice or unknown:
            what = f"{twice[0]} is in two splits" if twice else f"{unknown[0]} is unknown"
            raise DataError(f"protocol {protocol.name}, {split}: {what}")
        chosen |= dict.fromkeys(ids, split)
    if "validation" not in protocol.splits:
        training = [id_ for id_, split in chosen.items() if split == "train"]
        chosen |= dict.fromkeys(chosen_by_hash(training, VALIDATION_SHARE), "validation")
    return chosen


def described(protocol: Protocol | Unrunnable, source: Source) -> dict[str, Any]:
    """For `recipes --protocols`: what it is, what it needs, what is published on it."""
    if isinstance(protocol, Unrunnable):
        return {
            "protocol": protocol.name,
            "runnable": False,
            "summary": protocol.summary,
            "reason": protocol.not_runnable,
            "used by": protocol.used_by,
            "published": protocol.published,
        }
    rules = {
        name: "original size"
        if rule.edge == "original"
        else f"{rule.edge} edge {rule.pixels} px, never enlarged"
        for name, rule in protocol.sizes.items()
    }
    sides = {
        role: f"{side.rendering}; {side.bit_depth} bits, {side.space}, order {side.channel_order}"
        + (f", {' or '.join(side.kinds)}" if side.kinds else "")
        for role, side in (("input", protocol.input), ("target", protocol.target))
    }
    return {
        "protocol": protocol.name,
        "runnable": True,
        "summary": protocol.summary,
        **sides,
        "experts": protocol.experts,
        "sizes": rules,
        "export": protocol.export,
        "resampling": protocol.resampling,
        "differing sizes": protocol.differing_sizes,
        "development": protocol.development and protocol.development.model_dump(),
        "splits": {split: _rule(rule, source) for split, rule in protocol.splits.items()}
        | (
            {}
            if "validation" in protocol.splits
            else {"validation": f"{VALIDATION_SHARE:.0%} of the training ids, by hash"}
        ),
        "used by": protocol.used_by,
        "published": protocol.published,
        "notes": protocol.notes,
        "needs": protocol.needs,
        "automatic": protocol.automatic,
    }


def _rule(rule: ByList | ById, source: Source) -> str:
    if isinstance(rule, ById):
        return f"numbers {rule.first} to {rule.last}"
    pinned = source.lists[rule.list]
    return f"{pinned.count} ids of {rule.list}, {pinned.url}, SHA-256 {pinned.sha256}"


def id_of(name: str) -> str | None:
    """a0001 of a0001-jmac_DSC1459; None for a name that does not begin so."""
    match = re.match(r"(a\d{4})(?!\d)", name)
    return match[1] if match else None
