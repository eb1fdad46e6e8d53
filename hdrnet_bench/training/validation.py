"""Scoring a network on the validation pictures while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from ..data.pairs import PictureStore
from ..evaluation.score import score
from ..model.hdrnet import HDRNet
from .distributed import World


@torch.no_grad()
def validate(
    model: HDRNet,
    pictures: PictureStore,
    names: Iterable[str] = ("psnr",),
    world: World | None = None,
) -> dict[str, float]:
    """Mean metrics over whole validation pictures, by the scorer that eval uses.

    The processes share the pictures; the means do not depend on their number. NaN where the
    model's output is not finite.
    """
    world, ordered = world or World(), sorted(set(names))
    training, device = model.training, next(model.parameters()).device
    model.eval()
    mine: list[dict[str, float]] = []
    for index in range(world.rank, len(pictures), world.size):
        pair = pictures.pair(index).to(device)
        output = model.enhance(pair.input)
        finite = bool(torch.isfinite(output).all())
        mine.append(
            score(output, pair.target, ordered, model.config.spatial_bin)
            if finite
            else dict.fromkeys(ordered, math.nan)
        )
    model.train(training)
    shares = world.all_gather(mine)
    values = [shares[i % world.size][i // world.size] for i in range(len(pictures))]
    return {name: sum(value[name] for value in values) / len(values) for name in ordered}
