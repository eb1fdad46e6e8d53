"""From torch tensors to a launch, through cuda-core and a stand-in for the driver's library
(cuda_driver.cpp): arguments, sizes, strides, blocks, stream, and the machine code on disk."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hdrnet_bench import slicing
from hdrnet_bench.slicing import cuda_launch
from tests.conftest import ROOT
from tests.slicing.host import HERE, HostKernels, build

pytest.importorskip("cuda.core", reason="cuda-core is not installed (the extra cuda)")

ARCHITECTURE = "sm_90"  # what the stand-in says it is
STREAM = 0x1234

# Runs in a process of its own, whose libcuda.so.1 is the stand-in.
SCRIPT = f"""
import json, sys
import torch
from hdrnet_bench.slicing import cpu, cuda, cuda_launch, reference

import threading
from pathlib import Path
kernels = cuda_launch.Kernels(0, "{ARCHITECTURE}", Path(sys.argv[1]))
launch = kernels.on({STREAM})
torch.manual_seed(0)
errors = {{}}
def note(name, ours, expected):
    scale = float(expected.double().abs().max()) if name != "bytes" else 1
    errors[name] = float((ours.double() - expected.double()).abs().max()) / scale

batch, height, width = 2, 21, 36
grid = torch.randn(batch, 12, 8, 5, 6)
memory = torch.rand(batch, height, width, 3)
image = memory.permute(0, 3, 1, 2)  # interleaved
guide = torch.rand(batch, height, width + 1)[..., 1:]
guide += ((guide * 8 - 0.5).frac().abs() < 1e-3) * 1e-3  # off the bins' centres
grad = torch.randn(batch, 3, height, width)
leaves = [t.detach().clone().double().requires_grad_() for t in (grid, guide, image)]
expected = reference.apply_coefficients(
    reference.bilateral_slice(leaves[0], leaves[1]), leaves[2], True
)
expected.backward(grad.double())
out = torch.empty(batch, 3, height, width)
cuda.slice_apply(launch, grid, guide, image, True, out)
note("forward", out, expected.detach())
gradients = []
backward = threading.Thread(  # as autograd does, in a thread that has no context of its own
    target=lambda: gradients.extend(cuda.slice_gradient(launch, grid, guide, image, grad, True))
)
backward.start()
backward.join()
for name, ours, leaf in zip(("grid", "guide", "image"), gradients, leaves):
    note(name, ours, leaf.grad)
packed = cpu.pack_curves(
    torch.eye(3), torch.zeros(3), torch.rand(3, 16), torch.rand(3, 16) / 8, torch.ones(3) / 3,
    torch.zeros(()),
)
ready = cuda.with_constant(packed)
table = cuda.curves_table(launch, packed)
planar = image.contiguous()
note("curves", cuda.curves_forward(launch, planar, ready), cpu.curves_forward(planar, packed))
ours = cuda.curves_backward(launch, planar, ready, grad[:, 0].contiguous())
theirs = cpu.curves_backward(planar, packed, grad[:, 0].contiguous())
note("curves, image", ours[0], theirs[0])
note("curves, sums", ours[1], theirs[1])
levels = (memory * 255).to(torch.uint8).permute(0, 3, 1, 2)
out = cuda.enhance(launch, grid, levels, table, 0)
note("bytes", out, cpu.enhance(grid, levels, packed, 0))
note("low-res", cuda.area_lowres(launch, levels, 8), cpu.area_lowres(levels, 8))
hidden = torch.rand(5 * 16 + 1)
launch = kernels.on(0)  # torch's default stream
note("pointwise", cuda.enhance(launch, grid, image, cuda.by_channel(hidden, 16), 16),
     cpu.enhance(grid, image, hidden, 16))
json.dump(errors, sys.stdout)
"""


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled kernels. In a process without the stand-in: NVRTC calls into
    whatever driver it finds."""
    cache = tmp_path_factory.mktemp("cache")
    for kernel in ("slice_apply", "slice_gradient", "curves", "enhance"):
        code = cuda_launch.compile_program(cuda_launch.source(kernel), ARCHITECTURE, cache)
        assert bytes(code.code).startswith(b"\x7fELF")
    return cache


def files(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_from_tensors_to_the_driver(host_library: Path, machine_code: Path, tmp_path: Path) -> None:
    build(HERE / "cuda_driver.cpp", tmp_path / "libcuda.so.1", HERE, "-Wl,-soname,libcuda.so.1")
    before = files(machine_code)
    assert len(before) == 4
    log = tmp_path / "launches"
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(tmp_path),
        "HDRBENCH_HOST_KERNELS": str(host_library),
        "HDRBENCH_LAUNCHES": str(log),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(machine_code)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    errors = json.loads(done.stdout)
    bounds = {"forward": 1e-5, "bytes": 0.0, "curves": 1e-5, "low-res": 1e-6, "pointwise": 1e-5}
    assert len(errors) == 10
    assert {name: e for name, e in errors.items() if not e <= bounds.get(name, 1e-4)} == {}
    assert files(machine_code) == before  # found on disk, not compiled again

    launches = [line.split() for line in log.read_text().splitlines()]
    assert [name for name, *_ in launches] == [
        "slice_apply_f32",
        "slice_gradient_f32",
        "slice_grid_sum",
        "curves_table",
        "curves_forward",
        "curves_backward",
        "curves_sums",
        "enhance_curves_u8",
        "area_lowres_u8",
        "enhance_pointwise_f32",
    ]
    for name, *numbers in launches:
        *blocks, threads_x, threads_y, threads_z, shared, stream = map(int, numbers)
        assert min(blocks) >= 1
        assert (threads_x, threads_y, threads_z) == (128, 1, 1)
        assert stream == (0 if name == "enhance_pointwise_f32" else STREAM)
        assert 0 <= shared <= 48 * 1024
    # 36 pixels are one segment, and of so few a row is a block; two pictures. Six columns are met.
    assert launches[0][1:4] == ["1", "21", "2"]
    assert launches[0][7] == str(4 * 6 * 8 * 12)


NOTHING = 'extern "C" __global__ void nothing() {}'


def test_other_sources_and_architectures_are_other_files(machine_code: Path) -> None:
    before = files(machine_code)
    text = cuda_launch.source("slice_apply_f32")
    assert cuda_launch.compile_program(text, ARCHITECTURE, machine_code).code
    assert files(machine_code) == before
    cuda_launch.compile_program(NOTHING, ARCHITECTURE, machine_code)
    cuda_launch.compile_program(NOTHING, "sm_80", machine_code)
    assert len(files(machine_code)) == len(before) + 2


def test_a_cache_that_cannot_be_written_compiles_each_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "cache"
    assert cuda_launch.compile_program(NOTHING, ARCHITECTURE, folder).code


def test_who_waits_for_the_compiler_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = cuda_launch.source("slice_apply_f32")
    monkeypatch.setattr(cuda_launch, "SAY_AFTER_S", 0.01)
    cuda_launch.compile_program(text, ARCHITECTURE, tmp_path)
    assert capfd.readouterr().err == (
        "hdrnet-bench: compiling CUDA kernels for sm_90, once: some seconds\n"
    )
    monkeypatch.setattr(cuda_launch, "SAY_AFTER_S", 60.0)
    cuda_launch.compile_program(text, ARCHITECTURE, tmp_path)
    assert capfd.readouterr().err == ""


def test_each_program_has_its_kernels_and_what_they_include_once(host_library: Path) -> None:
    kernels = HostKernels(host_library).argument_bytes()
    assert len(kernels) == 29
    macros = {}
    for kernel in kernels:
        text = cuda_launch.source(kernel)
        file, macro = text.splitlines()[1].split('"')[1], text.splitlines()[0].split()[1]
        macros[file] = macro
        assert text.count('#line 1 "slice_cuda.cu"') == text.count('#line 1 "slice.h"') == 1
        assert '#include "' not in text.replace("#include HDRBENCH_HOST", "")
    assert set(macros) == {path.name for path in cuda_launch.KERNELS.glob("*.cu")}
    assert len(set(macros.values())) == 4


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (ImportError("No module named 'cuda'"), r"\[cuda\]' 'cuda-core\[cu\d*\]'"),
        (RuntimeError("nvrtc: error: invalid value for --gpu-architecture (-arch)"), "older than"),
        (RuntimeError("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image"), "update it"),
        (RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS"), None),
        (AssertionError("a picture of ones came out as [0.0]"), None),
    ],
)
def test_only_what_a_machine_lacks_means_no_kernels(
    monkeypatch: pytest.MonkeyPatch, error: Exception, lacking: str | None
) -> None:
    def fails(device: torch.device) -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(cuda_launch, "_try", fails)
    cuda_launch._why_not.cache_clear()
    try:
        if lacking is None:
            with pytest.raises(type(error)):
                cuda_launch.why_not(0)
        else:
            assert re.search(lacking, cuda_launch.why_not(0))
    finally:
        cuda_launch._why_not.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_reason_is_said_and_no_driver_is_asked() -> None:
    assert cuda_launch.why_not(None) == "torch sees no CUDA device"


def test_asking_for_the_kernels_does_not_break_a_graph() -> None:
    def choose(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if cuda_launch.why_not(None) else x + 2

    x = torch.zeros(3)
    whole = torch.compile(choose, fullgraph=True, backend="eager")
    assert torch.equal(whole(x), choose(x))


def test_a_function_is_marked_as_torch_marks_it() -> None:
    def plain() -> None:
        pass

    expected = vars(torch.compiler.assume_constant_result(plain))
    assert expected
    for function in (cuda_launch.why_not, slicing._notice):
        assert vars(function) == expected
