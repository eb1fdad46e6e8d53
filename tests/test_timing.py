import json

import pytest
import torch

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.results import KernelTiming, read_result
from hdrnet_bench.slicing import backend_name, cpu
from hdrnet_bench.timing import MIN_REPEATS, natural_picture, time_model
from tests.conftest import Workspace

PARTS = {"coefficients", "guide + slice + apply", "whole"}


def test_rows_are_consistent() -> None:
    model = HDRNet(HDRNetConfig(net_input_size=32, spatial_bin=8)).eval()
    sizes = [(64, 48), (1280, 960)]
    rows = time_model(model, sizes, budget_s=0.2)
    assert [(r.width, r.height) for r in rows] == [sizes[0]] * 3 + [sizes[1]] * 3
    assert {r.part for r in rows} == PARTS
    for row in rows:
        assert 0 < row.p5_ms <= row.median_ms <= row.p95_ms
        assert row.repeats >= MIN_REPEATS
    # 400 times the pixels cannot be as quick, however busy the machine is: the quickest repeats.
    quickest = {(r.width, r.part): r.p5_ms for r in rows}
    assert quickest[1280, "guide + slice + apply"] > quickest[64, "guide + slice + apply"]


def test_timed_picture_is_a_photograph_of_that_size() -> None:
    picture = natural_picture(123, 77)
    assert picture.shape == (3, 77, 123)
    assert 0 <= picture.min() < 0.1 < 0.9 < picture.max() <= 1
    assert torch.unique(picture).numel() > 1000


def test_time_writes_a_valid_result(trained: Workspace) -> None:
    rows = trained.json("time", "tiny", "--budget", "0.1")
    assert {(r["width"], r["height"]) for r in rows} == {(64, 48), (96, 64)}
    (path,) = (trained.path / "results/tiny/hdrnet-curves/seed-0").glob("timing-cpu-*.json")
    result = json.loads(path.read_text())
    assert result["rows"] == rows
    assert result["device"] == "cpu"
    assert result["backend"] == backend_name("cpu")
    assert result["environment"]["cpu"]
    assert str(trained.path) not in path.read_text()


def test_time_without_a_run_writes_nothing(workspace: Workspace) -> None:
    rows = workspace.json("time", "--size", "64x48", "--size", "40x40", "--budget", "0")
    assert len(rows) == 6
    assert list(workspace.path.iterdir()) == []


def test_bad_sizes_and_devices(workspace: Workspace) -> None:
    for size in ("64", "64x", "0x64", "7x64", "-8x8", "axb"):
        assert "WIDTHxHEIGHT" in workspace.fails(2, "time", f"--size={size}")
    assert "use cpu, cuda" in workspace.fails(2, "time", "--device", "tpu")
    if not torch.cuda.is_available():
        assert "no CUDA device here" in workspace.fails(4, "time", "--device", "cuda")


@pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
def test_kernels_are_timed_against_plain_torch_and_a_copy(workspace: Workspace) -> None:
    rows = workspace.json("time", "--kernels", "--size", "160x120")
    kernels = {(row["guide"], row["kernel"]) for row in rows}
    assert kernels == {
        *(("natural", k) for k in ("forward, out given", "forward, fresh output")),
        *(("noise", k) for k in ("forward, out given", "forward, fresh output")),
        ("natural", "forward + backward"),
        ("noise", "forward + backward"),
        ("natural", "fused, bytes to bytes, out given"),
        ("natural", "fused, bytes to bytes, fresh output"),
        ("noise", "fused, bytes to bytes, out given"),
        ("noise", "fused, bytes to bytes, fresh output"),
    }
    for row in rows:
        assert 0 < row["p5_ms"] <= row["median_ms"] <= row["p95_ms"]
        assert row["ns_per_pixel"] == pytest.approx(row["median_ms"] * 1e6 / 19200, rel=1e-2)
        assert row["max_error"] <= (0.501 if row["kernel"].startswith("fused") else 1e-4)
        assert row["compiled_ms"] is None
    assert list(workspace.path.iterdir()) == []
    assert "no run" in workspace.fails(2, "time", "tiny", "--kernels")
    assert "--kernels" in workspace.fails(2, "time", "--save")
    if not torch.cuda.is_available():
        assert "no CUDA" in workspace.fails(4, "time", "--kernels", "--device", "cuda")


@pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
def test_kernel_times_are_saved_and_reported(workspace: Workspace) -> None:
    would = workspace.json("time", "--kernels", "--size=64x48", "--save", "--dry-run")
    rows = workspace.json("time", "--kernels", "--size=64x48", "--save")
    (path,) = workspace.path.glob("results/kernels-cpu-*.json")
    assert would["would write"].endswith(path.name)
    result = read_result(path)
    assert isinstance(result, KernelTiming)
    assert [row.model_dump() for row in result.rows] == rows
    workspace.json("report")
    page = (workspace.path / "results" / "report.html").read_text()
    text = (workspace.path / "results" / "README.md").read_text()
    for row in rows:
        assert row["kernel"] in page
        assert f"{row['median_ms']:.2f} [" in text
    assert result.environment.machine() in text
