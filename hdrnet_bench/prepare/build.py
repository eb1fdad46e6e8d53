"""Building a dataset directory in parallel, so that it can be stopped and started again.

Everything is written into a hidden folder beside the dataset (staging.py). A pair's row is written
last, so a row that exists stands for two whole pictures. When all pairs are done, the folder
with the pictures gets the dataset's name in one step; then what is left of the hidden folder goes.
The pairs are made in processes on this machine, or by another executor: on a cluster whose machines
see the same folder.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from ..data.manifest import SPLITS, Header, Row, channel_statistics, rows_digest, write_rows
from ..environment import peak_memory_mib
from ..errors import DataError
from ..files import atomic_path, by_name, json_line, json_text, write_text
from ..images.files import write_png
from ..images.pixels import Pixels, pixels_sha256
from .fetch.download import NotFound, Unreachable
from .schedule import Fetching, OpenPool, WorkerLost, fetch_and_make, processes
from .staging import (
    DATASET,
    Plan,
    Task,
    check_ids,
    earlier_result,
    existing_dataset,
    open_staging,
    reject,
    row_path,
    staging_folder,
    tool_versions,
)


class PreparedPair(NamedTuple):
    """What a maker returns: pictures, where they come from, and anything measured.

    input, target: (H, W, 3), of the same size.
    files: the input's and the target's file, where they are to be copied as they are; None where
        the pictures are to be written as PNG.
    """

    input: Pixels
    target: Pixels
    source_names: list[str]
    source_sha256: list[str]
    licence: str
    measured: dict[str, Any]
    files: tuple[Path, Path] | None = None


class BuildCost(NamedTuple):
    """What a build took.

    pairs: how many were made by it; those that an earlier run had made do not count.
    seconds: wall time.
    cpu_seconds: CPU time of decoding, rendering and writing, summed over the workers.
    worker_memory_mib: the most memory that one worker held.
    """

    pairs: int
    seconds: float
    cpu_seconds: float
    workers: int
    worker_memory_mib: float

    @property
    def parallel_efficiency(self) -> float | None:
        """CPU time as a share of what the workers had in the wall time; None without any: nothing
        was computed."""
        return self.cpu_seconds / (self.seconds * self.workers) if self.cpu_seconds else None


class RejectedPair(Exception):
    """Raised by a maker to leave the pair out. Arguments: the stage and the reason, which go into
    rejected.jsonl."""


@contextmanager
def decode_rejections(*paths: Path) -> Iterator[None]:
    """A DataError inside leaves the pair out, with the stage "decode". The reason has the names of
    these paths alone: where files lay on this machine is no part of a dataset."""
    try:
        yield
    except DataError as error:
        raise RejectedPair("decode", by_name(str(error), *paths)) from None


Maker = Callable[[Any], PreparedPair]
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
    fetching: Fetching | None = None,
    open_pool: OpenPool | None = None,
) -> tuple[Header, BuildCost | None]:
    """Make every pair that is not made yet, then give the dataset its name.

    Args:
        plan: what is to be made; the same plan twice is the same dataset.
        tasks: the pairs.
        maker: a module-level function, payload -> PreparedPair; it raises RejectedPair to leave
            one out.
        root: where datasets lie; the result is root/<plan.name>.
        workers: processes, by default as many as there are cores.
        overwrite: replace a dataset of that name that was made from another plan.
        review: given all rows, returns those to leave out, by (split, id), with the reason.
        step: called after each pair.
        fetching: how the payloads' files are fetched; None where all of them are on this machine.
        open_pool: opens what makes the pairs, given their number; by default processes on this
            machine.

    Returns:
        The header, and what the build took; None where the dataset existed already.

    Raises:
        UsageError: a dataset of that name from another plan exists, whole or unfinished.
        DataError: two pairs of a split have one id; another process is preparing the same dataset,
            the disk is full, a worker died, something could not be read or fetched, or no pair is
            left. The pairs that are made are kept for the next run.
    """
    check_ids(tasks)
    final, staging = root / plan.name, staging_folder(plan, root)
    existing = existing_dataset(plan, root, overwrite=overwrite)
    if existing:
        return existing, None
    root.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(root / f".{plan.name}.lock", blocking=False)
    pool = open_pool or (lambda pairs: processes(workers, pairs))
    try:
        with lock:
            open_staging(staging, plan, overwrite)
            rows, rejections, cost = _make_all(
                tasks, maker, staging.resolve(), pool, step, fetching
            )
            rows, rejections = _leave_out(review(rows), rows, rejections, staging / DATASET)
            if not rows:
                raise DataError(_no_pair(plan, rejections))
            header = _finish(plan, rows, rejections, staging / DATASET)
            _swap(staging / DATASET, final)
            shutil.rmtree(staging)
    except filelock.Timeout:
        raise DataError(f"another process is preparing {plan.name} in {root}") from None
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise DataError(_interruption(plan, f"{error.strerror or error}{where}")) from None
    except (Unreachable, WorkerLost) as error:
        raise DataError(_interruption(plan, str(error))) from None
    return header, cost


def _no_pair(plan: Plan, rejections: list[dict[str, str]]) -> str:
    first = f": {rejections[0]['id']}, {rejections[0]['reason']}" if rejections else ""
    return f"{plan.name} has no pair: {len(rejections)} were tried, and left out{first}"


def _interruption(plan: Plan, reason: str) -> str:
    advice = "run the same command again to go on from there"
    return f"preparing {plan.name} stopped: {reason}; {advice}"


def _make_all(
    tasks: Sequence[Task],
    maker: Maker,
    staging: Path,
    open_pool: OpenPool,
    step: Callable[[], None],
    fetching: Fetching | None,
) -> tuple[list[Row], list[dict[str, str]], BuildCost]:
    """Rows and rejections of all tasks, those of an earlier run among them, and what it took."""
    rows: list[Row] = []
    rejections: list[dict[str, str]] = []
    remaining = []
    for task in tasks:
        result = earlier_result(staging, task)
        if result is None:
            remaining.append(task)
            continue
        if isinstance(result, Row):
            rows.append(result)
        else:
            rejections.append(result)
        step()
    start = time.perf_counter()
    cpu_seconds, memory, workers = 0.0, 0.0, 0
    if remaining:
        with open_pool(len(remaining)) as (executor, workers):
            for outcome in fetch_and_make(
                remaining,
                lambda task, payload: executor.submit(
                    _make, task._replace(payload=payload), maker, staging
                ),
                lambda task, error: _rejection_of(task, error, staging),
                workers,
                fetching,
            ):
                if isinstance(outcome.result, Row):
                    rows.append(outcome.result)
                else:
                    rejections.append(outcome.result)
                cpu_seconds += outcome.cpu_seconds
                memory = max(memory, outcome.memory_mib)
                step()
    seconds = time.perf_counter() - start
    cost = BuildCost(len(remaining), seconds, cpu_seconds, workers, memory)
    return rows, sorted(rejections, key=_order), cost


def _order(rejection: dict[str, str]) -> tuple[str, str]:
    return rejection["id"], rejection["split"]


class _Outcome(NamedTuple):
    """A pair's row, or why it is left out, and what it took."""

    result: Row | dict[str, str]
    cpu_seconds: float
    memory_mib: float


def _rejection_of(task: Task, error: Exception, staging: Path) -> _Outcome | None:
    """A pair is left out for a file that the server does not have, and for no other failure to
    fetch one: that may pass."""
    if not isinstance(error, NotFound):
        return None
    return _Outcome(reject(task, "download", str(error), staging), 0.0, 0.0)


def _make(task: Task, maker: Maker, staging: Path) -> _Outcome:
    """In a worker: make one pair, write both pictures, then its row."""
    start = time.process_time()
    result = _make_row(task, maker, staging)
    return _Outcome(result, time.process_time() - start, peak_memory_mib())


def _make_row(task: Task, maker: Maker, staging: Path) -> Row | dict[str, str]:
    try:
        pair = maker(task.payload)
    except RejectedPair as rejection:
        stage, reason = rejection.args
        return reject(task, stage, reason, staging)
    height, width = pair.input.shape[:2]
    if pair.target.shape[:2] != (height, width):
        reason = f"input {width}x{height}, target {pair.target.shape[1]}x{pair.target.shape[0]}"
        return reject(task, "size", reason, staging)
    folder = staging / DATASET / task.split
    names = []
    for role, pixels, file in zip(
        ("input", "target"), (pair.input, pair.target), pair.files or (None, None), strict=True
    ):
        names.append(f"{role}/{task.id}{file.suffix.lower() if file else '.png'}")
        if file:
            with atomic_path(folder / names[-1]) as temporary:
                shutil.copyfile(file, temporary)
        else:
            write_png(folder / names[-1], pixels)
    input_mean, input_std = channel_statistics(pair.input)
    target_mean, target_std = channel_statistics(pair.target)
    row = Row(
        id=task.id,
        split=task.split,
        input_file_name=names[0],
        target_file_name=names[1],
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
    write_rows(row_path(staging, task), [row])
    return row


def _leave_out(
    reasons: dict[tuple[str, str], str],
    rows: list[Row],
    rejections: list[dict[str, str]],
    folder: Path,
) -> tuple[list[Row], list[dict[str, str]]]:
    """Leave out the rows that have a reason, with their pictures, and list them as rejections."""
    remaining = []
    for row in rows:
        reason = reasons.get((row.split, row.id))
        if reason is None:
            remaining.append(row)
            continue
        for name in (row.input_file_name, row.target_file_name):
            (folder / row.split / name).unlink(missing_ok=True)
        rejections.append(
            {"id": row.id, "split": row.split, "stage": "duplicate", "reason": reason}
        )
    return remaining, sorted(rejections, key=_order)


def _finish(plan: Plan, rows: list[Row], rejections: list[dict[str, str]], folder: Path) -> Header:
    """Write the splits' rows, what is left out, and last the header."""
    for split in SPLITS:
        split_rows = [row for row in rows if row.split == split]
        if split_rows:
            write_rows(folder / split / "metadata.jsonl", split_rows)
        else:  # of which the review left nothing: a folder without rows is no split
            shutil.rmtree(folder / split, ignore_errors=True)
    counts: dict[str, int] = {split: sum(row.split == split for row in rows) for split in SPLITS}
    write_text(folder / "rejected.jsonl", "".join(json_line(r) + "\n" for r in rejections))
    header = Header(
        **plan._asdict(),
        tools=tool_versions(),
        counts=counts | {"rejected": len(rejections)},
        digest=rows_digest(rows),
    )
    write_text(folder / "dataset.json", json_text(header.model_dump()))
    return header


def _swap(new: Path, final: Path) -> None:
    """Give the new folder its name. Two renames, so that a kill between them loses neither the old
    dataset nor the new one."""
    old = final.with_name(f".{final.name}.old")
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)
