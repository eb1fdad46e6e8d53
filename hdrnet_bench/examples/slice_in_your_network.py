"""The slicing operator in a network of your own, trained under autocast.

    python -m hdrnet_bench.examples.slice_in_your_network INPUT TARGET [--steps N] [--device cuda]

INPUT and TARGET are one picture before and after an edit, of one size. The network's guide and its
predictor of coefficients are its own; only `bilateral_slice_apply` is this package's. It learns the
edit from random crops, and its loss is printed as it falls.

Under autocast the predictor's grid comes out in bfloat16 or float16, while the picture is float32:
the operator takes them as they are, computes in float32 and returns the picture's type. The guide
alone is computed with autocast off: in bfloat16 it has steps of 1/256 near white, and neighbouring
colours would share a place in the grid's depth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.examples.script import run, usable
from hdrnet_bench.images import read_picture
from hdrnet_bench.slicing import bilateral_slice_apply

DEPTH, CELLS, CROP, BATCH = 8, 8, 64, 4


class LocalColours(nn.Module):
    """Adds to a picture what a bilateral grid of 3 x 4 matrices makes of it."""

    def __init__(self) -> None:
        super().__init__()
        first = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
        self.predictor = nn.Sequential(*first, nn.Conv2d(32, 12 * DEPTH, 3, 2, 1))
        self.guide = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 1, 1), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:  # (B, 3, H, W) float32 -> the same
        small = F.interpolate(image, size=(8 * CELLS, 8 * CELLS), mode="area")
        # (B, 12, D, GH, GW), of autocast's type.
        grid = self.predictor(small).unflatten(1, (12, DEPTH))
        with torch.autocast(image.device.type, enabled=False):
            guide = self.guide(image)  # (B, 1, H, W) in [0, 1], float32
        return image + bilateral_slice_apply(grid, guide, image)


def read(path: str) -> Tensor:
    """A picture of 8 or 16 bits as (3, H, W) float32 in [0, 1], sRGB."""
    pixels = read_picture(path).pixels
    scaled = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    return torch.from_numpy(scaled).permute(2, 0, 1)


def train(
    network: nn.Module, before: Tensor, after: Tensor, steps: int, dtype: torch.dtype
) -> Iterator[float]:
    """The loss of each step. before, after: (3, H, W) in [0, 1], on the network's device."""
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    # float16 alone has too little range for small gradients; elsewhere the scaler does nothing.
    scaler = torch.amp.GradScaler(before.device.type, enabled=dtype == torch.float16)
    rows, columns = (side - CROP + 1 for side in before.shape[1:])
    for _ in range(steps):
        places = [
            (slice(None), slice(top, top + CROP), slice(left, left + CROP))
            for top, left in torch.stack([torch.randint(n, (BATCH,)) for n in (rows, columns)], 1)
        ]
        crops, wanted = (torch.stack([one[place] for place in places]) for one in (before, after))
        with torch.autocast(before.device.type, dtype):
            output = network(crops)
        loss = F.mse_loss(output, wanted)  # float32
        optimiser.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        yield loss.item()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a network of your own that slices.")
    parser.add_argument("input")
    parser.add_argument("target")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(argv)
    if options.steps < 1:
        raise UsageError("--steps is 1 or more")
    device = usable(options.device)
    bfloat16 = device.type == "cpu" or torch.cuda.is_bf16_supported()
    dtype = torch.bfloat16 if bfloat16 else torch.float16
    before, after = (read(path).to(device) for path in (options.input, options.target))
    if before.shape != after.shape or min(before.shape[1:]) < CROP:
        raise DataError(f"{options.input} and {options.target}: not one size of {CROP} or more")
    torch.manual_seed(0)
    losses = list(train(LocalColours().to(device), before, after, options.steps, dtype))
    for step in range(0, len(losses), 50):
        mean = sum(losses[step : step + 50]) / len(losses[step : step + 50])
        print(f"steps {step + 1} to {min(step + 50, len(losses))}: mean squared error {mean:.5f}")


if __name__ == "__main__":
    run(main)
