"""A run's TensorBoard events: scalars of each step, and a validation picture at each validation."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

LONG_EDGE = 512


class Events:
    """Writes a run's events; after a resume, what came later than `done` steps is purged."""

    def __init__(self, directory: Path, done: int) -> None:
        self._writer = SummaryWriter(str(directory), purge_step=done + 1 if done else None)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def comparison(self, step: int, name: str, *pictures: Tensor) -> None:
        """Pictures (3, H, W) side by side, made smaller to a long edge of 512."""
        row = torch.cat([p.detach().float().clamp(0, 1).cpu() for p in pictures], dim=2)
        scale = min(1.0, LONG_EDGE / max(pictures[0].shape[-2:]))
        if scale < 1:
            size = [max(1, round(length * scale)) for length in row.shape[-2:]]
            row = F.interpolate(row[None], size=size, mode="area")[0]
        self._writer.add_image(name, row, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
