import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hdrnet_bench.errors import CapabilityError
from hdrnet_bench.slicing import Backend, bilateral_slice, bilateral_slice_apply, cpu
from tests.conftest import GOLDEN


def literal_slice(grid: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """The definition, tap by tap, in float64: (B, C, D, GH, GW), (B, H, W) -> (B, C, H, W)."""
    batch, channels, depth, rows, columns = grid.shape
    _, height, width = guide.shape
    result = np.zeros((batch, channels, height, width))
    for b, y, x in np.ndindex(batch, height, width):
        place = (
            guide[b, y, x] * depth,
            (y + 0.5) * rows / height,
            (x + 0.5) * columns / width,
        )
        low = [int(np.floor(p - 0.5)) for p in place]
        for dz, dy, dx in np.ndindex(2, 2, 2):
            tap = [low[0] + dz, low[1] + dy, low[2] + dx]
            weight = np.prod(
                [max(1 - abs(t + 0.5 - p), 0) for t, p in zip(tap, place, strict=True)]
            )
            z, i, j = (
                np.clip(t, 0, n - 1) for t, n in zip(tap, (depth, rows, columns), strict=True)
            )
            result[b, :, y, x] += weight * grid[b, :, z, i, j]
    return result


def make(
    seed: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> tuple[Tensor, ...]:
    """grid, guide and image for (B, Cin, Cout, offset, D, GH, GW, H, W)."""
    batch, cin, cout, offset, depth, rows, columns, height, width = shape
    random = np.random.default_rng(seed)
    grid = random.normal(size=(batch, cout * (cin + offset), depth, rows, columns))
    guide = random.uniform(-0.2, 1.2, (batch, height, width))
    image = random.random((batch, cin, height, width))
    return tuple(torch.tensor(a, dtype=dtype) for a in (grid, guide, image))


NEEDS_NATIVE = pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
BACKENDS = [pytest.param("reference"), pytest.param("native", marks=NEEDS_NATIVE)]
each_backend = pytest.mark.parametrize("backend", BACKENDS)

SHAPES = st.tuples(
    st.integers(1, 2),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 1),
    *(st.integers(1, 6) for _ in range(3)),
    *(st.integers(1, 13) for _ in range(2)),
)


@each_backend
@settings(max_examples=40)
@given(shape=SHAPES, seed=st.integers(0, 2**31))
def test_slice_is_the_definition(backend: Backend, shape: tuple[int, ...], seed: int) -> None:
    grid, guide, _ = make(seed, shape)
    sliced = bilateral_slice(grid, guide, backend)
    assert np.allclose(sliced.numpy(), literal_slice(grid.numpy(), guide.numpy()), atol=1e-12)


@each_backend
@settings(max_examples=30)
@given(shape=SHAPES, seed=st.integers(0, 2**31))
def test_apply_is_a_matrix_for_every_pixel(
    backend: Backend, shape: tuple[int, ...], seed: int
) -> None:
    grid, guide, image = make(seed, shape)
    has_offset = bool(shape[3])
    result = bilateral_slice_apply(grid, guide, image, has_offset, backend)
    matrices = literal_slice(grid.numpy(), guide.numpy())
    b, _, h, w = matrices.shape
    matrices = matrices.reshape(b, shape[2], shape[1] + has_offset, h, w)
    inputs = image.numpy()
    if has_offset:
        inputs = np.concatenate([inputs, np.ones((b, 1, h, w))], 1)
    assert np.allclose(result.numpy(), np.einsum("boihw,bihw->bohw", matrices, inputs), atol=1e-11)


@each_backend
def test_constant_grid_is_its_constant(backend: Backend) -> None:
    grid = torch.full((1, 12, 8, 16, 16), 0.7)
    sliced = bilateral_slice(grid, torch.rand(1, 31, 17), backend)
    assert torch.allclose(sliced, torch.tensor(0.7))


@each_backend
def test_gradients_by_finite_differences(backend: Backend) -> None:
    grid, guide, image = make(5, (1, 2, 2, 1, 3, 2, 4, 5, 7))
    # Away from the kinks at bin centres and the border, where there is no derivative.
    guide = 0.5 / 3 + 0.1 + 0.13 * torch.rand_like(guide)
    arguments = [t.requires_grad_() for t in (grid, guide, image)]
    assert torch.autograd.gradcheck(
        lambda *tensors: bilateral_slice_apply(*tensors, backend=backend), arguments
    )


@each_backend
def test_guide_outside_the_bins_reads_the_border_and_has_no_gradient(backend: Backend) -> None:
    grid, _, _ = make(1, (1, 1, 1, 0, 4, 3, 3, 6, 6))
    guide = torch.full((1, 6, 6), -3.0, dtype=torch.float64, requires_grad=True)
    low = bilateral_slice(grid, guide, backend)
    assert torch.equal(low, bilateral_slice(grid, torch.zeros_like(guide), backend))
    low.sum().backward()
    assert guide.grad is not None
    assert (guide.grad == 0).all()


@each_backend
def test_golden_numbers_of_the_reference(backend: Backend) -> None:
    """2e-4 relative: the reference smooths the depth's weights (see the docstring)."""
    golden = np.load(GOLDEN / "slice.npz", allow_pickle=False)
    grid = torch.tensor(golden["grid"]).permute(3, 2, 0, 1)[None].requires_grad_()
    guide = torch.tensor(golden["guide"])[None].requires_grad_()
    sliced = bilateral_slice(grid, guide, backend)
    expected = torch.tensor(golden["sliced"]).permute(2, 0, 1)[None]
    assert (sliced - expected).abs().max() <= 2e-4 * expected.abs().max()
    sliced.backward(torch.tensor(golden["cotangent"]).permute(2, 0, 1)[None])
    assert grid.grad is not None
    assert guide.grad is not None
    expected = torch.tensor(golden["grad_grid"]).permute(3, 2, 0, 1)[None]
    assert (grid.grad - expected).abs().max() <= 2e-4 * expected.abs().max()
    # Near bin centres, where the reference smooths, up to 0.03 absolute.
    assert (guide.grad - torch.tensor(golden["grad_guide"])[None]).abs().max() <= 0.03


# In float32 a position among 16 cells is off by up to 16 eps, times the step between two cells, a
# few units here. Half precision is computed in float32 and rounded once, so its bound is its own.
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 128), (torch.float16, 4), (torch.bfloat16, 4)]
)
def test_narrow_types_are_served(dtype: torch.dtype, bound: int) -> None:
    shape = (2, 3, 3, 1, 8, 16, 16, 33, 47)
    exact = bilateral_slice_apply(*(t.to(dtype).double() for t in make(2, shape)))
    result = bilateral_slice_apply(*make(2, shape, dtype))
    assert result.dtype == dtype
    assert (result.double() - exact).abs().max() < bound * torch.finfo(dtype).eps


def test_out_is_filled_and_returned() -> None:
    grid, guide, image = make(3, (1, 3, 3, 1, 2, 2, 2, 4, 5))
    out = torch.empty(1, 3, 4, 5, dtype=torch.float64)
    assert bilateral_slice_apply(grid, guide, image, out=out) is out
    assert torch.equal(out, bilateral_slice_apply(grid, guide, image))
    with pytest.raises(ValueError, match=r"out is \(1, 3, 4, 4\)"):
        bilateral_slice_apply(grid, guide, image, out=out[..., :4])
    with pytest.raises(ValueError, match="inference"):
        bilateral_slice_apply(grid.requires_grad_(), guide, image, out=out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g, z, i: (g[0], z, i), "grid is"),
        (lambda g, z, i: (g, z[0], i), "guide"),
        (lambda g, z, i: (g, z.float(), i), "one dtype"),
        (lambda g, z, i: (g, z, i.float()), "image is torch.float32"),
        (lambda g, z, i: (g, z, i[..., :-1]), "image is"),
        (lambda g, z, i: (g[:, :-1], z, i), "not a multiple of 4"),
        (lambda g, z, i: (g, z[:, :0], i[:, :, :0]), "empty"),
        (lambda g, z, i: (g.long(), z.long(), i.long()), "floating"),
    ],
)
def test_what_does_not_fit_is_refused(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bilateral_slice_apply(*change(*make(4, (1, 3, 3, 1, 2, 2, 2, 4, 5))))


def test_unknown_backend_is_refused() -> None:
    grid, guide, _ = make(4, (1, 3, 3, 1, 2, 2, 2, 4, 5))
    with pytest.raises(ValueError, match="'fast'"):
        bilateral_slice(grid, guide, backend="fast")  # type: ignore[arg-type]


def test_without_the_library_auto_is_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "LIBRARY", None)
    monkeypatch.setattr(cpu, "REASON", "the reason")
    grid, guide, image = make(4, (1, 3, 3, 1, 2, 2, 2, 4, 5))
    auto = bilateral_slice_apply(grid, guide, image)
    assert torch.equal(auto, bilateral_slice_apply(grid, guide, image, backend="reference"))
    with pytest.raises(CapabilityError, match="cannot be used: the reason"):
        bilateral_slice(grid, guide, backend="native")
