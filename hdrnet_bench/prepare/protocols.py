"""Protocols: which pictures, rendered how, split by which lists.

Each is a YAML file in recipes/protocols/<source>/. Beside them, source.yaml says where the source's
files and published lists lie. What the YAML files may say is in protocol_models.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

from ..addresses import shown
from ..data.manifest import SPLITS, VALIDATION_SHARE, Split, chosen_by_hash
from ..errors import DataError, UsageError, near_matches
from ..files import sha256_text
from ..paths import search
from ..yaml_files import read_mapping, validated
from .fetch.cached import cached_content
from .protocol_models import (
    ByGroup,
    ByHash,
    ById,
    ByList,
    FiveKProtocol,
    HdrplusProtocol,
    Ppr10kProtocol,
    Protocol,
    Rule,
    Unrunnable,
)
from .source_models import FiveKSource, HdrplusSource, Ppr10kSource, Source

FOLDER = "protocols"
SOURCE_FILE = "source.yaml"
# Source -> the models of its source.yaml and of its protocols' files.
_MODELS: dict[str, tuple[type[Source], type[Protocol]]] = {
    "fivek": (FiveKSource, FiveKProtocol),
    "hdrplus": (HdrplusSource, HdrplusProtocol),
    "ppr10k": (Ppr10kSource, Ppr10kProtocol),
}
SOURCES = tuple(_MODELS)


@overload
def load_source(name: Literal["fivek"]) -> FiveKSource: ...
@overload
def load_source(name: Literal["hdrplus"]) -> HdrplusSource: ...
@overload
def load_source(name: Literal["ppr10k"]) -> Ppr10kSource: ...
@overload
def load_source(name: str) -> Source: ...
def load_source(name: str) -> Source:
    """What a source's source.yaml says. Raises UsageError where that is faulty."""
    path = _files(name)[SOURCE_FILE.removesuffix(".yaml")]
    return validated(_MODELS[name][0], read_mapping(path, "a source"), str(path))


@overload
def load_protocol(source: Literal["fivek"], name: str) -> FiveKProtocol: ...
@overload
def load_protocol(source: Literal["hdrplus"], name: str) -> HdrplusProtocol: ...
@overload
def load_protocol(source: Literal["ppr10k"], name: str) -> Ppr10kProtocol: ...
@overload
def load_protocol(source: str, name: str) -> Protocol: ...
def load_protocol(source: str, name: str) -> Protocol:
    """A protocol that can be prepared.

    Raises UsageError for an unknown or faulty one, and for one that cannot be prepared, with the
    reason.
    """
    names = protocol_names(source)
    if name not in names:
        raise UsageError(f"source {source} has no protocol {name!r}: {near_matches(name, names)}")
    protocol = _load(source, _files(source)[name])
    if isinstance(protocol, Unrunnable):
        raise UsageError(f"{source} {name} cannot be prepared: {protocol.not_runnable}")
    return protocol


def default_size(source: object, name: object) -> str | None:
    """The size that a protocol's pictures have by default; None where source or name is no
    protocol's. Both may be anything: a recipe is asked before it is checked."""
    if not isinstance(source, str) or not isinstance(name, str) or source not in _MODELS:
        return None
    try:
        return next(iter(load_protocol(source, name).sizes))
    except UsageError:
        return None


def rendering_options(source: str, name: str, size: str | None) -> str:
    """The options of `prepare` that say where pictures lie which it cannot fetch, each with DIR: a
    copy of the data set; of FiveK's renderings an extracted pack where somebody publishes that
    size, else two folders. "" where the source or the protocol takes none, or is not known here.
    size: None for the protocol's first."""
    if source in ("ppr10k", "bsds500"):
        return "--source-dir DIR"
    if source != "fivek":
        return ""
    try:
        protocol = load_protocol("fivek", name)
    except UsageError:
        return ""
    if not protocol.of_renderings:
        return ""
    size = size or next(iter(protocol.sizes))
    has_pack = any(pack.downloads and size in pack.folders for pack in protocol.packs)
    return "--source-dir DIR" if has_pack else "--input-dir DIR --target-dir DIR"


def find_protocol(name: str) -> tuple[Source, Protocol] | None:
    """The protocol of that name, with its source; None where no source has one that can be
    prepared, or what is written down of it is faulty."""
    for source in SOURCES:
        try:
            return load_source(source), load_protocol(source, name)
        except (UsageError, DataError):
            continue
    return None


def whole_test_split(name: str) -> int | None:
    """How many pictures the test split of the protocol of that name has, as far as its rules say
    it without the pictures."""
    found = find_protocol(name)
    if found is None or found[1].parts != [None]:
        return None
    rule = found[1].rules(None).get("test")
    if isinstance(rule, ByList):
        entry = found[0].lists.get(rule.list)
        return entry.count if entry else None
    if isinstance(rule, ByGroup):
        return rule.pairs
    return rule.last - rule.first + 1 if isinstance(rule, ById) else None


def protocol_names(source: str) -> list[str]:
    return sorted(set(_files(source)) - {SOURCE_FILE.removesuffix(".yaml")})


def all_protocols(source: str) -> list[Protocol | Unrunnable]:
    return [_load(source, _files(source)[name]) for name in protocol_names(source)]


def protocols_of_renderings(*, skip_faulty: bool = False) -> list[FiveKProtocol]:
    """FiveK's protocols that take what Lightroom exported, by name. skip_faulty: without those
    that cannot be read, a user's own say, where they are no reason to say less; else the first of
    them raises UsageError."""
    found = []
    for name in protocol_names("fivek"):
        try:
            protocol = _load("fivek", _files("fivek")[name])
        except UsageError:
            if not skip_faulty:
                raise
            continue
        if isinstance(protocol, FiveKProtocol) and protocol.of_renderings:
            found.append(protocol)
    return found


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
    paths: dict[str, Path] = {}
    for folder in search("recipes"):
        for path in sorted((folder / FOLDER / source).glob("*.yaml")):
            paths.setdefault(path.stem, path)
    return paths


def read_list(source: Source, name: str) -> list[str]:
    """The ids of a published list, from the cache or from its pinned address.

    Raises DataError where it cannot be fetched, or has another number of ids than is stated;
    UsageError where the source has no such list.
    """
    if name not in source.lists:
        raise UsageError(f"unknown list {name!r}: {near_matches(name, source.lists)}")
    entry = source.lists[name]
    text = cached_content(entry.url, entry.sha256).decode(errors="replace")
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    if len(set(ids)) != entry.count or len(ids) != entry.count:
        raise DataError(f"{shown(entry.url)}: {len(set(ids))} ids, {entry.count} are stated")
    return ids


def splits(
    protocol: Protocol, source: Source, numbers: Mapping[str, int] | None, part: str | None = None
) -> dict[str, Split]:
    """The split of every id of a protocol, or of a part of its dataset.

    Where the protocol has no validation split, a share of the training ids, by hash, is it; of
    splits by group a share of the groups, whichever of them are there.

    Args:
        numbers: the number of each id that there is, or of its group, for splits by range or by
            hash; None where the lists alone decide.
        part: for a dataset whose parts are split each by its own rules.

    Raises DataError where an id is in two splits, or a list has one that does not exist.
    """
    split_of: dict[str, Split] = {}
    rules = protocol.rules(part)
    for split in SPLITS:
        rule = rules.get(split)
        if rule is None:
            continue
        ids = _ids_of(rule, source, numbers or {})
        for id_ in ids:
            if id_ in split_of:
                raise DataError(f"protocol {protocol.name}, {split}: {id_} is in two splits")
            if numbers is not None and id_ not in numbers:
                raise DataError(f"protocol {protocol.name}, {split}: {id_} is unknown")
        split_of |= dict.fromkeys(ids, split)
    if "validation" not in rules:
        training = [id_ for id_, split in split_of.items() if split == "train"]
        if isinstance(rule := rules["train"], ByGroup):
            first, last = rule.groups
            groups = chosen_by_hash([str(n) for n in range(first, last + 1)], VALIDATION_SHARE)
            held = [id_ for id_ in training if numbers and str(numbers[id_]) in groups]
        else:
            held = sorted(chosen_by_hash(training, VALIDATION_SHARE))
        split_of |= dict.fromkeys(held, "validation")
    return split_of


def _ids_of(rule: Rule, source: Source, numbers: Mapping[str, int]) -> list[str]:
    """The ids of one split, by its rule."""
    if isinstance(rule, ByList):
        return read_list(source, rule.list)
    if isinstance(rule, ByHash):
        first, end = rule.hash_percent
        return [id_ for id_ in numbers if first <= int(sha256_text(id_)[:8], 16) % 100 < end]
    if isinstance(rule, ByGroup):
        first, last = rule.groups
        return [id_ for id_, group in numbers.items() if first <= group <= last]
    ids = [id_ for id_, n in numbers.items() if rule.first <= n <= rule.last]
    if len(ids) != rule.last - rule.first + 1:
        raise DataError(
            f"{source.name}: {len(ids)} pictures from number {rule.first} to {rule.last}, "
            f"{rule.last - rule.first + 1} are wanted"
        )
    return ids


def pinned_lists(protocol: Protocol, source: Source, part: str | None = None) -> dict[str, str]:
    """The SHA-256 of each list that a protocol splits by."""
    rules = protocol.rules(part).values()
    return {r.list: source.lists[r.list].sha256 for r in rules if isinstance(r, ByList)}


def description(protocol: Protocol | Unrunnable, source: Source) -> dict[str, Any]:
    """For `hdrbench protocols`: what the protocol is, what it needs, what is published on it."""
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
    splits_of = {part: _describe_rules(protocol.rules(part), source) for part in protocol.parts}
    return {
        "protocol": protocol.name,
        "runnable": True,
        "summary": protocol.summary,
        "input": protocol.input.description,
        "target": protocol.target.description,
        "sizes": sizes,
        **protocol.details(),
        "resampling": protocol.resampling,
        "differing sizes": protocol.differing_sizes,
        "splits": splits_of.get(None, splits_of),
        "used by": protocol.used_by,
        "published": protocol.published,
        "measured as": protocol.measured_as,
        "notes": protocol.notes,
        "needs": protocol.needs,
        "automatic": protocol.automatic,
    }


def _describe_rules(rules: Mapping[Split, Rule], source: Source) -> dict[str, str]:
    texts: dict[str, str] = {split: _describe_rule(rule, source) for split, rule in rules.items()}
    of = "groups" if isinstance(rules["train"], ByGroup) else "ids"
    share = f"{VALIDATION_SHARE:.0%} of the training {of}, by hash"
    return texts if "validation" in rules else texts | {"validation": share}


def _describe_rule(rule: Rule, source: Source) -> str:
    if isinstance(rule, ById):
        return f"numbers {rule.first} to {rule.last}"
    if isinstance(rule, ByHash):
        first, end = rule.hash_percent
        return f"ids whose SHA-256 (8 digits, modulo 100) is from {first} to below {end}"
    if isinstance(rule, ByGroup):
        return f"groups {rule.groups[0]} to {rule.groups[1]}, {rule.pairs} pairs"
    entry = source.lists[rule.list]
    return f"{entry.count} ids of {rule.list}, {shown(entry.url)}, SHA-256 {entry.sha256}"
