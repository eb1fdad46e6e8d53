"""Building a dataset directory in parallel, so that it can be stopped and started again.

Everything is written into a hidden folder beside the dataset (staging.py); a pair's row is written
last, so a row that is there stands for two whole pictures. When all are done, the pictures' folder
gets the dataset's name in one step, and only then goes what was kept to go on from. The pairs are
made in processes here, or wherever an executor has them: on a cluster whose machines see the same
folder.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from ..data.manifest import SPLITS, Header, Row, channel_statistics, rows_digest, write_rows
from ..environment import peak_memory_mib
from ..errors import DataError
from ..files import atomic_path, json_line, json_text, write_text
from ..images.files import Pixels, pixels_sha256, write_png
from .fetch.download import NotThere, Unreachable
from .schedule import Fetching, OpenPool, WorkerLost, in_turn, processes
from .staging import (
    DATASET,
    Plan,
    Task,
    kept,
    open_staging,
    prepared,
    reject,
    row_path,
    staging_folder,
    tool_versions,
)


class PreparedPair(NamedTuple):
    """What a maker returns: pictures, where they come from, and anything measured.

    `files`: the input's and the target's, where they are to be taken over as they are.
    """

    input: Pixels
    target: Pixels
    source_names: list[str]
    source_sha256: list[str]
    licence: str
    measured: dict[str, Any]
    files: tuple[Path, Path] | None = None


class BuildCost(NamedTuple):
    """What making took: pairs made now, wall time, the CPU time of decoding, rendering and writing
    them, over so many workers, and the most memory that one of them held."""

    pairs: int
    seconds: float
    cpu_seconds: float
    workers: int
    worker_memory_mib: float

    @property
    def times_ideal(self) -> float | None:
        """Wall time over the least that so many workers could take."""
        return self.seconds * self.workers / self.cpu_seconds if self.cpu_seconds else None


class RejectedPair(Exception):
    """Raised by a maker: this pair is left out. Arguments: the stage, the reason."""


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
        plan: what is being made; the same plan twice is the same dataset.
        tasks: the pairs.
        maker: a module-level function, payload -> PreparedPair; it raises RejectedPair to leave
            one out.
        root: where datasets lie; the result is root/<plan.name>.
        workers: processes, by default as many as there are cores.
        overwrite: replace a dataset of that name that was made from another plan.
        review: given all rows, returns those to leave out, by (split, id), with the reason.
        step: called after each pair.
        fetching: how payloads come here; without it everything is here.
        open_pool: where pairs are made, given their number; by default processes on this machine.

    Returns:
        The header, and what making took; None where nothing had to be made.

    Raises:
        UsageError: a dataset of that name from another plan is there, whole or begun.
        DataError: another process is preparing the same dataset, the disk is full, a worker died,
            something could not be read or fetched, or no pair is left. What is made is kept.
    """
    final, staging = root / plan.name, staging_folder(plan, root)
    existing = prepared(plan, root, overwrite=overwrite)
    if existing:
        return existing, None
    root.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(root / f".{plan.name}.lock", blocking=False)
    pool = open_pool or (lambda pairs: processes(workers, pairs))
    try:
        with lock:
            open_staging(staging, plan, overwrite)
            made = _make_all(tasks, maker, staging.resolve(), pool, step, fetching)
            rows, rejected, effort = made
            rows, rejected = _reviewed(review(rows), rows, rejected, staging / DATASET)
            if not rows:
                raise DataError(_none_made(plan, rejected))
            header = _finish(plan, rows, rejected, staging / DATASET)
            _swap(staging / DATASET, final)
            shutil.rmtree(staging)
    except filelock.Timeout:
        raise DataError(f"another process is preparing {plan.name} in {root}") from None
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise DataError(_stopped(plan, f"{error.strerror or error}{where}")) from None
    except (Unreachable, WorkerLost) as error:
        raise DataError(_stopped(plan, str(error))) from None
    return header, effort


def _none_made(plan: Plan, rejected: list[dict[str, str]]) -> str:
    why = f": {rejected[0]['id']}, {rejected[0]['reason']}" if rejected else ""
    return f"{plan.name} has no pair: {len(rejected)} were tried, and left out{why}"


def _stopped(plan: Plan, reason: str) -> str:
    again = "run the same command again to go on from there"
    return f"preparing {plan.name} stopped: {reason}; {again}"


def _make_all(
    tasks: Sequence[Task],
    maker: Maker,
    staging: Path,
    open_pool: OpenPool,
    step: Callable[[], None],
    fetching: Fetching | None,
) -> tuple[list[Row], list[dict[str, str]], BuildCost]:
    rows: list[Row] = []
    rejected: list[dict[str, str]] = []
    waiting = []
    for task in tasks:
        made = kept(staging, task)
        if made is None:
            waiting.append(task)
            continue
        if isinstance(made, Row):
            rows.append(made)
        else:
            rejected.append(made)
        step()
    start = time.perf_counter()
    cpu_seconds, memory, workers = 0.0, 0.0, 0
    if waiting:
        with open_pool(len(waiting)) as (executor, workers):
            for done in in_turn(
                waiting,
                lambda task, payload: executor.submit(
                    _make, task._replace(payload=payload), maker, staging
                ),
                lambda task, error: _refused(task, error, staging),
                workers,
                fetching,
            ):
                if isinstance(done.result, Row):
                    rows.append(done.result)
                else:
                    rejected.append(done.result)
                cpu_seconds += done.cpu_seconds
                memory = max(memory, done.memory_mib)
                step()
    seconds = time.perf_counter() - start
    effort = BuildCost(len(waiting), seconds, cpu_seconds, workers, memory)
    return rows, sorted(rejected, key=_place), effort


def _place(rejection: dict[str, str]) -> tuple[str, str]:
    return rejection["id"], rejection["split"]


class _Done(NamedTuple):
    result: Row | dict[str, str]
    cpu_seconds: float
    memory_mib: float


def _refused(task: Task, error: Exception, staging: Path) -> _Done | None:
    """What the server does not have is left out; anything else about fetching is no reason to."""
    if not isinstance(error, NotThere):
        return None
    return _Done(reject(task, "download", str(error), staging), 0.0, 0.0)


def _make(task: Task, maker: Maker, staging: Path) -> _Done:
    """In a worker: make one pair, write both pictures, then its row."""
    start = time.process_time()
    result = _make_row(task, maker, staging)
    return _Done(result, time.process_time() - start, peak_memory_mib())


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


def _reviewed(
    reasons: dict[tuple[str, str], str],
    rows: list[Row],
    rejected: list[dict[str, str]],
    folder: Path,
) -> tuple[list[Row], list[dict[str, str]]]:
    """Leave out what the review does: rows, pictures and all."""
    kept = []
    for row in rows:
        reason = reasons.get((row.split, row.id))
        if reason is None:
            kept.append(row)
            continue
        for name in (row.input_file_name, row.target_file_name):
            (folder / row.split / name).unlink(missing_ok=True)
        rejected.append({"id": row.id, "split": row.split, "stage": "duplicate", "reason": reason})
    return kept, sorted(rejected, key=_place)


def _finish(plan: Plan, rows: list[Row], rejected: list[dict[str, str]], folder: Path) -> Header:
    for split in SPLITS:
        of_split = [row for row in rows if row.split == split]
        if of_split:
            write_rows(folder / split / "metadata.jsonl", of_split)
    counts: dict[str, int] = {split: sum(row.split == split for row in rows) for split in SPLITS}
    write_text(folder / "rejected.jsonl", "".join(json_line(r) + "\n" for r in rejected))
    header = Header(
        **plan._asdict(),
        tools=tool_versions(),
        counts=counts | {"rejected": len(rejected)},
        digest=rows_digest(rows),
    )
    write_text(folder / "dataset.json", json_text(header.model_dump()))
    return header


def _swap(made: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old")
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
    made.rename(final)
    shutil.rmtree(old, ignore_errors=True)
