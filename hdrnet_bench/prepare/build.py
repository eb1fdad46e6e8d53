"""Building a dataset directory in parallel, so that it can be stopped and started again.

Everything is written into a hidden folder beside the dataset; a pair's row is written last, so a
row that is there stands for two whole pictures. When all are done the folder gets its name.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from ..errors import DataError, UsageError
from ..files import json_line, json_text, read_json, write_text
from ..images import Pixels, pixels_sha256, write_png
from ..manifest import (
    SPLITS,
    Header,
    Row,
    Split,
    channel_statistics,
    read_header,
    read_rows,
    rows_digest,
    write_rows,
)


class Plan(NamedTuple):
    """What a dataset is, before it is made."""

    name: str
    source: str
    protocol: str
    version: int
    licence: str
    settings: dict[str, Any]


class Task(NamedTuple):
    """One pair to make. `payload` goes to the maker in another process."""

    id: str
    split: Split
    payload: Any


class Pair(NamedTuple):
    """What a maker returns: pictures, where they come from, and anything measured."""

    input: Pixels
    target: Pixels
    source_names: list[str]
    source_sha256: list[str]
    licence: str
    measured: dict[str, Any]


class RejectedPair(Exception):
    """Raised by a maker: this pair is left out. Arguments: the stage, the reason."""


Maker = Callable[[Any], Pair]
Review = Callable[[list[Row]], dict[tuple[str, str], str]]


def build(
    plan: Plan,
    tasks: Sequence[Task],
    maker: Maker,
    root: Path,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    review: Review = lambda rows: {},
    step: Callable[[], None] = lambda: None,
) -> tuple[Header, bool]:
    """Make every pair that is not made yet, then give the dataset its name.

    Args:
        plan: what is being made; the same plan twice is the same dataset.
        tasks: the pairs.
        maker: a module-level function, payload -> Pair; raises RejectedPair to leave one out.
        root: where datasets lie; the result is root/<plan.name>.
        workers: processes, by default as many as there are cores.
        overwrite: replace a dataset of that name that was made from another plan.
        review: given all rows, returns those to leave out, by (split, id), with the reason.
        step: called after each pair.

    Returns:
        The header, and whether anything had to be made.

    Raises:
        UsageError: a dataset of that name from another plan is there.
        DataError: another process is preparing the same dataset, or the disk is full.
    """
    final, staging = root / plan.name, root / f".{plan.name}.building"
    existing = prepared(plan, root, overwrite=overwrite)
    if existing:
        return existing, False
    root.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(root / f".{plan.name}.lock", blocking=False)
    try:
        with lock:
            _open_staging(staging, plan)
            rows, rejected = _make_all(tasks, maker, staging, workers, step)
            rows, rejected = _reviewed(review(rows), rows, rejected, staging)
            header = _finish(plan, rows, rejected, staging)
            _swap(staging, final)
    except filelock.Timeout:
        raise DataError(f"another process is preparing {plan.name} in {root}") from None
    except BrokenProcessPool:
        raise DataError(
            f"preparing {plan.name} stopped: a worker process died, perhaps for want of memory; "
            "run the same command again, with fewer --workers, to go on from there"
        ) from None
    except OSError as error:
        raise DataError(
            f"preparing {plan.name} stopped: {error.strerror or error}; "
            "run the same command again to go on from there"
        ) from None
    return header, True


def prepared(plan: Plan, root: Path, *, overwrite: bool) -> Header | None:
    """The header of what is there already, or None where it has to be made.

    Raises UsageError where something else has that name, or another plan's dataset does and
    `overwrite` does not say that it may go.
    """
    final = root / plan.name
    if not final.exists():
        return None
    if not (final / "dataset.json").exists():
        raise UsageError(f"{final} is there and is no dataset: move it away")
    header = read_header(final / "dataset.json")
    if header.name != plan.name:
        raise UsageError(f"{final} holds dataset {header.name}: move it away")
    if overwrite:
        return None
    if header.settings != plan.settings or header.version != plan.version:
        raise UsageError(
            f"{final} was prepared with other settings; --overwrite replaces it, "
            "HDRBENCH_DATA puts the new one elsewhere"
        )
    return header


def _open_staging(staging: Path, plan: Plan) -> None:
    """Keep what an interrupted run of the same plan has made; drop what another plan has."""
    marker = staging / "plan.json"
    wanted = json_text(plan._asdict())
    if marker.exists() and json_text(read_json(marker)) == wanted:
        for leftover in staging.rglob(".tmp-*"):
            leftover.unlink()
        return
    shutil.rmtree(staging, ignore_errors=True)
    for split in SPLITS:
        (staging / "rows" / split).mkdir(parents=True)
    write_text(marker, wanted)


def _make_all(
    tasks: Sequence[Task],
    maker: Maker,
    staging: Path,
    workers: int | None,
    step: Callable[[], None],
) -> tuple[list[Row], list[dict[str, str]]]:
    rows: list[Row] = []
    rejected: list[dict[str, str]] = []
    waiting = []
    for task in tasks:
        path = _row_path(staging, task)
        if path.exists():
            rows += read_rows(path)
            step()
        else:
            waiting.append(task)
    workers = max(1, min(workers or os.cpu_count() or 1, len(waiting)))
    # Spawned, not forked: the parent may hold threads (progress bar, torch).
    context = multiprocessing.get_context("spawn")
    # Ctrl-C reaches every process: workers end at once and without a word, the parent answers.
    quiet = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=quiet) as pool:
        jobs = [pool.submit(_make, task, maker, staging) for task in waiting]
        try:
            for job in concurrent.futures.as_completed(jobs):
                result = job.result()
                if isinstance(result, Row):
                    rows.append(result)
                else:
                    rejected.append(result)
                step()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return rows, sorted(rejected, key=lambda r: r["id"])


def _row_path(staging: Path, task: Task) -> Path:
    return staging / "rows" / task.split / f"{task.id}.jsonl"


def _make(task: Task, maker: Maker, staging: Path) -> Row | dict[str, str]:
    """In a worker: make one pair, write both pictures, then its row."""
    try:
        pair = maker(task.payload)
    except RejectedPair as rejection:
        stage, reason = rejection.args
        return {"id": task.id, "split": task.split, "stage": stage, "reason": reason}
    height, width = pair.input.shape[:2]
    if pair.target.shape[:2] != (height, width):
        reason = f"input {width}x{height}, target {pair.target.shape[1]}x{pair.target.shape[0]}"
        return {"id": task.id, "split": task.split, "stage": "size", "reason": reason}
    names = {role: f"{role}/{task.id}.png" for role in ("input", "target")}
    write_png(staging / task.split / names["input"], pair.input)
    write_png(staging / task.split / names["target"], pair.target)
    input_mean, input_std = channel_statistics(pair.input)
    target_mean, target_std = channel_statistics(pair.target)
    row = Row(
        id=task.id,
        split=task.split,
        input_file_name=names["input"],
        target_file_name=names["target"],
        width=width,
        height=height,
        input_bit_depth=pair.input.dtype.itemsize * 8,
        target_bit_depth=pair.target.dtype.itemsize * 8,
        input_pixels_sha256=pixels_sha256(pair.input),
        target_pixels_sha256=pixels_sha256(pair.target),
        source_names=pair.source_names,
        source_sha256=pair.source_sha256,
        licence=pair.licence,
        input_mean=input_mean,
        input_std=input_std,
        target_mean=target_mean,
        target_std=target_std,
        measured=json_line(pair.measured),
    )
    write_rows(_row_path(staging, task), [row])
    return row


def _reviewed(
    reasons: dict[tuple[str, str], str],
    rows: list[Row],
    rejected: list[dict[str, str]],
    staging: Path,
) -> tuple[list[Row], list[dict[str, str]]]:
    """Leave out what the review does: rows, pictures and all."""
    kept = []
    for row in rows:
        reason = reasons.get((row.split, row.id))
        if reason is None:
            kept.append(row)
            continue
        for name in (row.input_file_name, row.target_file_name):
            (staging / row.split / name).unlink(missing_ok=True)
        rejected.append({"id": row.id, "split": row.split, "stage": "duplicate", "reason": reason})
    return kept, sorted(rejected, key=lambda r: r["id"])


def _finish(plan: Plan, rows: list[Row], rejected: list[dict[str, str]], staging: Path) -> Header:
    for split in SPLITS:
        of_split = [row for row in rows if row.split == split]
        if of_split:
            write_rows(staging / split / "metadata.jsonl", of_split)
    counts: dict[str, int] = {split: sum(row.split == split for row in rows) for split in SPLITS}
    write_text(staging / "rejected.jsonl", "".join(json_line(r) + "\n" for r in rejected))
    header = Header(
        **plan._asdict(),
        tools=tool_versions(),
        counts=counts | {"rejected": len(rejected)},
        digest=rows_digest(rows),
    )
    write_text(staging / "dataset.json", json_text(header.model_dump()))
    shutil.rmtree(staging / "rows")
    (staging / "plan.json").unlink()
    return header


def _swap(staging: Path, final: Path) -> None:
    if final.exists():
        old = final.with_name(f".{final.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
        staging.rename(final)
        shutil.rmtree(old)
    else:
        staging.rename(final)


def tool_versions() -> dict[str, str]:
    """Versions of what decodes and computes; recorded, and not part of the digest."""
    packages = ("hdrnet-bench", "imagecodecs", "numpy", "pillow", "scipy")
    return {"python": sys.version.split()[0]} | {name: version(name) for name in packages}
