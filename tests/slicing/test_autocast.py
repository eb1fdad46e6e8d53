"""The operators in a network of one's own: under autocast, and with a guide of one channel."""

import itertools
import re

import pytest
import torch
from torch import Tensor, nn

from hdrnet_bench.slicing import Backend, bilateral_slice, bilateral_slice_apply, reference
from tests.slicing.test_slicing import BACKENDS, NEEDS_NATIVE, make

SHAPE = (2, 3, 3, 1, 4, 3, 5, 9, 17)
NARROW = (torch.float16, torch.bfloat16, torch.float32)
MIXTURES = list(itertools.product(NARROW, repeat=3))
each_backend = pytest.mark.parametrize("backend", [*BACKENDS, pytest.param("auto")])


def mixed(dtypes: tuple[torch.dtype, ...]) -> tuple[Tensor, ...]:
    tensors = make(3, SHAPE, torch.float32)
    return tuple(t.to(dtype) for t, dtype in zip(tensors, dtypes, strict=True))


def leaves(tensors: tuple[Tensor, ...]) -> list[Tensor]:
    return [t.detach().clone().requires_grad_() for t in tensors]


@each_backend
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_mixture_is_computed_in_float32(backend: Backend, kind: torch.dtype) -> None:
    for dtypes in MIXTURES:
        grid, guide, image = mixed(dtypes)
        wide = [t.float() for t in (grid, guide, image)]
        sliced = bilateral_slice(wide[0], wide[1], backend).to(guide.dtype)
        applied = bilateral_slice_apply(*wide, backend=backend).to(image.dtype)
        out = torch.empty_like(applied)
        over = image.clone()
        with torch.autocast("cpu", kind):
            assert torch.equal(bilateral_slice(grid, guide, backend), sliced)
            assert torch.equal(bilateral_slice_apply(grid, guide, image, backend=backend), applied)
            assert bilateral_slice_apply(grid, guide, image, backend=backend, out=out) is out
            bilateral_slice_apply(grid, guide, over, backend=backend, out=over)
        assert torch.equal(out, applied)
        assert torch.equal(over, applied)


@each_backend
@pytest.mark.parametrize("backward_inside", [False, True])
def test_gradients_come_back_in_each_input_s_own_type(
    backend: Backend, backward_inside: bool
) -> None:
    for dtypes in MIXTURES:
        given = mixed(dtypes)
        ours, wide = leaves(given), leaves(tuple(t.float() for t in given))
        grad = torch.randn(given[2].shape).to(given[2].dtype)
        with torch.autocast("cpu", torch.bfloat16):
            output = bilateral_slice_apply(*ours, backend=backend)
            if backward_inside:
                output.backward(grad)
        if not backward_inside:
            output.backward(grad)
        bilateral_slice_apply(*wide, backend=backend).backward(grad.float())
        for a, b in zip(ours, wide, strict=True):
            assert a.grad is not None
            assert b.grad is not None
            assert torch.equal(a.grad, b.grad.to(a.dtype))


@each_backend
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_one_type_for_all_is_served_with_and_without(
    backend: Backend, autocast: bool, dtype: torch.dtype
) -> None:
    """Half precision in float32, rounded once; float64 as it is."""
    grid, guide, image = (t.to(dtype) for t in make(3, SHAPE, torch.float64))
    wide = [t.to(torch.promote_types(dtype, torch.float32)) for t in (grid, guide, image)]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        sliced = bilateral_slice(grid, guide, backend)
        applied = bilateral_slice_apply(grid, guide, image, backend=backend)
    assert torch.equal(sliced, bilateral_slice(*wide[:2], backend).to(dtype))
    assert torch.equal(applied, bilateral_slice_apply(*wide, backend=backend).to(dtype))
    exact = bilateral_slice_apply(*(t.double() for t in wide), backend=backend)
    assert (applied - exact).abs().max() < 64 * torch.finfo(dtype).eps


@each_backend
def test_float64_in_a_mixture_is_not_narrowed(backend: Backend) -> None:
    tensors = make(3, SHAPE)
    exact = bilateral_slice_apply(*(t.bfloat16().double() for t in tensors), backend=backend)
    for wide in range(3):
        given = [t.bfloat16().float() for t in tensors]
        given[wide] = given[wide].double()
        out = torch.empty(exact.shape, dtype=given[2].dtype)
        with torch.autocast("cpu", torch.bfloat16):
            result = bilateral_slice_apply(*given, backend=backend)
            bilateral_slice_apply(*given, backend=backend, out=out)
        assert torch.equal(result, exact.to(out.dtype))
        assert torch.equal(out, result)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("odd", range(3))
def test_without_autocast_a_mixture_is_refused_with_what_to_do(backend: Backend, odd: int) -> None:
    given = list(make(3, SHAPE, torch.float32))
    given[odd] = given[odd].bfloat16()
    message = r"torch\.bfloat16 on cpu.*of one dtype: convert them.*\.float\(\).*torch\.autocast"
    for off in (torch.autocast("cpu", enabled=False), torch.autocast("cpu", torch.bfloat16)):
        with off, torch.autocast("cpu", enabled=False):
            with pytest.raises(ValueError, match=message):
                bilateral_slice_apply(*given, backend=backend)
            if odd < 2:
                with pytest.raises(ValueError, match=message):
                    bilateral_slice(*given[:2], backend)


@pytest.mark.parametrize("odd", range(3))
def test_autocast_makes_nothing_of_integers_and_other_devices(odd: int) -> None:
    for change, message in ((Tensor.long, "floating"), (lambda t: t.to("meta"), "one device")):
        given = list(make(3, SHAPE, torch.float32))
        given[odd] = change(given[odd])
        with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match=message):
            bilateral_slice_apply(*given)


def test_a_result_given_is_of_the_image_s_type_under_autocast_too() -> None:
    grid, guide, image = mixed((torch.bfloat16, torch.float32, torch.float16))
    with torch.autocast("cpu", torch.bfloat16):
        for out in (torch.empty(image.shape), torch.empty(image.shape[:-1]).half()):
            with pytest.raises(ValueError, match=r"the result \(2, 3, 9, 17\) torch\.float16"):
                bilateral_slice_apply(grid, guide, image, out=out)
        with pytest.raises(ValueError, match="inference"):
            bilateral_slice_apply(grid.requires_grad_(), guide, image, out=image)


@NEEDS_NATIVE
def test_the_raw_operator_takes_no_mixture_under_autocast_either() -> None:
    grid, guide, image = make(3, SHAPE, torch.float32)
    raw = torch.ops.hdrbench.slice_apply
    with torch.autocast("cpu", torch.bfloat16):
        assert raw(grid, guide, image, True).dtype == torch.float32
        for odd in range(3):
            given = [grid, guide, image]
            given[odd] = given[odd].bfloat16()
            with pytest.raises(ValueError, match="one device and dtype"):
                raw(*given, True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_nothing_is_computed_under_autocast(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's own lists of what autocast narrows may grow."""
    seen = []

    def watched(function):
        def call(*arguments):
            seen.append(torch.is_autocast_enabled("cpu"))
            return function(*arguments)

        return call

    for name in ("bilateral_slice", "apply_coefficients"):
        monkeypatch.setattr(reference, name, watched(getattr(reference, name)))
    grid, guide, image = mixed((dtype, torch.float32, torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        bilateral_slice(grid, guide, "reference")
        bilateral_slice_apply(grid, guide, image, backend="reference")
        assert torch.is_autocast_enabled("cpu")
    assert seen == [False, False, False]


@each_backend
def test_a_guide_may_have_a_channel_of_its_own(backend: Backend) -> None:
    given = make(3, SHAPE, torch.float32)
    ours, plain = leaves((given[0], given[1][:, None], given[2])), leaves(given)
    output = bilateral_slice_apply(*ours, backend=backend)
    expected = bilateral_slice_apply(*plain, backend=backend)
    assert torch.equal(output, expected)
    for result in (output, expected):
        result.square().sum().backward()
    assert ours[1].grad is not None
    assert plain[1].grad is not None
    assert torch.equal(ours[1].grad, plain[1].grad[:, None])

    ours, plain = leaves((given[0], given[1][:, None])), leaves(given[:2])
    output, expected = bilateral_slice(*ours, backend), bilateral_slice(*plain, backend)
    assert torch.equal(output, expected)
    output.square().sum().backward()
    assert ours[1].grad is not None
    assert ours[1].grad.shape == (2, 1, 9, 17)

    grid, guide, image = given
    out = torch.empty_like(image)
    bilateral_slice_apply(grid, guide[:, None], image, backend=backend, out=out)
    assert torch.equal(out, bilateral_slice_apply(grid, guide, image, backend=backend))
    with torch.autocast("cpu", torch.bfloat16):
        narrow = bilateral_slice(grid, guide[:, None].bfloat16(), backend)
    assert torch.equal(narrow, bilateral_slice(grid, guide.bfloat16().float(), backend).bfloat16())


@pytest.mark.parametrize("shape", [(2, 3, 9, 17), (2, 0, 9, 17), (2, 1, 1, 9, 17), (9, 17)])
def test_any_other_guide_is_refused_by_shape(shape: tuple[int, ...]) -> None:
    grid, _, image = make(3, SHAPE, torch.float32)
    message = re.escape(f"{tuple(grid.shape)} and guide {shape}, not") + r".*\(B, 1, H, W\)"
    with pytest.raises(ValueError, match=message):
        bilateral_slice(grid, torch.zeros(shape))
    with pytest.raises(ValueError, match=message):
        bilateral_slice_apply(grid, torch.zeros(shape), image)
    with pytest.raises(ValueError, match=r"image is \(2, 3, 9, 17\), but the guide \(2, 9, 16\)"):
        bilateral_slice_apply(grid, torch.zeros(2, 1, 9, 16), image)


class Enhancer(nn.Module):
    """A grid and a guide of autocast's type, the guide with one channel; a picture of float32."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.backend = backend
        self.grid = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Conv2d(3, 12 * 4, 1))
        self.guide = nn.Conv2d(3, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        guide = self.guide(image).sigmoid()
        grid = self.grid(image).unflatten(1, (12, 4))
        return guide, bilateral_slice_apply(grid, guide, image, backend=self.backend)


class UnderAutocast(Enhancer):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(image)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [Enhancer, UnderAutocast])
def test_a_network_under_autocast_compiles_whole_and_is_exported(
    backend: Backend, kind: type[Enhancer]
) -> None:
    torch.manual_seed(0)
    model, image = kind(backend), torch.rand(1, 3, 24, 32)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16, enabled=kind is Enhancer):
        guide, expected = model(image)
        _, output = compiled(image)
        program = torch.export.export(model, (image,))
        _, exported = program.module()(image)
        _, decomposed = program.run_decompositions().module()(image)
    assert (guide.dtype, expected.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(output, expected)
    assert torch.equal(exported, expected)
    assert torch.equal(decomposed, expected)
    for parameter in model.parameters():
        (wanted,) = torch.autograd.grad(expected.sum(), parameter, retain_graph=True)
        (found,) = torch.autograd.grad(output.sum(), parameter, retain_graph=True)
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)
        assert wanted.abs().sum() > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_outside_autocast_an_exported_network_holds_no_trace_of_it(backend: Backend) -> None:
    program = torch.export.export(Enhancer(backend), (torch.rand(1, 3, 24, 32),))
    calls = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert any("slice_apply" in call or "grid_sampler" in call for call in calls)
    assert not any("autocast" in call.lower() for call in calls)
