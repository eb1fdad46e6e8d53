"""Source `folder`: a user's own pictures, two folders of them, or one and an operator.

The protocol is a name of the user's own, or one of `COMPUTED`: then targets are computed from the
inputs. The two files of a pair have the same name in both folders, whatever the suffix, or are
listed in a filelist.txt beside input/ and output/, as the reference implementation has it. Splits
are the folders train, validation and test where there are such, else by hash of the id: 10 % test,
then 5 % of the rest validation. What is left out is in rejected.jsonl with the reason: unpaired or
ambiguous names, kinds that are not read, broken files, differing sizes, and inputs with the pixels
of another one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from ...data.manifest import SPLITS, VALIDATION_SHARE, Row, Split, chosen_by_hash
from ...errors import DataError, UsageError
from ...files import json_line, sha256_text
from ...images.files import read_picture
from ...images.kinds import KINDS
from ...images.pixels import Pixels, white_level
from ..build import PreparedPair, RejectedPair
from ..choosing import check_own_name
from ..operators import OPERATORS, as_planar
from ..schedule import in_threads
from ..staging import Plan, Task
from . import filelist
from .source_files import files_by_name, hashed, is_regular, is_utf8, reading

VERSION = 2  # pictures are converted to sRGB by their profiles
TEST_SHARE = 0.10
COMPUTED_PROTOCOLS = ("identity", *OPERATORS)  # protocols whose targets are computed
SUFFIXES = tuple(KINDS)
FILELIST = "filelist.txt"


class Folders(NamedTuple):
    """Where pairs are, and which suffixes are read. target: None where targets are computed."""

    input: Path
    target: Path | None
    filelist: Path | None = None
    suffixes: tuple[str, ...] = SUFFIXES


class NamedPair(NamedTuple):
    """A pair by its name (a path below the folders, without suffix).

    split: that of the folder it lies in; None where the split goes by hash.
    problem: the stage and the reason where it is no pair.
    """

    name: str
    split: Split | None
    input: Path | None
    target: Path | None
    problem: tuple[str, str] | None = None


class FolderJob(NamedTuple):
    """What a worker gets: a pair, how its row names the files and what they hashed to when the
    dataset was planned, or why it is no pair."""

    input: Path | None
    target: Path | None
    operator: str | None
    names: tuple[str, ...]
    problem: tuple[str, str] | None
    sha256: tuple[str, ...]


def protocols() -> dict[str, str]:
    """Name and summary of each protocol of this source."""
    return {
        "NAME": "pairs of your own, by --input-dir and --target-dir, or --source-dir",
        "identity": "targets are the inputs, of --input-dir: a sanity check",
    } | {
        name: f"targets computed from --input-dir: {operator.summary}"
        for name, operator in OPERATORS.items()
    }


def folders(source: Path | None, inputs: Path | None, targets: Path | None) -> list[Folders]:
    """The folders that the options name.

    `source` holds input/ and output/ (or target/), perhaps a filelist.txt, or holds train/,
    validation/ and test/, each with those. Raises UsageError where the options do not fit together
    or inputs and targets overlap, and DataError where a folder is not there.
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
        parents = [source / split for split in SPLITS if (source / split).is_dir()] or [source]
        places = [_folders_in(parent) for parent in parents]
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


def _folders_in(folder: Path) -> Folders:
    target = next((folder / n for n in ("output", "target") if (folder / n).is_dir()), None)
    filelist = folder / FILELIST
    return Folders(folder / "input", target, filelist if filelist.is_file() else None)


def plan_and_tasks(protocol: str | None, places: list[Folders]) -> tuple[Plan, list[Task]]:
    """What is made of these folders.

    Raises UsageError for a missing protocol or one that does not fit, DataError for too few pairs.
    """
    if protocol is None:
        raise UsageError(
            "source folder needs --protocol NAME, a name of your own for what the pairs are: "
            "small letters, digits and '-'"
        )
    check_own_name(protocol)
    computes_targets = protocol in COMPUTED_PROTOCOLS
    if computes_targets and any(place.target for place in places):
        raise UsageError(
            f"protocol {protocol} computes its targets: leave the targets out (--input-dir alone), "
            "or name the protocol otherwise"
        )
    if not computes_targets and not all(place.target for place in places):
        raise UsageError(
            f"protocol {protocol} needs targets: --target-dir, or output/ in --source-dir; "
            f"only {', '.join(COMPUTED_PROTOCOLS)} compute them"
        )
    pairs = [pair for place in places for pair in _find_pairs(place, _split_of(place, places))]
    by_folder = any(pair.split for pair in pairs)
    ids = _ids(pairs)
    splits = _splits(pairs, ids, by_folder)
    operator = protocol if computes_targets else None
    files = [path for pair in pairs for path in _files(pair)]
    hashes = dict(zip(files, in_threads(hashed, files), strict=True))
    tasks = [
        Task(
            ids[pair],
            splits[pair],
            FolderJob(
                pair.input,
                pair.target,
                operator,
                _names(pair),
                pair.problem,
                tuple(hashes[path] for path in _files(pair)),
            ),
        )
        for pair in pairs
    ]
    pairing = "filelist" if places[0].filelist else "names"
    settings = {
        "pairing": "computed" if computes_targets else pairing,
        "operator_version": OPERATORS[protocol].version if protocol in OPERATORS else None,
        "splits": "folders" if by_folder else f"hash of the id, {TEST_SHARE:.0%} test",
        "validation": f"its folder, or {VALIDATION_SHARE:.0%} of the training ids by hash",
        "colours": "sRGB, by each picture's profile",
        "files_sha256": sha256_text("".join(f"{line}\n" for line in _listing(pairs, hashes))),
    }
    plan = Plan(f"folder-{protocol}", "folder", protocol, VERSION, "not-stated", settings)
    return plan, tasks


def _split_of(place: Folders, places: list[Folders]) -> Split | None:
    """The split that a folder of --source-dir stands for."""
    name = place.input.parent.name
    from_source_dir = places[0].input.name == "input"
    return next((s for s in SPLITS if s == name), None) if from_source_dir else None


def _find_pairs(place: Folders, split: Split | None) -> Iterator[NamedPair]:
    """All names in the folders, each as a pair or as what is wrong with it. split: that of all;
    None where the folders have folders of the splits in them, or the split goes by hash."""
    if place.filelist is not None:
        yield from _filelist_pairs(place, split)
        return
    inputs = files_by_name(place.input)
    targets = files_by_name(place.target) if place.target else None
    has_split_folders = split is None and (place.input / "train").is_dir()
    for path in sorted({*inputs, *(targets or {})}):
        files = [*inputs.get(path, []), *(targets or {}).get(path, [])]
        if not all(is_utf8(word) for word in (path, *(file.name for file in files))):
            spelt = path.encode("utf-8", "backslashreplace").decode()
            yield NamedPair(spelt, split, None, None, ("name", "no UTF-8: rename its files"))
            continue
        own_split, name = split, path
        if has_split_folders:
            first, _, name = path.partition("/")
            own_split = next((s for s in SPLITS if s == first), None)
            if own_split is None or not name:
                yield NamedPair(
                    path, "train", None, None, ("split", "in none of the split folders")
                )
                continue
        target_files = None if targets is None else targets.get(path, [])
        yield _pair(name, own_split, inputs.get(path, []), target_files, place.suffixes)


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


def _filelist_pairs(place: Folders, split: Split | None) -> Iterator[NamedPair]:
    """The pairs of a filelist.txt: a line is a file's path, the same below input/ and output/."""
    assert place.filelist is not None
    counts = Counter(filelist.entries(place.filelist, place.input))
    for entry, count in sorted(counts.items()):
        path = PurePosixPath(entry)
        name = str(path.with_suffix("")) if path.name else entry
        if path.is_absolute() or ".." in path.parts:
            yield NamedPair(
                name, split, None, None, ("pairing", f"{entry} leads out of the folder")
            )
            continue
        inputs = _existing(place.input / entry)
        targets = _existing(place.target / entry) if place.target else None
        pair = _pair(name, split, inputs, targets, place.suffixes)
        if count > 1:
            pair = pair._replace(problem=("pairing", f"listed {count} times in {FILELIST}"))
        yield pair


def _existing(path: Path) -> list[Path]:
    return [path] if filelist.is_file(path) else []


def _names(pair: NamedPair) -> tuple[str, ...]:
    """How a row names the files: without a place on this machine."""
    sides = (("input", pair.input), ("target", pair.target))
    return tuple(f"{role}/{pair.name}{path.suffix}" for role, path in sides if path)


def _files(pair: NamedPair) -> list[Path]:
    return [path for path in (pair.input, pair.target) if path is not None]


def _listing(pairs: list[NamedPair], hashes: dict[Path, str]) -> list[str]:
    """A line for each file with its content's SHA-256: other pictures are another dataset."""
    return sorted(
        json_line([pair.split, pair.name, path.suffix, hashes[path]])
        for pair in pairs
        for path in _files(pair)
    )


def _ids(pairs: list[NamedPair]) -> dict[NamedPair, str]:
    """Ids fit for file names; where two pairs would have one id, a hash of what they are called
    parts them: of the name, and of their files' names where a.png and a.jpg are two pairs."""
    # Compared in small letters: on some file systems A.png and a.png are one file.
    plain = {pair: _plain_id(pair.name) for pair in pairs}
    counts = Counter((pair.split, id_.lower()) for pair, id_ in plain.items())
    names = Counter((pair.split, pair.name) for pair in pairs)
    ids = {}
    for pair, id_ in plain.items():
        if counts[pair.split, id_.lower()] > 1:
            once = names[pair.split, pair.name] == 1
            id_ += (
                f"-{sha256_text(pair.name if once else json_line([pair.name, *_names(pair)]))[:8]}"
            )
        ids[pair] = id_
    return ids


def _plain_id(name: str) -> str:
    """The name in the characters of every file system; a hash stands for what is too long, or for a
    name that has none of them."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    if plain and len(plain) <= 100:
        return plain
    return f"{plain[:80]}-{sha256_text(name)[:8]}".strip("-")


def _splits(
    pairs: list[NamedPair], ids: dict[NamedPair, str], by_folder: bool
) -> dict[NamedPair, Split]:
    """The split of each pair: its folder's, or by hash of the id. Raises DataError where a split
    would have no pair."""
    splits: dict[NamedPair, Split] = {pair: pair.split or "train" for pair in pairs}
    good = [pair for pair in pairs if not pair.problem]
    if not by_folder:
        if len(good) < len(SPLITS):
            reasons = sorted({f"{p.name}: {p.problem[1]}" for p in pairs if p.problem})
            raise DataError(
                f"{len(good)} pairs found, at least {len(SPLITS)} are needed, one for each split"
                + (f" ({'; '.join(reasons[:3])})" if reasons else "")
            )
        test = chosen_by_hash([ids[pair] for pair in good], TEST_SHARE)
        splits |= {pair: "test" for pair in good if ids[pair] in test}
    training = [pair for pair in good if splits[pair] == "train"]
    if not training:
        raise DataError("no pair for training was found")
    if "validation" not in splits.values() and len(training) > 1:
        validation = chosen_by_hash([ids[pair] for pair in training], VALIDATION_SHARE)
        splits |= {pair: "validation" for pair in training if ids[pair] in validation}
    return splits


def make(job: FolderJob) -> PreparedPair:
    """Read one pair, or read its input and compute the target. Raises RejectedPair."""
    if job.problem is not None:
        raise RejectedPair(*job.problem)
    assert job.input is not None
    files = [path for path in (job.input, job.target) if path is not None]
    with reading(*files, expected=job.sha256) as hashes:
        pictures = [read_picture(path) for path in files]
    picture, target_picture = pictures[0], pictures[-1]
    notes = {"input": list(picture.notes)} if picture.notes else {}
    target = target_picture.pixels
    if job.operator not in (None, "identity"):
        target = _computed_target(job.operator, picture.pixels)
    elif job.operator is None and target_picture.notes:
        notes |= {"target": list(target_picture.notes)}
    return PreparedPair(
        input=picture.pixels,
        target=target,
        source_names=list(job.names),
        source_sha256=hashes,
        licence="not-stated",
        measured={"notes": notes} if notes else {},
    )


def _computed_target(operator: str, pixels: Pixels) -> Pixels:
    """The operator's target in the input's own depth: float64, rounded once."""
    target = OPERATORS[operator].apply(as_planar(pixels))
    result = np.clip(target, 0.0, 1.0) * white_level(pixels)
    return np.ascontiguousarray(np.rint(result).astype(pixels.dtype).transpose(1, 2, 0))


def duplicates(
    rows: list[Row], pixels: Callable[[Row], str] = lambda row: row.input_pixels_sha256
) -> dict[tuple[str, str], str]:
    """Rows to leave out since their input has the pixels of another row's, with the reason.

    Of such rows one stays: of the test split before validation before training, so that nothing is
    trained on that a model is measured by.
    """
    row_of_pixels: dict[str, Row] = {}
    reasons: dict[tuple[str, str], str] = {}
    for row in sorted(rows, key=lambda row: (-SPLITS.index(row.split), row.id)):
        first = row_of_pixels.setdefault(pixels(row), row)
        if first is not row:
            reasons[row.split, row.id] = f"its input has the pixels of {first.split}/{first.id}"
    return reasons
