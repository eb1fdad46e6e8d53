"""The rows of the slicing kernels that a CPU can make, and what becomes of those that fail."""

from pathlib import Path

import pytest
import torch

from hdrnet_bench.result_timing import KernelTiming
from hdrnet_bench.results import read_result
from hdrnet_bench.slicing import cpu
from hdrnet_bench.timing import kernels
from hdrnet_bench.timing.clock import Clock
from hdrnet_bench.timing.kernels import time_kernels
from tests.conftest import Workspace

pytestmark = pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
CPU = torch.device("cpu")


def bench(width: int = 40, height: int = 30) -> kernels._Bench:
    return kernels._Bench("made up", width * height, "natural", Clock(CPU))


def inputs(width: int = 40, height: int = 30) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    grid, guide = torch.randn(1, 12, 8, 16, 16), torch.rand(1, height, width)
    return grid, guide, torch.rand(1, 3, height, width)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_forward_pass_is_compared_with_a_copy_of_its_own_bytes(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = []
    copier = kernels.copier
    monkeypatch.setattr(kernels, "copier", lambda n, device: moved.append(n) or copier(n, device))
    tensors = [t.to(dtype) for t in inputs()]
    rows = list(kernels._forward(bench(), *tensors, None))
    name = "forward" if dtype == torch.float32 else "forward, float16"
    assert [row.kernel for row in rows] == [f"{name}, out given", f"{name}, fresh output"]
    assert moved == [1200 * (28 if dtype == torch.float32 else 14)]
    for row in rows:
        assert row.max_error is not None
        assert 0 < row.max_error < (1e-4 if dtype == torch.float32 else 2e-2)
        assert row.copy_share == pytest.approx(row.copy_ms / row.median_ms)


def test_the_backward_is_timed_alone_with_all_three_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = {}
    rows_of = kernels._Bench.rows

    def rows(self, timed, **other):
        ran.update({name: (run, other["plain"], other["moved"]) for name, run in timed.items()})
        return rows_of(self, timed, **other)

    monkeypatch.setattr(kernels._Bench, "rows", rows)
    tensors = inputs()
    both, alone = kernels._backward(bench(), *tensors, None)
    assert (both.kernel, alone.kernel) == ("forward + backward", "backward")
    assert (ran["forward + backward"][2], ran["backward"][2]) == (72 * 1200, 44 * 1200)
    assert alone.note is None
    native, plain, _ = ran["backward"]
    ours, theirs = native(), plain()
    assert [g.shape for g in ours] == [t.shape for t in tensors]
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() < 1e-3 * b.abs().max()


def test_plain_torch_without_the_memory_for_its_graph_is_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_much(*tensors: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("made up for a test")

    monkeypatch.setattr(kernels, "_plain", too_much)
    for row in kernels._backward(bench(), *inputs(), None):
        assert row.median_ms > 0
        assert (row.reference_ms, row.times_reference) == (None, None)
        assert row.note == "plain torch ran out of memory"


def test_a_failing_compiler_costs_its_column_alone() -> None:
    def fails(*tensors: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no compiler\nat all")

    for row in kernels._forward(bench(), *inputs(), fails):
        assert row.compiled_ms is None
        assert row.reference_ms
        assert row.note == "torch.compile: no compiler"


def test_an_interrupted_run_keeps_the_sizes_it_has(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = kernels._one

    def until_the_second_size(name, *other):
        if name == "48x32":
            raise KeyboardInterrupt
        return one(name, *other)

    monkeypatch.setattr(kernels, "_one", until_the_second_size)
    sizes = ("--resolution=64x48", "--resolution=48x32")
    command = ("time", "--kernels", "--device=cpu", "--save", *sizes)
    assert workspace.run(*command).returncode == 130
    (path,) = workspace.path.glob("results/kernels-cpu-*.json")
    assert {row.size for row in _read(path).rows} == {"64x48"}


def _read(path: Path) -> KernelTiming:
    result = read_result(path)
    assert isinstance(result, KernelTiming)
    return result


def test_steps_are_told_when_their_rows_are_there() -> None:
    seen, told = [], []
    for row in time_kernels({"a": (32, 24)}, "cpu", step=lambda: told.append(len(seen))):
        seen.append(row)
    assert told == [len(seen) // 2, len(seen)]
