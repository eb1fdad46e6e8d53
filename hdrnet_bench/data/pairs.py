"""Manifest to training samples: decode once, then crops whose randomness is a function of
(seed, epoch, id) and of nothing else, so that neither workers, processes nor interruptions change
them."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..images.files import PictureFile, open_picture
from ..images.mask import read_mask
from ..images.photo import STORED
from ..images.pixels import Pixels, to_float32
from ..memory import limit, total
from .encoding import input_white
from .manifest import Dataset, Row, pixel_bytes

# The share of the machine's memory that decoded pictures may fill.
MEMORY_SHARE = 0.5


class Pair(NamedTuple):
    """One pair in memory: (3, H, W) float32, 1.0 white; the input in its dataset's encoding.

    mask: (H, W) float32 in [0, 1]; None where its row has none, and where nobody asked for it: in
        training, which weighs by no mask.
    """

    row: Row
    input: Tensor
    target: Tensor
    mask: Tensor | None = None

    def to(self, device: str | torch.device) -> Pair:
        mask = None if self.mask is None else self.mask.to(device)
        return Pair(self.row, self.input.to(device), self.target.to(device), mask)


def load_pair(dataset: Dataset, row: Row) -> Pair:
    """Decode one pair, and its mask. Raises DataError that names a missing, broken or wrongly sized
    file."""
    return as_pair(dataset, row, decode_pair(dataset, row), decode_mask(dataset, row))


def decode_pair(dataset: Dataset, row: Row) -> tuple[Pixels, Pixels]:
    """Input and target, (H, W, 3) as stored, 8 or 16 bit. Raises as `load_pair`."""
    name, size = dataset.header.name, (row.width, row.height)
    return (
        decode_picture(dataset.input_path(row), size, name),
        decode_picture(dataset.target_path(row), size, name),
    )


def decode_picture(path: Path, size: tuple[int, int], dataset: str) -> Pixels:
    """A dataset's picture, (H, W, 3) as stored. size: (width, height), as its row says. Raises as
    `load_pair`."""
    return _opened(path, size, dataset).read(STORED).pixels


def decode_mask(dataset: Dataset, row: Row) -> NDArray[np.uint8] | None:
    """A pair's mask, (H, W) as stored; None where its row has none. Raises as `load_pair`."""
    path = dataset.mask_path(row)
    if path is None:
        return None
    return read_mask(_opened(path, (row.width, row.height), dataset.header.name)).levels


def _opened(path: Path, size: tuple[int, int], dataset: str) -> PictureFile:
    # The header is asked first: what does not fit is not decoded, however large it is.
    width, height = (file := open_picture(path)).size()
    if (width, height) != size:
        raise DataError(
            f"{path} is {width}x{height}, its row says {size[0]}x{size[1]}; "
            f"`hdrbench verify {dataset}` tells more"
        )
    return file


def as_pair(
    dataset: Dataset,
    row: Row,
    pixels: tuple[Pixels, Pixels],
    mask: NDArray[np.uint8] | None = None,
) -> Pair:
    """Stored pixels (H, W, 3), and a mask (H, W), as a pair in memory."""
    input_, target = pixels
    floating = to_float32(input_, input_white(input_, dataset.header))
    weights = None if mask is None else torch.from_numpy(mask.astype(np.float32) / 255)
    return Pair(row, torch.from_numpy(floating), torch.from_numpy(to_float32(target)), weights)


class PictureStore:
    """The pairs of some rows: decoded once, as stored, where they fit into memory; else decoded
    each time they are asked for. Planar, (3, H, W), which crops are cut and flipped from faster."""

    def __init__(self, dataset: Dataset, rows: Sequence[Row], keep: bool) -> None:
        self.dataset, self.rows = dataset, list(rows)
        self._kept: list[tuple[Pixels, Pixels]] | None = None
        if keep:
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                self._kept = list(pool.map(self._decode, range(len(self.rows))))

    def __len__(self) -> int:
        return len(self.rows)

    def _decode(self, index: int) -> tuple[Pixels, Pixels]:
        decoded = decode_pair(self.dataset, self.rows[index])
        planar: list[Any] = [np.ascontiguousarray(p.transpose(2, 0, 1)) for p in decoded]
        return planar[0], planar[1]

    def pixels(self, index: int) -> tuple[Pixels, Pixels]:
        return self._decode(index) if self._kept is None else self._kept[index]

    def pair(self, index: int) -> Pair:
        pixels = self.pixels(index)
        upright = pixels[0].transpose(1, 2, 0), pixels[1].transpose(1, 2, 0)
        return as_pair(self.dataset, self.rows[index], upright)


def fits_in_memory(rows: Sequence[Row], processes: int = 1) -> bool:
    """Whether each of `processes` may hold these rows' decoded pictures."""
    # A container's limit is what counts there.
    memory = min((most for most in (total(), limit()) if most is not None), default=None)
    return memory is None or pixel_bytes(rows) * processes <= MEMORY_SHARE * memory
