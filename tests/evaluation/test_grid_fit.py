"""The fitted grid against dense least squares, against a known one, and where it is degenerate."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hdrnet_bench.color import LUMINANCE
from hdrnet_bench.errors import CapabilityError
from hdrnet_bench.evaluation import grid_fit
from hdrnet_bench.evaluation.grid_fit import fit_grid, fit_transform
from hdrnet_bench.slicing.reference import apply_coefficients, bilateral_slice

SIZES = [((2, 3, 4), (23, 31)), ((3, 1, 2), (20, 17)), ((1, 2, 1), (9, 30)), ((4, 2, 2), (33, 20))]


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """(3, H, W), independent colours: every cell's matrix shows in it."""
    return np.random.default_rng(seed).uniform(0, 1, (3, height, width))


def luma(image: np.ndarray) -> np.ndarray:
    return np.tensordot(LUMINANCE, image, 1)


def render(grid: np.ndarray, guide: np.ndarray, image: np.ndarray) -> np.ndarray:
    """By the operators' own definition, in float64."""
    g, u, x = (torch.from_numpy(np.ascontiguousarray(a))[None] for a in (grid, guide, image))
    return apply_coefficients(bilateral_slice(g, u), x, has_offset=True)[0].numpy()


def design(guide: np.ndarray, image: np.ndarray, bins: tuple[int, int, int]) -> np.ndarray:
    """A, dense (H W, 4 D GH GW): each column is the picture that one entry of a grid makes."""
    count = 4 * int(np.prod(bins))
    grids = torch.eye(count, dtype=torch.float64).reshape(count, 4, *bins)
    guides: Tensor = torch.from_numpy(guide)[None].expand(count, -1, -1)
    images: Tensor = torch.from_numpy(image)[None].expand(count, -1, -1, -1)
    return apply_coefficients(bilateral_slice(grids, guides), images, True).reshape(count, -1).T


@pytest.mark.parametrize(("bins", "size"), SIZES)
def test_agrees_with_dense_least_squares(bins: tuple[int, int, int], size: tuple[int, int]) -> None:
    image, target = picture(1, *size), picture(2, *size)
    guide = luma(image)
    a, y = np.asarray(design(guide, image, bins)), target.reshape(3, -1).T
    best = a @ np.linalg.lstsq(a, y, rcond=None)[0]
    fitted = render(fit_grid(image, guide, target, bins), guide, image).reshape(3, -1).T
    np.testing.assert_allclose(fitted, best, atol=2e-5)
    assert np.square(fitted - y).sum() == pytest.approx(np.square(best - y).sum(), rel=1e-9)


@pytest.mark.parametrize(("bins", "size"), SIZES)
def test_recovers_a_known_grid(bins: tuple[int, int, int], size: tuple[int, int]) -> None:
    image = picture(3, *size)
    guide = picture(4, *size)[0]  # of its own: under luma a cell's colours lie near a plane
    known = np.random.default_rng(5).normal(size=(12, *bins))
    found = fit_grid(image, guide, render(known, guide, image), bins)
    np.testing.assert_allclose(found, known, atol=1e-4)


def test_one_cell_is_one_transform() -> None:
    image, target = picture(6, 19, 22), picture(7, 19, 22)
    grid = fit_grid(image, luma(image), target, (1, 1, 1))
    transform = fit_transform(image, target)
    np.testing.assert_allclose(grid.reshape(3, 4), transform, atol=1e-9)
    x = np.concatenate([image.reshape(3, -1), np.ones((1, 19 * 22))]).T
    expected = np.linalg.lstsq(x, target.reshape(3, -1).T, rcond=None)[0].T
    np.testing.assert_allclose(transform, expected, atol=1e-9)


def test_a_large_picture_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image, target = picture(8, 30, 40), picture(9, 30, 40)
    whole = fit_grid(image, luma(image), target, (2, 2, 2))
    monkeypatch.setattr(grid_fit, "_CHUNK", 7)
    pieces = fit_grid(image, luma(image), target, (2, 2, 2))
    np.testing.assert_allclose(pieces, whole, atol=1e-8)


def test_cells_that_nobody_reads_hold_the_whole_picture_s_transform() -> None:
    """A dark picture: of its luma's eight bins the upper ones are empty."""
    image = picture(10, 24, 24) * 0.2
    target = 0.5 * image[[2, 0, 1]] + 0.1
    grid = fit_grid(image, luma(image), target, (8, 2, 2)).reshape(3, 4, 8, 2, 2)
    whole = fit_transform(image, target)
    np.testing.assert_allclose(whole[:, 3], 0.1, atol=1e-9)
    for place in np.ndindex(8, 2, 2):
        np.testing.assert_allclose(grid[(..., *place)], whole, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_and_grey_pictures(value: float) -> None:
    image = np.full((3, 12, 15), value)
    image[:, :, 3:] *= 0.5  # two greys at the most: nothing tells the channels apart
    target = np.full((3, 12, 15), 0.25)
    for fitted in (
        render(fit_grid(image, luma(image), target, (4, 2, 2)), luma(image), image),
        np.tensordot(fit_transform(image, target)[:, :3], image, 1)
        + fit_transform(image, target)[:, 3:, None],
    ):
        np.testing.assert_allclose(fitted, 0.25, atol=1e-5)


def test_one_pixel_and_fewer_pixels_than_cells() -> None:
    for height, width in ((1, 1), (1, 5), (3, 2)):
        image, target = picture(11, height, width), picture(12, height, width)
        grid = fit_grid(image, luma(image), target, (8, 4, 4))
        assert np.isfinite(grid).all()
        error = np.abs(render(grid, luma(image), image) - target).max()
        assert error < 1e-3


def test_a_grid_too_large_says_so() -> None:
    image = picture(13, 8, 8)
    with pytest.raises(CapabilityError, match="256 x 256 x 64 is too large"):
        fit_grid(image, luma(image), image, (64, 256, 256))
