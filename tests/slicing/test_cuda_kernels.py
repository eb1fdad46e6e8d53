"""The CUDA kernels' own source, run on the CPU thread by thread: against float64, and against what
a device would not forgive (races in shared memory, wrong bounds, misaligned words)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model.guides import PointwiseGuide
from hdrnet_bench.slicing import cpu, cuda, reference
from hdrnet_bench.slicing.cuda_launch import KERNELS
from hdrnet_bench.slicing.operators import _parameter_gradients
from tests.gpu.every_kernel import run_every_kernel
from tests.slicing.host import HostKernels
from tests.slicing.test_native import FAST, GENERAL, curves, off_the_kinks
from tests.slicing.test_slicing import make

Shape = tuple[int, ...]  # B, Cin, Cout, offset, D, GH, GW, H, W
DEEP = st.tuples(
    *(st.just(n) for n in (1, 3, 3, 1)),
    st.integers(9, 20),
    *(st.integers(1, 4) for _ in range(2)),
    *(st.integers(1, 20) for _ in range(2)),
)
# Several segments and parts of a row, whole words and not, one cell and many.
WIDE: list[Shape] = [
    (1, 3, 3, 1, 8, 16, 16, 9, 1028),
    (1, 3, 3, 1, 8, 2, 1, 17, 515),
    (2, 3, 3, 1, 8, 3, 40, 5, 516),
    (1, 3, 3, 1, 8, 1, 2, 3, 1100),
]


def run(
    launch: HostKernels, tensors: tuple[Tensor, ...], grad: Tensor, offset: bool
) -> list[Tensor]:
    """Output and three gradients."""
    grid, guide, image = tensors
    with launch:
        launch.watch(*tensors, grad)
        out = image.new_empty(grad.shape)
        cuda.slice_apply(launch, grid, guide, image, offset, out)
        return [out, *cuda.slice_gradient(launch, grid, guide, image, grad, offset)]


def exact(tensors: tuple[Tensor, ...], grad: Tensor, offset: bool) -> list[Tensor]:
    leaves = [t.detach().double().requires_grad_() for t in tensors]
    sliced = reference.bilateral_slice(leaves[0], leaves[1])
    out = reference.apply_coefficients(sliced, leaves[2], offset)
    out.backward(grad.double())
    return [out.detach(), *(t.grad if t.grad is not None else t.detach() for t in leaves)]


def assert_near(ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Forward within 1e-5 and gradients within 1e-4 of the largest value; half precision within
    its rounding of that besides."""
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if b.numel():
            rounding = torch.finfo(a.dtype).eps / 2 if a.dtype != torch.float32 else 0
            bound = ((1e-5 if index == 0 else 1e-4) + rounding) * max(float(b.abs().max()), 1.0)
            assert float((a.double() - b).abs().max()) <= bound, index


def problem(seed: int, shape: Shape) -> tuple[tuple[Tensor, ...], Tensor]:
    grid, guide, image = make(seed, shape, torch.float32)
    torch.manual_seed(seed)
    grad = torch.randn(shape[0], shape[2], *shape[7:])
    return (grid, off_the_kinks(guide, shape[4]), image), grad


@settings(max_examples=60)
@given(shape=st.one_of(FAST, GENERAL, DEEP), seed=st.integers(0, 2**31))
def test_slicing_agrees_with_float64_whatever_the_order_of_threads(
    host_library: Path, shape: Shape, seed: int
) -> None:
    tensors, grad = problem(seed, shape)
    ours = run(HostKernels(host_library, 1), tensors, grad, True)
    assert_near(ours, exact(tensors, grad, True))
    again = run(HostKernels(host_library, 2), tensors, grad, True)
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))


@pytest.mark.parametrize("fill", [1, cuda.FILL])  # several rows a block, and one
@pytest.mark.parametrize("shape", WIDE)
def test_wide_pictures(
    host_library: Path, shape: Shape, fill: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "FILL", fill)
    tensors, grad = problem(3, shape)
    launch = HostKernels(host_library)
    assert_near(run(launch, tensors, grad, True), exact(tensors, grad, True))
    assert launch.launches[:2] == ["slice_apply_f32", "slice_gradient_f32"]


def test_a_slab_has_room_for_every_column_that_its_pixels_meet(host_library: Path) -> None:
    """Where the rounding of two positions makes one column more of them."""
    for width, columns in ((102099, 2997), (106751, 4387)):
        grid, guide = torch.rand(1, 12, 2, 1, columns), torch.rand(1, 1, width)
        image, launch = torch.rand(1, 3, 1, width), HostKernels(host_library)
        with launch:
            launch.watch(grid, guide, image)
            out = torch.empty_like(image)
            cuda.slice_apply(launch, grid, guide, image, True, out)
        assert launch.launches == ["slice_apply_f32"]
        expected = exact((grid, guide, image), torch.zeros_like(image), True)[:1]
        # Float32 places a pixel among so many columns to 2 ** -12 of one.
        assert float((out - expected[0]).abs().max()) <= 4e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_torch_s_default_type_is_not_the_kernels(host_library: Path, dtype: torch.dtype) -> None:
    tensors, grad = problem(13, (1, 3, 3, 1, 8, 4, 4, 10, 24))
    expected = run(HostKernels(host_library), tensors, grad, True)
    lowres = cuda.area_lowres(HostKernels(host_library), tensors[2], 4)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        ours = run(HostKernels(host_library), tensors, grad, True)
        again = cuda.area_lowres(HostKernels(host_library), tensors[2], 4)
        here = cpu.area_lowres(tensors[2], 4) if cpu.LIBRARY else again
    finally:
        torch.set_default_dtype(before)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))
    assert torch.equal(again, lowres)
    assert torch.allclose(here, lowres)


def test_without_offset_and_of_other_shapes(host_library: Path) -> None:
    for shape in ((2, 2, 4, 0, 3, 3, 2, 20, 13), (1, 3, 3, 0, 4, 2, 3, 11, 12)):
        tensors, grad = problem(4, shape)
        launch = HostKernels(host_library)
        assert_near(run(launch, tensors, grad, False), exact(tensors, grad, False))
        assert set(launch.launches) == {
            "slice_apply_any_f32",
            "slice_gradient_any_f32",
            "slice_grid_gradient_any_f32",
        }


def test_a_grid_too_large_for_shared_memory_takes_the_other_kernels(host_library: Path) -> None:
    (grid, guide, image), grad = problem(5, (1, 3, 3, 1, 150, 1, 9, 5, 12))
    launch, out = HostKernels(host_library), torch.empty_like(grad)
    cuda.slice_apply(launch, grid, guide, image, True, out)
    assert launch.launches == ["slice_apply_any_f32"]
    assert_near([out], exact((grid, guide, image), grad, True)[:1])
    for depth, kernel in ((106, "slice_gradient_f32"), (107, "slice_gradient_any_f32")):
        names: list[str] = []
        grid = torch.empty(1, 12, depth, 1, 2)
        cuda.slice_gradient(lambda name, *_: names.append(name), grid, guide, image, grad, True)  # noqa: B023
        assert names[0] == kernel


def test_half_precision_is_stored_as_torch_stores_it(host_library: Path) -> None:
    """By the stand-in and by pixels.h: an identity transform of every kind of value."""
    torch.manual_seed(12)
    values = torch.cat(
        [
            torch.tensor([0.0, -0.0, 6e-8, 3e-8, 65519.0, 65520.0, 1e30, torch.inf]),
            torch.randn(92) * torch.logspace(-9, 5, 92),
        ]
    )
    for dtype in (torch.float16, torch.bfloat16):
        image = values.expand(1, 3, 1, 100).contiguous().to(dtype)
        grid = torch.zeros(1, 3, 4, 1, 1, 1)
        grid[0, [0, 1, 2], [0, 1, 2]] = 0.7
        grid = grid.flatten(1, 2)
        out, guide = torch.empty_like(image), torch.zeros(1, 1, 100, dtype=dtype)
        # Off the diagonal 0 * inf is no number.
        finite = image.float().nan_to_num(posinf=0, neginf=0).to(dtype)
        cuda.slice_apply(HostKernels(host_library), grid, guide, finite, True, out)
        assert torch.equal(out, (finite.float() * torch.tensor(0.7)).to(dtype))


@pytest.mark.parametrize("colour", [torch.inf, -torch.inf, torch.nan])
def test_a_colour_that_is_not_finite_stays_with_its_pixel(
    host_library: Path, colour: float
) -> None:
    (grid, guide, image), _ = problem(14, (1, 3, 3, 1, 8, 4, 4, 9, 24))
    expected, out = torch.empty_like(image), torch.empty_like(image)
    cuda.slice_apply(HostKernels(host_library), grid, guide, image, True, expected)
    image[0, 1, 3, 7] = colour
    cuda.slice_apply(HostKernels(host_library), grid, guide, image, True, out)
    assert not bool(out[0, :, 3, 7].isfinite().any())
    out[0, :, 3, 7] = expected[0, :, 3, 7]
    assert torch.equal(out, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(host_library: Path, dtype: torch.dtype) -> None:
    (grid, guide, image), grad = problem(6, (2, 3, 3, 1, 8, 4, 4, 10, 36))
    narrow = (grid, off_the_kinks(guide.to(dtype).float(), 8).to(dtype), image.to(dtype))
    kink = (narrow[1].double() * 8 - 0.5 - (narrow[1].double() * 8 - 0.5).round()).abs() < 1e-4
    grad = grad.masked_fill(kink[:, None], 0).to(dtype)
    ours = run(HostKernels(host_library), narrow, grad, True)
    assert [t.dtype for t in ours] == [dtype, torch.float32, dtype, dtype]
    assert_near(ours, exact(narrow, grad, True))


def strided(image: Tensor, how: str) -> Tensor:
    """The same values in other memory."""
    if how == "interleaved":
        return image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    if how == "window":
        padded = F.pad(image, (1, 2, 1, 0))
        return padded[..., 1:, 1:-2]
    if how == "mirrored memory":
        return image.transpose(-1, -2).contiguous().transpose(-1, -2)
    return image


LAYOUTS = ["planar", "interleaved", "window", "mirrored memory"]


@pytest.mark.parametrize("width", [24, 23])
@pytest.mark.parametrize("how", LAYOUTS)
def test_pictures_of_any_strides(host_library: Path, how: str, width: int) -> None:
    (grid, guide, image), grad = problem(7, (2, 3, 3, 1, 8, 4, 4, 10, width))
    expected = run(HostKernels(host_library), (grid, guide, image), grad, True)
    other = (grid, strided(guide[:, None], how)[:, 0], strided(image, how))
    ours = run(HostKernels(host_library), other, strided(grad, how), True)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 60), st.integers(1, 2))
def test_curves_guide_agrees_with_float64(
    host_library: Path, seed: int, height: int, width: int, batch: int
) -> None:
    guide = curves(seed)
    parameters = [p.detach() for p in guide.parameters()]
    image = torch.rand(batch, 3, height, width) * 1.2 - 0.1
    grad = torch.randn(batch, height, width)
    wide, exact_guide = image.double().requires_grad_(), curves(seed, torch.float64)
    with torch.no_grad():  # pixels whose side of a kink float32 might see otherwise get no say
        mixed = torch.einsum("bihw,io->bohw", wide, exact_guide.ccm)
        mixed += exact_guide.ccm_bias[:, None, None]
        distance = (mixed[:, :, None] - exact_guide.shifts[:, :, None, None]).abs().amin((1, 2))
        value = exact_guide(wide, "reference")
        grad[(distance < 1e-5) | (value < 1e-5) | (value > 1 - 1e-5)] = 0
    expected = exact_guide(wide, "reference")
    expected.backward(grad.double())
    results = []
    for order in (1, 2):
        launch = HostKernels(host_library, order)
        with launch:
            launch.watch(image, grad)
            packed = cuda.with_constant(cpu.pack_curves(*parameters))
            ours = cuda.curves_forward(launch, image, packed)
            results.append([ours, *cuda.curves_backward(launch, image, packed, grad)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    ours, to_image, sums = results[0]
    gradients = _parameter_gradients(sums, parameters[3], parameters[4])
    theirs = [expected.detach(), wide.grad, *(p.grad for p in exact_guide.parameters())]
    assert_near([ours, to_image, *gradients], theirs)  # type: ignore[arg-type]


def test_curves_guide_of_many_tiles(host_library: Path) -> None:
    """More tiles than blocks would have one each, in few blocks."""
    image, grad = torch.rand(1, 3, 40, 70), torch.randn(1, 40, 70)
    packed = cuda.with_constant(cpu.pack_curves(*curves(1).parameters()))
    results = []
    for most in (cuda.CURVES_BLOCKS, 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cuda, "CURVES_BLOCKS", most)
            results.append(cuda.curves_backward(HostKernels(host_library), image, packed, grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.allclose(results[0][1], results[1][1], atol=1e-3)


def pointwise(seed: int, width: int) -> PointwiseGuide:
    torch.manual_seed(seed)
    guide = PointwiseGuide(width).eval()
    with torch.no_grad():
        for value in guide.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) * 0.5)
    return guide


@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
@pytest.mark.parametrize("kind", ["curves", "pointwise"])
def test_fused_inference(host_library: Path, kind: str, dtype: torch.dtype, how: str) -> None:
    torch.manual_seed(8)
    for height, width, hidden in ((7, 20, 16), (5, 13, 5), (3, 516, 1)):
        model = HDRNet(HDRNetConfig(variant=kind, guide_complexity=hidden)).eval()  # type: ignore[arg-type]
        model.guides[0] = curves(8) if kind == "curves" else pointwise(8, hidden)
        image = torch.rand(2, 3, height, width)
        levels = (image * 255).round().to(dtype) if dtype == torch.uint8 else image.to(dtype)
        levels = strided(levels, how)
        grid = torch.rand(2, 12, 8, 16, 16) * 0.5
        launch = HostKernels(host_library)
        parameters, channels = model.guides[0].kernel_parameters()  # type: ignore[operator]
        with launch:
            launch.watch(grid, levels, parameters)
            ready = (
                cuda.by_channel(parameters, channels)
                if channels
                else cuda.curves_table(launch, parameters)
            )
            out = cuda.enhance(launch, grid, levels, ready, channels)
        assert out is not None
        fullres = levels.double() / (255 if dtype == torch.uint8 else 1)
        with torch.no_grad():
            expected = model.double().render(grid.double(), fullres, "reference")
        if dtype == torch.uint8:
            expected = expected.clamp(0, 1) * 255
            assert float((out.double() - expected).abs().max()) <= 0.5 + 1e-3  # rounded to nearest
        else:
            bound = 2e-5 if dtype == torch.float32 else 2e-3
            assert float((out.double() - expected).abs().max()) <= bound
        assert out.dtype == dtype


def test_fused_bytes_are_clamped(host_library: Path) -> None:
    model = HDRNet().eval()
    image = torch.randint(0, 256, (1, 3, 6, 8), dtype=torch.uint8)
    for offset, level in ((3.0, 255), (-3.0, 0), (torch.nan, 0)):
        grid = torch.zeros(1, 3, 4, 8, 16, 16)
        grid[:, :, 3] = offset
        launch = HostKernels(host_library)
        table = cuda.curves_table(launch, model.guides[0].kernel_parameters()[0])  # type: ignore[operator]
        out = cuda.enhance(launch, grid.flatten(1, 2), image, table, 0)
        assert out is not None
        assert bool((out == level).all())


def test_fused_declines_a_grid_that_exceeds_shared_memory(host_library: Path) -> None:
    grid, image = torch.zeros(1, 12, 64, 1, 64), torch.zeros(1, 3, 4, 64)
    table = torch.zeros(cuda.TABLE_WORDS)
    assert cuda.enhance(HostKernels(host_library), grid, image, table, 0) is None


POINTS: dict[str, Callable[[Tensor], Tensor]] = {
    "as learned": lambda s: s,
    "crowded": lambda s: s / 50 + 0.4,  # several points in a cell, but for the outermost
    "two alike": lambda s: torch.where(s > 0.9, s[:, :1], s),
    "all alike": lambda s: torch.full_like(s, 0.5),
    "beyond white": lambda s: s * 3 - 1,
    "shuffled": lambda s: s.flip(1),
}


@pytest.mark.parametrize("points", POINTS)
def test_the_table_of_curves_is_the_curves(host_library: Path, points: str) -> None:
    """By way of a grid whose offset is the depth it is read at: what comes out is the guide."""
    guide = curves(11)
    with torch.no_grad():
        guide.shifts.copy_(POINTS[points](guide.shifts))
        guide.shifts[1, 3:5] = guide.shifts[1, 2:3] + 1e-4  # at least one crowded cell
        guide.shifts[2, 5] = -20.0 if points == "beyond white" else guide.shifts[2, 5]
    image = torch.rand(1, 3, 9, 700) * 1.4 - 0.2
    image[0, :, 0, :16] = guide.shifts.detach()  # colours at the points themselves, nearly
    grid = torch.zeros(1, 3, 4, 64, 1, 1)
    grid[0, :, 3, :, 0, 0] = torch.arange(64.0)
    launch = HostKernels(host_library)
    packed = cpu.pack_curves(*guide.parameters())
    with launch:
        launch.watch(grid, image, packed)
        table = cuda.curves_table(launch, packed)
        out = cuda.enhance(launch, grid.flatten(1, 2), image, table, 0)
    # A cell of several points says so by a NaN in its last word; no word is left as it was.
    unset = table.isnan()
    unset[12 : 12 + 12 * cuda.TABLE_CELLS].view(-1, 4)[:, 3] = False
    assert not bool(unset.any())
    assert out is not None
    with torch.no_grad():
        expected = guide.double()(image.double(), "reference")
    expected = (expected * 64 - 0.5).clamp(0, 63)
    assert float((out[:, 0].double() - expected).abs().max()) <= 64 * 4e-6


@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
def test_low_res_input_is_torch_s_area(host_library: Path, dtype: torch.dtype, how: str) -> None:
    for height, width, size in ((37, 50, 16), (8, 8, 16), (16, 32, 16)):
        image = torch.rand(2, 3, height, width)
        levels = (image * 255).round().to(dtype) if dtype == torch.uint8 else image.to(dtype)
        levels = strided(levels, how)
        launch = HostKernels(host_library)
        with launch:
            launch.watch(levels)
            ours = cuda.area_lowres(launch, levels, size)
        wide = levels.double() / (255 if dtype == torch.uint8 else 1)
        expected = F.interpolate(wide, size=(size, size), mode="area")
        assert float((ours - expected).abs().max()) <= 1e-6


def test_a_low_res_copy_of_many_pictures_and_of_very_wide_ones(
    host_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.rand(5, 3, 6, 20)
    expected = F.interpolate(image, size=(4, 4), mode="area")
    monkeypatch.setattr(cuda, "MAX_BLOCKS", 8)  # two pictures at a time
    launch = HostKernels(host_library)
    assert float((cuda.area_lowres(launch, image, 4) - expected).abs().max()) <= 1e-6
    assert len(launch.launches) == 3
    monkeypatch.setattr(cuda, "MAX_SHARED", 16)  # a window wider than shared memory
    launch = HostKernels(host_library)
    levels = (image * 255).round().byte()
    expected = F.interpolate(levels / 255, size=(4, 4), mode="area")
    assert float((cuda.area_lowres(launch, levels, 4) - expected).abs().max()) <= 1e-6
    assert launch.launches == []


# ---- that the stand-in sees what it is there to see ----------------------------------------------


def work(launch: HostKernels) -> None:
    """Launches every kernel that has a barrier, on pictures of several blocks and tiles."""
    tensors, grad = problem(9, (1, 3, 3, 1, 8, 2, 2, 20, 300))
    general, general_grad = problem(9, (1, 2, 2, 1, 3, 2, 2, 9, 40))
    points = cpu.pack_curves(*curves(9).parameters())
    packed = cuda.with_constant(points)
    grid, _, image = tensors
    to_guide = grad[:, 0].contiguous()
    run(launch, tensors, grad, True)
    run(launch, general, general_grad, True)
    with launch:
        launch.watch(grid, image, points, packed, to_guide)
        cuda.curves_forward(launch, image, packed)
        cuda.curves_backward(launch, image, packed, to_guide)
        cuda.enhance(launch, grid, image, cuda.curves_table(launch, points), 0)
        cuda.area_lowres(launch, image, 16)


def test_what_a_sanitizer_watches_is_every_kernel(host_library: Path) -> None:
    launch = HostKernels(host_library)
    with launch:
        for result in run_every_kernel(launch):
            assert bool(result.isfinite().all())
    assert set(launch.launches) == set(launch.argument_bytes())


BARRIERS = [
    (path.name, number)
    for path in sorted(KERNELS.glob("*.cu"))
    for number, line in enumerate(path.read_text().splitlines(), 1)
    if re.match(r"\s*(warp_)?barrier\(\);", line)
]


def test_there_are_barriers_to_leave_out() -> None:
    assert len(BARRIERS) >= 10


@pytest.mark.parametrize(("file", "line"), BARRIERS)
def test_leaving_out_any_barrier_is_seen(
    host_library: Path, monkeypatch: pytest.MonkeyPatch, file: str, line: int
) -> None:
    monkeypatch.setattr(cuda, "CURVES_BLOCKS", 3)  # several tiles a block
    launch = HostKernels(host_library, 3)
    work(launch)
    launch.skip_barrier(file, line)
    try:
        with pytest.raises(AssertionError, match=r"races?\b|before it is written"):
            work(launch)
    finally:
        launch.skip_barrier("", 0)


def launched(library: Path, change: Callable[[list, dict], None]) -> None:
    """The forward kernel, with its arguments and its shared memory changed."""
    (grid, guide, image), grad = problem(10, (1, 3, 3, 1, 8, 4, 4, 9, 24))
    host = HostKernels(library)

    def launch(kernel: str, blocks: tuple, shared: int, arguments: list) -> None:
        settings = {"shared": shared}
        change(arguments, settings)
        host(kernel, blocks, settings["shared"], arguments)

    out = torch.empty_like(grad)
    with host:
        host.watch(grid, guide, image, out)
        cuda.slice_apply(launch, grid, guide, image, True, out)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda a, s: s.update(shared=s["shared"] - 16), "shared memory out of bounds"),
        (lambda a, s: setattr(a[2], "value", a[2].value + 4), "misaligned"),
        (lambda a, s: setattr(a[2], "value", a[2].value + 16), "outside every array"),
        (lambda a, s: setattr(a[7], "value", a[7].value + 1), "outside every array"),
    ],
    ids=["shared", "misaligned", "beyond", "height"],
)
def test_what_a_device_would_not_forgive_is_seen(
    host_library: Path,
    change: Callable[[list, dict], None],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda, "FILL", 1)  # several rows a block
    launched(host_library, lambda a, s: None)
    with pytest.raises(AssertionError, match=what):
        launched(host_library, change)


def test_a_result_over_what_other_threads_read_is_seen(host_library: Path) -> None:
    memory, launch = torch.rand(1, 3, 10, 24), HostKernels(host_library)
    grid, guide = torch.rand(1, 12, 8, 4, 4), torch.rand(1, 9, 24)
    launch.watch(memory, grid, guide)
    with launch:
        own = memory[:, :, 1:]
        cuda.slice_apply(launch, grid, guide, own, True, own)
        with pytest.raises(AssertionError, match="another thread"):
            cuda.slice_apply(launch, grid, guide, own, True, memory[:, :, :9])
