"""The backward kernel: how it divides a picture among its blocks, and what its two loops cost in
machine code. Its results are in test_cuda_kernels.py."""

from __future__ import annotations

import ctypes
import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdrnet_bench.slicing import cuda
from hdrnet_bench.slicing.cuda_launch import source
from tests.slicing.host import COMPILER, HostKernels, build
from tests.slicing.test_cuda_kernels import assert_near, exact, problem, run

SWEEP, PIXEL = 290, 245  # instructions a pixel, over all threads
SIZES = st.one_of(st.integers(1, 300), st.integers(1, 20_000))


@pytest.fixture(scope="module")
def begins(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The kernel's own placement of intervals."""
    if COMPILER is None:
        pytest.skip("no g++")
    folder = tmp_path_factory.mktemp("begins")
    program = folder / "begins.cpp"
    program.write_text(
        '#include "slice_gradient_cuda.cu"\n'
        'extern "C" void begins(int size, int cells, int* to) {\n'
        "  for (int i = 0; i < cells + 2; ++i) to[i] = hdrbench::interval_begin(i, size, cells);\n"
        "}\n"
    )
    return ctypes.CDLL(str(build(program, folder / "begins.so")))


@settings(max_examples=400)
@given(size=SIZES, cells=st.integers(1, 64))
def test_host_and_kernel_place_the_same_pixels_in_an_interval(
    begins: ctypes.CDLL, size: int, cells: int
) -> None:
    places = (ctypes.c_int * (cells + 2))()
    begins.begins(size, cells, places)
    lengths = cuda._intervals(size, cells)
    assert list(places) == [0, *np.cumsum(lengths)]
    assert max(lengths) <= math.ceil(size / cells) + 1


@given(
    sizes=st.tuples(st.integers(1, 80), *(st.integers(1, 40) for _ in range(2)), SIZES, SIZES),
)
def test_tiles_cover_every_interval_and_fit(sizes: tuple[int, int, int, int, int]) -> None:
    _, rows, columns, height, width = sizes
    tile = cuda._tile(*sizes)
    assert tile is not None
    assert (1 << (tile.row_bits + tile.bits)) % cuda.THREADS == 0
    assert 1 << tile.bits <= cuda.THREADS
    assert tile.shared_bytes <= cuda.MAX_SHARED
    assert tile.x_parts * tile.x_length >= max(cuda._intervals(width, columns))
    assert (tile.y_parts << tile.row_bits) >= max(cuda._intervals(height, rows))


@pytest.mark.parametrize(
    ("height", "width"), [(3000, 4000), (2160, 3840), (1080, 1920), (512, 512), (256, 256)]
)
def test_few_pixels_are_swept_that_are_none(height: int, width: int) -> None:
    tile = cuda._tile(8, 16, 16, height, width)
    assert tile is not None
    swept = 0
    for rows in cuda._intervals(height, 16):
        for columns in cuda._intervals(width, 16):
            steps = math.ceil(rows / (1 << tile.row_bits)), math.ceil(columns / (1 << tile.bits))
            swept += math.prod(steps) << (tile.row_bits + tile.bits)
    assert swept <= 1.17 * height * width


@pytest.mark.parametrize("shape", cuda.TILES)
def test_every_shape_of_tile(
    host_library: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    monkeypatch.setattr(cuda, "TILES", (shape,))
    monkeypatch.setattr(cuda, "PART", 70)  # several blocks of an interval
    cuda._tile.cache_clear()
    try:
        for sizes in ((1, 3, 3, 1, 8, 2, 1, 37, 150), (2, 3, 3, 1, 9, 3, 5, 50, 41)):
            tensors, grad = problem(11, sizes)
            ours = [run(HostKernels(host_library, seed), tensors, grad, True) for seed in (1, 2)]
            assert_near(ours[0], exact(tensors, grad, True))
            assert all(torch.equal(a, b) for a, b in zip(*ours, strict=True))
    finally:
        cuda._tile.cache_clear()


def test_pictures_whose_pixels_are_far_apart_take_the_other_kernels() -> None:
    names: list[str] = []
    grid, guide, grad = torch.empty(1, 12, 8, 4, 4), torch.empty(1, 3, 5), torch.empty(1, 3, 3, 5)
    image = torch.empty(1, device="meta").as_strided((1, 3, 3, 5), (0, 1, 2**30, 3))
    cuda.slice_gradient(lambda name, *_: names.append(name), grid, guide, grad, grad, True)
    assert names[0] == "slice_gradient_f32"
    assert cuda._near(grad)
    assert not cuda._near(image)


machine_code = pytest.importorskip("tests.slicing.test_cuda_machine_code")


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("cubin")
    program = folder / "kernels.cu"
    program.write_text(source())
    names = machine_code.ARCHITECTURES
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda a: machine_code.compiled(a, program, folder / f"{a}.cubin"), names)
        return dict(zip(names, made, strict=True))


def inner_loops(kernel: machine_code.Kernel) -> tuple[list[str], list[str]]:
    """The pixels' own gradients, a pixel a turn; and the sweep, some pixels a turn. Each is the
    shortest loop with its 128-bit reads."""

    def wide(loop: list[str]) -> int:
        return sum(bool(re.match(r"LDS(\.U)?\.128", n)) for n in machine_code.opcodes(loop))

    def stores(loop: list[str]) -> int:
        return sum(n.startswith("STG") for n in machine_code.opcodes(loop))

    loops = list(kernel.loops())
    pixel = min((o for o in loops if wide(o) >= 12 and stores(o) >= 4), key=len)
    sweep = min((o for o in loops if wide(o) >= 2 and stores(o) == 0), key=len)
    return pixel, sweep


@machine_code.each_architecture
@pytest.mark.parametrize("name", ["f32", "f16", "bf16"])
def test_instructions_a_pixel_of_the_backward_kernel(
    kernels: dict[str, dict], architecture: str, name: str
) -> None:
    kernel = kernels[architecture][f"slice_gradient_{name}"]
    assert kernel.stack == 0
    assert kernel.registers <= 168  # three blocks of 128 threads at a time
    pixel, sweep = inner_loops(kernel)
    reads = sum(n.startswith("LDS") for n in machine_code.opcodes(sweep))
    # Two reads a pixel of each of the four threads that share it.
    swept = 4 * len(sweep) / (reads / 2)
    print(f"{architecture} {name}: pixel {len(pixel)}, sweep {swept:.0f}, {kernel.registers} regs")
    assert len(pixel) <= PIXEL
    assert swept <= SWEEP
