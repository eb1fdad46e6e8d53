"""The only scorer: a method's pictures against the targets, row by row, and their summary.

A method's output is clamped and rounded to 8 bits first, so that every metric judges the picture
that would be saved.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import special
from torch import Tensor

from . import metrics
from .data import Pair, load_pair
from .encoding import check_encoding, to_display
from .environment import describe
from .errors import DataError
from .files import sha256_file, write_text
from .images import write_thumbnail
from .leakage import leaked as leaked_rows
from .leakage import trained_on
from .manifest import Dataset, Row, Split, open_dataset
from .metrics.lpips import check_backbone, fetch_backbone
from .model_file import ModelHeader, read_model
from .recipe import Recipe
from .results import (
    DatasetId,
    Evaluation,
    MethodId,
    MetricSummary,
    RecipeId,
    ResultRow,
    evaluation_path,
    read_result,
    result_folder,
    write_result,
)
from .runs import LOG, Run

Method = Callable[[Tensor], Tensor]
MIN_FOR_INTERVAL = 6


def saved_levels(output: Tensor) -> Tensor:
    """What a picture is once saved with 8 bits: clamped, rounded to nearest, in [0, 1]."""
    return output.clamp(0, 1).mul(255).round() / 255


def score(output: Tensor, target: Tensor, names: Sequence[str]) -> dict[str, float]:
    """The metrics of one output (3, H, W), judged as it would be saved."""
    saved = saved_levels(output)
    return {name: float(_METRIC[name](saved, target)) for name in names}


_METRIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    name: getattr(metrics, name) for name in metrics.METRICS
}


def split_available(
    names: Sequence[str], lpips_reason: Callable[[], str | None]
) -> tuple[list[str], dict[str, str]]:
    """The metrics that can be computed here, and for each other one the reason.

    `lpips_reason` says why LPIPS cannot be computed: check_backbone, or fetch_backbone, which
    downloads first.
    """
    missing = {}
    if "lpips" in names and (reason := lpips_reason()):
        missing["lpips"] = reason
    return [name for name in names if name not in missing], missing


def evaluate(
    method: Method,
    dataset: Dataset,
    rows: Sequence[Row],
    names: Sequence[str],
    device: str = "cpu",
    keep: Callable[[Pair, Tensor], None] = lambda pair, output: None,
    step: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Per-picture rows: id, size, licence and each metric (not finite: null in the summary).

    `keep` is given each pair with its output, `step` is called after each picture.
    """
    results = []
    with torch.no_grad():
        for row in rows:
            pair = load_pair(dataset, row).to(device)
            output = method(pair.input)
            if not torch.isfinite(output).all():
                raise DataError(f"the model's output for {row.id} is not finite: train it again")
            values = score(output, pair.target, names)
            keep(pair, output)
            results.append(
                {"id": row.id, "width": row.width, "height": row.height, "licence": row.licence}
                | values
            )
            step()
    return results


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """Mean with its 95 % interval (Student's t), or null with a reason; n; spread; extremes."""
    array = np.asarray(values, dtype=np.float64)
    summary: dict[str, Any] = {"n": len(array), "mean": None, "interval": None}
    if len(array) == 0:
        return summary | {"reason": "no picture"}
    if not np.isfinite(array).all():
        infinite = int((~np.isfinite(array)).sum())
        return summary | {"reason": f"not finite for {infinite} of {len(array)} pictures"}
    summary["mean"] = float(array.mean())
    summary["min"], summary["max"] = float(array.min()), float(array.max())
    if len(array) < MIN_FOR_INTERVAL:
        return summary | {"reason": f"no interval: fewer than {MIN_FOR_INTERVAL} pictures"}
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    half = float(special.stdtrit(len(array) - 1, 0.975)) * error
    return summary | {"interval": [summary["mean"] - half, summary["mean"] + half]}


class Judgement(NamedTuple):
    """One result to be measured: where it goes, what is judged, on which rows.

    label: the name that the result carries; `leaked`: how many pictures the model was trained with.
    """

    path: Path
    recipe: Recipe
    label: str
    method: MethodId
    dataset: Dataset
    split: Split
    run: Run | None
    leaked: int

    @property
    def title(self) -> str:
        return f"{self.label}: {self.method.name}, {self.method.run}"


def judgement(
    recipe: Recipe, dataset: Dataset, split: Split, run: Run | None, allow_leak: bool = False
) -> Judgement:
    """A finished run, or the identity baseline where `run` is None, on its recipe's dataset or on
    another, whose results are kept apart.

    Raises DataError where the run is unfinished, was trained on another version of the dataset, or
    was trained with pictures that it is to be judged on, unless `allow_leak`.
    """
    own = dataset.header.name == recipe.dataset.name
    leaked = 0
    if run is None:
        method = MethodId(
            name="identity", run="baseline", parameters=None, model_sha256=None, seed=None
        )
    else:
        header = run.finished_header()
        if own and header.dataset_digest != dataset.header.digest:
            raise DataError(
                f"{run.directory} was trained on {header.dataset} with digest "
                f"{str(header.dataset_digest)[:12]}, which is now {dataset.header.digest[:12]}: "
                "prepare that version again, or train again"
            )
        method = method_id(run)
        check_encoding(header.config, dataset.header, str(run.directory))
        leaked = _leaked(run, header, dataset, split)
        if leaked and not allow_leak:
            raise DataError(
                f"{run.directory} was trained with {leaked} of the {len(dataset.split(split))} "
                f"pictures in {dataset.header.name}, {split}: its scores there would mean nothing; "
                "--allow-leak measures them all the same and marks the result"
            )
    label = recipe.label if own else f"{recipe.label}-on-{dataset.header.name}"
    path = evaluation_path(result_folder(label, method.name, method.run), split, "full")
    return Judgement(path, recipe, label, method, dataset, split, run, leaked)


def _leaked(run: Run, header: ModelHeader, dataset: Dataset, split: Split) -> int:
    """How many of a split's pictures the run was trained with.

    Raises DataError where nothing says what it was trained with.
    """
    known = header.trained_on
    if known is None:  # a file from before models said so
        try:
            trained = open_dataset(run.recipe.dataset.name)
            if trained.header.digest != header.dataset_digest:
                raise DataError(f"{trained.directory} is another version than it was trained on")
            known = trained_on(trained)
        except DataError as error:
            raise DataError(
                f"{run.directory} does not say which pictures it was trained with: {error}"
            ) from None
    return len(leaked_rows(known, dataset, dataset.split(split)))


def method_id(run: Run) -> MethodId:
    """A run as results name it: its variant, its size, and the digest of its model file."""
    model, header = read_model(run.model_path)
    return MethodId(
        name=f"hdrnet-{model.config.variant}",
        run=run.name,
        parameters=sum(p.numel() for p in model.parameters()),
        model_sha256=sha256_file(run.model_path),
        seed=header.seed,
    )


def up_to_date(job: Judgement) -> bool:
    """Whether a result is there that measured the same model, data, recipe and metrics."""
    if not job.path.exists():
        return False
    try:
        result = read_result(job.path)
    except DataError:
        return False
    names, missing = split_available(job.recipe.evaluation.metrics, check_backbone)
    outputs = [job.path.with_suffix(".csv")]
    outputs += [job.path.with_name("train.csv")] if job.run else []
    return (
        isinstance(result, Evaluation)
        and all(path.exists() for path in outputs)
        and result.method == job.method
        and result.recipe == recipe_id(job.recipe, job.label)
        and result.leaked == job.leaked
        and result.dataset == _dataset_id(job)
        and set(result.metrics) == {*names, *missing}
        and not result.stale()
        and all(name in (result.rows[0].model_extra or {}) for name in names)
    )


def judge(
    job: Judgement, device: str = "cpu", step: Callable[[], None] = lambda: None
) -> Evaluation:
    """Measure and write a result: JSON, rows as CSV, thumbnails, the run's training curve."""
    rows = job.dataset.split(job.split)
    if not rows:
        raise DataError(
            f"dataset {job.dataset.header.name} has no pictures in its {job.split} split"
        )
    names, missing = split_available(job.recipe.evaluation.metrics, fetch_backbone)
    curve = None if job.run is None else _training_curve(job.run.directory / LOG)
    encoding = job.dataset.header.input_encoding
    method: Method = functools.partial(to_display, encoding=encoding)  # changes nothing
    if job.run is not None:
        method = read_model(job.run.model_path, device)[0].enhance
    folder = job.path.parent

    def keep(pair: Pair, output: Tensor) -> None:
        if job.run is None:
            return  # The identity's pictures are the inputs, which every other method shows.
        shown = to_display(pair.input, encoding)
        for role, picture in (("input", shown), ("output", output), ("target", pair.target)):
            name = f"{pair.row.id}-{role}.jpg"
            write_thumbnail(folder / "pictures" / name, picture.cpu().numpy())

    measured = evaluate(method, job.dataset, rows, names, device, keep, step)
    summaries = {}
    for name in job.recipe.evaluation.metrics:
        if name in missing:
            summary: dict[str, Any] = {"n": 0, "mean": None, "interval": None}
            summary["reason"] = missing[name]
        else:
            summary = summarise([row[name] for row in measured])
        summaries[name] = MetricSummary(version=metrics.METRICS[name].version, **summary)
    finite = [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in measured
    ]
    result = Evaluation(
        recipe=recipe_id(job.recipe, job.label),
        method=job.method,
        dataset=_dataset_id(job),
        size="full",
        metrics=summaries,
        rows=[ResultRow.model_validate(row) for row in finite],
        leaked=job.leaked,
        environment=describe(),
    )
    if curve is not None:
        write_text(folder / "train.csv", curve)
    write_text(job.path.with_suffix(".csv"), pd.DataFrame(finite).to_csv(index=False))
    write_result(job.path, result)
    return result


def _training_curve(log: Path) -> str:
    """A run's log as CSV, without its times. Raises DataError where it is missing or broken."""
    try:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        columns = ["step", "loss", "psnr", "learning_rate", "validation_psnr"]
        return pd.DataFrame(lines)[columns].to_csv(index=False)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{log} is not a whole training log: {error}") from None


def recipe_id(recipe: Recipe, label: str | None = None) -> RecipeId:
    """A recipe as results name it; `label` where they are of another dataset than its own."""
    return RecipeId(name=label or recipe.label, version=recipe.version, digest=recipe.digest)


def _dataset_id(job: Judgement) -> DatasetId:
    header = job.dataset.header
    return DatasetId(
        name=header.name, protocol=header.protocol, split=job.split, digest=header.digest
    )
