"""What an interrupted preparation leaves, so that it can go on: a hidden folder beside the dataset.

.<dataset>.building/plan.json, tools.json    what is being made, and with which versions
.<dataset>.building/rows/<split>/            a file a pair: its row, or why it is left out
.<dataset>.building/raw/                     fetched files until their pair is made
.<dataset>.building/dataset/                 the dataset to be
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from ..config import FULL_SCALE, Encoding
from ..data.manifest import SPLITS, Header, Row, Split, read_header, read_rows
from ..errors import DataError, UsageError
from ..files import json_text, read_json, write_text

RAW, DATASET, ROWS = "raw", "dataset", "rows"
# Stages whose rejections a later run takes over: they are about what the files hold. A pair that
# was left out for another reason, a file that was missing, say, is tried again.
FINAL_STAGES = ("size", "alignment")


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
    """Raises DataError where two pairs of a split have one id: the second one's pictures would
    replace the first one's. On some file systems A.png and a.png are one file."""
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
    if not _has_plan(staging, plan):
        return list(tasks)
    return [task for task in tasks if not earlier_result(staging, task)]


def existing_dataset(plan: Plan, root: Path, *, overwrite: bool) -> Header | None:
    """The header of the plan's dataset where it exists already, None where it has to be made.

    Raises UsageError where something that is no dataset has the plan's name, or a dataset of
    another plan has it and `overwrite` does not allow replacing it.
    """
    final = root / plan.name
    if not final.exists():
        return None
    if not (final / "dataset.json").exists():
        raise UsageError(f"{final} exists and is no dataset: move it away")
    header = read_header(final / "dataset.json")
    if header.name != plan.name:
        raise UsageError(f"{final} holds dataset {header.name}: move it away")
    if overwrite:
        return None
    if any(
        getattr(header, name) != getattr(plan, name)
        for name in ("settings", "version", "input_encoding", "input_white")
    ):
        raise UsageError(
            f"{final} was prepared with other settings; --overwrite replaces it, "
            "HDRBENCH_DATA puts the new one elsewhere"
        )
    return header


def open_staging(staging: Path, plan: Plan, overwrite: bool) -> None:
    """Make the folder ready. What an interrupted run of the same plan with the same tools has made
    stays; what another plan or other tools have made is removed, and only with `overwrite`.

    Raises UsageError where that would remove pairs and `overwrite` is not given.
    """
    if _has_plan(staging, plan):
        for leftover in staging.rglob(".tmp-*"):
            leftover.unlink()
        return
    if not overwrite and any(staging.glob(f"{ROWS}/*/*.json*")):
        raise UsageError(
            f"{staging} is an unfinished preparation with other settings or other versions of "
            "tools: --overwrite drops it"
        )
    shutil.rmtree(staging, ignore_errors=True)
    for split in SPLITS:
        (staging / ROWS / split).mkdir(parents=True)
    write_text(staging / "tools.json", json_text(tool_versions()))
    write_text(staging / "plan.json", json_text(plan._asdict()))


def _has_plan(staging: Path, plan: Plan) -> bool:
    """Whether what lies in the folder is of this plan and was made with the tools that there are
    now: pixels of other versions of them may differ."""
    expected = {"plan.json": plan._asdict(), "tools.json": tool_versions()}
    return all(
        (staging / name).exists() and json_text(read_json(staging / name)) == json_text(content)
        for name, content in expected.items()
    )


def earlier_result(staging: Path, task: Task) -> Row | dict[str, str] | None:
    """What an interrupted run has made of a pair: its row, or a rejection that stands; None where
    it is to be made."""
    if (path := row_path(staging, task)).exists() and len(rows := read_rows(path)) == 1:
        return rows[0]
    if (path := _rejection_path(staging, task)).exists():
        rejection: dict[str, str] = read_json(path)
        return rejection
    return None


def row_path(staging: Path, task: Task) -> Path:
    """Where a pair's row lies until all are made."""
    return staging / ROWS / task.split / f"{task.id}.jsonl"


def _rejection_path(staging: Path, task: Task) -> Path:
    return staging / ROWS / task.split / f"{task.id}.rejected.json"


def reject(task: Task, stage: str, reason: str, staging: Path) -> dict[str, str]:
    """Why a pair is left out, as in rejected.jsonl; kept for a later run where it will stand."""
    rejection = {"id": task.id, "split": task.split, "stage": stage, "reason": reason}
    if stage in FINAL_STAGES:
        write_text(_rejection_path(staging, task), json_text(rejection))
    return rejection


def without_versions(decoder: dict[str, Any]) -> dict[str, Any]:
    """A decoder's settings as they go into a plan. Its versions stand with the tools: another one
    that yields the same pixels makes no other dataset."""
    return {key: value for key, value in decoder.items() if key not in ("rawpy", "libraw")}


def tool_versions() -> dict[str, str]:
    """Versions of what decodes and computes: recorded in the header, no part of the digest."""
    import rawpy

    packages = ("hdrnet-bench", "imagecodecs", "numpy", "pillow", "rawpy", "scipy", "tifffile")
    libraw = ".".join(map(str, rawpy.libraw_version))
    return {"python": sys.version.split()[0], "libraw": libraw} | {n: version(n) for n in packages}
