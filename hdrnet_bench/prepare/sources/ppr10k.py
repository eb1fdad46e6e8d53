"""Source `ppr10k`: portraits in groups, retouched by three experts (PPR10K, Liang et al., CVPR
2021), by one of the protocols in recipes/protocols/ppr10k/.

The published 360p pictures lie in folders whose names say what they are, perhaps below train/ and
val/, as the authors' code has them. A picture is named by its group and its number in it, 12_3.tif;
for training there are five more versions of each input, 12_3_1.tif to 12_3_5.tif, that have its
target and its mask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...data.manifest import SPLITS, Split
from ...errors import DataError
from ...files import json_line, sha256_text
from ...images.files import open_picture
from ...images.mask import read_mask
from ...images.photo import MEASURING, Photo, read_photo
from ...images.resize import SizeRule
from ..build import PreparedPair, RejectedPair
from ..choosing import check_name, choose_ids, dataset_name
from ..protocol_models import Ppr10kProtocol
from ..protocols import splits
from ..source_models import Ppr10kSource
from ..staging import Plan, Task
from .checks import check_depth
from .source_files import files_below, reading

DEFAULT_PROTOCOL = "360p"
# Folders as published, and as the authors' code has them -> as rows name them.
_FOLDERS = {
    "source": "source",
    "source_aug_6": "source_aug_6",
    "source_aug": "source_aug_6",
    "target_a": "target_a",
    "target_b": "target_b",
    "target_c": "target_c",
    "masks_360p": "masks_360p",
    "masks": "masks_360p",
}
_SPLIT_FOLDERS: dict[str, tuple[Split, ...]] = {
    "train": ("train", "validation"),
    "val": ("test",),
    "test": ("test",),
}
_MASKS = "masks_360p"
_TIFF, _PNG = (".tif", ".tiff"), (".png",)
_ID = re.compile(r"(0|[1-9]\d{0,3})_(?:0|[1-9]\d{0,3})(_[1-9])?")


class Ppr10kChoice(NamedTuple):
    """What a dataset has of a protocol; `splits` of each chosen picture, `subset` a name for them,
    None for all."""

    protocol: Ppr10kProtocol
    expert: str
    splits: dict[str, Split]
    subset: str | None

    @property
    def name(self) -> str:
        size = next(iter(self.protocol.sizes))
        return dataset_name("ppr10k", self.protocol, self.expert, size, self.subset)


class Ppr10kFiles(NamedTuple):
    """What lies below the folders: by (folder as published, name without suffix). unread: files in
    these folders that are no such picture. split_folders: train, val or test, of those that lie in
    such a folder below the folders that were given."""

    found: dict[tuple[str, str], list[Path]]
    unread: list[Path]
    split_folders: dict[Path, str]

    @property
    def has_masks(self) -> bool:
        return any(folder == _MASKS for folder, _ in self.found)


class Ppr10kJob(NamedTuple):
    """What a worker gets. names: of the files, as published: input, target and, where the dataset
    has masks, mask. problem: the stage and the reason where it is no pair."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    group: str
    protocol: Ppr10kProtocol
    licence: str
    problem: tuple[str, str] | None = None


def find_files(folders: list[Path]) -> Ppr10kFiles:
    """All pictures and masks below the folders.

    Raises DataError where a folder is missing or nothing of PPR10K is below them.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    unread = []
    split_folders = {}
    given = {folder.resolve() for folder in folders if folder.is_dir()}
    for path in files_below(folders):
        folder = _FOLDERS.get(path.parent.name)
        if folder is None:
            continue
        match = _ID.fullmatch(path.stem)
        if match is None or path.suffix.lower() not in (_PNG if folder == _MASKS else _TIFF):
            unread.append(path)
        else:
            found.setdefault((folder, path.stem), []).append(path)
            above = path.parent.parent
            # The folder that was given, and those above it, are called as their owner likes.
            if above.name in _SPLIT_FOLDERS and not given.isdisjoint(above.parents):
                split_folders[path] = above.name
    if not any(folder != _MASKS for folder, _ in found):
        wrong = f"; {unread[0]} is none, its name or kind is another" if unread else ""
        raise DataError(
            f"no picture of PPR10K is below {', '.join(map(str, folders))}: a folder source/ or "
            f"source_aug_6/ with 0_0.tif and so on is looked for, and target_a/{wrong}"
        )
    return Ppr10kFiles(found, unread, split_folders)


def choose(
    protocol: Ppr10kProtocol,
    source: Ppr10kSource,
    files: Ppr10kFiles,
    *,
    expert: str | None,
    limit: int | None,
    ids: Path | None,
) -> Ppr10kChoice:
    """What the options ask for, of what is there.

    Raises UsageError where the protocol has no such thing, and DataError where pictures are parted
    into train/ and val/ and one lies in the other's.
    """
    check_name(protocol.name, "expert", expert, protocol.experts)
    expert = expert or protocol.experts[0]
    of_pairs = ("source", "source_aug_6", f"target_{expert}")
    there = {name for folder, name in files.found if folder in of_pairs}
    split_of = splits(protocol, source, {name: _group(name) for name in there})
    _check_split_folders(files, split_of)
    whole = {
        name: split
        for name, split in split_of.items()
        if not _is_augmented(name) or (protocol.augmented and split == "train")
    }
    chosen, subset = choose_ids(whole, limit, ids, id_of)
    return Ppr10kChoice(protocol, expert, chosen, subset)


def _check_split_folders(files: Ppr10kFiles, split_of: Mapping[str, Split]) -> None:
    """Pictures of a group lie below train/, or below val/, as the published split has it: else a
    group may be trained with and tested on. One such folder alone parts nothing, whatever it is
    called."""
    if len(set(files.split_folders.values())) < 2:
        return
    for (_, name), paths in files.found.items():
        for path in paths:
            folder = files.split_folders.get(path)
            if folder and name in split_of and split_of[name] not in _SPLIT_FOLDERS[folder]:
                raise DataError(
                    f"{path}: group {_group(name)} is one to {_purpose(split_of[name])} as "
                    f"published, and lies below {folder}/: put the groups where "
                    "utils/split_train_val.py of PPR10K puts them, or all into one folder"
                )


def _purpose(split: str) -> str:
    return "test on" if split == "test" else "train with"


def lacking(choice: Ppr10kChoice, source: Ppr10kSource, files: Ppr10kFiles) -> list[str]:
    """What is not as published, a line each: how many photographs there are, files that are no
    pictures of it, masks."""
    lines = []
    versions = _versions(choice)
    if choice.subset is None:
        of = {"train": ("train", "validation"), "test": ("test",)}
        splits_of = [s for name, s in choice.splits.items() if not _is_augmented(name)]
        for part, published in source.pictures.items():
            count = sum(split in of[part] for split in splits_of)
            if count != published:
                apart = versions and part == "train"
                besides = f"; {versions} augmented versions are counted apart" if apart else ""
                lines.append(f"photographs to {_purpose(part)}: {count} of {published}{besides}")
        if choice.protocol.augmented and not versions:
            lines.append(
                "no augmented versions are there (source_aug_6/): the training is that of "
                "protocol 360p-plain"
            )
    known = [rule.groups for rule in choice.protocol.splits.values()]
    unknown = sorted(
        {
            name
            for _, name in files.found
            if not any(first <= _group(name) <= last for first, last in known)
        }
    )
    if unknown:
        lines.append(
            f"passed over, as PPR10K has no such group: {len(unknown)}, {unknown[0]} among them"
        )
    if files.unread:
        lines.append(
            f"passed over, as names or kinds are others: {len(files.unread)}, {files.unread[0]} "
            "among them"
        )
    if not files.has_masks:
        lines.append(
            "no masks are there (masks_360p/): metrics that weigh by the person cannot be measured "
            "on this dataset; --source-dir may be given twice"
        )
    return lines


def plan(choice: Ppr10kChoice, source: Ppr10kSource, files: Ppr10kFiles) -> Plan:
    """What the dataset is."""
    protocol = choice.protocol
    settings: dict[str, Any] = {
        "protocol": protocol.model_dump(
            mode="json",
            include={"input", "target", "augmented", "resampling", "differing_sizes", "splits"},
        ),
        "expert": choice.expert,
        "validation": "5 % of the training groups by hash of their number, none of them augmented",
        "groups": {split: len(_groups_of(choice, split)) for split in SPLITS},
        "pictures": {s: sum(v == s for v in choice.splits.values()) for s in SPLITS},
        "ids_sha256": sha256_text(json_line(sorted(choice.splits))),
        "augmented": _versions(choice),
        "masks": files.has_masks,
        "colours": "sRGB, by each picture's profile",
        "subset": choice.subset,
    }
    licence = f"{source.title}: {source.terms}"
    return Plan(choice.name, "ppr10k", protocol.name, protocol.version, licence, settings)


def _versions(choice: Ppr10kChoice) -> int:
    """How many of the chosen pictures are augmented versions."""
    return sum(map(_is_augmented, choice.splits))


def _groups_of(choice: Ppr10kChoice, split: Split) -> set[int]:
    return {_group(name) for name, of in choice.splits.items() if of == split}


def tasks(choice: Ppr10kChoice, source: Ppr10kSource, files: Ppr10kFiles) -> list[Task]:
    """One for each chosen picture. Raises DataError where none of them is whole."""
    made = [
        Task(name, split, _job(name, choice, source, files))
        for name, split in sorted(choice.splits.items())
    ]
    if made and all(task.payload.problem for task in made):
        raise DataError(f"no pair of {choice.name} is whole: {made[0].payload.problem[1]}")
    return made


def _job(name: str, choice: Ppr10kChoice, source: Ppr10kSource, files: Ppr10kFiles) -> Ppr10kJob:
    base = "_".join(name.split("_")[:2])
    has_own = not _is_augmented(name) and ("source", name) in files.found
    wanted = [("source" if has_own else "source_aug_6", name), (f"target_{choice.expert}", base)]
    wanted += [(_MASKS, base)] if files.has_masks else []
    paths: list[Path] = []
    problem = None
    for key in wanted:
        candidates = files.found.get(key, [])
        paths += candidates[:1]
        if len(candidates) != 1 and problem is None:
            several = f"several: {', '.join(map(_below, candidates))}"
            folder = "source" if key[0] == "source_aug_6" and not _is_augmented(name) else key[0]
            problem = ("pairing", f"{folder}/{key[1]}: {several if candidates else 'not there'}")
    names = [f"{folder}/{stem}{'.png' if folder == _MASKS else '.tif'}" for folder, stem in wanted]
    return Ppr10kJob(
        tuple(paths), tuple(names), str(_group(name)), choice.protocol, source.licence, problem
    )


def _below(path: Path) -> str:
    """A path's end, by which files of one name in one folder's namesakes are told apart."""
    return "/".join(path.parts[-3:])


def make(job: Ppr10kJob) -> PreparedPair:
    """Read and check one pair. Raises RejectedPair for what the files hold, StorageError where they
    cannot be read."""
    if job.problem is not None:
        raise RejectedPair(*job.problem)
    input_path, target_path, *mask_paths = job.paths
    rule = next(iter(job.protocol.sizes.values()))
    notes: dict[str, list[str]] = {}
    with reading(*job.paths) as hashes:
        pictures = []
        for role, path, side in (
            ("input", input_path, job.protocol.input),
            ("target", target_path, job.protocol.target),
        ):
            photo = read_photo(path, MEASURING)
            if photo.kind != "tiff":
                raise RejectedPair("kind", f"{path.name}: it is no TIFF")
            check_depth(path, photo, side.bit_depth)
            _check_size(role, photo, rule)
            pictures.append(photo.pixels)
            notes |= {role: list(photo.notes)} if photo.notes else {}
        mask = None
        for path in mask_paths:
            mask = read_mask(open_picture(path))
            notes |= {"mask": list(mask.notes)} if mask.notes else {}
    return PreparedPair(
        input=pictures[0],
        target=pictures[1],
        source_names=list(job.names),
        source_sha256=hashes,
        licence=job.licence,
        measured={
            **({"augmented": True} if _is_augmented(input_path.stem) else {}),
            **({"notes": notes} if notes else {}),
        },
        mask=mask and mask.levels,
        group=job.group,
    )


def _check_size(role: str, photo: Photo, rule: SizeRule) -> None:
    height, width = photo.pixels.shape[:2]
    if max(width, height) != rule.pixels:
        reason = f"{role} {width}x{height}, a {rule.edge} edge of {rule.pixels} is wanted"
        raise RejectedPair("size", reason)


def id_of(name: str) -> str | None:
    """12_3 of 12_3.tif, 12_3_1 of 12_3_1.tif; None for a name that is no picture's."""
    stem = name.split(".")[0]
    return stem if _ID.fullmatch(stem) else None


def _group(name: str) -> int:
    return int(name.split("_")[0])


def _is_augmented(name: str) -> bool:
    return name.count("_") == 2
