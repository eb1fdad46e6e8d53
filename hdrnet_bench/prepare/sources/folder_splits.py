"""The id and the split of each pair: as its folder says, as published lists say, or by hash."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from unicodedata import normalize

from ...data.manifest import SPLITS, VALIDATION_SHARE, Split, chosen_by_hash
from ...errors import DataError, UsageError, near_matches
from ...file_names import name_hash, portable, same_file
from ...files import json_line
from ...images.kinds import DNG, KINDS
from . import filelist
from .folder_pairs import SPLIT_NAMES, NamedPair, Problem

TEST_SHARE = 0.10
_SHOWN = 4  # names that an error lists


class SplitList(NamedTuple):
    """A file that lists the pairs of a split; sha256: of its content. comments: the lines that
    begin with "#"."""

    path: Path
    entries: list[str]
    comments: list[str]
    sha256: str


class PlacedPair(NamedTuple):
    """A pair with its id and its split, which is "train" where it is left out without one."""

    pair: NamedPair
    id: str
    split: Split
    problem: Problem | None


def read_lists(options: Sequence[str]) -> dict[Split, SplitList]:
    """The lists of --split-list SPLIT=FILE: an id or a file's name a line, with its suffix or
    without; empty lines, those that begin with "#", and what follows a name, white space and "#",
    say nothing.

    Raises UsageError for an option that is no such, a split that two are of, or where the list of
    test is missing; DataError for a file that cannot be read or lists nothing.
    """
    lists: dict[Split, SplitList] = {}
    for option in options:
        name, equals, file = option.partition("=")
        split = SPLIT_NAMES.get(name.casefold())
        if not equals or not file:
            raise UsageError(f"--split-list {option}: write SPLIT=FILE, as test=test.txt")
        if split is None:
            raise UsageError(
                f"--split-list {option}: there is no split {name!r}: {near_matches(name, SPLITS)}"
            )
        if split in lists:
            raise UsageError(f"--split-list: two lists are of the {split} split; give one")
        lines, sha256 = filelist.lines(path := Path(file))
        entries = [line for line in lines if not line.startswith("#")]
        if not entries:
            raise DataError(f"{path} lists nothing: one id or file name a line")
        comments = [line for line in lines if line.startswith("#")]
        lists[split] = SplitList(path, entries, comments, sha256)
    if lists and "test" not in lists:
        raise UsageError("--split-list: give test=FILE too: what is tested on is to be known")
    return lists


def place(
    pairs: Sequence[NamedPair],
    folders: Collection[Split],
    lists: Mapping[Split, SplitList],
    all_test: bool,
) -> tuple[list[PlacedPair], dict[str, Any]]:
    """Each pair with its id and split, and what the dataset's settings say of the splits.

    Args:
        folders: the splits that there are folders of.
        lists: what `read_lists` gives.
        all_test: whether every pair is of the test split.

    Raises UsageError where several ways of splitting are asked for, DataError where lists and pairs
    do not fit, or a split would have no pair.
    """
    if lists and all_test:
        raise UsageError("--split-list and --all-test: give one of them")
    if folders and (lists or all_test):
        option = "--all-test" if all_test else "--split-list"
        raise UsageError(
            f"{option} splits pairs that lie in folders of splits already: leave it out, or give "
            "folders without those"
        )
    placed = [
        PlacedPair(pair, id_, pair.split or "train", pair.problem)
        for pair, id_ in zip(pairs, _ids(pairs), strict=True)
    ]
    share = f"{VALIDATION_SHARE:.0%} of the training ids by hash"
    settings = {"splits": "folders", "validation": f"its folder, or {share}"}
    if all_test:
        placed = [one._replace(split="test") for one in placed]
        settings = {"splits": "all test", "validation": "none"}
        _check_any(placed, "test")
    elif lists:
        placed = _by_lists(placed, lists)
        settings = {"splits": "lists", "validation": f"its list, or {share}"}
        for split in lists:
            _check_any(placed, split)
    elif folders:
        _check_any(placed, "train" if "train" in folders else None)
    else:
        placed = _by_hash(placed)
        settings["splits"] = f"hash of the id, {TEST_SHARE:.0%} test"
    hashes = {split: lists[split].sha256 for split in SPLITS if split in lists}
    more = {"split_lists_sha256": hashes} if lists else {}
    return _with_validation(placed), settings | more


def _ids(pairs: Sequence[NamedPair]) -> list[str]:
    """An id for each pair, fit for a file's name: its own name where that is. Where two would have
    one, a hash of what they are called parts them: of the name, and of their files' names where
    a.png and a.jpg are two pairs. What is no pair takes no id away from one that is."""
    plain = [portable(pair.name) for pair in pairs]
    keys = [(pair.split or "train", same_file(id_)) for pair, id_ in zip(pairs, plain, strict=True)]
    good = Counter(key for pair, key in zip(pairs, keys, strict=True) if not pair.problem)
    every = Counter(keys)
    names = Counter((pair.split, pair.name) for pair in pairs)
    ids = []
    for pair, id_, key in zip(pairs, plain, keys, strict=True):
        if (every if pair.problem else good)[key] > 1:
            once = names[pair.split, pair.name] == 1
            called = pair.name if once else json_line([pair.name, *pair.source_names])
            id_ = f"{id_}-{name_hash(called)}"
        ids.append(id_)
    return ids


def _by_lists(placed: list[PlacedPair], lists: Mapping[Split, SplitList]) -> list[PlacedPair]:
    """With the splits of the lists. What is on none is training where no list is of it; else it is
    left out."""
    named = _Named(placed)
    split_of: dict[int, Split] = {}
    for split, listed in lists.items():
        numbers = named.numbers(listed)
        if both := [number for number in numbers if number in split_of]:
            names, other = [placed[n].pair.name for n in both], split_of[both[0]]
            raise DataError(
                f"{listed.path}: {_count(len(both), 'pair')} on the list of {other} too, "
                f"{lists[other].path}: {_first(names)}; a pair is of one split"
            )
        split_of |= dict.fromkeys(numbers, split)
    rest: Problem | None = ("split", "on none of the split lists") if "train" in lists else None
    return [
        one._replace(split=split_of[number])
        if number in split_of
        else one._replace(problem=one.problem or rest)
        for number, one in enumerate(placed)
    ]


class _Named:
    """Pairs by what a list may call them: a file's name, with its suffix or without, or the id."""

    def __init__(self, placed: Sequence[PlacedPair]) -> None:
        self._by_file: dict[str, list[int]] = {}
        self._by_name: dict[str, list[int]] = {}
        self._by_id: dict[str, list[int]] = {}
        for number, one in enumerate(placed):
            pair = one.pair
            for suffix in {path.suffix for path in pair.files}:
                self._by_file.setdefault(_spelt(pair.name + suffix), []).append(number)
            self._by_name.setdefault(_spelt(pair.name), []).append(number)
            self._by_id.setdefault(one.id, []).append(number)

    def numbers(self, listed: SplitList) -> list[int]:
        """Of the pairs that are listed. Raises DataError for a name that means no pair or several,
        for a pair that is listed twice, and for a comment that is a pair's name."""
        if names := [comment for comment in listed.comments if self._of_line(comment)]:
            raise DataError(
                f"{listed.path}: a line that begins with # is a comment, and a pair is called "
                f"{names[0]!r}: write ./{names[0]} where it is meant"
            )
        found = {entry: self._meant(entry) for entry in listed.entries}
        if unknown := [entry for entry, numbers in found.items() if not numbers]:
            names_no_pair = "names no pair" if len(unknown) == 1 else "name no pair"
            raise DataError(
                f"{listed.path}: {len(unknown)} of {_count(len(found), 'line')} {names_no_pair}: "
                f"{_first(unknown)}"
            )
        if several := [entry for entry, numbers in found.items() if len(numbers) > 1]:
            raise DataError(
                f"{listed.path}: {_count(len(several), 'name')} that several pairs have: "
                f"{_first(several)}; list their files with suffix"
            )
        numbers = [found[entry][0] for entry in listed.entries]
        counts = Counter(numbers)
        if twice := [entry for entry in found if counts[found[entry][0]] > 1]:
            pairs = sum(count > 1 for count in counts.values())
            raise DataError(
                f"{listed.path}: {_count(pairs, 'pair')} listed more than once: {_first(twice)}"
            )
        return numbers

    def _meant(self, entry: str) -> list[int]:
        """By the whole line, or by what stands before a comment: "a # b.png" may be a name."""
        starts = [match.start() for match in re.finditer(r"\s+#", entry)]
        for end in (len(entry), *reversed(starts)):
            if numbers := self._of_line(entry[:end]):
                return numbers
        return []

    def _of_line(self, entry: str) -> list[int]:
        for spelt in _spellings(entry):
            for names in (self._by_file, self._by_name, self._by_id):
                if numbers := names.get(spelt):
                    return numbers
        return []


def _spellings(entry: str) -> Iterator[str]:
    """An entry as it stands, with slashes for the backslashes of Windows, and both without the
    suffix of a picture. Not without any other: "IMG_1.5" has none."""
    for text in (entry, entry.replace("\\", "/")):
        path = PurePosixPath(_spelt(text))
        yield str(path)
        if path.suffix.lower() in (*KINDS, DNG):
            yield str(path.with_suffix(""))


def _spelt(name: str) -> str:
    return normalize("NFC", name)


def _by_hash(placed: list[PlacedPair]) -> list[PlacedPair]:
    good = [one for one in placed if not one.problem]
    if len(good) < len(SPLITS):
        raise DataError(
            f"{len(good)} pairs found, at least {len(SPLITS)} are needed, one for each split"
            f"{_reasons(placed)}"
        )
    test = chosen_by_hash([one.id for one in good], TEST_SHARE)
    return [
        one._replace(split="test") if one.id in test and not one.problem else one for one in placed
    ]


def _with_validation(placed: list[PlacedPair]) -> list[PlacedPair]:
    """With a share of the training pairs validated on, where nothing says which are."""
    training = _of(placed, "train")
    if _of(placed, "validation", good=False) or len(training) < 2:
        return placed
    chosen = chosen_by_hash([one.id for one in training], VALIDATION_SHARE)
    return [
        one._replace(split="validation")
        if one.split == "train" and not one.problem and one.id in chosen
        else one
        for one in placed
    ]


def _of(placed: Iterable[PlacedPair], split: Split, good: bool = True) -> list[PlacedPair]:
    """Those of a split. good: only what is a pair."""
    return [one for one in placed if one.split == split and not (good and one.problem)]


def _check_any(placed: Sequence[PlacedPair], split: Split | None) -> None:
    """Raises DataError where the split has no pair; None: where there is none at all."""
    if not (_of(placed, split) if split else [one for one in placed if not one.problem]):
        kind = {"train": " for training", "validation": " for validation", "test": " for testing"}
        raise DataError(f"no pair{kind[split] if split else ''} was found{_reasons(placed)}")


def _reasons(placed: Iterable[PlacedPair]) -> str:
    reasons = sorted({f"{one.pair.name}: {one.problem[1]}" for one in placed if one.problem})
    return f" ({'; '.join(reasons[:3])})" if reasons else ""


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(map(repr, names[:_SHOWN]))}{more}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
