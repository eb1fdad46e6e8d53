"""The native CPU library: against float64, as torch operators, fused, and in its every build."""

import ctypes
import mmap
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.model.guides import CurvesGuide
from hdrnet_bench.model.lowres import make_lowres
from hdrnet_bench.slicing import bilateral_slice_apply, cpu, reference
from hdrnet_bench.slicing.operators import curves_guide, slice_apply
from tests.conftest import ROOT
from tests.slicing.test_slicing import make

pytestmark = pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")

# Shapes of the fast kernel (3 x 4 matrices, depth up to 8) and of the general one, around the
# width of its registers and down to pictures smaller than the grid.
FAST = st.tuples(
    st.integers(1, 2),
    st.just(3),
    st.just(3),
    st.just(1),
    st.integers(1, 8),
    st.integers(1, 17),
    st.integers(1, 17),
    st.integers(1, 40),
    st.integers(1, 70),
)
GENERAL = st.tuples(
    st.integers(1, 2),
    st.integers(0, 4),
    st.integers(1, 4),
    st.just(1),
    st.integers(1, 11),
    *(st.integers(1, 7) for _ in range(2)),
    *(st.integers(1, 19) for _ in range(2)),
)


def off_the_kinks(guide: Tensor, depth: int) -> Tensor:
    """The same guides, none within 1e-3 of a bin centre, where float32 and float64 may disagree
    on the side, and so on the guide's gradient."""
    position = guide * depth - 0.5
    near = (position - position.round()).abs() < 1e-3
    return torch.where(near, guide + 4e-3 / depth, guide)


def with_gradients(apply, tensors: tuple[Tensor, ...], grad: Tensor) -> list[Tensor]:
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    out = apply(*leaves)
    out.backward(grad.to(out.dtype))
    return [out.detach(), *(leaf.grad for leaf in leaves if leaf.numel())]  # type: ignore[misc]


@settings(max_examples=60)
@given(shape=st.one_of(FAST, GENERAL), seed=st.integers(0, 2**31))
def test_forward_and_gradients_agree_with_float64(shape: tuple[int, ...], seed: int) -> None:
    """Forward within 1e-5 and gradients within 1e-4, relative to the largest value."""
    grid, guide, image = make(seed, shape, torch.float32)
    guide = off_the_kinks(guide, shape[4])
    grad = torch.randn(shape[0], shape[2], *shape[7:], dtype=torch.float64)

    def exact(grid: Tensor, guide: Tensor, image: Tensor) -> Tensor:
        sliced = reference.bilateral_slice(grid, guide)
        return reference.apply_coefficients(sliced, image, True)

    ours = with_gradients(lambda *t: slice_apply(*t, True), (grid, guide, image), grad)
    theirs = with_gradients(exact, (grid.double(), guide.double(), image.double()), grad)
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        bound = (1e-5 if index == 0 else 1e-4) * max(float(b.abs().max()), 1.0)
        assert float((a - b).abs().max()) <= bound, index


@pytest.mark.parametrize("shape", [(2, 3, 3, 1, 8, 16, 16, 67, 131), (2, 2, 4, 0, 9, 5, 6, 40, 33)])
def test_same_bits_for_any_number_of_threads(shape: tuple[int, ...]) -> None:
    tensors = make(1, shape, torch.float32)
    grad = torch.randn(shape[0], shape[2], *shape[7:])
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(
                with_gradients(lambda *t: slice_apply(*t, bool(shape[3])), tensors, grad)
            )
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_guide_that_is_no_number_reads_the_first_bin() -> None:
    grid, guide, image = make(2, (1, 3, 3, 1, 8, 4, 4, 9, 17), torch.float32)
    guide[0, 3, 5], guide[0, 3, 6], guide[0, 3, 7] = torch.nan, torch.inf, -torch.inf
    finite = guide.nan_to_num(nan=-1.0, posinf=9.0, neginf=-9.0)
    assert torch.equal(
        slice_apply(grid, guide, image, True), slice_apply(grid, finite, image, True)
    )


def curves(seed: int, dtype: torch.dtype = torch.float32) -> CurvesGuide:
    torch.manual_seed(seed)
    guide = CurvesGuide()
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return guide.to(dtype)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 30), st.integers(1, 2))
def test_curves_guide_and_its_gradients_agree_with_float64(
    seed: int, height: int, width: int, batch: int
) -> None:
    exact, ours = curves(seed, torch.float64), curves(seed)
    x = torch.rand(batch, 3, height, width, dtype=torch.float64) * 1.2 - 0.1
    grad = torch.randn(batch, height, width, dtype=torch.float64)
    with torch.no_grad():  # pixels whose side of a kink float32 might see otherwise get no say
        mixed = torch.einsum("bihw,io->bohw", x, exact.ccm) + exact.ccm_bias[:, None, None]
        distance = (mixed[:, :, None] - exact.shifts[:, :, None, None]).abs().amin((1, 2))
        clipped = exact(x, "reference")
        grad[(distance < 1e-5) | (clipped < 1e-5) | (clipped > 1 - 1e-5)] = 0
    x.requires_grad_()
    narrow = x.detach().float().requires_grad_()
    expected, guide = exact(x, "reference"), ours(narrow, "native")
    assert float((guide - expected).detach().abs().max()) <= 1e-5
    expected.backward(grad)
    guide.backward(grad.float())
    pairs = [(narrow, x), *zip(ours.parameters(), exact.parameters(), strict=True)]
    for a, b in pairs:
        assert a.grad is not None
        assert b.grad is not None
        assert float((a.grad - b.grad).abs().max()) <= 1e-4 * max(float(b.grad.abs().max()), 1.0)


def test_operators_pass_torch_s_own_check() -> None:
    grid, guide, image = (
        t.requires_grad_() for t in make(3, (1, 3, 3, 1, 4, 3, 5, 6, 11), torch.float32)
    )
    torch.library.opcheck(slice_apply, (grid, guide, image, True))
    parameters = tuple(curves(0).parameters())
    torch.library.opcheck(curves_guide, (image, *parameters))


def test_compiles_into_one_graph() -> None:
    model = HDRNet(HDRNetConfig(net_input_size=32, spatial_bin=8, luma_bins=4))
    fullres = torch.rand(1, 3, 30, 41)
    lowres = make_lowres(fullres, 32, "area")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(lowres, fullres), model(lowres, fullres), atol=1e-6)
    compiled(lowres, fullres).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_differentiating_twice_is_a_clear_error() -> None:
    grid, guide, image = (
        t.requires_grad_() for t in make(3, (1, 3, 3, 1, 4, 3, 5, 6, 11), torch.float32)
    )
    (first,) = torch.autograd.grad(
        slice_apply(grid, guide, image, True).square().sum(), [image], create_graph=True
    )
    with pytest.raises(RuntimeError, match="slice_apply_backward"):
        first.sum().backward()


def test_strided_inputs_and_outputs() -> None:
    grid, guide, image = make(5, (2, 3, 3, 1, 8, 4, 4, 12, 20), torch.float32)
    expected = slice_apply(grid, guide, image, True)
    strided = [t.transpose(-1, -2).contiguous().transpose(-1, -2) for t in (grid, guide, image)]
    assert not strided[2].is_contiguous()
    assert torch.equal(slice_apply(*strided, True), expected)
    out = torch.empty(2, 3, 20, 12).transpose(-1, -2)
    assert torch.equal(bilateral_slice_apply(grid, guide, image, out=out), expected)


def test_out_may_be_the_image_itself() -> None:
    for shape in ((1, 3, 3, 1, 8, 4, 4, 9, 17), (1, 2, 2, 1, 9, 4, 4, 9, 17)):
        grid, guide, image = make(5, shape, torch.float32)
        expected = slice_apply(grid, guide, image, True)
        assert bilateral_slice_apply(grid, guide, image, out=image) is image
        assert torch.equal(image, expected)


def model(variant: str, seed: int = 0, **changes: object) -> HDRNet:
    """A network whose every guide parameter differs from where it starts."""
    torch.manual_seed(seed)
    config = HDRNetConfig.model_validate(
        {"variant": variant, "net_input_size": 32, "spatial_bin": 8, **changes}
    )
    result = HDRNet(config)
    with torch.no_grad():
        for parameter in result.guides.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in result.guides.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return result.eval()


@pytest.mark.parametrize("variant", ["curves", "pointwise"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 8), (131, 67), (16, 250)])
@pytest.mark.parametrize("lowres_resize", ["area", "nearest"])
def test_fused_inference_agrees_with_plain_torch(
    variant: str, size: tuple[int, int], lowres_resize: str
) -> None:
    network = model(variant, lowres_resize=lowres_resize)
    picture = torch.rand(2, 3, *size)
    ours, plain = network.enhance(picture), network.enhance(picture, backend="reference")
    assert float((ours - plain).abs().max()) <= 2e-5 * float(plain.abs().max())

    levels = (picture * 255).round().to(torch.uint8)
    ours = network.enhance(levels)
    assert ours.dtype == torch.uint8
    # Rounded to nearest; where float32 lands next to a half, its last bits decide.
    exact = network.enhance(levels.float() / 255, backend="reference").clamp(0, 1) * 255
    assert float((ours - exact).abs().max()) <= 0.5 + 255 * 2e-5 * float(plain.abs().max())


def test_fused_inference_takes_pictures_as_they_lie_in_memory() -> None:
    network = model("curves")
    rows = torch.randint(0, 256, (45, 61, 3), dtype=torch.uint8)  # H, W, C, as files decode
    picture = rows.permute(2, 0, 1)
    assert torch.equal(network.enhance(picture), network.enhance(picture.contiguous()))
    batch = torch.rand(4, 3, 20, 30)[::2, :, ::2, 3:]
    assert torch.equal(network.enhance(batch), network.enhance(batch.contiguous()))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_channels_side_by_side_at_every_width(dtype: torch.dtype) -> None:
    """16 pixels are moved at a time; what is left over is moved one by one."""
    network = model("curves")
    for width in (1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 63):
        white = torch.iinfo(dtype).max
        rows = torch.randint(0, white + 1, (3, width, 3), dtype=torch.int32).to(dtype)
        picture = rows.permute(2, 0, 1)
        assert torch.equal(network.enhance(picture), network.enhance(picture.contiguous()))


def test_enhance_under_autocast() -> None:
    network, picture = model("curves"), torch.rand(3, 40, 50)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = network.enhance(picture)
    assert float((narrow - network.enhance(picture)).abs().max()) < 0.2


def test_operators_refuse_what_does_not_fit() -> None:
    grid, guide, image = make(0, (1, 3, 3, 1, 4, 3, 3, 5, 7), torch.float32)
    apply = torch.ops.hdrbench.slice_apply
    for bad in (
        (grid.double(), guide, image),
        (grid, guide[:, :4], image),
        (grid[:, :11], guide, image),
        (grid, guide.half(), image.half()),
        (grid[0], guide, image),
        (grid[:0], guide[:0], image[:0]),
    ):
        with pytest.raises(ValueError, match=r"do not fit|one device and dtype"):
            apply(*bad, True)
    parameters = [p.detach() for p in curves(0).parameters()]
    guide_of = torch.ops.hdrbench.curves_guide
    for picture in (image[:, :1], image.double(), image[0], image[:0], image[..., :0]):
        with pytest.raises(ValueError, match=r"picture|one device and dtype"):
            guide_of(picture, *parameters)
    with pytest.raises(ValueError, match="one device and dtype"):
        guide_of(image, *(p.double() for p in parameters))
    with pytest.raises(ValueError, match="empty"):
        model("curves").enhance(image[:, :, :0])


def test_what_the_fused_kernel_does_not_serve_is_computed_all_the_same() -> None:
    picture = torch.rand(3, 40, 50)
    for network in (model("pyramid"), model("curves", luma_bins=9), model("curves").double()):
        plain = network.enhance(picture, backend="reference")
        assert torch.allclose(network.enhance(picture), plain, atol=1e-4)
    assert model("curves").enhance(picture.half()).dtype == torch.float16


@pytest.mark.parametrize("size", [(300, 257), (32, 32), (11, 90), (1, 1), (1000, 33)])
def test_lowres_is_torch_s_area(size: tuple[int, int]) -> None:
    for dtype, white in ((torch.uint8, 255), (torch.uint16, 65535)):
        levels = torch.randint(0, white + 1, (2, *size, 3), dtype=torch.int32)
        levels[0] = white  # the largest sums
        levels = levels.to(dtype).permute(0, 3, 1, 2)
        floats = levels.float() / white
        expected = make_lowres(floats, 32, "area")
        for picture in (levels, levels.contiguous(), floats):
            assert torch.allclose(cpu.area_lowres(picture, 32), expected, atol=1e-6)


MEMORY = """
import resource, torch
from pathlib import Path
from hdrnet_bench import HDRNet
def status(key):
    line = next(l for l in Path('/proc/self/status').read_text().splitlines() if l.startswith(key))
    return int(line.split()[1]) / 1024
model = HDRNet().eval()
model.enhance(torch.zeros(3, 512, 512, dtype=torch.uint8))
picture = torch.randint(0, 256, (3, 6000, 8000), dtype=torch.uint8)
Path('/proc/self/clear_refs').write_text('5')  # restart the high-water mark
before = status('VmRSS')
out = model.enhance(picture)
print(status('VmHWM') - before - out.numel() / 2**20)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_48_megapixels_need_under_16_mib_beside_input_and_output() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 16


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")
def test_a_large_fresh_result_asks_for_huge_pages() -> None:
    offered = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not offered.exists():
        pytest.skip("this kernel has no transparent huge pages")
    for megabytes, asked in ((4, False), (64, True)):
        own = mmap.mmap(-1, megabytes << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        fresh = cpu.on_huge_pages(torch.frombuffer(own, dtype=torch.uint8))
        middle = fresh.data_ptr() + (megabytes << 19)
        assert ("hg" in flags_of_memory(middle)) == asked


def flags_of_memory(address: int) -> list[str]:
    """VmFlags of the mapping that holds an address; `hg` is MADV_HUGEPAGE."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return line.split()[1:]
    raise AssertionError(f"nothing is mapped at {address:x}")


def test_is_much_faster_than_plain_torch() -> None:
    """A guard, far under what the benchmark shows, so that a loaded machine does not fail it."""
    grid, guide, image = make(6, (1, 3, 3, 1, 8, 16, 16, 540, 960), torch.float32)

    def best(backend: str) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            bilateral_slice_apply(grid, guide, image, backend=backend)  # type: ignore[arg-type]
            times.append(time.perf_counter() - start)
        return min(times)

    assert best("reference") > 10 * best("native")


KERNELS = ROOT / "hdrnet_bench" / "slicing" / "kernels"
COMPILERS = [name for name in ("g++", "clang++") if shutil.which(name)]


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_generic_build_agrees(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an Arm machine compiles: no dispatch, no gather instruction."""
    if compiler not in COMPILERS:
        pytest.skip(f"{compiler} is not installed")
    library = tmp_path / "generic.so"
    command = [compiler, "-std=c++17", "-O1", "-fPIC", "-shared", "-pthread", "-DHDRBENCH_GENERIC"]
    sources = sorted(map(str, KERNELS.glob("*.cpp")))
    subprocess.run(
        [*command, "-Wall", "-Wextra", "-Werror", "-Wno-psabi", *sources, "-o", str(library)],
        check=True,
    )
    tensors = make(7, (1, 3, 3, 1, 8, 16, 16, 50, 77), torch.float32)
    grad = torch.randn(1, 3, 50, 77)
    network, picture = model("pointwise"), torch.rand(3, 50, 77)

    def results() -> list[Tensor]:
        return [
            *with_gradients(lambda *t: slice_apply(*t, True), tensors, grad),
            network.enhance(picture),
        ]

    expected = results()
    monkeypatch.setattr(cpu, "LIBRARY", ctypes.CDLL(str(library)))
    for a, b in zip(results(), expected, strict=True):
        assert float((a - b).abs().max()) <= 2e-5 * float(b.abs().max())
