import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdrnet_bench.prepare.operators import (
    OPERATORS,
    collapse_pyramid,
    fast_local_laplacian,
    gaussian_pyramid,
    laplacian_pyramid,
    local_laplacian,
    pyramid_levels,
    remap_detail,
    retouch,
)


def picture(seed: int, height: int = 90, width: int = 120) -> np.ndarray:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + c) * np.cos(y / 13 - c) for c in range(3)]
    return np.clip(np.stack(waves) * 0.4 + 0.5 + random.normal(0, 0.03, (3, height, width)), 0, 1)


@pytest.mark.parametrize("name", OPERATORS)
def test_output_is_a_float64_picture(name: str) -> None:
    x = picture(0)
    before = x.copy()
    y = OPERATORS[name].apply(x)
    assert y.dtype == np.float64
    assert y.shape == x.shape
    assert 0 <= y.min() <= y.max() <= 1
    assert (x == before).all()
    assert np.abs(y - x).max() > 0.05


@pytest.mark.parametrize(("name", "reach"), [("retouch", 48), ("local-laplacian", 64)])
def test_result_does_not_depend_on_the_position_in_the_frame(name: str, reach: int) -> None:
    """A crop with enough surroundings is treated as in the whole picture (even offsets: pyramids
    sample every second pixel). The local Laplacian's coarsest levels reach everywhere, a little."""
    x = picture(1, 320, 288)
    whole = OPERATORS[name].apply(x)
    crop = OPERATORS[name].apply(x[:, 32:288, 0:256])
    inside = (slice(None), slice(reach, 256 - reach), slice(reach, 256 - reach))
    difference = np.abs(crop[inside] - whole[:, 32:288, 0:256][inside])
    assert difference.max() < (1e-9 if name == "retouch" else 0.02)


def test_retouch_has_a_local_part() -> None:
    """The same grey becomes darker in bright surroundings than in dark ones."""
    results = []
    for surround in (0.1, 0.9):
        x = np.full((3, 128, 128), surround)
        x[:, 62:66, 62:66] = 0.4
        results.append(retouch(x)[:, 63, 63])
    assert (results[0] != results[1]).all()
    assert np.abs(results[0] - results[1]).max() > 0.05


def test_retouch_keeps_black_and_order_of_greys() -> None:
    assert retouch(np.zeros((3, 40, 40))).max() < 1e-6
    greys = [retouch(np.full((3, 40, 40), v))[:, 20, 20] for v in np.linspace(0, 1, 12)]
    assert (np.diff(np.array(greys), axis=0) > 0).all()


@settings(max_examples=30)
@given(st.integers(2, 41), st.integers(2, 41))
def test_pyramid_collapses_to_the_picture(height: int, width: int) -> None:
    x = np.random.default_rng(height * 50 + width).random((height, width))
    levels = pyramid_levels(x.shape)
    back = collapse_pyramid(laplacian_pyramid(gaussian_pyramid(x, levels)))
    assert np.abs(back - x).max() < 1e-12


@given(st.floats(0, 1), st.floats(0, 1))
def test_remapping_is_identity_at_alpha_and_beta_one(value: float, reference: float) -> None:
    x = np.array([value])
    assert np.allclose(remap_detail(x, reference, 0.2, 1.0, 1.0), x, atol=1e-12)


def test_remapping_enhances_detail_and_keeps_edges() -> None:
    x = 0.5 + np.array([0.0, 0.1, 0.2, 0.35])
    y = remap_detail(x, 0.5, 0.2, 0.35, 1.0)
    assert y[0] == 0.5
    assert y[1] > x[1]
    assert np.allclose(y[2:], x[2:])
    mirrored = remap_detail(1 - x, 0.5, 0.2, 0.35, 1.0)
    assert np.allclose(y + mirrored, 1)


def direct_local_laplacian(
    image: np.ndarray, sigma: float, alpha: float, beta: float
) -> np.ndarray:
    """Paris, Hasinoff, Kautz (2011), algorithm 1, literally: for each coefficient of the output's
    pyramid, remap the whole picture around the Gaussian pyramid's value there, and take that
    coefficient of the remapped picture's Laplacian pyramid. Its own pyramid, by matrices."""

    def reduce_matrix(n: int) -> np.ndarray:
        matrix = np.zeros(((n + 1) // 2, n))
        for i in range(matrix.shape[0]):
            for tap, weight in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True):
                matrix[i, mirrored(2 * i + tap, n)] += weight / 16
        return matrix

    def expand_matrix(n: int) -> np.ndarray:
        matrix = np.zeros((n, (n + 1) // 2))
        for j in range(n):
            for tap, weight in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True):
                source = mirrored(j + tap, n)
                if source % 2 == 0:
                    matrix[j, source // 2] += weight
        return matrix / matrix.sum(1, keepdims=True)

    def mirrored(i: int, n: int) -> int:
        while not 0 <= i < n:
            i = -i if i < 0 else 2 * (n - 1) - i
        return i

    def gaussian(x: np.ndarray) -> list[np.ndarray]:
        levels = [x]
        for _ in range(pyramid_levels(image.shape)):
            h, w = levels[-1].shape
            levels.append(reduce_matrix(h) @ levels[-1] @ reduce_matrix(w).T)
        return levels

    def expanded(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return expand_matrix(shape[0]) @ x @ expand_matrix(shape[1]).T

    def remap(x: float, g: float) -> float:
        d = abs(x - g)
        s = 1.0 if x >= g else -1.0
        if d > sigma:
            return g + s * (beta * (d - sigma) + sigma)
        t = min(max((d - 0.01) / 0.01, 0.0), 1.0)
        t = t * t * (3 - 2 * t)
        return g + s * sigma * (t * (d / sigma) ** alpha + (1 - t) * d / sigma)

    levels = gaussian(image)
    output = [np.zeros_like(level) for level in levels[:-1]] + [levels[-1]]
    for level in range(len(levels) - 1):
        for index, g in np.ndenumerate(levels[level]):
            remapped = gaussian(np.vectorize(remap)(image, g))
            fine, coarse = remapped[level], remapped[level + 1]
            output[level][index] = (fine - expanded(coarse, fine.shape))[index]
    result = output[-1]
    for level in reversed(output[:-1]):
        result = level + expanded(result, level.shape)
    return result


@pytest.mark.parametrize("shape", [(12, 13), (9, 16)])
def test_fast_filter_agrees_with_the_direct_one(shape: tuple[int, int]) -> None:
    x = picture(3)[0, : shape[0], : shape[1]]
    direct = direct_local_laplacian(x, 0.2, 0.35, 1.0)
    error = [
        np.abs(fast_local_laplacian(x, 0.2, 0.35, 1.0, samples=n) - direct).max()
        for n in (64, 192, 768)
    ]
    # Interpolation between references is the only difference, so it goes with their number.
    assert error[0] < 0.01
    assert error[1] < error[0] / 2
    assert error[2] < 5e-4
    assert np.abs(direct - x).max() > 0.05


def test_local_laplacian_leaves_flat_pictures() -> None:
    x = np.full((3, 40, 50), 0.37)
    assert np.abs(local_laplacian(x) - x).max() < 1e-9
