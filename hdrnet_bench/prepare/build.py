"""Building a dataset directory in parallel, so that it can be stopped and started again.

Everything is written into a hidden folder beside the dataset (staging.py). A pair's row is written
last, so a row that exists stands for whole pictures. When all pairs are done and on the disk,
the folder with the pictures gets the dataset's name in one step (replacing.py); then what is left
of the hidden folder goes. The pairs are made in processes on this machine, or by another executor:
on a cluster whose machines see the same folder.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.manifest import Header, Row, channel_statistics, read_header
from ..environment import peak_memory_mib
from ..errors import DataError, StorageError, UsageError
from ..files import by_name, json_line
from ..images.files import write_png
from ..images.pixels import Pixels, pixels_sha256
from ..locks import locked
from ..stopping import says_when_stopped
from .fetch.download import NotFound, Unreachable
from .finishing import finish, leave_out, no_pair, order
from .replacing import (
    HEADER,
    existing_dataset,
    give_name,
    has_leftovers,
    is_of,
    put_back,
    remove_replaced,
    replaced,
)
from .schedule import Fetching, OpenPool, WorkerLost, fetch_and_make, processes, submit
from .staging import (
    DATASET,
    Made,
    Plan,
    Task,
    check_ids,
    copy_unchanged,
    earlier_result,
    has_plan,
    is_spent,
    keep,
    kept,
    open_staging,
    reject,
    remove_staging,
    staging_folder,
    sweep_staging,
)


class PreparedPair(NamedTuple):
    """What a maker returns: pictures, where they come from, and anything measured.

    input, target: (H, W, 3), of the same size.
    files: the input's and the target's file, where they are to be copied as they are, with their
        SHA-256 as source_sha256; None where the pictures are to be written as PNG.
    mask: (H, W) of the same size, as `Row` has it. group: as there.
    """

    input: Pixels
    target: Pixels
    source_names: list[str]
    source_sha256: list[str]
    licence: str
    measured: dict[str, Any]
    files: tuple[Path, Path] | None = None
    mask: NDArray[np.uint8] | None = None
    group: str | None = None


class BuildCost(NamedTuple):
    """What a build took.

    pairs: how many were made by it; those that an earlier run had made do not count.
    unusable: of those that were left out because what a server sent was not their file, why.
    seconds: wall time.
    cpu_seconds: CPU time of decoding, rendering and writing, summed over the workers.
    worker_memory_mib: the most memory that one worker held.
    """

    pairs: int
    seconds: float
    cpu_seconds: float
    workers: int
    worker_memory_mib: float
    unusable: Sequence[str] = ()

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
    """A DataError inside leaves the pair out, with the stage "decode": what the bytes say, and not
    what the system says (StorageError), which may pass. The reason has the names of these paths
    alone: where files lay on this machine is no part of a dataset."""
    try:
        yield
    except StorageError:
        raise
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
    note: Callable[[str], None] = warnings.warn,
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
        note: is told what could not be cleaned up, which harms no dataset.

    Returns:
        The header, and what the build took; None where the dataset existed already.

    Raises:
        UsageError: a dataset of that name from another plan exists, whole or unfinished, or what
            would have to be removed is none of ours.
        DataError: two pairs of a split have one id; another process is preparing the same dataset,
            the disk is full, a worker died, something could not be read or fetched, or no pair is
            left. The pairs that are made are kept for the next run.
        Stopped: by a signal, with a note on what is kept.
    """
    check_ids(tasks)
    final, staging = root / plan.name, staging_folder(plan, root)
    if not has_leftovers(final) and not is_spent(staging):
        existing = existing_dataset(plan, root, overwrite=overwrite)
        if existing:  # nothing is written, not even a lock
            return existing, None
    busy = f"another process is preparing {plan.name} in {root}"
    try:
        with (
            locked(root / f".{plan.name}.lock", busy),
            says_when_stopped(lambda: _state(plan, final, staging, len(tasks))),
        ):
            put_back(final)
            existing = existing_dataset(plan, root, overwrite=overwrite)
            _clean_up(final, staging, note)
            if existing:
                return existing, None
            if has_leftovers(final):
                raise DataError(f"{replaced(final)} is in the way: move it away")
            open_staging(staging, plan, overwrite)
            made, rejections, cost = _make_all(
                tasks,
                maker,
                staging.resolve(),
                open_pool or (lambda pairs: processes(workers, pairs)),
                step,
                fetching,
            )
            rows, rejections = leave_out(review, made, rejections, staging)
            if not rows:
                raise DataError(no_pair(plan, rejections))
            header = finish(plan, rows, rejections, staging / DATASET)
            # Once more: hours may have gone by.
            if existing_dataset(plan, root, overwrite=overwrite):
                raise DataError(f"{final} has come to be meanwhile: --overwrite replaces it")
            give_name(staging / DATASET, final)
            _clean_up(final, staging, note)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise StorageError(_interruption(plan, f"{error.strerror or error}{where}")) from None
    except (Unreachable, WorkerLost, StorageError) as error:
        raise StorageError(_interruption(plan, str(error))) from None
    return header, cost


def _clean_up(final: Path, staging: Path, note: Callable[[str], None]) -> None:
    """Remove what is of no use once the dataset has its name. It does no harm where it cannot be
    removed, as on NFS while a file in it is open: the next run tries again."""
    try:
        remove_replaced(final)
        if is_spent(staging):
            remove_staging(staging)
    except OSError as error:
        note(f"{error.filename or staging} is left over: {error.strerror or error}")
    except (UsageError, StorageError) as error:
        note(str(error))


def _state(plan: Plan, final: Path, staging: Path, pairs: int) -> str:
    """What a run that is stopped leaves. Another plan's pairs and dataset, which may be there as
    well, are nothing of it."""
    advice = "run the same command again to go on from there"
    try:
        made = kept(staging) if has_plan(staging, plan) else None
        is_whole = (final / HEADER).exists() and is_of(plan, read_header(final / HEADER))
    except (OSError, DataError):  # of a disk that fails, say: nothing is known of it
        return advice
    if made is None and is_whole:
        left = [replaced(final)] if has_leftovers(final) else []
        left += [staging] if is_spent(staging) else []
        rest = f"; the next run removes {' and '.join(map(str, left))}" if left else ""
        return f"{final} is whole{rest}"
    return f"{made or 0} of {pairs} pairs are kept; {advice}"


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
) -> tuple[list[Made], list[dict[str, str]], BuildCost]:
    """Pairs and rejections of all tasks, those of an earlier run among them, and what it took."""
    made: list[Made] = []
    rejections: list[dict[str, str]] = []
    remaining = []
    for task in tasks:
        result = earlier_result(staging, task)
        if result is None:
            remaining.append(task)
            continue
        if isinstance(result, Made):
            made.append(result)
        else:
            rejections.append(result)
        step()
    start = time.perf_counter()
    cpu_seconds, memory, workers = 0.0, 0.0, 0
    unusable: list[str] = []
    if remaining:
        with (
            _swept(staging),
            open_pool(len(remaining)) as (executor, workers),
            closing(
                fetch_and_make(
                    remaining,
                    lambda task, payload: submit(
                        executor, _make, task._replace(payload=payload), maker, staging
                    ),
                    lambda task, error: _rejection_of(task, error, staging),
                    workers,
                    fetching,
                )
            ) as outcomes,
        ):
            for outcome in outcomes:
                if isinstance(outcome.result, Made):
                    made.append(outcome.result)
                else:
                    rejections.append(outcome.result)
                cpu_seconds += outcome.cpu_seconds
                memory = max(memory, outcome.memory_mib)
                unusable += outcome.unusable
                step()
    seconds = time.perf_counter() - start
    cost = BuildCost(len(remaining), seconds, cpu_seconds, workers, memory, unusable)
    return made, sorted(rejections, key=order), cost


@contextmanager
def _swept(staging: Path) -> Iterator[None]:
    """What workers that were ended in mid-writing have left is removed."""
    try:
        yield
    except BaseException:
        sweep_staging(staging)
        raise


class _Outcome(NamedTuple):
    """A pair, or why it is left out, and what it took."""

    result: Made | dict[str, str]
    cpu_seconds: float
    memory_mib: float
    unusable: Sequence[str] = ()


def _rejection_of(task: Task, error: DataError, staging: Path) -> _Outcome:
    """A pair is left out for a file that the server does not have, or has wrong."""
    rejection = reject(task, "download", str(error), staging)
    unusable = () if isinstance(error, NotFound) else (rejection["reason"],)
    return _Outcome(rejection, 0.0, 0.0, unusable)


def _make(task: Task, maker: Maker, staging: Path) -> _Outcome:
    """In a worker: make one pair, write its pictures, then its row."""
    start = time.process_time()
    result = _make_pair(task, maker, staging)
    return _Outcome(result, time.process_time() - start, peak_memory_mib())


def _make_pair(task: Task, maker: Maker, staging: Path) -> Made | dict[str, str]:
    try:
        pair = maker(task.payload)
    except RejectedPair as rejection:
        stage, reason = rejection.args
        return reject(task, stage, reason, staging)
    height, width = pair.input.shape[:2]
    if pair.target.shape[:2] != (height, width):
        reason = f"input {width}x{height}, target {pair.target.shape[1]}x{pair.target.shape[0]}"
        return reject(task, "size", reason, staging)
    if pair.mask is not None and pair.mask.shape != (height, width):
        reason = f"mask {pair.mask.shape[1]}x{pair.mask.shape[0]}, pictures {width}x{height}"
        return reject(task, "size", reason, staging)
    folder = staging / DATASET / task.split
    names = []
    for number, (role, pixels) in enumerate((("input", pair.input), ("target", pair.target))):
        file = pair.files[number] if pair.files else None
        names.append(f"{role}/{task.id}{file.suffix.lower() if file else '.png'}")
        if file:
            copy_unchanged(file, folder / names[-1], pair.source_sha256[number])
        else:
            write_png(folder / names[-1], pixels)
    if pair.mask is not None:
        names.append(f"mask/{task.id}.png")
        write_png(folder / names[-1], pair.mask)
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
        mask_file_name=None if pair.mask is None else names[2],
        mask_pixels_sha256=None if pair.mask is None else pixels_sha256(pair.mask),
        group=pair.group,
    )
    made = Made(row=row, sizes=[(folder / name).stat().st_size for name in names])
    keep(made, task, staging)
    return made
