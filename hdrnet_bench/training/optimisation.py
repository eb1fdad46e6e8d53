"""What a training step is made of beside the network: loss, optimiser, learning rate, average."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.hdrnet import HDRNet
from ..recipe import TrainingSpec

CHARBONNIER_EPSILON = 1e-3
# A mean error of 100 times white: no training comes back from there.
DIVERGED = {"l2": 1e4, "l1": 1e2, "charbonnier": 1e2}


def loss_of(spec: TrainingSpec, output: Tensor, target: Tensor) -> Tensor:
    """The recipe's loss, a mean over all values of the batch.

    l2: (output - target)^2, the paper's; l1: |output - target|; charbonnier: sqrt((output -
    target)^2 + 1e-6) (Lai et al. 2017), an l1 that is smooth at zero.
    """
    if spec.loss == "l2":
        return F.mse_loss(output, target)
    if spec.loss == "l1":
        return F.l1_loss(output, target)
    return ((output - target).square() + CHARBONNIER_EPSILON**2).sqrt().mean()


def diverged(spec: TrainingSpec, loss: float) -> bool:
    """Whether a loss is not finite, or so large that no training comes back from it."""
    return not math.isfinite(loss) or loss > DIVERGED[spec.loss]


def optimiser_of(spec: TrainingSpec, model: HDRNet) -> torch.optim.Adam:
    """Adam or AdamW; weight decay on the weights of convolutions and dense layers alone.

    With adam it is the reference's penalty weight_decay * sum(w^2) / 2, whose gradient is added to
    the (clipped) gradient of the loss; with adamw it is decoupled (Loshchilov and Hutter 2019).
    Biases, batch norm's shifts and the curves guide's parameters are never decayed.
    """
    decayed = [
        module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    chosen = {id(weight) for weight in decayed}
    groups = [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": [p for p in model.parameters() if id(p) not in chosen], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if spec.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=spec.learning_rate)


def rate(spec: TrainingSpec, step: int, steps: int) -> float:
    """The factor on the learning rate at a step (from 0): linear warm-up, then the schedule."""
    warm = min(1.0, (step + 1) / (spec.warmup_steps + 1))
    if spec.schedule == "constant":
        return warm
    return warm * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))


@torch.no_grad()
def update_average(average: HDRNet, model: HDRNet, decay: float, step: int) -> None:
    """Move the averaged weights towards the model's after step `step` (from 1).

    The decay grows as (1 + step) / (10 + step) up to its value, so that the random start is
    forgotten. Batch norm's statistics are averages already and are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
    for held, current in zip(average.buffers(), model.buffers(), strict=True):
        held.copy_(current)


class TrainingForward(nn.Module):
    """The forward pass of a training step: the coefficients in the recipe's precision, the guide
    and slicing, which `HDRNet` keeps out of autocast, in float32."""

    def __init__(self, model: HDRNet, precision: str) -> None:
        super().__init__()
        self.model = model
        self.dtype = None if precision == "float32" else getattr(torch, precision)

    def forward(self, lowres: Tensor, crop: Tensor) -> Tensor:
        """(B, 3, S, S), (B, 3, K, K) -> (B, 3, K, K)."""
        with torch.autocast(lowres.device.type, self.dtype, enabled=self.dtype is not None):
            return self.model(lowres, crop)
