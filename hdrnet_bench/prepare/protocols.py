"""Protocols: which pictures, rendered how, split by which lists. One YAML file each, in
recipes/protocols/<source>/, beside the source's own facts (source.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

from ..data.manifest import SPLITS, VALIDATION_SHARE, Split, chosen_by_hash
from ..errors import DataError, UsageError, near_matches
from ..files import sha256_text
from ..paths import search
from ..yaml_files import read_mapping, validated
from .fetch.download import cached
from .protocol_models import (
    ByHash,
    ById,
    ByList,
    FiveKProtocol,
    FiveKSource,
    HdrplusProtocol,
    HdrplusSource,
    Protocol,
    Rule,
    Source,
    Unrunnable,
)

FOLDER = "protocols"
SOURCE_FILE = "source.yaml"
# What is read from the files of each source.
_MODELS: dict[str, tuple[type[Source], type[Protocol]]] = {
    "fivek": (FiveKSource, FiveKProtocol),
    "hdrplus": (HdrplusSource, HdrplusProtocol),
}
SOURCES = tuple(_MODELS)


@overload
def load_source(name: Literal["fivek"]) -> FiveKSource: ...
@overload
def load_source(name: Literal["hdrplus"]) -> HdrplusSource: ...
@overload
def load_source(name: str) -> Source: ...
def load_source(name: str) -> Source:
    path = _files(name)[SOURCE_FILE.removesuffix(".yaml")]
    return validated(_MODELS[name][0], read_mapping(path, "a source"), str(path))


@overload
def load_protocol(source: Literal["fivek"], name: str) -> FiveKProtocol: ...
@overload
def load_protocol(source: Literal["hdrplus"], name: str) -> HdrplusProtocol: ...
@overload
def load_protocol(source: str, name: str) -> Protocol: ...
def load_protocol(source: str, name: str) -> Protocol:
    """Raises UsageError for an unknown protocol and for one that cannot be had, with the reason."""
    known = protocol_names(source)
    if name not in known:
        raise UsageError(f"source {source} has no protocol {name!r}: {near_matches(name, known)}")
    protocol = _load(source, _files(source)[name])
    if isinstance(protocol, Unrunnable):
        raise UsageError(f"{source} {name} cannot be prepared: {protocol.not_runnable}")
    return protocol


def default_size(source: object, name: object) -> str | None:
    """The size that a protocol's pictures have where none is said; None where none is known."""
    if not isinstance(source, str) or not isinstance(name, str) or source not in _MODELS:
        return None
    try:
        return next(iter(load_protocol(source, name).sizes))
    except UsageError:
        return None


def protocol_names(source: str) -> list[str]:
    return sorted(set(_files(source)) - {SOURCE_FILE.removesuffix(".yaml")})


def all_protocols(source: str) -> list[Protocol | Unrunnable]:
    return [_load(source, _files(source)[name]) for name in protocol_names(source)]


def _load(source: str, path: Path) -> Protocol | Unrunnable:
    content = read_mapping(path, "a protocol")
    protocol = (
        validated(Unrunnable, content, str(path))
        if "not_runnable" in content
        else validated(_MODELS[source][1], content, str(path))
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


def splits(
    protocol: Protocol, source: Source, number: Mapping[str, int] | None, part: str | None = None
) -> dict[str, Split]:
    """The split of every id of a protocol, or of that part of its dataset.

    Without a validation split of its own, a share of the training ids, by hash, is that.

    Args:
        number: the number of each known id, for splits by range or by hash; None where lists say
            all ids that there are.
    """
    chosen: dict[str, Split] = {}
    rules = protocol.rules(part)
    for split in SPLITS:
        rule = rules.get(split)
        if rule is None:
            continue
        ids = _ids_of(rule, source, number or {})
        twice = [id_ for id_ in ids if id_ in chosen]
        unknown = [] if number is None else [id_ for id_ in ids if id_ not in number]
        if twice or unknown:
            what = f"{twice[0]} is in two splits" if twice else f"{unknown[0]} is unknown"
            raise DataError(f"protocol {protocol.name}, {split}: {what}")
        chosen |= dict.fromkeys(ids, split)
    if "validation" not in rules:
        training = [id_ for id_, split in chosen.items() if split == "train"]
        chosen |= dict.fromkeys(chosen_by_hash(training, VALIDATION_SHARE), "validation")
    return chosen


def _ids_of(rule: Rule, source: Source, number: Mapping[str, int]) -> list[str]:
    if isinstance(rule, ByList):
        return read_list(source, rule.list)
    if isinstance(rule, ByHash):
        first, end = rule.hash_percent
        return [id_ for id_ in number if first <= int(sha256_text(id_)[:8], 16) % 100 < end]
    ids = [id_ for id_, n in number.items() if rule.first <= n <= rule.last]
    if len(ids) != rule.last - rule.first + 1:
        raise DataError(
            f"{source.name}: {len(ids)} pictures from number {rule.first} to {rule.last}"
        )
    return ids


def pinned_lists(protocol: Protocol, source: Source, part: str | None = None) -> dict[str, str]:
    """The SHA-256 of each list that a protocol splits by."""
    rules = protocol.rules(part).values()
    return {r.list: source.lists[r.list].sha256 for r in rules if isinstance(r, ByList)}


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
    sizes = {
        name: "original size"
        if rule.edge == "original"
        else f"{rule.edge} edge {rule.pixels} px, never enlarged"
        for name, rule in protocol.sizes.items()
    }
    split = {part: _described_rules(protocol.rules(part), source) for part in protocol.parts}
    return {
        "protocol": protocol.name,
        "runnable": True,
        "summary": protocol.summary,
        "input": protocol.input.told,
        "target": protocol.target.told,
        "sizes": sizes,
        **protocol.details(),
        "resampling": protocol.resampling,
        "differing sizes": protocol.differing_sizes,
        "splits": split.get(None, split),
        "used by": protocol.used_by,
        "published": protocol.published,
        "notes": protocol.notes,
        "needs": protocol.needs,
        "automatic": protocol.automatic,
    }


def _described_rules(rules: Mapping[Split, Rule], source: Source) -> dict[str, str]:
    told: dict[str, str] = {split: _described_rule(rule, source) for split, rule in rules.items()}
    share = f"{VALIDATION_SHARE:.0%} of the training ids, by hash"
    return told if "validation" in rules else told | {"validation": share}


def _described_rule(rule: Rule, source: Source) -> str:
    if isinstance(rule, ById):
        return f"numbers {rule.first} to {rule.last}"
    if isinstance(rule, ByHash):
        first, end = rule.hash_percent
        return f"ids whose SHA-256 (8 digits, modulo 100) is from {first} to below {end}"
    pinned = source.lists[rule.list]
    return f"{pinned.count} ids of {rule.list}, {pinned.url}, SHA-256 {pinned.sha256}"
