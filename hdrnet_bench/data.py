"""Manifest to training samples: decode once, then crops whose randomness is a function of
(seed, draw) and of nothing else, so that neither workers nor interruptions change them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .config import HDRNetConfig
from .errors import DataError
from .images import read_picture, to_float32
from .manifest import Dataset, Row
from .model import make_lowres


class Pair(NamedTuple):
    """One pair in memory: (3, H, W) float32 in [0, 1]."""

    row: Row
    input: Tensor
    target: Tensor

    def to(self, device: str | torch.device) -> Pair:
        return Pair(self.row, self.input.to(device), self.target.to(device))


def load_pair(dataset: Dataset, row: Row) -> Pair:
    """Decode one pair. Raises DataError that names a missing, broken or wrongly sized file."""
    pictures = []
    for path in (dataset.input_path(row), dataset.target_path(row)):
        pixels = read_picture(path).pixels
        if pixels.shape[:2] != (row.height, row.width):
            raise DataError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]}, its row says "
                f"{row.width}x{row.height}; `hdrbench verify {dataset.header.name}` tells more"
            )
        pictures.append(torch.from_numpy(to_float32(pixels)))
    return Pair(row, *pictures)


class Crops(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Training samples by draw number: low-res input (3, S, S), crop (3, K, K), target (3, K, K).

    Draw k is picture k modulo n of a permutation that is new every n draws. The low-res input is
    made from the crop, as published.
    """

    def __init__(
        self,
        pairs: list[Pair],
        config: HDRNetConfig,
        *,
        seed: int,
        crop: int,
        flips: bool,
        draws: int,
    ) -> None:
        self.pairs, self.config = pairs, config
        self.seed, self.crop, self.flips, self.draws = seed, crop, flips, draws
        for pair in pairs:
            if min(pair.input.shape[-2:]) < crop:
                raise DataError(
                    f"picture {pair.row.id} is {pair.row.width}x{pair.row.height}, smaller than "
                    f"the crop of {crop}: set training.crop in the recipe to at most "
                    f"{min(pair.input.shape[-2:])}"
                )

    def __len__(self) -> int:
        return self.draws

    def __getitem__(self, draw: int) -> tuple[Tensor, Tensor, Tensor]:
        epoch, place = divmod(draw, len(self.pairs))
        order = _generator(self.seed, epoch, "order").permutation(len(self.pairs))
        pair = self.pairs[order[place]]
        random = _generator(self.seed, epoch, pair.row.id)
        top = int(random.integers(pair.row.height - self.crop + 1))
        left = int(random.integers(pair.row.width - self.crop + 1))
        window = (slice(None), slice(top, top + self.crop), slice(left, left + self.crop))
        crop, target = pair.input[window], pair.target[window]
        if self.flips:
            flipped = [axis for axis in (1, 2) if random.integers(2)]
            crop, target = crop.flip(flipped), target.flip(flipped)
        lowres = make_lowres(crop[None], self.config.net_input_size, self.config.lowres_resize)
        return lowres[0], crop, target


def _generator(seed: int, epoch: int, what: str) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}/{epoch}/{what}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))


def load_split(dataset: Dataset, rows: list[Row]) -> list[Pair]:
    return [load_pair(dataset, row) for row in rows]
