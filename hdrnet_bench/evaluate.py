"""The only scorer: a method's picture against its target, and the summary over pictures.

A method's output is clamped and rounded to 8 bits first, so that every metric judges the picture
that would be saved.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

from . import metrics
from .baselines import Method
from .complexity import complexity
from .data import Pair
from .errors import DataError
from .files import sha256_file
from .metrics.grid_artefact import CELLS, grid_artefact
from .model_file import read_model_header
from .recipe import Recipe
from .results import MethodId, RecipeId
from .runs import Run

MIN_FOR_INTERVAL = 6


def saved_levels(output: Tensor) -> Tensor:
    """What a picture is once saved with 8 bits: clamped, rounded to nearest, in [0, 1]."""
    return output.clamp(0, 1).mul(255).round() / 255


def score(
    output: Tensor, target: Tensor, names: Sequence[str], cells: int = CELLS
) -> dict[str, float]:
    """The metrics of one output (3, H, W), judged as it would be saved.

    Args:
        cells: a side of the grid that artefacts are looked for along.
    """
    saved = saved_levels(output)
    functions = _METRIC | {"grid_artefact": functools.partial(grid_artefact, cells=(cells, cells))}
    return {name: float(functions[name](saved, target)) for name in names}


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


@torch.no_grad()
def measure(method: Method, pair: Pair, names: Sequence[str], cells: int) -> dict[str, Any]:
    """A picture's row: id, size, licence and each metric, None where it is not finite.

    Raises DataError where the output is no picture, or is too small for a metric.
    """
    output = method(pair)
    if not torch.isfinite(output).all():
        raise DataError(f"the model's output for {pair.row.id} is not finite: train it again")
    try:
        values = score(output, pair.target, names, cells)
    except ValueError as error:
        raise DataError(f"{pair.row.id} cannot be judged: {error}") from None
    height, width = pair.target.shape[-2:]
    measured = {name: v if math.isfinite(v) else None for name, v in values.items()}
    return {
        "id": pair.row.id,
        "width": width,
        "height": height,
        "licence": pair.row.licence,
    } | measured


def summarise(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean with its 95 % interval (Student's t), or null with a reason; n; extremes.
    None is a value that is not finite."""
    array = np.asarray([math.nan if v is None else v for v in values], dtype=np.float64)
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


def method_id(run: Run) -> MethodId:
    """A run as results name it: its variant, what it costs, and the digest of its model file."""
    header = read_model_header(run.model_path)
    costs = complexity(header.config)
    return MethodId(
        name=f"hdrnet-{header.config.variant}",
        run=run.name,
        parameters=costs.parameters,
        network_macs=costs.network_macs,
        pixel_macs=costs.pixel_macs,
        model_sha256=sha256_file(run.model_path),
        seed=header.seed,
    )


def recipe_id(recipe: Recipe, label: str | None = None) -> RecipeId:
    """A recipe as results name it; `label` where they are of another dataset than its own."""
    return RecipeId(name=label or recipe.label, version=recipe.version, digest=recipe.digest)
