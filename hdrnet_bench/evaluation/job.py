"""What is evaluated: a run, a baseline, or a folder of pictures, as a recipe or a dataset asks.

Everything that can be wrong with it is noticed here, before a picture is scored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..config import HDRNetConfig
from ..data.encoding import check_encoding
from ..data.leakage import leaked_ids, trained_on
from ..data.manifest import Dataset, Row, Split, open_dataset
from ..errors import DataError, UsageError, first_fault
from ..files import json_line, sha256_text
from ..metrics.grid_artefact import CELLS
from ..model.file import ModelHeader
from ..model.load import read_model
from ..recipe import EvaluationSpec, Recipe
from ..result_ids import SLUG, DatasetId, MethodId, RecipeId
from ..results import ResultRow, Size, Unpaired, evaluation_path, result_folder
from ..runs import Run
from . import baselines, slopes
from .baselines import Baseline
from .predictions import describe, pair_predictions
from .score import Method, method_id, recipe_id

BASELINE, PREDICTIONS = "baseline", "predictions"  # in the place of a run's name
ALWAYS_MEASURED = ("grid_artefact", "inversions")  # beside every recipe's metrics


class JobSpec(NamedTuple):
    """What methods are compared on: pictures, metrics, and the model that oracles bound.

    recipe: as results name it, which is not the recipe's own name on another dataset than its own.
    """

    recipe: RecipeId
    metrics: tuple[str, ...]
    config: HDRNetConfig
    dataset: Dataset
    split: Split


class EvaluationJob(NamedTuple):
    """One result to be measured.

    open: device -> the method there. rows: the pictures that are scored. cells: side of the grid
    along which `grid_artefact` looks. leaked: how many of the pictures the model was trained with.
    unpaired: what of a folder of predictions has no row. notes: what reading a prediction had to
    do, by id; there once the method was run.
    """

    spec: JobSpec
    method: MethodId
    open: Callable[[str], Method]
    rows: list[Row]
    size: Size = "full"
    cells: int = CELLS
    run: Run | None = None
    leaked: int = 0
    unpaired: Unpaired | None = None
    notes: Mapping[str, Sequence[str]] = MappingProxyType({})

    @property
    def path(self) -> Path:
        folder = result_folder(self.spec.recipe.name, self.method.name, self.method.run)
        return evaluation_path(folder, self.spec.split, self.size)

    @property
    def title(self) -> str:
        return f"{self.spec.recipe.name}: {self.method.name}, {self.method.run}, {self.size}"

    @property
    def metrics(self) -> tuple[str, ...]:
        names = self.spec.metrics
        return (*names, *(name for name in ALWAYS_MEASURED if name not in names))

    @property
    def dataset(self) -> DatasetId:
        header, split = self.spec.dataset.header, self.spec.split
        return DatasetId(
            name=header.name, protocol=header.protocol, split=split, digest=header.digest
        )


def _check(dataset: Dataset, split: Split) -> None:
    """Raises DataError where a result could not hold what the dataset calls itself or a picture,
    before any is measured."""
    header, ids = dataset.header, set[str]()
    what = str(dataset.directory)
    try:
        DatasetId(name=header.name, protocol=header.protocol, split=split, digest=header.digest)
        for row in dataset.split(split):
            what = f"{dataset.directory}, {split}, picture {row.id!r}"
            ResultRow(id=row.id, width=row.width, height=row.height, licence=row.licence)
            row.licence.encode()
            if row.id in ids:
                raise DataError(f"{what} is there twice: prepare the dataset again")
            ids.add(row.id)
    except ValueError as error:
        raise DataError(
            f"{what}: no result could hold this ({first_fault(error)}): prepare the dataset with "
            "names of letters, digits, spaces, '.', '_' and '-'"
        ) from None


def recipe_spec(recipe: Recipe, dataset: Dataset, split: Split) -> JobSpec:
    """A recipe's specification, on its own dataset or on another, whose results are kept apart."""
    _check(dataset, split)
    own = dataset.header.name == recipe.dataset.name
    label = recipe.label if own else f"{recipe.label}-on-{dataset.header.name}"
    metrics = recipe.evaluation.metrics
    return JobSpec(recipe_id(recipe, label), metrics, recipe.model, dataset, split)


def dataset_spec(dataset: Dataset, split: Split) -> JobSpec:
    """A specification without a recipe: the default metrics, under a name of its own, so that the
    results stay apart from those of a recipe with the dataset's name."""
    _check(dataset, split)
    spec, header = EvaluationSpec(), dataset.header
    digest = sha256_text(json_line(spec.model_dump(mode="json")))
    config = HDRNetConfig(input_encoding=header.input_encoding, input_white=header.input_white)
    recipe = RecipeId(name=f"on-{header.name}", version=header.version, digest=digest)
    return JobSpec(recipe, spec.metrics, config, dataset, split)


def run_job(spec: JobSpec, run: Run, allow_leak: bool) -> EvaluationJob:
    """Of a finished run.

    Raises DataError where it is unfinished, was trained on another version of the dataset, or with
    pictures that it is to be scored on, unless `allow_leak`; UsageError where it is for inputs in
    another encoding.
    """
    dataset, split = spec.dataset, spec.split
    header = run.finished_header()
    own = dataset.header.name == run.recipe.dataset.name
    if own and header.dataset_digest != dataset.header.digest:
        raise DataError(
            f"{run.directory} was trained on {header.dataset} with digest "
            f"{str(header.dataset_digest)[:12]}, which is now {dataset.header.digest[:12]}: "
            "prepare that version again, or train again"
        )
    check_encoding(header.config, dataset.header, str(run.directory))
    leaked = _leaked(run, header, dataset, split)
    if leaked and not allow_leak:
        raise DataError(
            f"{run.directory} was trained with {leaked} of the {len(dataset.split(split))} "
            f"pictures in {dataset.header.name}, {split}: its scores there would mean nothing; "
            "--allow-leak measures them all the same and marks the result"
        )

    def method(device: str) -> Method:
        return slopes.of_model(read_model(run.model_path, device)[0])

    rows, cells = dataset.split(split), header.config.spatial_bin
    return EvaluationJob(spec, method_id(run), method, rows, cells=cells, run=run, leaked=leaked)


def _leaked(run: Run, header: ModelHeader, dataset: Dataset, split: Split) -> int:
    """How many of a split's pictures the run was trained with.

    Raises DataError where nothing says what it was trained with.
    """
    training = header.trained_on
    if training is None:  # a model file from before they stated it
        try:
            own = open_dataset(run.recipe.dataset.name)
            if own.header.digest != header.dataset_digest:
                raise DataError(f"{own.directory} is another version than it was trained on")
            training = trained_on(own)
        except DataError as error:
            raise DataError(
                f"{run.directory} does not say which pictures it was trained with: {error}"
            ) from None
    return len(leaked_ids(training, dataset, dataset.split(split)))


def baseline_job(spec: JobSpec, name: Baseline) -> EvaluationJob:
    """Of a baseline; the grid's guide is luma.

    Raises UsageError where an oracle would be of a model for inputs in another encoding.
    """
    config, header = spec.config, spec.dataset.header
    if name != "identity":
        check_encoding(config, header, f"recipe {spec.recipe.name}")
    methods = {
        "identity": ("identity", baselines.identity(header.input_encoding), CELLS),
        "affine": ("oracle-affine", baselines.affine(config), CELLS),
        "grid": (
            baselines.grid_name(config, "luma"),
            baselines.grid(config, baselines.luma),
            config.spatial_bin,
        ),
    }
    label, method, cells = methods[name]
    id_ = MethodId(name=label, run=BASELINE, parameters=None, model_sha256=None, seed=None)
    rows = spec.dataset.split(spec.split)
    return EvaluationJob(spec, id_, lambda device: method, rows, cells=cells)


def grid_bound_job(spec: JobSpec, run: Run) -> EvaluationJob:
    """Of the best grid under a finished run's guide. Raises UsageError for a pyramid."""
    header = run.finished_header()
    config = header.config
    if config.variant == "pyramid":
        raise UsageError(
            f"{run.directory} is a pyramid, three grids under three guides: --baseline grid is the "
            "bound of one; give it a recipe, and the guide is luma"
        )
    check_encoding(config, spec.dataset.header, str(run.directory))

    def method(device: str) -> Method:
        model, _ = read_model(run.model_path, device)
        return baselines.grid(config, model.guides[0])

    id_ = method_id(run).model_copy(
        update={
            "name": baselines.grid_name(config, config.variant),
            **dict.fromkeys(("parameters", "network_macs", "pixel_macs")),
        }
    )
    rows = spec.dataset.split(spec.split)
    return EvaluationJob(spec, id_, method, rows, cells=config.spatial_bin)


def check_method_name(name: str) -> None:
    """Raises UsageError for what no method of others can be called in results."""
    if not re.fullmatch(SLUG, name):
        raise UsageError(f"--name {name!r}: use letters, digits, '.', '_' and '-'")
    if name == "identity" or name.startswith(("oracle-", "hdrnet-")):
        raise UsageError(f"--name {name} is the name of a method of this project: choose another")


def predictions_job(
    spec: JobSpec, folder: Path, name: str, size: Size, allow_missing: bool
) -> EvaluationJob:
    """Of pictures that another method made, paired by id or by the name of the row's source file;
    they must be as large as `size` asks.

    Raises DataError where some are missing or of another size, unless `allow_missing`, and where
    none is left.
    """
    check_method_name(name)
    rows = spec.dataset.split(spec.split)
    others = [row for row in spec.dataset.rows if row.split != spec.split]
    predictions = pair_predictions(folder, rows, size, others)
    gaps = predictions.unpaired.model_copy(update={"extra": []})
    has_gaps = bool(gaps.missing or gaps.wrong_size)
    if not predictions.files:
        raise DataError(
            f"{folder} has no picture for {spec.dataset.header.name}, {spec.split}, {size}: they "
            f"are paired by id, as {rows[0].id}.png, or by the name of the source file; "
            f"{describe(predictions.unpaired)}"
            if rows
            else f"dataset {spec.dataset.header.name} has no pictures in its {spec.split} split"
        )
    if has_gaps and not allow_missing:
        raise DataError(
            f"{folder}: {describe(gaps)}; --allow-missing scores the other "
            f"{len(predictions.files)} of {len(rows)}, and the result says so"
        )
    method = MethodId(
        name=name,
        run=PREDICTIONS,
        parameters=None,
        model_sha256=None,
        predictions_sha256=predictions.sha256,
        seed=None,
    )
    rows = [row for row in rows if row.id in predictions.files]
    return EvaluationJob(
        spec,
        method,
        lambda device: predictions.method,
        rows,
        size,
        unpaired=predictions.unpaired,
        notes=predictions.notes,
    )
