"""What an interrupted preparation leaves, so that it can go on: a hidden folder beside the dataset.

.<dataset>.building/plan.json, tools.json    what is being made, and with which versions
.<dataset>.building/rows/<split>/            a file a pair: its row, or why it is left out
.<dataset>.building/raw/                     fetched files until their pair is made
.<dataset>.building/dataset/                 the dataset to be

The dataset leaves the folder in the step that gives it its name: without `dataset/` the rest means
nothing. And a row counts only with its pictures.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import FULL_SCALE, Encoding
from ..data.manifest import SPLITS, Row, Split
from ..errors import DataError, StorageError, UsageError
from ..files import atomic_path, json_line, json_text, read_json, sha256_file, sweep, write_text
from ..version import __version__

PLAN, TOOLS = "plan.json", "tools.json"
RAW, DATASET, ROWS = "raw", "dataset", "rows"
_PARTS = (PLAN, TOOLS, RAW, DATASET, ROWS)
# Files that systems put into any folder: Finder, Explorer, and NFS in place of what is still open.
_SYSTEM_NAMES, _SYSTEM_PREFIXES = (".ds_store", "thumbs.db", "desktop.ini"), ("._", ".nfs")
# Stages whose rejections a later run takes over: they are about what the files hold. A pair that
# was left out for another reason, a file that was missing, say, is tried again.
FINAL_STAGES = ("size", "alignment")
# Those at which a pair is left out before its pictures are looked at.
UNTRIED_STAGES = ("pairing", "split", "download")


class Plan(NamedTuple):
    """What a dataset is, before it is made: what its header will say, but for what is counted and
    hashed."""

    name: str
    source: str
    protocol: str
    version: int
    licence: str
    settings: dict[str, Any]
    input_encoding: Encoding = "srgb"
    input_white: int = FULL_SCALE


class Task(NamedTuple):
    """One pair to make. `payload` goes to the maker in another process."""

    id: str
    split: Split
    payload: Any


def check_ids(tasks: Sequence[Task]) -> None:
    """Raises DataError where an id cannot be a file's name, or two pairs of a split have one: the
    second one's pictures would replace the first one's. On some file systems A.png and a.png are
    one file."""
    for task in tasks:
        if not re.fullmatch(r"[^./\\\x00-\x1f\ud800-\udfff][^/\\\x00-\x1f\ud800-\udfff]*", task.id):
            raise DataError(f"{task.id!r} cannot be a pair's id: files get its name")
    counts = Counter((task.split, task.id.casefold()) for task in tasks)
    twice = [f"{t.split}/{t.id}" for t in tasks if counts[t.split, t.id.casefold()] > 1]
    if twice:
        raise DataError(f"two pairs would have one id: {', '.join(twice[:4])}; rename their files")


def staging_folder(plan: Plan, root: Path) -> Path:
    """Where a dataset is made before it has its name."""
    return root / f".{plan.name}.building"


def unfinished_tasks(plan: Plan, tasks: Sequence[Task], root: Path) -> list[Task]:
    """The pairs that an interrupted preparation of the same plan has still to make."""
    staging = staging_folder(plan, root)
    if not has_plan(staging, plan):
        return list(tasks)
    return [task for task in tasks if not earlier_result(staging, task)]


def open_staging(staging: Path, plan: Plan, overwrite: bool) -> None:
    """Make the folder ready. What an interrupted run of the same plan with the same tools has made
    stays; what another plan or other tools have made is removed, and only with `overwrite`.

    Raises UsageError where that would remove pairs and `overwrite` is not given, or something that
    is no part of a preparation.
    """
    if has_plan(staging, plan):
        for leftover in staging.rglob(".tmp-*"):
            leftover.unlink(missing_ok=True)
        return
    if not overwrite and _has_pairs_of_a_plan(staging):
        raise UsageError(
            f"{staging} is an unfinished preparation with other settings or other versions of "
            "tools: --overwrite drops it"
        )
    remove_staging(staging)
    for split in SPLITS:
        (staging / ROWS / split).mkdir(parents=True)
    (staging / DATASET).mkdir()
    write_text(staging / TOOLS, json_text(tool_versions()), durable=True)
    write_text(staging / PLAN, json_text(plan._asdict()), durable=True)


def is_spent(staging: Path) -> bool:
    """Whether the folder is what is left once its dataset has been given its name, in the one step
    that took the dataset away: nothing in it is of use any more."""
    return staging.is_dir() and not (staging / DATASET).is_dir()


def has_plan(staging: Path, plan: Plan) -> bool:
    """Whether what lies in the folder is of this plan and was made with the tools that there are
    now: pixels of other versions of them may differ."""
    expected = {PLAN: plan._asdict(), TOOLS: tool_versions()}
    return (staging / DATASET).is_dir() and all(
        json_text(_read(staging / name)) == json_text(content) for name, content in expected.items()
    )


def _has_pairs_of_a_plan(staging: Path) -> bool:
    """Whether somebody could go on with what lies in the folder: without its plan, and
    the tools that it was made with, nobody can."""
    has_all = (staging / DATASET).is_dir() and all(
        _read(staging / name) is not None for name in (PLAN, TOOLS)
    )
    return has_all and any(staging.glob(f"{ROWS}/*/[!.]*.json*"))


def _read(path: Path) -> Any:
    """What a JSON file holds; None where it is missing or half written, by a machine that lost
    power, say. Raises StorageError where the system does not give it."""
    try:
        return read_json(path)
    except StorageError:
        raise
    except DataError:
        return None


def is_by_the_way(path: Path) -> bool:
    """Whether it is nobody's work: half of a file that was being written, or what systems leave."""
    return (
        path.name.startswith((".tmp-", *_SYSTEM_PREFIXES)) or path.name.casefold() in _SYSTEM_NAMES
    )


def remove_staging(staging: Path) -> None:
    """Remove the folder: what a preparation puts there, and nothing else.

    Raises UsageError where there is something else, and OSError where it cannot be removed.
    """
    if not staging.is_dir():
        return
    for path in staging.iterdir():
        if path.name not in _PARTS and not is_by_the_way(path):
            raise UsageError(f"{path} is no part of a preparation: move it away")
    # First of all what the rest would be taken for a preparation by.
    for name in (PLAN, TOOLS):
        (staging / name).unlink(missing_ok=True)
    shutil.rmtree(staging)


class Made(BaseModel):
    """A pair that is made. sizes: of the input's, the target's and the mask's file, in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: Row
    sizes: list[int]

    def is_whole(self, folder: Path) -> bool:
        """Whether its pictures lie below the dataset's folder, with their sizes."""
        place = folder / self.row.split
        return [_size(place / name) for name in self.row.file_names] == self.sizes


def _size(path: Path) -> int | None:
    """Of a regular file; None where there is none."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def earlier_result(staging: Path, task: Task) -> Made | dict[str, str] | None:
    """What an interrupted run has made of a pair, its pictures being there: the pair, or a
    rejection that stands; None where it is to be made."""
    content = _read(row_path(staging, task))
    if content is not None:
        with contextlib.suppress(ValidationError):  # of another version
            made = Made.model_validate(content)
            if made.is_whole(staging / DATASET):
                return made
    rejection: dict[str, str] | None = _read(_rejection_path(staging, task))
    return rejection


def keep(made: Made, task: Task, staging: Path) -> None:
    """Note that a pair is made, once its pictures are there."""
    write_text(row_path(staging, task), json_line(made.model_dump()) + "\n")


def copy_unchanged(file: Path, place: Path, sha256: str) -> None:
    """Put a file into the dataset as it is. Raises StorageError where it is another one than was
    looked at."""
    with atomic_path(place) as temporary:
        shutil.copyfile(file, temporary)
        if sha256_file(temporary) != sha256:
            raise StorageError(f"{file} has changed while it was read")


def kept(staging: Path) -> int:
    """How many pairs are made."""
    return sum(1 for _ in staging.glob(f"{ROWS}/*/[!.]*.jsonl"))


def sweep_staging(staging: Path) -> None:
    """Remove what processes that were ended in mid-writing have left."""
    for folder in {path.parent for path in staging.rglob(".tmp-*")}:
        sweep(folder)


def row_path(staging: Path, task: Task) -> Path:
    """Where a pair's row lies until all are made."""
    return staging / ROWS / task.split / f"{task.id}.jsonl"


def _rejection_path(staging: Path, task: Task) -> Path:
    return staging / ROWS / task.split / f"{task.id}.rejected.json"


def reject(task: Task, stage: str, reason: str, staging: Path) -> dict[str, str]:
    """Why a pair is left out, as in rejected.jsonl; kept for a later run where it will stand."""
    # A file's name, which may be in the reason, need not be UTF-8.
    reason = reason.encode("utf-8", "backslashreplace").decode()
    rejection = {"id": task.id, "split": task.split, "stage": stage, "reason": reason}
    if stage in FINAL_STAGES:
        write_text(_rejection_path(staging, task), json_text(rejection))
    return rejection


def without_versions(decoder: dict[str, Any]) -> dict[str, Any]:
    """A decoder's settings as they go into a plan. Its versions stand with the tools: another one
    that yields the same pixels makes no other dataset."""
    return {key: value for key, value in decoder.items() if key not in ("rawpy", "libraw")}


@cache
def tool_versions() -> Mapping[str, str]:
    """Versions of what decodes and computes: recorded in the header, no part of the digest."""
    import rawpy

    packages = ("imagecodecs", "numpy", "pillow", "rawpy", "scipy", "tifffile")
    own = {
        "python": sys.version.split()[0],
        "libraw": ".".join(map(str, rawpy.libraw_version)),
        "hdrnet-bench": __version__,
    }
    return own | {name: version(name) for name in packages}
