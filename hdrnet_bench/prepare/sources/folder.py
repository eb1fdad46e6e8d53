"""Source `folder`: a user's own pictures, two folders of them, or one and an operator.

The protocol is a name of the user's own, or that of an operator (`COMPUTED`), which then makes the
targets out of the inputs. Pairs have the same name in both folders, whatever the suffix, or are
listed in a filelist.txt beside input/ and output/, as the reference has it. Splits are the folders
train, validation and test where there are such, else by hash of the id: 10 % test, then 5 % of the
rest validation. What is left out is in rejected.jsonl with the reason: unpaired or ambiguous names,
kinds that are not read, broken files, differing sizes, and inputs whose pixels are there already.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...data.manifest import SPLITS, VALIDATION_SHARE, Row, Split, chosen_by_hash
from ...errors import DataError, UsageError
from ...files import by_name, json_line, sha256_file, sha256_text
from ...images.files import Picture, Pixels, read_picture, white_level
from ..build import PreparedPair, RejectedPair
from ..operators import OPERATORS
from ..staging import Plan, Task

VERSION = 1
TEST_SHARE = 0.10
COMPUTED = ("identity", *OPERATORS)
OWN_NAME = r"[a-z0-9][a-z0-9-]*"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
FILELIST = "filelist.txt"


class Folders(NamedTuple):
    """Where the pictures are, and of which kinds. Without `target` the targets are computed."""

    input: Path
    target: Path | None
    filelist: Path | None = None
    suffixes: tuple[str, ...] = SUFFIXES


class NamedPair(NamedTuple):
    """A pair by its name (a path below the folders, without suffix), or why it is none."""

    name: str
    split: Split | None
    input: Path | None
    target: Path | None
    problem: tuple[str, str] | None = None


class FolderJob(NamedTuple):
    """What a worker is given: a pair and how its files are named in the row, or a problem."""

    input: Path | None
    target: Path | None
    operator: str | None
    names: tuple[str, ...]
    problem: tuple[str, str] | None


def protocols() -> dict[str, str]:
    """Name and summary of each protocol of this source."""
    computed = {name: operator.summary for name, operator in OPERATORS.items()}
    return {
        "NAME": "pairs of your own, by --input-dir and --target-dir, or --source-dir",
        "identity": "targets are the inputs, of --input-dir: a sanity check",
    } | {name: f"targets computed from --input-dir: {text}" for name, text in computed.items()}


def folders(source: Path | None, inputs: Path | None, targets: Path | None) -> list[Folders]:
    """The folders that the options name.

    `source` holds input/ and output/ (or target/), perhaps a filelist.txt, or holds train/,
    validation/ and test/, each with those. Raises UsageError where the options do not fit together
    and DataError where a folder is not there.
    """
    if (source is None) == (inputs is None) or (source is not None and targets is not None):
        raise UsageError(
            "source folder: give --input-dir and --target-dir, or --source-dir with input/ and "
            "output/ in it"
        )
    if source is None:
        assert inputs is not None
        found = [Folders(inputs, targets)]
    else:
        below = [source / split for split in SPLITS if (source / split).is_dir()] or [source]
        found = [_inside(folder) for folder in below]
    for folder in (f for one in found for f in (one.input, one.target) if f is not None):
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}")
    return found


def _inside(folder: Path) -> Folders:
    target = next((folder / n for n in ("output", "target") if (folder / n).is_dir()), None)
    filelist = folder / FILELIST
    return Folders(folder / "input", target, filelist if filelist.is_file() else None)


def plan_and_tasks(protocol: str | None, where: list[Folders]) -> tuple[Plan, list[Task]]:
    """What is made of these folders.

    Raises UsageError for a missing protocol or one that does not fit, DataError for too few pairs.
    """
    if protocol is None or not re.fullmatch(OWN_NAME, protocol):
        raise UsageError(
            "source folder needs --protocol NAME, a name of your own for what the pairs are: "
            "small letters, digits and '-'"
        )
    computed = protocol in COMPUTED
    if computed and any(one.target for one in where):
        raise UsageError(
            f"protocol {protocol} computes its targets: leave the targets out (--input-dir alone), "
            "or name the protocol otherwise"
        )
    if not computed and not all(one.target for one in where):
        raise UsageError(
            f"protocol {protocol} needs targets: --target-dir, or output/ in --source-dir; "
            f"computed are only {', '.join(COMPUTED)}"
        )
    found = [pair for one in where for pair in _discover(one, _split_of(one, where))]
    layout = any(pair.split for pair in found)
    ids = _ids(found)
    splits = _splits(found, ids, layout)
    tasks = [
        Task(
            ids[pair],
            splits[pair],
            FolderJob(
                pair.input, pair.target, protocol if computed else None, _names(pair), pair.problem
            ),
        )
        for pair in found
    ]
    settings = {
        "pairing": "computed" if computed else "filelist" if where[0].filelist else "names",
        "operator_version": OPERATORS[protocol].version if protocol in OPERATORS else None,
        "splits": "folders" if layout else f"hash of the id, {TEST_SHARE:.0%} test",
        "validation": f"its folder, or {VALIDATION_SHARE:.0%} of the training ids by hash",
        "files_sha256": sha256_text("".join(f"{line}\n" for line in _listing(found))),
    }
    plan = Plan(f"folder-{protocol}", "folder", protocol, VERSION, "not-stated", settings)
    return plan, tasks


def _split_of(one: Folders, where: list[Folders]) -> Split | None:
    """The split that a folder of --source-dir stands for."""
    name = one.input.parent.name
    return next((s for s in SPLITS if s == name), None) if where[0].input.name == "input" else None


def _discover(where: Folders, split: Split | None) -> Iterator[NamedPair]:
    if where.filelist is not None:
        yield from _listed(where, split)
        return
    inputs, targets = _by_name(where.input), _by_name(where.target) if where.target else None
    parted = split is None and (where.input / "train").is_dir()
    for name in sorted({*inputs, *(targets or {})}):
        own, rest = split, name
        if parted:
            first, _, rest = name.partition("/")
            own = next((s for s in SPLITS if s == first), None)
            if own is None or not rest:
                yield NamedPair(
                    name, "train", None, None, ("split", "in none of the split folders")
                )
                continue
        outs = None if targets is None else targets.get(name, [])
        yield _paired(rest, own, inputs.get(name, []), outs, where.suffixes)


def _paired(
    name: str,
    split: Split | None,
    ins: list[Path],
    outs: list[Path] | None,
    suffixes: tuple[str, ...],
) -> NamedPair:
    """One name's files as a pair; `outs` is None where the target is computed."""
    problem = None
    raws = [path for path in ins if path.suffix.lower() == ".dng"]
    if ".dng" in suffixes and len(raws) == 1:
        ins = raws  # beside it lies the camera's own rendition of the same shot
    sides = (("input", ins), ("target", outs))
    for role, files in sides:
        if files is None:
            continue
        if not files:
            problem = ("pairing", f"there is no {role} of that name")
        elif len(files) > 1:
            problem = ("pairing", f"several {role}s: {', '.join(f.name for f in files)}")
        elif files[0].suffix.lower() not in suffixes:
            problem = ("kind", f"{files[0].name}: {files[0].suffix or 'no suffix'} is not read")
        if problem:
            break
    first_out = outs[0] if outs else None
    return NamedPair(name, split, ins[0] if ins else None, first_out, problem)


def _listed(where: Folders, split: Split | None) -> Iterator[NamedPair]:
    """The pairs of a filelist.txt: lines with a file's name, the same below input/ and output/."""
    assert where.filelist is not None
    try:
        lines = where.filelist.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where.filelist} cannot be read: {error}") from None
    counts = Counter(line.strip() for line in lines if line.strip())
    for listed, times in sorted(counts.items()):
        name = str(Path(listed).with_suffix("")) if Path(listed).name else listed
        if Path(listed).is_absolute() or ".." in Path(listed).parts:
            yield NamedPair(
                name, split, None, None, ("pairing", f"{listed} leads out of the folder")
            )
            continue
        files = [
            [f] if f and f.is_file() else []
            for f in (where.input / listed, where.target / listed if where.target else None)
        ]
        pair = _paired(name, split, files[0], files[1] if where.target else None, where.suffixes)
        if times > 1:
            pair = pair._replace(problem=("pairing", f"listed {times} times in {FILELIST}"))
        yield pair


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Files below a folder by their path without suffix; hidden ones are passed over."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            found.setdefault(relative.with_suffix("").as_posix(), []).append(path)
    return found


def _names(pair: NamedPair) -> tuple[str, ...]:
    """How a row names the files: without a place on this machine."""
    sides = (("input", pair.input), ("target", pair.target))
    return tuple(f"{role}/{pair.name}{path.suffix}" for role, path in sides if path)


def _listing(found: list[NamedPair]) -> list[str]:
    """A line for each file with its content's SHA-256: other pictures are another dataset."""
    files = [
        (pair, path)
        for pair in found
        for path in (pair.input, pair.target)
        if path is not None and path.is_file()
    ]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        hashes = pool.map(lambda file: sha256_file(file[1]), files)
        return sorted(
            json_line([pair.split, pair.name, path.suffix, sha256])
            for (pair, path), sha256 in zip(files, hashes, strict=True)
        )


def _ids(found: list[NamedPair]) -> dict[NamedPair, str]:
    """Ids fit for file names; where two names would have one id, a hash of the name parts them."""
    plain = {pair: _plain(pair.name) for pair in found}
    counts = Counter((pair.split, id_.lower()) for pair, id_ in plain.items())
    return {
        pair: id_ if counts[pair.split, id_.lower()] == 1 else f"{id_}-{sha256_text(pair.name)[:8]}"
        for pair, id_ in plain.items()
    }


def _plain(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    return (
        plain if plain and len(plain) <= 100 else f"{plain[:80]}-{sha256_text(name)[:8]}".strip("-")
    )


def _splits(
    found: list[NamedPair], ids: dict[NamedPair, str], layout: bool
) -> dict[NamedPair, Split]:
    """The split of each pair: its folder's, or by hash of the id."""
    splits: dict[NamedPair, Split] = {pair: pair.split or "train" for pair in found}
    good = [pair for pair in found if not pair.problem]
    if not layout:
        if len(good) < len(SPLITS):
            reasons = sorted({f"{p.name}: {p.problem[1]}" for p in found if p.problem})
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
        chosen = chosen_by_hash([ids[pair] for pair in training], VALIDATION_SHARE)
        splits |= {pair: "validation" for pair in training if ids[pair] in chosen}
    return splits


def make(job: FolderJob) -> PreparedPair:
    """Read, or compute, one pair."""
    if job.problem is not None:
        raise RejectedPair(*job.problem)
    assert job.input is not None
    picture = _read(job.input)
    notes = {"input": list(picture.notes)} if picture.notes else {}
    sources = [job.input]
    if job.operator == "identity":
        target = picture.pixels
    elif job.operator is not None:
        target = _computed(job.operator, picture.pixels)
    else:
        assert job.target is not None
        other = _read(job.target)
        target, sources = other.pixels, [job.input, job.target]
        notes |= {"target": list(other.notes)} if other.notes else {}
    return PreparedPair(
        input=picture.pixels,
        target=target,
        source_names=list(job.names),
        source_sha256=[sha256_file(path) for path in sources],
        licence="not-stated",
        measured={"notes": notes} if notes else {},
    )


def _read(path: Path) -> Picture:
    try:
        return read_picture(path)
    except DataError as error:
        raise RejectedPair("decode", by_name(str(error), path)) from None


def _computed(operator: str, pixels: Pixels) -> Pixels:
    """The operator's target in the input's own depth: float64, rounded once."""
    white = white_level(pixels)
    planar = pixels.transpose(2, 0, 1).astype(np.float64) / white
    result = np.clip(OPERATORS[operator].apply(planar), 0.0, 1.0) * white
    return np.ascontiguousarray(np.rint(result).astype(pixels.dtype).transpose(1, 2, 0))


def duplicates(
    rows: list[Row], pixels: Callable[[Row], str] = lambda row: row.input_pixels_sha256
) -> dict[tuple[str, str], str]:
    """Rows whose input has the pixels of another's, with the reason. One of them stays: test before
    validation before train, so that nothing is trained on that is judged by."""
    kept: dict[str, Row] = {}
    reasons: dict[tuple[str, str], str] = {}
    for row in sorted(rows, key=lambda row: (-SPLITS.index(row.split), row.id)):
        first = kept.setdefault(pixels(row), row)
        if first is not row:
            reasons[row.split, row.id] = f"its input has the pixels of {first.split}/{first.id}"
    return reasons
