"""Scoring a network on the validation pictures while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

from ..data.pairs import PictureStore
from ..errors import DataError
from ..evaluation.score import measure
from ..evaluation.slopes import of_model
from ..model.hdrnet import HDRNet
from ..recipe import TrainingSpec
from .distributed import World


@torch.no_grad()
def validate(
    model: HDRNet,
    pictures: PictureStore,
    names: Iterable[str] = ("psnr",),
    world: World | None = None,
    stop: Callable[[], object] = lambda: None,
) -> dict[str, float] | None:
    """Mean metrics over whole validation pictures, by the scorer that eval uses.

    The processes share the pictures; the means do not depend on their number. NaN where the
    model's output is not finite. Pictures that a metric is not defined for are left out of its
    mean; DataError where it is defined for none.

    stop: asked before each picture; where it says so in any process, all of them give it up, and
        the result is None.
    """
    world, ordered = world or World(), sorted(set(names))
    training, device = model.training, next(model.parameters()).device
    model.eval()
    method = of_model(model)
    mine: list[dict[str, float]] = []
    given_up = False
    for index in range(world.rank, len(pictures), world.size):
        if stop():
            given_up = True
            break
        pair = pictures.pair(index).to(device)
        output, held = method.both(pair)
        finite = bool(torch.isfinite(output).all())
        if finite:
            scores = measure(output, pair.target, ordered, model.config.spatial_bin, held=held)
            mine.append({n: v for n, v in scores.values.items() if n not in scores.undefined})
        else:
            mine.append(dict.fromkeys(ordered, math.nan))
    model.train(training)
    if any(world.all_gather(given_up)):
        return None
    shares = world.all_gather(mine)
    values = [shares[i % world.size][i // world.size] for i in range(len(pictures))]
    return {name: _mean(name, [v[name] for v in values if name in v]) for name in ordered}


def out_of_patience(spec: TrainingSpec, best_step: int, step: int) -> bool:
    """Whether the recipe's patience has run out at a validation: as many in a row, this one among
    them, brought nothing better than the one at `best_step`. Not for the last step, whose
    validation may follow on the one before sooner than after `validate_every` steps."""
    since = (step - best_step) // spec.validate_every
    return spec.patience is not None and since >= spec.patience


def _mean(name: str, values: list[float]) -> float:
    if not values:
        raise DataError(f"{name} is not defined for any validation picture: they are too small")
    return sum(values) / len(values)
