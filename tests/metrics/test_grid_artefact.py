"""The grid-artefact figure: zero on noise, high on blocks, and only where the borders are."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hdrnet_bench.metrics import grid_artefact

CELLS = (4, 3)
HEIGHT, WIDTH = 60, 83  # borders between pixels and within them


def blocks(shift: float = 0.0) -> Tensor:
    """(3, H, W): a constant for each cell; `shift` moves the borders by so much of a cell."""
    random = torch.Generator().manual_seed(0)
    level = torch.rand(3, CELLS[1] + 2, CELLS[0] + 2, generator=random) * 0.2
    row = ((torch.arange(HEIGHT) + 0.5) * CELLS[1] / HEIGHT + shift).long()
    column = ((torch.arange(WIDTH) + 0.5) * CELLS[0] / WIDTH + shift).long()
    return level[:, row][:, :, column]


def noise() -> Tensor:
    return torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)) * 0.2


def literal(error: Tensor) -> float:
    """The definition, pixel by pixel: the two means, by where the border lies."""
    at: list[float] = []
    elsewhere: list[float] = []
    for axis, bins in ((2, CELLS[0]), (1, CELLS[1])):
        length = error.shape[axis]
        for x in range(length - 1):
            here, after = (error.select(axis, i).numpy() for i in (x, x + 1))
            cells = [math.floor((i + 0.5) * bins / length) for i in (x, x + 1)]
            kind = at if cells[0] != cells[1] else elsewhere
            kind += np.abs(after.astype(float) - here).flatten().tolist()
    b, e = np.mean(at), np.mean(elsewhere)
    return float((b - e) / (b + e))


def test_is_its_definition() -> None:
    target = noise()
    for error in (noise().flip(2), blocks() + 0.1 * noise(), blocks(0.5)):
        assert float(grid_artefact(target + error, target, CELLS)) == pytest.approx(
            literal(target + error - target), abs=1e-6
        )


def test_zero_on_noise_and_high_on_blocks_at_the_borders_alone() -> None:
    zero = torch.zeros(3, HEIGHT, WIDTH)
    assert abs(float(grid_artefact(noise(), zero, CELLS))) < 0.03
    assert float(grid_artefact(blocks(), zero, CELLS)) == 1
    assert float(grid_artefact(blocks() + 0.05 * noise(), zero, CELLS)) > 0.8
    # The same blocks half a cell away change everywhere but at the borders.
    assert float(grid_artefact(blocks(0.5), zero, CELLS)) == -1
    assert float(grid_artefact(blocks(0.5) + noise(), zero, CELLS)) < 0.03


def test_only_the_error_counts() -> None:
    """Blocks in the picture itself, which the output has too, are no artefact."""
    error = 0.1 * noise()
    value = float(grid_artefact(blocks() + error, blocks(), CELLS))
    assert abs(value) < 0.03
    assert float(grid_artefact(blocks() + error, error, CELLS)) > 0.99


def test_higher_is_worse_and_grows_with_the_ratio() -> None:
    zero = torch.zeros(3, HEIGHT, WIDTH)
    values = [float(grid_artefact(noise() + k * blocks(), zero, CELLS)) for k in (0, 1, 4)]
    assert values == sorted(values)
    assert values[2] > values[0] + 0.3


def test_interpolated_slicing_does_not_raise_it() -> None:
    """Trilinear slicing's kinks lie at the cells' centres, and are not edges."""
    from hdrnet_bench.slicing.reference import bilateral_slice

    random = torch.Generator().manual_seed(2)
    grid = torch.rand(1, 3, 1, CELLS[1], CELLS[0], generator=random)
    sliced = bilateral_slice(grid, torch.zeros(1, HEIGHT, WIDTH))[0]
    # Linear pieces change most between centres, and not at all before the first and after the last.
    assert float(grid_artefact(sliced, torch.zeros_like(sliced), CELLS)) < 0.2


def test_defined_where_there_is_nothing_to_compare() -> None:
    picture = noise()
    assert float(grid_artefact(picture, picture)) == 0
    levels = (picture * 256).round() / 256
    assert float(grid_artefact(levels + 0.25, levels)) == 0
    for height, width, cells in ((1, 1, (4, 4)), (8, 8, (8, 8)), (8, 8, (1, 1))):
        small = picture[:, :height, :width]
        assert math.isnan(float(grid_artefact(small, small, cells)))
    thin = picture[:, :, :1]  # one pixel wide: the rows' borders remain
    assert float(grid_artefact(thin, thin, CELLS)) == 0
    with pytest.raises(ValueError, match="NaN"):
        grid_artefact(picture * math.nan, picture)
    with pytest.raises(ValueError, match="shape"):
        grid_artefact(picture, picture[:, :4])


def test_a_batch_is_its_pictures() -> None:
    outputs, target = torch.stack([noise(), blocks()]), torch.zeros(2, 3, HEIGHT, WIDTH)
    values = grid_artefact(outputs, target, CELLS)
    singly = [grid_artefact(o, t, CELLS) for o, t in zip(outputs, target, strict=True)]
    assert values.tolist() == [float(value) for value in singly]
