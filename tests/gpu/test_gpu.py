"""On a CUDA device: what the tests without one cannot show. `make gpu-check` runs these."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.errors import CapabilityError
from hdrnet_bench.model.guides import CurvesGuide
from hdrnet_bench.slicing import bilateral_slice, bilateral_slice_apply, cuda_launch
from hdrnet_bench.slicing.operators import curves_guide, slice_apply
from tests.slicing.test_native import curves, off_the_kinks
from tests.slicing.test_slicing import make

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.usefixtures("full_float32"),
]


SHAPES = [  # B, Cin, Cout, offset, D, GH, GW, H, W
    (2, 3, 3, 1, 8, 16, 16, 270, 480),
    (1, 3, 3, 1, 8, 16, 16, 1080, 1917),
    (1, 3, 3, 1, 4, 7, 33, 61, 1028),
    (1, 3, 3, 1, 19, 3, 2, 33, 47),
    (2, 2, 4, 0, 9, 5, 6, 40, 33),
    (1, 0, 12, 1, 8, 4, 4, 33, 65),
]


def on_device(shape: tuple[int, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
    grid, guide, image = make(1, shape, torch.float32)
    grad = torch.randn(shape[0], shape[2], *shape[7:])
    guide = off_the_kinks(guide, shape[4])
    return tuple(t.cuda() for t in (grid, guide, image)), grad.cuda()


def gradients(
    tensors: tuple[Tensor, ...], grad: Tensor, offset: bool, backend: str
) -> list[Tensor]:
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    out = bilateral_slice_apply(*leaves, has_offset=offset, backend=backend)  # type: ignore[arg-type]
    out.backward(grad.to(out.dtype))
    return [out.detach(), *(leaf.grad for leaf in leaves if leaf.numel())]  # type: ignore[misc]


def test_the_kernels_are_there() -> None:
    assert cuda_launch.why_not(None) == ""


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_float64(shape: tuple[int, ...]) -> None:
    tensors, grad = on_device(shape)
    ours = gradients(tensors, grad, bool(shape[3]), "native")
    wide = tuple(t.double() for t in tensors)
    theirs = gradients(wide, grad, bool(shape[3]), "reference")
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        bound = (1e-5 if index == 0 else 1e-4) * max(float(b.abs().max()), 1.0)
        assert float((a - b).abs().max()) <= bound, index


@pytest.mark.parametrize("shape", SHAPES)
def test_same_bits_in_every_run(shape: tuple[int, ...]) -> None:
    tensors, grad = on_device(shape)
    first = gradients(tensors, grad, bool(shape[3]), "native")
    for _ in range(20):
        again = gradients(tensors, grad, bool(shape[3]), "native")
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    tensors, _ = on_device(SHAPES[0])
    narrow = tuple(t.to(dtype) for t in tensors)
    ours = bilateral_slice_apply(*narrow, backend="native")
    exact = bilateral_slice_apply(*(t.double() for t in narrow), backend="reference")
    assert ours.dtype == dtype
    rounding = 2.0 ** (-10 if dtype == torch.float16 else -7)
    assert float(((ours - exact).abs() / exact.abs().clamp_min(1)).max()) <= rounding


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mixture_under_autocast_is_computed_in_float32(dtype: torch.dtype) -> None:
    (grid, guide, image), grad = on_device(SHAPES[0])
    given = (grid.to(dtype), guide.to(dtype)[:, None], image)
    expected = gradients(tuple(t.float() for t in given), grad, True, "native")
    with torch.autocast("cuda", dtype):
        ours = gradients(given, grad, True, "native")
        out = torch.empty_like(image)
        bilateral_slice_apply(*given, backend="native", out=out)
        sliced = bilateral_slice(*given[:2], backend="native")
    assert [t.dtype for t in ours] == [torch.float32, dtype, dtype, torch.float32]
    assert all(torch.equal(a, b.to(a.dtype)) for a, b in zip(ours, expected, strict=True))
    assert torch.equal(out, expected[0])
    wide = bilateral_slice(*(t.float() for t in given[:2]), backend="native")
    assert torch.equal(sliced, wide.to(dtype))
    with pytest.raises(ValueError, match=r"torch\.autocast"):
        bilateral_slice_apply(*given, backend="native")


def test_double_precision_takes_the_reference() -> None:
    grid, guide, _ = (t.double() for t in on_device(SHAPES[0])[0])
    assert bilateral_slice(grid, guide).dtype == torch.float64
    with pytest.raises(CapabilityError, match="float64"):
        bilateral_slice(grid, guide, backend="native")


def test_any_strides_and_out() -> None:
    (grid, guide, image), _ = on_device(SHAPES[0])
    expected = bilateral_slice_apply(grid, guide, image)
    interleaved = image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(bilateral_slice_apply(grid, guide, interleaved), expected)
    out = torch.empty_like(image)
    assert bilateral_slice_apply(grid, guide, image, out=out) is out
    assert torch.equal(out, expected)


def test_operators_pass_torch_s_own_check_and_compile_whole() -> None:
    tensors, _ = on_device((1, 3, 3, 1, 4, 3, 5, 6, 12))
    leaves = tuple(t.requires_grad_() for t in tensors)
    torch.library.opcheck(slice_apply, (*leaves, True))
    parameters = tuple(p.detach().cuda().requires_grad_() for p in curves(0).parameters())
    torch.library.opcheck(curves_guide, (leaves[2], *parameters))
    whole = torch.compile(bilateral_slice_apply, fullgraph=True)
    assert torch.equal(whole(*leaves), bilateral_slice_apply(*leaves))


def test_curves_guide_and_its_gradients() -> None:
    guide, exact = curves(1).cuda(), curves(1).double().cuda()
    image = torch.rand(2, 3, 211, 317, device="cuda")
    grad = torch.rand(2, 211, 317, device="cuda")
    results = []
    for model, dtype, backend in (
        (guide, torch.float32, "native"),
        (exact, torch.float64, "reference"),
    ):
        x = image.to(dtype, copy=True).requires_grad_()
        assert isinstance(model, CurvesGuide)
        out = model(x, backend)  # type: ignore[arg-type]
        out.backward(grad.to(dtype))
        results.append([out.detach(), x.grad, *(p.grad for p in model.parameters())])
    for index, (a, b) in enumerate(zip(*results, strict=True)):
        assert a is not None
        assert b is not None
        if index == 1:  # a pixel at a control point may be seen from its other side
            assert float(((a - b).abs() > 1e-4).float().mean()) < 1e-3
        else:
            assert float((a - b).abs().max()) <= 2e-4 * max(float(b.abs().max()), 1.0)


@pytest.mark.parametrize("variant", ["curves", "pointwise", "pyramid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
@pytest.mark.parametrize(("width", "interleaved"), [(512, False), (512, True), (509, False)])
def test_enhance(variant: str, dtype: torch.dtype, width: int, interleaved: bool) -> None:
    torch.manual_seed(0)
    model = HDRNet(HDRNetConfig(variant=variant)).eval()  # type: ignore[arg-type]
    image = torch.rand(3, 333, width)
    if interleaved:
        image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    levels = (image * 255).round().to(dtype) if dtype == torch.uint8 else image.to(dtype)
    expected = model.enhance(levels.float() if dtype == torch.float16 else levels, "reference")
    ours = model.cuda().enhance(levels.cuda())
    assert ours.dtype == dtype
    bound = {torch.float32: 1e-3, torch.float16: 4e-3, torch.uint8: 1}[dtype]
    assert float((ours.cpu().float() - expected.float()).abs().max()) <= bound


def test_captured_in_a_graph_and_on_another_stream() -> None:
    (grid, guide, image), _ = on_device(SHAPES[0])
    out = torch.empty_like(image)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            bilateral_slice_apply(grid, guide, image, out=out, backend="native")
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        bilateral_slice_apply(grid, guide, image, out=out, backend="native")
    image.copy_(torch.rand_like(image))
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(out, bilateral_slice_apply(grid, guide, image, backend="native"))


def test_gradients_and_inference_captured_in_graphs() -> None:
    tensors, grad = on_device(SHAPES[0])
    model = HDRNet().eval().cuda()
    image = tensors[2]

    def work() -> list[Tensor]:
        return [
            *gradients(tensors, grad, True, "native"),
            curves_guide(image, *(p.detach() for p in model.guides[0].parameters())),
            model.enhance(image),
        ]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            expected = work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = work()
    for _ in range(2):
        graph.replay()
    torch.cuda.synchronize()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(captured, expected, strict=True))


def test_threads_without_a_context_of_their_own() -> None:
    tensors, grad = on_device(SHAPES[0])
    torch.cuda.synchronize()
    results: list[Tensor] = []
    work = threading.Thread(target=lambda: results.extend(gradients(tensors, grad, True, "native")))
    work.start()
    work.join()
    expected = gradients(tensors, grad, True, "native")
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device")
def test_a_device_that_is_not_the_current_one() -> None:
    (grid, guide, image), _ = on_device(SHAPES[0])
    other = bilateral_slice_apply(*(t.to("cuda:1") for t in (grid, guide, image)))
    assert other.device.index == 1
    assert torch.equal(other.cpu(), bilateral_slice_apply(grid, guide, image).cpu())
