"""The pairs that lie in folders: where inputs and targets are, in which split's folder, and what is
wrong with a name that is no pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...data.manifest import Split
from ...errors import DataError, UsageError
from ...images.kinds import KINDS
from . import filelist
from .source_files import files_by_name, folders_in, is_regular, is_utf8

SUFFIXES = tuple(KINDS)
FILELIST = "filelist.txt"
# What folders of a split are called, in small or capital letters.
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
}
Problem = tuple[str, str]  # stage and reason


class Folders(NamedTuple):
    """Where pairs are, and which suffixes are read. target: None where targets are computed.
    split: that the folders are of; None where it is decided pair by pair."""

    input: Path
    target: Path | None
    filelist: Path | None = None
    suffixes: tuple[str, ...] = SUFFIXES
    split: Split | None = None


class NamedPair(NamedTuple):
    """A pair by its name (a path below the folders, without suffix).

    split: that of the folder it lies in; None where no folder says it.
    problem: the stage and the reason where it is no pair.
    """

    name: str
    split: Split | None
    input: Path | None
    target: Path | None
    problem: Problem | None = None

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.input, self.target) if path is not None]

    @property
    def source_names(self) -> tuple[str, ...]:
        """How a row names the files: without a place on this machine."""
        sides = (("input", self.input), ("target", self.target))
        return tuple(f"{role}/{self.name}{path.suffix}" for role, path in sides if path)


def folders(source: Path | None, inputs: Path | None, targets: Path | None) -> list[Folders]:
    """The folders that the options name.

    `source` holds input/ and output/ (or target/), perhaps a filelist.txt, or holds folders of the
    splits, each with those. Raises UsageError where the options do not fit together, two folders
    are of one split, or inputs and targets overlap, and DataError where a folder is not there.
    """
    if (source is None) == (inputs is None) or (source is not None and targets is not None):
        raise UsageError(
            "source folder: give --input-dir and --target-dir, or --source-dir with input/ and "
            "output/ in it"
        )
    if source is None:
        assert inputs is not None
        places = [Folders(inputs, targets)]
    else:
        places = _places_in(source)
    for folder in (f for place in places for f in (place.input, place.target) if f is not None):
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}")
    for place in places:
        if place.target is not None:
            check_apart(place.input, place.target)
    return places


def check_apart(inputs: Path, targets: Path) -> None:
    """Raises UsageError where one folder is the other or lies in it, also by way of links: inputs
    would be taken for targets."""
    a, b = inputs.resolve(), targets.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise UsageError(
            f"the folders of inputs, {inputs}, and of targets, {targets}, overlap: give two that "
            "lie apart"
        )


def _places_in(source: Path) -> list[Folders]:
    """The folders of --source-dir, or those of each split in it."""
    splits = split_folders(source)
    has_pairs = [name for name in splits if (source / name / "input").is_dir()]
    if not (source / "input").is_dir():
        of_splits = [_folders_in(source / name, split) for name, split in splits.items()]
        return of_splits or [_folders_in(source, None)]
    if has_pairs:
        raise UsageError(
            f"{source} has input/ and {has_pairs[0]}/input/: put all pairs into folders of the "
            "splits, or none"
        )
    return [_folders_in(source, None)]


def _folders_in(folder: Path, split: Split | None) -> Folders:
    target = next((folder / n for n in ("output", "target") if (folder / n).is_dir()), None)
    filelist = folder / FILELIST
    return Folders(folder / "input", target, filelist if filelist.is_file() else None, split=split)


def split_folders(folder: Path) -> dict[str, Split]:
    """The folders in it that are of a split, by name. Raises UsageError where two are of one."""
    found: dict[str, Split] = {}
    if not folder.is_dir():
        return found
    for name in [path.name for path in folders_in(folder)]:
        split = SPLIT_NAMES.get(name.casefold())
        same = [other for other, its in found.items() if its == split]
        if split and same:
            raise UsageError(
                f"{folder} has {same[0]}/ and {name}/, which are both the {split} split: put "
                "their pictures into one"
            )
        if split:
            found[name] = split
    return found


def splits_of(places: Collection[Folders]) -> set[Split]:
    """The splits that there are folders of, with pictures in them or without."""
    return {
        split
        for place in places
        for split in ([place.split] if place.split else split_folders(place.input).values())
    }


def find_pairs(places: Collection[Folders]) -> list[NamedPair]:
    """All names in the folders, each as a pair or as what is wrong with it.

    Raises UsageError as `split_folders`, and where only some of the pictures lie in folders of the
    splits, so that nothing tells what the others are.
    """
    return [
        pair
        for place in places
        for pair in (_filelist_pairs(place) if place.filelist else _pairs_by_name(place))
    ]


def _pairs_by_name(place: Folders) -> Iterator[NamedPair]:
    inputs = files_by_name(place.input)
    targets = files_by_name(place.target) if place.target else None
    pictures = [
        name
        for name, files in inputs.items()
        if any(file.suffix.lower() in place.suffixes for file in files)
    ]
    splits = _splits_inside(place, pictures)
    # Of validation, say, inputs may lie in val/ and targets in valid/.
    input_files = _by_split(inputs, splits, place.split)
    target_splits = split_folders(place.target) if splits and place.target else {}
    target_files = None if targets is None else _by_split(targets, target_splits, place.split)
    for key in sorted({*input_files, *(target_files or {})}, key=_in_order):
        split, name = key
        files = [*input_files.get(key, []), *(target_files or {}).get(key, [])]
        if not all(is_utf8(word) for word in (name, *(file.name for file in files))):
            spelt = name.encode("utf-8", "backslashreplace").decode()
            yield NamedPair(spelt, split, None, None, ("name", "no UTF-8: rename its files"))
        elif splits and split is None:
            yield NamedPair(name, None, None, None, ("split", "in none of the split folders"))
        else:
            found = None if target_files is None else target_files.get(key, [])
            yield _pair(name, split, input_files.get(key, []), found, place.suffixes)


def _splits_inside(place: Folders, names: Collection[str]) -> dict[str, Split]:
    """The split of each folder in the folder of inputs, where these hold the pictures, by their
    paths; none where no folder is of a split."""
    splits = split_folders(place.input) if place.split is None else {}
    outside = [name for name in names if _placed(name, splits, None)[0] is None]
    if splits and outside and "train" not in splits.values():
        raise UsageError(
            f"{place.input} has {next(iter(splits))}/, as of a split, and {len(outside)} pictures "
            f"beside it, as {outside[0]}: put all into folders of the splits, or call it otherwise"
        )
    return splits


Key = tuple[Split | None, str]


def _by_split(
    files: dict[str, list[Path]], splits: dict[str, Split], split: Split | None
) -> dict[Key, list[Path]]:
    """The files by split and by name below its folder. splits: of the first folder of a name.
    split: of names without such a folder."""
    placed: dict[Key, list[Path]] = {}
    for path, its in files.items():
        placed.setdefault(_placed(path, splits, split), []).extend(its)
    return placed


def _placed(path: str, splits: dict[str, Split], split: Split | None) -> Key:
    first, _, name = path.partition("/")
    return (splits[first], name) if name and first in splits else (split, path)


def _in_order(key: Key) -> tuple[str, str]:
    return key[0] or "", key[1]


def _pair(
    name: str,
    split: Split | None,
    inputs: list[Path],
    targets: list[Path] | None,
    suffixes: tuple[str, ...],
) -> NamedPair:
    """One name's files as a pair; `targets` is None where the target is computed."""
    problem = None
    raws = [path for path in inputs if path.suffix.lower() == ".dng"]
    if ".dng" in suffixes and len(raws) == 1:
        inputs = raws  # beside it lies the camera's own rendition of the same shot
    sides = (("input", inputs), ("target", targets))
    for role, found in sides:
        if found is None:
            continue
        files = [path for path in found if is_regular(path)]
        if found and not files:
            return NamedPair(name, split, None, None, ("kind", f"{found[0].name}: no regular file"))
        if not files:
            problem = ("pairing", f"there is no {role} of that name")
        elif len(files) > 1:
            problem = ("pairing", f"several {role}s: {', '.join(f.name for f in files)}")
        elif files[0].suffix.lower() not in suffixes:
            problem = ("kind", f"{files[0].name}: {files[0].suffix or 'no suffix'} is not read")
        if problem:
            break
    return NamedPair(name, split, _first_file(inputs), _first_file(targets or []), problem)


def _first_file(paths: list[Path]) -> Path | None:
    return next(filter(is_regular, paths), None)


def _filelist_pairs(place: Folders) -> Iterator[NamedPair]:
    """The pairs of a filelist.txt: a line is a file's path, the same below input/ and output/."""
    assert place.filelist is not None
    counts = Counter(filelist.entries(place.filelist, place.input))
    splits = _splits_inside(place, [entry for entry in counts if PurePosixPath(entry).name])
    for entry, count in sorted(counts.items()):
        path = PurePosixPath(entry)
        whole = str(path.with_suffix("")) if path.name else entry
        split, name = _placed(whole, splits, place.split)
        if path.is_absolute() or ".." in path.parts:
            reason = f"{entry} leads out of the folder"
            yield NamedPair(name, split, None, None, ("pairing", reason))
            continue
        if splits and split is None:
            yield NamedPair(name, None, None, None, ("split", "in none of the split folders"))
            continue
        inputs = _existing(place.input / entry)
        targets = _existing(place.target / entry) if place.target else None
        pair = _pair(name, split, inputs, targets, place.suffixes)
        if count > 1:
            pair = pair._replace(problem=("pairing", f"listed {count} times in {FILELIST}"))
        yield pair


def _existing(path: Path) -> list[Path]:
    return [path] if filelist.is_file(path) else []
