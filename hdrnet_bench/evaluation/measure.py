"""Doing an evaluation job and writing its result: JSON, rows as CSV, pictures, training curve.

Rows are written as they are made, so that a stopped evaluation goes on where it was. Each file is
written whole or not at all, and the JSON last, an old one removed before: where it is there, all of
it is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from .. import metrics
from ..data.pairs import Pair
from ..data.sizes import load_pair_at
from ..environment import describe
from ..errors import DataError, UsageError
from ..files import json_line, sha256_text, write_text
from ..metrics.lpips import check_backbone, fetch_backbone
from ..results import Evaluation, MetricSummary, ResultRow, read_result, write_result
from ..runs import LOG
from .gallery import choose, pictures_of, write_gallery
from .job import EvaluationJob
from .partial_rows import PartialRows
from .score import score_pair, split_available, summarise_rows


def up_to_date(job: EvaluationJob) -> bool:
    """Whether a result is there that measured the same model, data, recipe and metrics."""
    if not job.path.exists():
        return False
    try:
        result = read_result(job.path)
    except DataError:
        return False
    if not isinstance(result, Evaluation):
        return False
    names, missing = split_available(job.metrics, check_backbone)
    outputs = [job.path.with_suffix(".csv"), *pictures_of(job.path.parent, job.size, result.shown)]
    outputs += [job.path.with_name("train.csv")] if job.run else []
    return (
        all(path.exists() for path in outputs)
        and result.method == job.method
        and result.recipe == job.spec.recipe
        and result.leaked == job.leaked
        and result.unpaired == job.unpaired
        and result.dataset == job.dataset
        and result.size == job.size
        and set(result.metrics) == {*names, *missing}
        and not result.stale()
        and all(name in (result.rows[0].model_extra or {}) for name in names)
    )


def check_replaceable(job: EvaluationJob) -> None:
    """Raises UsageError where the result of other predictions lies where this one's would: only
    they could bring it back, and they may be gone."""
    if job.method.predictions_sha256 is None or not job.path.exists():
        return
    try:
        result = read_result(job.path)
    except DataError:
        return
    if isinstance(result, Evaluation) and result.method != job.method:
        raise UsageError(
            f"{job.path} is the result of other pictures named {job.method.name}: --overwrite "
            "replaces it, another --name keeps both"
        )


def evaluate_job(
    job: EvaluationJob, device: str = "cpu", step: Callable[[], None] = lambda: None
) -> Evaluation:
    """Measure and write a result. `step` is called after each picture."""
    dataset = job.spec.dataset
    if not job.rows:
        raise DataError(
            f"dataset {dataset.header.name} has no pictures in its {job.spec.split} split"
        )
    names, missing = split_available(job.metrics, fetch_backbone)
    curve = None if job.run is None else _training_curve(job.run.directory / LOG)
    method, by_id = job.open(device), {row.id: row for row in job.rows}
    environment = describe()
    decides = {
        "recipe": job.spec.recipe.model_dump(),
        "method": job.method.model_dump(),
        "dataset": job.dataset.model_dump(),
        "size": job.size,
        "cells": job.cells,
        "device": device,
        "metrics": {name: metrics.METRICS[name].version for name in names},
        "environment": environment.model_dump(exclude={"load"}),
    }

    def pair(id_: str) -> Pair:
        return load_pair_at(dataset, by_id[id_], job.size).to(device)

    partial = PartialRows(job.path, sha256_text(json_line(decides)), set(names))
    for row in job.rows:
        if row.id not in partial.rows:
            scored = score_pair(method, pair(row.id), names, job.cells)
            notes = job.notes.get(row.id)
            partial.add(scored | ({"notes": list(notes)} if notes else {}))
        step()
    measured = [partial.rows[row.id] for row in job.rows]

    summaries = {}
    for name in job.metrics:
        if name in missing:
            summary: dict[str, Any] = {"n": 0, "mean": None, "interval": None}
            summary["reason"] = missing[name]
        else:
            summary = summarise_rows(measured, name)
        summaries[name] = MetricSummary(version=metrics.METRICS[name].version, **summary)
    result = Evaluation(
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

    def render(id_: str) -> tuple[Pair, Tensor]:
        with torch.no_grad():
            return (loaded := pair(id_)), method(loaded)

    folder = job.path.parent
    job.path.unlink(missing_ok=True)
    others = {row.id for row in dataset.rows if row.split != job.spec.split}
    write_gallery(folder, job.size, result.shown, render, dataset.header.input_encoding, others)
    if curve is not None:
        write_text(folder / "train.csv", curve)
    # By name: the rows of a stopped evaluation have their metrics in another order.
    columns = ["id", "width", "height", "licence", *names]
    rows = pd.DataFrame(measured, columns=columns)
    write_text(job.path.with_suffix(".csv"), rows.to_csv(index=False))
    write_result(job.path, result)
    partial.remove()
    return result


def _training_curve(log: Path) -> str:
    """A run's log as CSV, without its times. Raises DataError where it is missing or broken."""
    try:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        columns = ["step", "loss", "psnr", "learning_rate", "validation_psnr"]
        return pd.DataFrame(lines)[columns].to_csv(index=False)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{log} is not a whole training log: {error}") from None
