"""The backward kernel: how it divides a picture among its blocks. Its results are in
test_cuda_kernels.py, what a pixel costs in test_cuda_machine_code.py."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdrnet_bench.slicing import cuda
from hdrnet_bench.slicing.cuda_launch import KERNELS
from tests.slicing.host import COMPILER, HostKernels, build
from tests.slicing.test_cuda_kernels import assert_near, exact, problem, run

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
    assert tile.rows % (4 * (32 >> tile.bits)) == 0  # as many strips for every warp
    assert tile.shared_bytes <= cuda.MAX_SHARED
    assert tile.x_parts * tile.x_length >= max(cuda._intervals(width, columns))
    assert tile.y_parts * tile.rows >= max(cuda._intervals(height, rows))


@pytest.mark.parametrize(
    ("height", "width"), [(3000, 4000), (2160, 3840), (1080, 1920), (512, 512), (256, 256)]
)
def test_few_pixels_are_swept_that_are_none(height: int, width: int) -> None:
    tile = cuda._tile(8, 16, 16, height, width)
    assert tile is not None
    swept = 0
    for rows in cuda._intervals(height, 16):
        for columns in cuda._intervals(width, 16):
            strip = 1 << tile.bits
            swept += math.ceil(rows / tile.rows) * tile.rows * math.ceil(columns / strip) * strip
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


def test_leaving_out_the_barrier_of_a_warp_is_seen(host_library: Path) -> None:
    tensors, grad = problem(12, (1, 3, 3, 1, 8, 2, 2, 20, 300))
    launch = HostKernels(host_library, 3)
    run(launch, tensors, grad, True)
    lines = (KERNELS / "slice_gradient_cuda.cu").read_text().splitlines()
    (line,) = (n for n, text in enumerate(lines, 1) if "warp_barrier();" in text)
    launch.skip_barrier("slice_gradient_cuda.cu", line)
    try:
        with pytest.raises(AssertionError, match=r"races?\b|before it is written"):
            run(launch, tensors, grad, True)
    finally:
        launch.skip_barrier("", 0)
