"""The only scorer: a method's picture against its target, and the summary over pictures.

A method's output is clamped and rounded to 8 bits first, so that every metric is of the picture
that would be saved.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import metrics
from ..data.pairs import Pair
from ..errors import DataError, UsageError
from ..files import sha256_file
from ..metric_specs import METRICS
from ..metrics import as_published
from ..metrics.grid_artefact import CELLS, grid_artefact
from ..metrics.lpips import NETS, Net
from ..model.complexity import complexity
from ..model.file import read_model_header
from ..recipe import Recipe
from ..result_ids import SLUG, MethodId, RecipeId
from ..runs import Run
from ..statistics import MIN_FOR_INTERVAL, Bounds, mean_interval, variances_within
from .slopes import Held, Slopes, WithCoefficients, slopes

# A method: a pair at its size to an output (3, H, W), not clamped. Only oracles look at the target.
Method = Callable[[Pair], Tensor]


def saved_levels(output: Tensor) -> Tensor:
    """What a picture is once saved with 8 bits: clamped, rounded to nearest, in [0, 1]."""
    return output.clamp(0, 1).mul(255).round() / 255


class Scores(NamedTuple):
    """A picture's metrics. undefined: why one has no value, which then is NaN. A value may be
    infinite. slopes: where inversions were asked for, of a method that has coefficients."""

    values: dict[str, float]
    undefined: dict[str, str]
    slopes: Slopes | None = None


def score(
    output: Tensor, target: Tensor, names: Sequence[str], cells: int = CELLS
) -> dict[str, float]:
    """The values of `measure`, NaN where a metric is not defined for this picture."""
    return measure(output, target, names, cells).values


def measure(
    output: Tensor,
    target: Tensor,
    names: Sequence[str],
    cells: int = CELLS,
    mask: Tensor | None = None,
    held: Held | None = None,
) -> Scores:
    """The metrics of one output (3, H, W), as it would be saved; those of papers as theirs.

    Of a paper's metrics, which its program computes together, all are undefined where one is,
    but for LPIPS.

    Args:
        names: in metric_specs.METRICS, none of groups.
        cells: a side of the grid that artefacts are looked for along.
        mask: (H, W) in [0, 1], where the picture has one; without it what needs masks is undefined.
        held: the method with the coefficients of the picture; without it inversions are undefined.
    """
    saved = saved_levels(output)
    both_differences = set(names) >= _COLOUR_DIFFERENCES
    values: dict[str, float] = {}
    undefined: dict[str, str] = {}
    found: Slopes | None = None
    for name in names:
        if name in values:
            continue
        try:
            if "." in name:
                values |= _of_paper(name, output, target)
            elif both_differences and name in _COLOUR_DIFFERENCES:  # they share the way to L*a*b*
                both = metrics.delta_e_both(saved, target)
                values |= zip(("delta_e_76", "delta_e_2000"), map(float, both), strict=True)
            elif name == "grid_artefact":
                values[name] = float(grid_artefact(saved, target, cells=(cells, cells)))
            elif name == "inversions":
                found = _slopes(held)
                values[name] = found.inversions
            elif METRICS[name].needs == "masks":
                values[name] = _masked(name, saved, target, mask)
            else:
                values[name] = float(getattr(metrics, name)(saved, target))
        except metrics.Undefined as reason:
            values[name], undefined[name] = math.nan, str(reason)
    undefined |= {
        n: _not_a_number(n) for n in names if math.isnan(values[n]) and n not in undefined
    }
    return Scores({name: values[name] for name in names}, undefined, found)


_COLOUR_DIFFERENCES = {"delta_e_76", "delta_e_2000"}


def _masked(name: str, output: Tensor, target: Tensor, mask: Tensor | None) -> float:
    if mask is None:
        raise metrics.Undefined("the dataset has no mask of it")
    return float(getattr(metrics, name)(output, target, mask))


def _slopes(held: Held | None) -> Slopes:
    if held is None:
        raise metrics.Undefined("inversions are of coefficients, and the method has none")
    return slopes(held)


def _of_paper(name: str, output: Tensor, target: Tensor) -> dict[str, float]:
    """A paper's metric, and those that come with it."""
    mode, _, _ = name.partition(".")
    # A network that diverges has a bad score, not an error: what clamps is given it clamped.
    clamped = output.clamp(0, 1)
    if name == "llf-lut.lpips":  # alone: it costs more than all that papers measured together
        return {name: float(as_published.llf_lut_lpips(clamped, target))}
    if mode == "llf-lut":
        measured = as_published.llf_lut(clamped, target, with_lpips=False)
    elif mode in _UNCLAMPED:
        measured = _UNCLAMPED[mode](output, target, any_range=True)
    else:
        measured = as_published.MODES[mode](clamped, target)
    return {f"{mode}.{n}": float(v) for n, v in measured.items() if v is not None}


_UNCLAMPED = {"namedcurves": as_published.namedcurves, "hdrnet": as_published.hdrnet}


def _not_a_number(name: str) -> str:
    if name == "grid_artefact":
        return "its cells are too small: all neighbouring pixels are of one kind"
    return "its data range is 0, as the picture is constant"


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
    """A picture's row: id, size, licence and each metric, None where it is not finite; `undefined`
    has the reasons of those that are not defined for this picture, where there are such; for a
    metric of groups the picture's group and mean colour, where it is in one; the lowest and the
    highest slope, where the method has coefficients.

    Raises DataError where the picture is too small for the model, or its output is not finite.
    """
    try:
        output, held = (
            method.both(pair) if isinstance(method, WithCoefficients) else (method(pair), None)
        )
    except ValueError as error:
        raise DataError(f"{pair.row.id} cannot be enhanced: {error}") from None
    if not torch.isfinite(output).all():
        raise DataError(f"the model's output for {pair.row.id} is not finite: train it again")
    try:
        of_pictures = [name for name in names if not METRICS[name].of_groups]
        values, undefined, found = measure(output, pair.target, of_pictures, cells, pair.mask, held)
    except ValueError as error:
        raise DataError(f"{pair.row.id} cannot be scored: {error}") from None
    height, width = pair.target.shape[-2:]
    measured = {name: v if math.isfinite(v) else None for name, v in values.items()}
    return (
        {"id": pair.row.id, "width": width, "height": height, "licence": pair.row.licence}
        | measured
        | ({"undefined": undefined} if undefined else {})
        | ({"slopes": [found.low, found.high]} if found else {})
        | (_in_group(pair.row.group, output) if len(of_pictures) < len(names) else {})
    )


def _in_group(group: str | None, output: Tensor) -> dict[str, Any]:
    if group is None:
        return {}
    return {"group": group, "mean_ab": metrics.mean_ab(output.clamp(0, 1)).tolist()}


def summarise_rows(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The summary of a metric over the rows for whose pictures it is defined; how many others. Of
    a metric of groups over the groups that have two of these pictures."""
    if METRICS[name].of_groups:
        return _summarise_groups(rows, METRICS[name].bounds)
    reasons = [r["undefined"][name] for r in rows if name in r.get("undefined", {})]
    values = [row[name] for row in rows if name not in row.get("undefined", {})]
    summary = summarise(values, METRICS[name].bounds)
    if reasons:
        summary["undefined"] = len(reasons)
    if len(reasons) == len(rows) > 0:
        summary["reason"] = f"not defined for any of {len(rows)} pictures: {reasons[0]}"
    return summary


def _summarise_groups(rows: Sequence[dict[str, Any]], bounds: Bounds) -> dict[str, Any]:
    groups = variances_within((row.get("group"), row.get("mean_ab")) for row in rows)
    values = [value for value in groups.values() if value is not None]
    summary = summarise(values, bounds)
    if len(values) < len(groups):
        summary["undefined"] = len(groups) - len(values)
    if not groups:
        summary["reason"] = "the dataset says of no picture which others it belongs with"
    elif not values:
        summary["reason"] = "no group has two of these pictures"
    elif len(values) < MIN_FOR_INTERVAL:
        summary["reason"] = f"no interval: fewer than {MIN_FOR_INTERVAL} groups"
    return summary


def summarise(values: Sequence[float | None], bounds: Bounds = None) -> dict[str, Any]:
    """Mean with its 95 % interval, kept within the bounds, or null with a reason; n; extremes.
    None is a value that is not finite."""
    numbers = [math.nan if v is None else v for v in values]
    summary = mean_interval(numbers, bounds)._asdict() | ({"bounds": bounds} if bounds else {})
    if summary["mean"] is None:
        return summary
    return summary | {"min": min(numbers), "max": max(numbers)}


def method_id(run: Run) -> MethodId:
    """A run as results name it: its variant, what it costs, and the digest of its model file.

    Raises UsageError where its directory's name cannot be part of a result's.
    """
    if not re.fullmatch(SLUG, run.name):
        raise UsageError(
            f"{run.directory}: a result is named by its run; rename the directory with letters, "
            "digits, '.', '_' and '-' alone"
        )
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
