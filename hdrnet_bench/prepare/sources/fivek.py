"""Source `fivek`: MIT-Adobe FiveK, as a named protocol means it (recipes/protocols/fivek/).

Three ways lead in, to the same rows: the dataset's server, a copy of its files (`--source`), or
renderings that the user exported (`--input-dir`, `--target-dir`), where a protocol is of those.
Lightroom's renderings cannot be made here; a protocol of renderings checks and takes over files.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...color import LINEAR_FROM_ROMM, romm_to_linear
from ...data.manifest import SPLITS, Split
from ...errors import DataError, UsageError
from ...files import by_name, json_line, sha256_file, sha256_text
from ...images import icc, raw
from ...images.files import Picture, Pixels, profile_name, read_picture
from ...images.resize import SizeRule, curve, encoded, reduced
from ..build import PreparedPair, RejectedPair
from ..choosing import check_known, dataset_name, part_of
from ..protocol_models import FiveKProtocol, FiveKSide, FiveKSource
from ..protocols import pinned_lists, splits
from ..staging import Plan, Task
from .expert import read_romm
from .fivek_index import FiveKPicture, id_of

EXPERT_FOLDER = re.compile(r"(?:tiff16_|expert[ _-]?)?([a-e])", re.IGNORECASE)
ZEROED_FOLDER = "tiff16_inputAsShotZeroed"
KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff"}


class FiveKChoice(NamedTuple):
    """What of a protocol is wanted. `size` is a name of the protocol's; `subset`
    names a part of its pictures, None for all."""

    protocol: FiveKProtocol
    expert: str
    size: str
    splits: dict[str, Split]
    subset: str | None

    @property
    def name(self) -> str:
        of = self.protocol
        return dataset_name("fivek", of.name, self.expert, self.size, of.sizes, self.subset)

    @property
    def rule(self) -> SizeRule:
        return self.protocol.sizes[self.size]


class PairFiles(NamedTuple):
    """A pair's files, or what is wrong with them."""

    input: Path | None
    target: Path | None
    problem: str | None = None


class FiveKJob(NamedTuple):
    """What a worker is given: a pair's files, and what is to be made of them."""

    picture: FiveKPicture
    files: PairFiles
    protocol: FiveKProtocol
    expert: str
    rule: SizeRule


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
    check_known(protocol.name, "expert", expert, list(protocol.experts))
    check_known(protocol.name, "size", size, list(protocol.sizes))
    numbers = {id_: int(id_[1:]) for id_ in pictures}
    chosen, subset = part_of(splits(protocol, source, numbers), limit, ids, id_of)
    return FiveKChoice(
        protocol,
        expert or protocol.experts[0],
        size or next(iter(protocol.sizes)),
        chosen,
        subset,
    )


def plan(choice: FiveKChoice, source: FiveKSource, files: str | None = None) -> Plan:
    """What the dataset is. `files`: a digest of the files that are taken over as they are."""
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
        told = raw.settings(protocol.development)
        # Versions stand with the tools: another one that yields the same pixels is no other data.
        settings["development"] = {k: v for k, v in told.items() if k not in ("rawpy", "libraw")}
    licence = f"{source.title}: {source.terms}; each picture's class is in its row"
    return Plan(choice.name, "fivek", protocol.name, protocol.version, licence, settings)


def tasks(
    choice: FiveKChoice, pictures: dict[str, FiveKPicture], found: dict[str, PairFiles]
) -> list[Task]:
    """One for each picture, with its files as found."""
    return [
        Task(
            id_,
            split,
            FiveKJob(pictures[id_], found[id_], choice.protocol, choice.expert, choice.rule),
        )
        for id_, split in sorted(choice.splits.items())
    ]


def make(job: FiveKJob) -> PreparedPair:
    """Develop, convert and resize one pair, or check one of renderings.

    Raises RejectedPair for what the files hold, OSError where they cannot be read: a disk that is
    gone is no reason to leave a picture out.
    """
    input_path, target_path, problem = job.files
    if input_path is None or target_path is None:
        raise RejectedPair("pairing", problem)
    hashes = [sha256_file(path) for path in (input_path, target_path)]
    way = _taken_over if job.protocol.of_renderings else _made
    try:
        return way(job, input_path, target_path, hashes)
    except DataError as error:
        raise RejectedPair("decode", by_name(str(error), input_path, target_path)) from None


def _made(job: FiveKJob, input_path: Path, target_path: Path, hashes: list[str]) -> PreparedPair:
    measured: dict[str, Any] = {}
    if job.protocol.development is not None:
        developed = raw.develop(input_path, job.protocol.development)
        source, table, matrix = developed.pixels, _linear(), None
        measured["white_balance"] = developed.white_balance
        measured["multipliers"] = [round(value, 6) for value in developed.multipliers]
        measured["camera"] = developed.camera
        measured["crop"] = developed.crop
        notes = {"input": developed.notes} if developed.notes else {}
    else:
        zeroed = read_romm(input_path)
        source, table, matrix = zeroed.pixels, _romm(), LINEAR_FROM_ROMM
        notes = {"input": zeroed.notes} if zeroed.notes else {}
    height, width = source.shape[:2]
    size = job.rule.target(width, height)
    input_ = encoded(reduced(source, size, table, matrix))
    del source
    expert = read_romm(target_path)
    if expert.pixels.shape[:2] != (height, width):
        other = f"{expert.pixels.shape[1]}x{expert.pixels.shape[0]}"
        raise RejectedPair("size", f"input {width}x{height}, target {other}")
    notes |= {"target": expert.notes} if expert.notes else {}
    measured["source_size"] = [width, height]
    if notes:
        measured["notes"] = notes
    return PreparedPair(
        input=input_,
        target=encoded(reduced(expert.pixels, size, _romm(), LINEAR_FROM_ROMM)),
        source_names=[
            _source_name(side, job) for side in (job.protocol.input, job.protocol.target)
        ],
        source_sha256=hashes,
        licence=job.picture.licence,
        measured=measured,
    )


@functools.cache
def _linear() -> NDArray[np.float32]:
    return curve()


@functools.cache
def _romm() -> NDArray[np.float32]:
    return curve(romm_to_linear)


def _source_name(side: FiveKSide, job: FiveKJob) -> str:
    """The same whichever way the file came."""
    if side.source == "dng":
        return f"dng/{job.picture.name}.dng"
    folder = ZEROED_FOLDER if side.source == "as_shot_zeroed" else f"tiff16_{job.expert}"
    return f"{folder}/{job.picture.name}.tif"


def _taken_over(
    job: FiveKJob, input_path: Path, target_path: Path, hashes: list[str]
) -> PreparedPair:
    """Check two renderings against the protocol; they are copied, not encoded again."""
    decoded, notes = [], {}
    for role, side, path in (
        ("input", job.protocol.input, input_path),
        ("target", job.protocol.target, target_path),
    ):
        picture = read_picture(path)
        _check_side(side, path, picture)
        _check_size(job.rule, picture.pixels, role)
        decoded.append(picture.pixels)
        if picture.notes:
            notes[role] = list(picture.notes)
    return PreparedPair(
        input=decoded[0],
        target=decoded[1],
        source_names=[f"input/{input_path.name}", f"target/{target_path.name}"],
        source_sha256=hashes,
        licence=job.picture.licence,
        measured={"notes": notes} if notes else {},
        files=(input_path, target_path),
    )


def _check_side(side: FiveKSide, path: Path, picture: Picture) -> None:
    kind = KINDS[path.suffix.lower()]
    if kind not in side.kinds:
        raise RejectedPair("kind", f"{path.name}: {' or '.join(side.kinds)} is wanted")
    bits = picture.pixels.dtype.itemsize * 8
    if bits != side.bit_depth:
        raise RejectedPair("depth", f"{path.name}: {bits} bits, {side.bit_depth} are wanted")
    if any("grey" in note for note in picture.notes):
        raise RejectedPair("kind", f"{path.name}: grey, three channels are wanted")
    with Image.open(path) as image:
        profile = image.info.get("icc_profile")
    # No profile can say that red, green and blue hold X, Y and Z.
    if profile and (side.space != "srgb" or not icc.same(profile, icc.SRGB)):
        wanted = "sRGB" if side.space == "srgb" else "none"
        raise RejectedPair("profile", f"{path.name}: {profile_name(profile)}, {wanted} is wanted")


def _check_size(rule: SizeRule, pixels: Pixels, role: str) -> None:
    """Exporters round the other edge their own way, so only the ruled edge is checked."""
    height, width = pixels.shape[:2]
    if rule.pixels is None:
        return
    edge = min(width, height) if rule.edge == "short" else max(width, height)
    if edge != rule.pixels:
        wanted = f"a {rule.edge} edge of {rule.pixels}"
        raise RejectedPair("size", f"{role} {width}x{height}, {wanted} is wanted")


def find_files(
    choice: FiveKChoice, pictures: dict[str, FiveKPicture], folders: list[Path]
) -> dict[str, PairFiles]:
    """Input and target of each chosen picture below the folders of a copy of FiveK.

    A TIFF's folder says whose it is: tiff16_c, expertC or c; tiff16_inputAsShotZeroed.
    """
    by_kind: dict[tuple[str, str], list[Path]] = {}
    for path in _below(folders):
        if kind := _kind_of(path):
            by_kind.setdefault((kind, path.stem), []).append(path)
    wanted = {"dng": "dng", "expert": choice.expert, "as_shot_zeroed": ZEROED_FOLDER}
    sides = (choice.protocol.input, choice.protocol.target)
    found = {}
    for id_ in choice.splits:
        name = pictures[id_].name
        files = [by_kind.get((wanted[side.source], name), []) for side in sides]
        found[id_] = _one_each(files, [f"{name} ({wanted[side.source]})" for side in sides])
    _need_some(found, folders)
    return found


def _below(folders: list[Path]) -> list[Path]:
    """All files below the folders, each once, links followed. Paths are absolute: workers of a
    cluster stand elsewhere."""
    found: dict[Path, None] = {}
    seen = set()
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}")
        for place, below, names in os.walk(folder.resolve(), followlinks=True):
            real = Path(place).resolve()
            if real in seen:
                below.clear()
                continue
            seen.add(real)
            paths = (Path(place) / name for name in names if not name.startswith("."))
            found |= dict.fromkeys(path for path in paths if path.is_file())
    return sorted(found)


def _kind_of(path: Path) -> str | None:
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
    choice: FiveKChoice, inputs: Path, targets: Path
) -> tuple[dict[str, PairFiles], str]:
    """Renderings by the ids that their names begin with, and a digest of all their contents.

    Raises UsageError where one folder is in the other: inputs would be taken for targets.
    """
    a, b = inputs.resolve(), targets.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise UsageError(f"--input-dir {inputs} and --target-dir {targets} are not apart")
    sides = []
    for folder in (inputs, targets):
        by_id: dict[str, list[Path]] = {}
        for path in _below([folder]):
            id_ = id_of(path.name)
            if id_ and path.suffix.lower() in KINDS:
                by_id.setdefault(id_, []).append(path)
        sides.append(by_id)
    roles = ("input", "target")
    found = {
        id_: _one_each([side.get(id_, []) for side in sides], [f"{r} of {id_}" for r in roles])
        for id_ in choice.splits
    }
    _need_some(found, [inputs, targets])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        paths = [path for both in found.values() for path in both[:2] if path]
        hashes = dict(zip(paths, pool.map(sha256_file, paths), strict=True))
    lines = [[id_, *(hashes[p] if p else None for p in both[:2])] for id_, both in found.items()]
    return found, sha256_text(json_line(sorted(lines)))


def _one_each(files: list[list[Path]], names: list[str]) -> PairFiles:
    for there, name in zip(files, names, strict=True):
        if len(there) != 1:
            what = f"several: {', '.join(p.name for p in there)}" if there else "not there"
            return PairFiles(None, None, f"{name}: {what}")
    return PairFiles(files[0][0], files[1][0])


def _need_some(found: dict[str, PairFiles], folders: list[Path]) -> None:
    if all(files.problem for files in found.values()):
        first = next(files.problem for files in found.values())
        where = ", ".join(map(str, folders))
        raise DataError(f"no pair of this protocol is in {where}: {first}")
