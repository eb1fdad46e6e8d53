"""Source `fivek`: MIT-Adobe FiveK, by one of the protocols in recipes/protocols/fivek/.

Most protocols make their pictures from the dataset's own files, which come from its server or lie
in a copy of it (`--source-dir`): the rows are the same either way. Protocols of Lightroom's
renderings, which cannot be made here, take files that the user exported (`--input-dir`,
`--target-dir`), or a published pack of them (`--source-dir`): those are checked and copied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...color import LINEAR_FROM_ROMM, romm_to_linear
from ...data.manifest import SPLITS, Split
from ...errors import DataError
from ...files import json_line, sha256_text
from ...images import raw
from ...images.kinds import KINDS
from ...images.photo import CHECKED, Photo, read_photo
from ...images.resize import Matrix, SizeRule, average_picture, curve, encode_srgb
from ..build import PreparedPair, RejectedPair
from ..choosing import check_name, choose_ids, dataset_name
from ..protocol_models import FiveKProtocol, FiveKSide
from ..protocols import pinned_lists, splits
from ..source_models import FiveKSource
from ..staging import Plan, Task, without_versions
from .checks import check_depth, check_development, check_profile
from .expert import read_romm
from .fivek_index import FiveKPicture, id_of
from .folder_pairs import check_apart
from .source_files import Counted, files_below, hash_all, is_utf8, reading, uncounted

EXPERT_FOLDER = re.compile(r"(?:tiff16_|expert[ _-]?)?([a-e])", re.IGNORECASE)
ZEROED_FOLDER = "tiff16_inputAsShotZeroed"
RENDERING_KINDS = {s: kind for s, kind in KINDS.items() if kind in ("jpeg", "png", "tiff")}


class FiveKChoice(NamedTuple):
    """What a dataset has of a protocol.

    size: one of the names in protocol.sizes.
    splits: the split of each chosen picture.
    subset: a name for the chosen pictures; None for all of the protocol's.
    """

    protocol: FiveKProtocol
    expert: str
    size: str
    splits: dict[str, Split]
    subset: str | None

    @property
    def name(self) -> str:
        return dataset_name("fivek", self.protocol, self.expert, self.size, self.subset)

    @property
    def rule(self) -> SizeRule:
        return self.protocol.sizes[self.size]


class PairFiles(NamedTuple):
    """A pair's files, or what is wrong with them. sha256: what they hashed to when the dataset was
    planned; None where that is not of these very files."""

    input: Path | None
    target: Path | None
    problem: str | None = None
    sha256: tuple[str, str] | None = None


class FiveKJob(NamedTuple):
    """What a worker gets: a pair's files, and what is to be made of them."""

    picture: FiveKPicture
    files: PairFiles
    protocol: FiveKProtocol
    expert: str
    rule: SizeRule

    @property
    def problem(self) -> tuple[str, str] | None:
        """The stage and the reason where it is known before that it is no pair."""
        return ("pairing", self.files.problem) if self.files.problem else None


def choose(
    protocol: FiveKProtocol,
    source: FiveKSource,
    pictures: dict[str, FiveKPicture],
    *,
    expert: str | None,
    size: str | None,
    limit: int | None,
    ids: Path | None,
) -> FiveKChoice:
    """What the options ask for. Raises UsageError where the protocol has no such thing."""
    check_name(protocol.name, "expert", expert, list(protocol.experts))
    check_name(protocol.name, "size", size, list(protocol.sizes))
    numbers = {id_: int(id_[1:]) for id_ in pictures}
    split_of, subset = choose_ids(splits(protocol, source, numbers), limit, ids, id_of)
    return FiveKChoice(
        protocol,
        expert or protocol.experts[0],
        size or next(iter(protocol.sizes)),
        split_of,
        subset,
    )


def plan(choice: FiveKChoice, source: FiveKSource, files: str | None = None) -> Plan:
    """What the dataset is. `files`: a digest of the files that are copied as they are."""
    protocol = choice.protocol
    settings: dict[str, Any] = {
        "protocol": protocol.model_dump(
            mode="json",
            include={"input", "target", "resampling", "differing_sizes", "splits", "export"},
        ),
        "expert": choice.expert,
        "size": {"name": choice.size, **choice.rule.model_dump(mode="json")},
        "lists_sha256": pinned_lists(protocol, source),
        "validation": "5 % of the training ids by hash, where the protocol has none",
        "pictures": {s: sum(v == s for v in choice.splits.values()) for s in SPLITS},
        "subset": choice.subset,
        "files_sha256": files,
    }
    if protocol.development is not None:
        settings["development"] = without_versions(raw.settings(protocol.development))
    licence = f"{source.title}: {source.terms}; each picture's class is in its row"
    return Plan(choice.name, "fivek", protocol.name, protocol.version, licence, settings)


def tasks(
    choice: FiveKChoice, pictures: dict[str, FiveKPicture], files: dict[str, PairFiles]
) -> list[Task]:
    """One for each chosen picture, with its files."""
    return [
        Task(
            id_,
            split,
            FiveKJob(pictures[id_], files[id_], choice.protocol, choice.expert, choice.rule),
        )
        for id_, split in sorted(choice.splits.items())
    ]


def make(job: FiveKJob) -> PreparedPair:
    """Develop, convert and resize one pair, or check one of renderings.

    Raises RejectedPair for what the files hold, StorageError where they cannot be read: a disk that
    is gone is no reason to leave a picture out.
    """
    input_path, target_path, problem, sha256 = job.files
    if input_path is None or target_path is None:
        raise RejectedPair("pairing", problem)
    make_pair = _copy_renderings if job.protocol.of_renderings else _develop
    with reading(input_path, target_path, expected=sha256) as hashes:
        return make_pair(job, input_path, target_path, hashes)


def _develop(job: FiveKJob, input_path: Path, target_path: Path, hashes: list[str]) -> PreparedPair:
    """Make input and target from the dataset's own files, one after the other: a worker holds one
    picture of full size at a time."""
    source = _read_input(job, input_path)
    height, width = source.pixels.shape[:2]
    size = job.rule.target(width, height)
    input_ = encode_srgb(average_picture(source.pixels, size, source.table, source.matrix))
    measured, notes = source.measured, {"input": source.notes} if source.notes else {}
    del source
    expert = read_romm(target_path)
    if expert.pixels.shape[:2] != (height, width):
        target_size = f"{expert.pixels.shape[1]}x{expert.pixels.shape[0]}"
        raise RejectedPair("size", f"input {width}x{height}, target {target_size}")
    notes |= {"target": expert.notes} if expert.notes else {}
    measured["source_size"] = [width, height]
    if notes:
        measured["notes"] = notes
    target = average_picture(expert.pixels, size, curve(romm_to_linear), LINEAR_FROM_ROMM)
    return PreparedPair(
        input=input_,
        target=encode_srgb(target),
        source_names=[
            _source_name(side, job) for side in (job.protocol.input, job.protocol.target)
        ],
        source_sha256=hashes,
        licence=job.picture.licence,
        measured=measured,
    )


class _Source(NamedTuple):
    """An input in full size, the tables that take it to linear light (resize.average_picture), and
    what its row says of it."""

    pixels: NDArray[np.uint16]
    table: NDArray[np.float32]
    matrix: Matrix | None
    measured: dict[str, Any]
    notes: list[str]


def _read_input(job: FiveKJob, path: Path) -> _Source:
    """Develop the DNG, or decode the TIFF that Lightroom made with all settings at zero."""
    if job.protocol.development is None:
        tiff = read_romm(path)
        return _Source(tiff.pixels, curve(romm_to_linear), LINEAR_FROM_ROMM, {}, tiff.notes)
    developed = raw.develop(path, job.protocol.development)
    check_development(path, developed.pixels)
    measured = {
        "white_balance": developed.white_balance,
        "multipliers": [round(value, 6) for value in developed.multipliers],
        "camera": developed.camera,
        "crop": developed.crop,
    }
    return _Source(developed.pixels, curve(), None, measured, developed.notes)


def _source_name(side: FiveKSide, job: FiveKJob) -> str:
    """How a row names the file: as the server does, wherever it came from."""
    if side.source == "dng":
        return f"dng/{job.picture.name}.dng"
    folder = ZEROED_FOLDER if side.source == "as_shot_zeroed" else f"tiff16_{job.expert}"
    return f"{folder}/{job.picture.name}.tif"


def _copy_renderings(
    job: FiveKJob, input_path: Path, target_path: Path, hashes: list[str]
) -> PreparedPair:
    """Check two renderings against the protocol; they are copied, not encoded again."""
    pixels, notes = [], {}
    for role, side, path in (
        ("input", job.protocol.input, input_path),
        ("target", job.protocol.target, target_path),
    ):
        picture = read_photo(path, CHECKED)
        check_rendering(side, job.rule, path, picture, role)
        pixels.append(picture.pixels)
        if picture.notes:
            notes[role] = list(picture.notes)
    return PreparedPair(
        input=pixels[0],
        target=pixels[1],
        source_names=[f"input/{input_path.name}", f"target/{target_path.name}"],
        source_sha256=hashes,
        licence=job.picture.licence,
        measured={"notes": notes} if notes else {},
        files=(input_path, target_path),
    )


def check_rendering(side: FiveKSide, rule: SizeRule, path: Path, photo: Photo, role: str) -> None:
    """Whether a rendering is as its protocol states: kind, depth, channels, profile and size.

    Args:
        rule: of the size. Only the edge that it is about counts: exporters round the other one
            each in its own way.
        path, photo: a file of one of RENDERING_KINDS; what it holds, read with CHECKED.
        role: "input" or "target", for the reason.

    Raises RejectedPair with the stage ("kind", "depth", "profile" or "size") and the reason.
    """
    if RENDERING_KINDS[path.suffix.lower()] not in side.kinds:
        raise RejectedPair("kind", f"{path.name}: {' or '.join(side.kinds)} is wanted")
    check_depth(path, photo, side.bit_depth)
    if any("grey" in note for note in photo.notes):
        raise RejectedPair("kind", f"{path.name}: grey, three channels are wanted")
    check_profile(path, photo, side.space)
    if rule.pixels is None:
        return
    height, width = photo.pixels.shape[:2]
    edge = min(width, height) if rule.edge == "short" else max(width, height)
    if edge != rule.pixels:
        raise RejectedPair(
            "size",
            f"{role} {width}x{height}, a {rule.edge} edge of {rule.pixels} is wanted",
        )


def find_files(
    choice: FiveKChoice, pictures: dict[str, FiveKPicture], folders: list[Path]
) -> dict[str, PairFiles]:
    """Input and target of each chosen picture below the folders of a copy of FiveK.

    A TIFF's folder says whose it is: tiff16_c, expertC or c; tiff16_inputAsShotZeroed.
    """
    by_kind: dict[tuple[str, str], list[Path]] = {}
    for path in files_below(folders):
        if kind := _kind_of(path):
            by_kind.setdefault((kind, path.stem), []).append(path)
    kind_of_source = {"dng": "dng", "expert": choice.expert, "as_shot_zeroed": ZEROED_FOLDER}
    sides = (choice.protocol.input, choice.protocol.target)
    kinds = [kind_of_source[side.source] for side in sides]
    pairs = {}
    for id_ in choice.splits:
        name = pictures[id_].name
        candidates = [by_kind.get((kind, name), []) for kind in kinds]
        called = [f"{name} ({kind})" for kind in kinds]
        pairs[id_] = _pair_files(candidates, called, folders)
    _check_any_pair(pairs, folders)
    return pairs


def _kind_of(path: Path) -> str | None:
    """What a file is: "dng", an expert's letter or ZEROED_FOLDER; None for anything else."""
    suffix = path.suffix.lower()
    if suffix == ".dng":
        return "dng"
    if suffix in (".tif", ".tiff"):
        if path.parent.name == ZEROED_FOLDER:
            return ZEROED_FOLDER
        if match := EXPERT_FOLDER.fullmatch(path.parent.name):
            return match[1].lower()
    return None


def find_renderings(
    choice: FiveKChoice, inputs: Path, targets: Path, counted: Counted = uncounted
) -> tuple[dict[str, PairFiles], str]:
    """Renderings by the ids that their names begin with, and a digest of all their contents.

    counted: told of the files that are hashed, which takes as long as reading them all.

    Raises UsageError where one folder is in the other: inputs would be taken for targets.
    """
    check_apart(inputs, targets)
    sides = [renderings_below(folder) for folder in (inputs, targets)]
    roles = ("input", "target")
    pairs = {
        id_: _pair_files(
            [read.get(id_, []) for read, _ in sides],
            [f"{role} of {id_}" for role in roles],
            [inputs, targets],
            [unread.get(id_, []) for _, unread in sides],
        )
        for id_ in choice.splits
    }
    _check_any_pair(pairs, [inputs, targets])
    paths = [path for pair in pairs.values() for path in (pair.input, pair.target) if path]
    hashes = hash_all(paths, counted)
    lines = []
    for id_, pair in pairs.items():
        if pair.input is None or pair.target is None:
            lines.append([id_, None, None])
            continue
        sha256 = hashes[pair.input], hashes[pair.target]
        pairs[id_] = pair._replace(sha256=sha256)
        lines.append([id_, *sha256])
    return pairs, sha256_text(json_line(sorted(lines)))


def renderings_below(folder: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Files by the id that their names begin with: those that are read, and the others."""
    read: dict[str, list[Path]] = {}
    unread: dict[str, list[Path]] = {}
    for path in files_below([folder]):
        if id_ := id_of(path.name):
            known = path.suffix.lower() in RENDERING_KINDS
            (read if known else unread).setdefault(id_, []).append(path)
    return read, unread


def _pair_files(
    candidates: list[list[Path]],
    names: list[str],
    below: list[Path],
    unread: Sequence[Sequence[Path]] = ((), ()),
) -> PairFiles:
    """The input and the target where there is exactly one file for each; the names, the folders
    that all lie below, and the files of kinds that are not read, say what is wrong where not."""
    for paths, name, others in zip(candidates, names, unread, strict=True):
        if len(paths) != 1:
            fault = f"several: {named(paths, below)}" if paths else "not there"
            if others and not paths:
                kinds = ", ".join(RENDERING_KINDS)
                fault += f", but {named(others, below)}: only {kinds} are read"
            return PairFiles(None, None, f"{name}: {fault}")
        if not is_utf8(paths[0].name):
            return PairFiles(None, None, f"{name}: {paths[0].name} is not UTF-8, rename it")
    return PairFiles(candidates[0][0], candidates[1][0])


def named(paths: Sequence[Path], folders: list[Path]) -> str:
    """The paths below their folder; with its name where they lie in several."""
    tops = [folder.resolve() for folder in folders]
    of = [next(top for top in tops if path.is_relative_to(top)) for path in paths]
    below = zip(paths, of if len(set(of)) == 1 else [top.parent for top in of], strict=True)
    return ", ".join(path.relative_to(top).as_posix() for path, top in below)


def _check_any_pair(pairs: dict[str, PairFiles], folders: list[Path]) -> None:
    """Raises DataError where no pair is whole: the folders are others than the user thinks."""
    if all(pair.problem for pair in pairs.values()):
        first, places = next(iter(pairs.values())).problem, ", ".join(map(str, folders))
        raise DataError(f"no pair of this protocol is in {places}: {first}")
