"""The only scorer: a method's picture against its target, and the summary over pictures.

A method's output is clamped and rounded to 8 bits first, so that every metric is of the picture
that would be saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import metrics
from ..data.pairs import Pair
from ..errors import DataError
from ..files import sha256_file
from ..metrics.as_published import MODES, llf_lut
from ..metrics.grid_artefact import CELLS, grid_artefact
from ..metrics.lpips import NETS, Net
from ..model.complexity import complexity
from ..model.file import read_model_header
from ..recipe import Recipe
from ..results import MethodId, RecipeId
from ..runs import Run
from ..statistics import mean_interval

# A method: a pair at its size to an output (3, H, W), not clamped. Only oracles look at the target.
Method = Callable[[Pair], Tensor]


def saved_levels(output: Tensor) -> Tensor:
    """What a picture is once saved with 8 bits: clamped, rounded to nearest, in [0, 1]."""
    return output.clamp(0, 1).mul(255).round() / 255


def score(
    output: Tensor, target: Tensor, names: Sequence[str], cells: int = CELLS
) -> dict[str, float]:
    """The metrics of one output (3, H, W), as it would be saved; those of papers as theirs.

    Args:
        names: in metric_specs.METRICS.
        cells: a side of the grid that artefacts are looked for along.
    """
    saved = saved_levels(output)
    values: dict[str, float] = {}
    if {"delta_e_76", "delta_e_2000"} <= set(names):  # which share the way to L*a*b*
        both = zip(("delta_e_76", "delta_e_2000"), metrics.delta_e_both(saved, target), strict=True)
        values |= {name: float(value) for name, value in both}
    if "grid_artefact" in names:
        values["grid_artefact"] = float(grid_artefact(saved, target, cells=(cells, cells)))
    for name in names:
        mode, _, value = name.partition(".")
        if value and name not in values:
            # Of all that papers measured, LPIPS alone costs more than the rest together.
            spare = mode == "llf-lut" and "llf-lut.lpips" not in names
            measured = llf_lut(output, target, False) if spare else MODES[mode](output, target)
            values |= {f"{mode}.{n}": float(v) for n, v in measured.items() if v is not None}
        elif name not in values:
            values[name] = float(getattr(metrics, name)(saved, target))
    return {name: values[name] for name in names}


# The backbone that a metric needs.
_BACKBONES: dict[str, Net] = NETS | {"llf-lut.lpips": "alex"}


def split_available(
    names: Sequence[str], lpips_reason: Callable[[Net], str | None]
) -> tuple[list[str], dict[str, str]]:
    """The metrics that can be computed here, and for each other one the reason.

    `lpips_reason` says why LPIPS cannot be computed: check_backbone, or fetch_backbone, which
    downloads first.
    """
    needing = [name for name in names if name in _BACKBONES]
    reasons = {name: lpips_reason(_BACKBONES[name]) for name in needing}
    missing = {name: reason for name, reason in reasons.items() if reason}
    return [name for name in names if name not in missing], missing


@torch.no_grad()
def score_pair(method: Method, pair: Pair, names: Sequence[str], cells: int) -> dict[str, Any]:
    """A picture's row: id, size, licence and each metric, None where it is not finite.

    Raises DataError where the output is not finite, or too small for a metric.
    """
    output = method(pair)
    if not torch.isfinite(output).all():
        raise DataError(f"the model's output for {pair.row.id} is not finite: train it again")
    try:
        values = score(output, pair.target, names, cells)
    except ValueError as error:
        raise DataError(f"{pair.row.id} cannot be scored: {error}") from None
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
    numbers = [math.nan if v is None else v for v in values]
    summary = mean_interval(numbers)._asdict()
    if summary["mean"] is None:
        return summary
    return summary | {"min": min(numbers), "max": max(numbers)}


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
