"""Doing an evaluation job and writing its result: JSON, rows as CSV, pictures, training curve.

Rows are written as they are made, so that a stopped evaluation goes on where it was. All else is
written under temporary names first; then an old result's JSON is moved aside, and the files get
their names, the JSON last: where it is there, all of it is there. Where a name cannot be given, the
old JSON is put back; else it is removed last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from .. import metrics
from ..data.pairs import Pair
from ..data.sizes import load_pair_at
from ..environment import Environment, describe
from ..errors import DataError, StorageError, UsageError, first_fault
from ..files import atomic_path, json_line, sha256_text, sweep
from ..locks import locked
from ..metrics.lpips import check_backbone, fetch_backbone
from ..result_pictures import (
    PICTURES,
    ROLES,
    SUFFIX,
    data_pictures,
    method_pictures,
    picture_files,
)
from ..results import Evaluation, MetricSummary, ResultRow, Shown, read_result, write_result
from ..runs import LOG
from ..stopping import asked_to_stop, says_when_stopped
from .csv_files import rows_csv, training_curve
from .gallery import choose, write_gallery
from .job import EvaluationJob
from .partial_rows import PartialRows
from .score import Method, score_pair, split_available, summarise_rows


def up_to_date(job: EvaluationJob) -> bool:
    """Whether a result is there that measured the same model, data, recipe and metrics, with its
    pictures.

    Raises StorageError where it cannot be read: nobody knows what it is.
    """
    result = _there(job)
    return result is not None and not _pictures_missing(job, result)


def lacks_only_pictures(job: EvaluationJob) -> bool:
    """Whether the result is up to date but for its pictures, so that nothing is measured. Raises as
    `up_to_date`."""
    result = _there(job)
    return result is not None and _pictures_missing(job, result)


def _there(job: EvaluationJob) -> Evaluation | None:
    """The result that is there, where it is up to date but for its pictures. Raises as
    `up_to_date`."""
    if not job.path.exists():
        return None
    try:
        result = read_result(job.path)
    except StorageError:
        raise
    except DataError:
        return None
    if not isinstance(result, Evaluation):
        return None
    names, missing = split_available(job.metrics, check_backbone)
    outputs = [job.path.with_suffix(".csv")]
    outputs += [job.path.with_name("train.csv")] if job.run else []
    same = (
        all(path.exists() for path in outputs)
        and result.method == job.method
        and result.recipe == job.spec.recipe
        and result.leaked == job.leaked
        and result.unpaired == job.unpaired
        and result.dataset == job.dataset
        and result.size == job.size
        and set(result.metrics) == {*names, *missing}
        and not result.stale()
        and {shown.id for shown in result.shown} <= {row.id for row in job.rows}
        and set(_of_pictures(names)) <= set(result.rows[0].model_extra or {})
    )
    return result if same else None


def _of_pictures(names: Sequence[str]) -> list[str]:
    return [name for name in names if not metrics.METRICS[name].of_groups]


def check_replaceable(job: EvaluationJob) -> None:
    """Raises UsageError where the result of other predictions, or of another ONNX file, lies where
    this one's would, or one that this version cannot read: only they could bring it back, and they
    may be gone."""
    method = job.method
    others = method.predictions_sha256 is not None or method.onnx is not None
    if not others or not job.path.exists():
        return
    instead = "--overwrite replaces it, another --name keeps both"
    try:
        result = read_result(job.path)
    except StorageError:
        raise
    except DataError as error:
        raise UsageError(f"{error}; {instead}") from None
    if not isinstance(result, Evaluation) or result.method != method:
        what = "other pictures" if method.onnx is None else "another file, or of other settings,"
        raise UsageError(f"{job.path} is the result of {what} named {method.name}: {instead}")


def evaluate_job(
    job: EvaluationJob,
    device: str = "cpu",
    step: Callable[[], None] = lambda: None,
    *,
    overwrite: bool = False,
    log: Callable[[str], None] = lambda note: None,
) -> Evaluation:
    """Measure and write a result; where one is there that is up to date, as another process may
    have written it just now, it is that one. Pictures that it lacks are made.

    Args:
        step: is called after each picture.
        overwrite: measure again, and replace what is there.
        log: is told where another process evaluates the same, whose end is waited for.

    Raises DataError where a picture, the run or its log is broken; UsageError as
    `check_replaceable`; StorageError where something cannot be read or written. What was measured
    until then is kept.
    """
    if not job.rows:
        name = job.spec.dataset.header.name
        raise DataError(f"dataset {name} has no pictures in its {job.spec.split} split")
    names, missing = split_available(job.metrics, fetch_backbone)
    # What is broken is met before anything is written.
    curve = None if job.run is None else training_curve(job.run.directory / LOG)
    method = job.open(device)
    with _alone(job, log):
        if not overwrite:
            if (result := _there(job)) is not None:
                if _pictures_missing(job, result):
                    _show(job, method, device, result)
                for _ in job.rows:
                    step()
                return result
            check_replaceable(job)
        return _evaluate(job, device, method, names, missing, curve, step)


@contextmanager
def _alone(job: EvaluationJob, log: Callable[[str], None]) -> Iterator[None]:
    busy = f"another process is evaluating {job.title} into {job.path}"
    lock = job.path.with_name(f".{job.path.stem}.lock")
    with locked(lock, busy, lambda text: log(f"{text}: waiting for its end")):
        for places in (method_pictures, data_pictures):
            sweep(places(job.path.parent, job.dataset, job.size))
        sweep(job.path.parent)
        yield


def _evaluate(
    job: EvaluationJob,
    device: str,
    method: Method,
    names: list[str],
    missing: dict[str, str],
    curve: str | None,
    step: Callable[[], None],
) -> Evaluation:
    environment = describe(onnxruntime=job.method.onnx is not None)
    decides = {
        "recipe": job.spec.recipe.model_dump(),
        "method": job.method.model_dump(),
        "dataset": job.dataset.model_dump(),
        "size": job.size,
        "cells": job.cells,
        "device": device,
        "metrics": {name: metrics.METRICS[name].version for name in names},
        "environment": environment.model_dump(exclude={"load", "date"}),
    }

    pair = _loader(job, device)
    partial = PartialRows(job.path, sha256_text(json_line(decides)), _of_pictures(names))

    def kept() -> str:
        return (
            f"{len(partial.rows)} of {len(job.rows)} pictures of {job.title} are measured and "
            "kept; the same command goes on"
        )

    with says_when_stopped(kept):
        for row in job.rows:
            if row.id not in partial.rows:
                scored = score_pair(method, pair(row.id), names, job.cells)
                notes = job.notes.get(row.id)
                partial.add(scored | ({"notes": list(notes)} if notes else {}))
            step()
        measured = [partial.rows[row.id] for row in job.rows]
        result = _result(job, measured, names, missing, environment)
        _write(job, result, method, device, rows_csv(measured, names), curve)
        partial.remove()
    return result


def _loader(job: EvaluationJob, device: str) -> Callable[[str], Pair]:
    """From a picture's id to its pair, at the job's size and on the device."""
    by_id = {row.id: row for row in job.rows}
    return lambda id_: load_pair_at(job.spec.dataset, by_id[id_], job.size).to(device)


def _result(
    job: EvaluationJob,
    measured: list[dict[str, Any]],
    names: list[str],
    missing: dict[str, str],
    environment: Environment,
) -> Evaluation:
    summaries = {}
    for name in job.metrics:
        if name in missing:
            summary: dict[str, Any] = {"n": 0, "mean": None, "interval": None}
            summary["reason"] = missing[name]
        else:
            summary = summarise_rows(measured, name)
        summaries[name] = MetricSummary(version=metrics.METRICS[name].version, **summary)
    try:
        return Evaluation(
            recipe=job.spec.recipe,
            method=job.method,
            dataset=job.dataset,
            size=job.size,
            metrics=summaries,
            rows=[ResultRow.model_validate(row) for row in measured],
            shown=choose(measured),
            unpaired=job.unpaired,
            leaked=job.leaked,
            environment=environment,
        )
    except ValidationError as error:
        raise DataError(
            f"{job.title}: no result can hold what was measured: {first_fault(error)}"
        ) from None


def _write(
    job: EvaluationJob,
    result: Evaluation,
    method: Method,
    device: str,
    rows: str,
    curve: str | None,
) -> None:
    """Replace a result and what lies beside it, and remove pictures that it does not show."""
    old = _own_pictures(job)
    texts = {job.path.with_suffix(".csv"): rows}
    texts |= {} if curve is None else {job.path.with_name("train.csv"): curve}
    with ExitStack() as writing:
        try:
            # The JSON first: what is left first gets its name last.
            write_result(writing.enter_context(atomic_path(job.path, durable=True)), result)
            _write_pictures(writing, job, result.shown, method, device)
            for path, text in texts.items():
                writing.enter_context(atomic_path(path)).write_text(text, encoding="utf-8")
        except OSError as error:
            raise _not_written(job, error) from None
        with asked_to_stop() as stop:
            aside = job.path.with_name(f".{job.path.stem}.before")
            try:
                with suppress(FileNotFoundError):
                    job.path.replace(aside)
                writing.close()
                _remove(old, job, result.shown)
                aside.unlink(missing_ok=True)
            except OSError as error:
                if not job.path.exists():
                    with suppress(OSError):  # none was there, or the disk fails here too
                        aside.replace(job.path)
                raise _not_written(job, error) from None
    if stop:
        raise stop.stop()


def _not_written(job: EvaluationJob, error: OSError) -> StorageError:
    return StorageError(
        f"{job.path.parent} cannot be written to: {error.strerror or error}; what was measured is "
        "kept, and the same command goes on"
    )


def _picture_files(job: EvaluationJob, shown: Sequence[Shown]) -> dict[str, dict[str, Path]]:
    """Where a result's pictures lie, by id and role."""
    folder, dataset, method = job.path.parent, job.dataset, job.method
    return {one.id: picture_files(folder, dataset, method, job.size, one.id) for one in shown}


def _pictures_missing(job: EvaluationJob, result: Evaluation) -> bool:
    files = _picture_files(job, result.shown).values()
    return not all(path.exists() for by_role in files for path in by_role.values())


def _show(job: EvaluationJob, method: Method, device: str, result: Evaluation) -> None:
    """Make the pictures of a result that is there, as of one whose pictures were not passed on with
    it, or that an older version made in another form."""
    old = _own_pictures(job)
    try:
        with ExitStack() as writing:
            _write_pictures(writing, job, result.shown, method, device)
        _remove(old, job, result.shown)
    except OSError as error:
        raise _not_written(job, error) from None


def _write_pictures(
    writing: ExitStack,
    job: EvaluationJob,
    shown: Sequence[Shown],
    method: Method,
    device: str,
) -> None:
    pair = _loader(job, device)

    def render(id_: str) -> tuple[Pair, Tensor]:
        with torch.no_grad():
            return (loaded := pair(id_)), method(loaded)

    encoding = job.spec.dataset.header.input_encoding
    write_gallery(writing, _picture_files(job, shown), render, encoding)


def _own_pictures(job: EvaluationJob) -> set[Path]:
    """The pictures that are of this result as it was: of its split, and that it showed; none that
    another split shows, and nothing that somebody else has put there. Those that other methods show
    as well are not its own.

    Older versions kept all four as JPEGs, of all splits in one folder.
    """
    ids = {row.id for row in job.rows}
    try:
        before = read_result(job.path)
        ids |= {shown.id for shown in before.shown} if isinstance(before, Evaluation) else set()
    except DataError:
        pass  # none yet, or one that says nothing
    folder = method_pictures(job.path.parent, job.dataset, job.size)
    names = {folder / f"{id_}-{role}{SUFFIX}" for id_ in ids for role in ROLES}
    folder = job.path.parent / PICTURES / job.size
    ids -= {row.id for row in job.spec.dataset.rows if row.split != job.spec.split}
    names |= {folder / f"{id_}-{role}.jpg" for id_ in ids for role in ROLES}
    return {path for path in names if path.is_file()}


def _remove(old: set[Path], job: EvaluationJob, shown: Sequence[Shown]) -> None:
    """Of a result's own pictures, those that it does not show any more."""
    files = _picture_files(job, shown).values()
    for path in old - {path for by_role in files for path in by_role.values()}:
        path.unlink(missing_ok=True)
