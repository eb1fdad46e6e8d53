import functools
import itertools
import json
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.errors import CapabilityError, DataError
from hdrnet_bench.result_timing import (
    KernelTiming,
    MachineState,
    NetworkTiming,
    Timing,
    TimingRow,
    read_machine,
)
from hdrnet_bench.results import read_result
from hdrnet_bench.slicing import cpu
from hdrnet_bench.stopping import Stopped
from hdrnet_bench.timing import child
from hdrnet_bench.timing import exact as exact_module
from hdrnet_bench.timing import kernels as kernels_module
from hdrnet_bench.timing import network as timing
from hdrnet_bench.timing.child import measure
from hdrnet_bench.timing.clock import Clock, natural_picture
from hdrnet_bench.timing.job import EXACT, Measurement, TimingJob
from hdrnet_bench.timing.network import SAVED, SIZES, choose_backends
from hdrnet_bench.timing.saved import saved_network
from hdrnet_bench.timing.state import Watch
from hdrnet_bench.timing.turns import (
    LOOK_EVERY,
    MIN_REPEATS,
    TimedRun,
    in_turns,
    median_interval,
)
from tests.conftest import Workspace, clean_environment
from tests.report.fixtures import made_up

PARTS = ["coefficients", "guide + slice + apply", "whole"]
SMALL = HDRNetConfig(net_input_size=32, spatial_bin=8)
CPU = torch.device("cpu")
UNKNOWN = MachineState(clock_mhz=None, power_w=None, load=None)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes are timed as on CUDA: without the seconds that a process of their own takes."""
    monkeypatch.setattr(timing, "_one_size", timing._here)


def job(**changes: Any) -> TimingJob:
    values: dict[str, Any] = {
        "model": SMALL,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "width": 64,
        "height": 48,
        "batch": 1,
        "dtype": "float32",
        "backends": choose_backends(None, "cpu"),
        "budget_s": 0.0,
    }
    return TimingJob(**(values | changes))


def test_rows_are_consistent() -> None:
    said: list[str] = []
    wanted = job(width=320, height=240, batch=2, budget_s=0.2)
    measured = measure(wanted, said.append)
    assert said == [EXACT, *wanted.backends, child.TIMING]
    keys = [(row.backend, row.part) for row in measured.rows]
    assert keys == list(itertools.product(wanted.backends, PARTS))
    weights = sum(p.nbytes for p in HDRNet(SMALL).coefficient_network.parameters())
    grid, lowres, pictures = (4 * 2 * n for n in (12 * 8 * 8 * 8, 3 * 32 * 32, 6 * 320 * 240))
    least = dict(
        zip(PARTS, (weights + lowres + grid, pictures + grid, pictures + weights), strict=True)
    )
    (copy,) = measured.copies
    assert (copy.width, copy.height) == (320, 240)
    assert copy.gigabytes_per_s == pytest.approx(24 * 320 * 240 / copy.median_ms / 1e6, rel=2e-3)
    for row in measured.rows:
        assert row.repeats >= MIN_REPEATS
        assert 0 < row.p5_ms <= row.median_ms <= row.p95_ms
        assert row.interval_ms[0] <= row.median_ms <= row.interval_ms[1]
        assert row.noisy == (row.p95_ms - row.p5_ms > 0.2 * row.median_ms)
        assert row.max_error is not None
        assert 0 < row.max_error < 1e-4
        assert row.megapixels == pytest.approx(0.1536)
        assert row.megapixels_per_s == pytest.approx(0.1536 / row.median_ms * 1e3)
        moved = row.gigabytes_per_s * row.median_ms * 1e6
        assert moved == pytest.approx(least[row.part], rel=2e-3)
        share = row.gigabytes_per_s / copy.gigabytes_per_s
        assert row.copy_share == pytest.approx(share, rel=2e-3)
        assert row.note is None
    if sys.platform == "linux":
        assert all(row.peak_memory_mib and row.peak_memory_mib > 10 for row in measured.rows)
        assert measured.state.load is not None


@pytest.mark.parametrize(
    ("dtype", "largest"), [("uint8", 0.51), ("float16", 2e-3), ("bfloat16", 2e-2)]
)
def test_pictures_of_other_types(dtype: str, largest: float) -> None:
    for row in measure(job(dtype=dtype)).rows:
        assert row.dtype == dtype
        assert row.max_error is not None
        # What rounding the result costs, and no more; the coefficients are floating always.
        assert row.max_error < (1e-5 if row.part == "coefficients" else largest)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(
    "config",
    [
        HDRNetConfig(variant="pointwise", net_input_size=32, spatial_bin=8),
        HDRNetConfig(variant="pyramid", net_input_size=32, spatial_bin=8),
        HDRNetConfig(net_input_size=32, spatial_bin=8, luma_bins=9),
        HDRNetConfig(
            net_input_size=32, spatial_bin=8, input_encoding="linear", input_transfer="srgb"
        ),
    ],
)
def test_every_network_is_timed(config: HDRNetConfig, dtype: str) -> None:
    rows = measure(job(model=config, dtype=dtype)).rows
    assert [row.part for row in rows[:3]] == PARTS
    for row in rows:
        in_levels = dtype == "uint8" and row.part != "coefficients"
        assert row.median_ms > 0
        assert row.max_error < (0.51 if in_levels else 1e-4)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        HDRNetConfig(variant="pointwise", net_input_size=32, spatial_bin=8, luma_bins=9),
        HDRNetConfig(variant="pyramid", net_input_size=32, spatial_bin=8),
        HDRNetConfig(
            net_input_size=32, spatial_bin=8, input_encoding="linear", input_transfer="srgb"
        ),
    ],
)
def test_the_exact_result_in_strips_is_the_models(
    config: HDRNetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_module, "_STRIP_PIXELS", 200)  # a few rows
    torch.manual_seed(0)
    model = HDRNet(config).eval()
    picture = natural_picture(61, 47)[None]
    exact = exact_module.exact(model, picture)
    assert next(model.parameters()).dtype == torch.float32
    whole = model.double().enhance(picture.double(), "reference")
    assert exact.output.dtype == torch.float64
    assert (exact.output - whole).abs().max() < 1e-12
    off = whole.float()
    off[..., -1, 5] += 0.25  # in the last strip
    assert exact_module.largest_difference(off, exact.output) == pytest.approx(0.25, rel=1e-4)


def test_interval_of_the_median_by_order_statistics() -> None:
    assert median_interval(range(MIN_REPEATS - 1)) is None
    for n in (*range(MIN_REPEATS, 60), 200, 1001):

        def outside(rank: int, n: int = n) -> float:
            """How probable it is that the median is not between that value and its mirror."""
            return 2 * sum(math.comb(n, i) for i in range(rank)) / 2**n

        interval = median_interval(reversed(range(1, n + 1)))
        assert interval is not None
        low, high = (int(value) for value in interval)
        assert low + high == n + 1
        assert outside(low) <= 0.05 < outside(low + 1)


def test_timed_picture_is_a_photograph_of_that_size() -> None:
    picture = natural_picture(123, 77)
    assert picture.shape == (3, 77, 123)
    assert 0 <= picture.min() < 0.1 < 0.9 < picture.max() <= 1
    assert torch.unique(picture).numel() > 1000


def test_what_does_not_fit_is_left_out_and_the_rest_goes_on() -> None:
    def too_much() -> torch.Tensor:
        return torch.empty(1 << 50, dtype=torch.uint8)

    calls = 0

    def later() -> torch.Tensor:
        nonlocal calls
        calls += 1
        return too_much() if calls > 1 else torch.zeros(1)

    runs = [TimedRun(lambda: torch.zeros(1), 4), TimedRun(too_much, 4), TimedRun(later, 4)]
    for timed in runs:
        child._first(timed, False, None, CPU, 0.0)
    assert [timed.note for timed in runs] == [None, "out of memory", None]
    watch = Watch(CPU)
    in_turns(runs, Clock(CPU), budget_s=0.0, watch=watch)
    assert [timed.note for timed in runs] == [None, "out of memory", "out of memory"]
    assert len(runs[0].times) >= MIN_REPEATS
    row = child._row(job(), ("native", "whole"), runs[1], runs[0], None)
    assert (row.median_ms, row.repeats, row.note) == (None, 0, "out of memory")
    with pytest.raises(RuntimeError, match="shape"):  # any other error is one
        child._first(TimedRun(lambda: torch.zeros(2).view(3), 4), False, None, CPU, 0.0)


def test_without_memory_for_a_copy_or_for_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(child, "copier", too_much)
    monkeypatch.setattr(child, "exact", too_much)
    measured = measure(job())
    assert measured.copies == []
    for row in measured.rows:
        assert row.median_ms > 0
        assert (row.copy_share, row.max_error) == (None, None)
        assert row.note == "no float64 to compare with: out of memory"


def test_transfers_are_measured_on_cuda_alone_and_against_no_copy() -> None:
    assert list(job().parts("native")) == PARTS
    transfers = ["upload", "download", "whole with transfer"]
    assert list(job(device="cuda").parts("native")) == [*PARTS, *transfers]
    timed = TimedRun(lambda: torch.zeros(1), 8_000_000)
    timed.times = [2.0] * 10
    copy = TimedRun(timed.run, 20_000_000)
    copy.times = [2.0] * 10
    for part, share in (("whole", 0.4), *((part, None) for part in transfers)):
        row = child._row(job(), ("native", part), timed, copy, None)
        assert (row.gigabytes_per_s, row.copy_share, row.noisy) == (4.0, share, False)


def test_transfers_move_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, where nothing can be pinned."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    batch = natural_picture(8, 8)[None]
    runs = child._transfers(batch, lambda picture: picture / 2)
    for part, expected in (("upload", batch), ("download", batch)):
        assert torch.equal(runs[part](), expected)
    assert torch.equal(runs["whole with transfer"](), batch / 2)


def test_repeats_end_where_the_interval_is_narrow_or_the_budget_is_spent() -> None:
    class Steps(Clock):
        """Times as they are told."""

        def __init__(self, times: list[float]) -> None:
            super().__init__(CPU)
            self.times = itertools.cycle(times)

        def once(self, run: Any) -> float:
            run()
            return next(self.times)

    def repeats(times: list[float], budget_s: float) -> int:
        timed = TimedRun(lambda: torch.zeros(1), 4)
        in_turns([timed], Steps(times), budget_s=budget_s, watch=Watch(CPU))
        return len(timed.times)

    assert repeats([1.0], 1e9) == LOOK_EVERY
    assert repeats([1.0, 1.1], 0.0) == MIN_REPEATS
    wide = repeats([1.0, 1.1], 0.1)
    assert wide > LOOK_EVERY


def test_a_backend_that_is_killed_takes_none_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TimingJob] = []

    def child(job: TimingJob) -> tuple[Measurement | None, str, str]:
        asked.append(job)
        if job.no_exact is None:
            return None, EXACT, "killed at float64"
        if "reference" in job.backends:
            return None, "reference", "killed"
        rows = [_row(job, "native"), _row(job, "compiled")]
        return Measurement(rows=rows, copies=[], state=UNKNOWN), "timing", ""

    monkeypatch.setattr(timing, "_in_a_child", child)
    measured = timing.time_model(SMALL, [(64, 48)], backends=["native", "reference", "compiled"])
    assert [a.backends for a in asked] == [
        *[("native", "reference", "compiled")] * 2,
        ("native", "compiled"),
    ]
    assert asked[-1].no_exact == "killed at float64"
    notes = [(row.backend, row.note) for row in measured.rows]
    assert notes == [("native", "here"), *[("reference", "killed")] * 3, ("compiled", "here")]

    monkeypatch.setattr(timing, "_in_a_child", lambda job: (None, "timing", "killed"))
    measured = timing.time_model(SMALL, [(64, 48)], backends=["native", "reference"])
    assert [row.note for row in measured.rows] == ["killed"] * 6


def _row(job: TimingJob, backend: Any) -> TimingRow:
    return job.row_without_time(backend, "whole", "here")


def test_a_child_that_is_killed_is_a_row_and_the_others_go_on() -> None:
    def kill_the_first() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for process in multiprocessing.active_children():
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGKILL)
                    return
            time.sleep(0.005)

    done: list[None] = []
    killer = threading.Thread(target=kill_the_first)
    killer.start()
    measured = timing.time_model(
        SMALL,
        [(64, 48), (72, 40)],
        backends=["reference"],
        budget_s=0.0,
        step=lambda: done.append(None),
    )
    killer.join()
    first, second = measured.rows[:3], measured.rows[3:]
    for row in first:
        assert (row.width, row.median_ms, row.repeats) == (64, None, 0)
        assert row.note == "its process was ended by SIGKILL, most likely because memory ran out"
    assert [row.part for row in second] == PARTS
    assert all(row.width == 72 and row.median_ms for row in second)
    assert [copy.width for copy in measured.copies] == [72]
    assert len(done) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of address space is Linux's")
def test_a_limit_of_memory_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    script = tmp_path / "limited.py"
    script.write_text(
        textwrap.dedent(
            """
            import re, resource
            from pathlib import Path

            import hdrnet_bench.timing.child
            from hdrnet_bench.config import HDRNetConfig
            from hdrnet_bench.timing.network import time_model

            if __name__ == "__main__":
                status = Path("/proc/self/status").read_text()
                size = int(re.search(r"VmSize:\\s*(\\d+)", status)[1]) << 10
                limit = size + (800 << 20)  # of a picture of 1.2 GB
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
                config = HDRNetConfig(net_input_size=32, spatial_bin=8)
                sizes = [(10000, 10000), (64, 48)]
                measured = time_model(config, sizes, backends=["reference"], budget_s=0.0)
                print(measured.model_dump_json())
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [(row["width"], row["note"]) for row in rows] == [
        *[(10000, "out of memory")] * 3,
        *[(64, None)] * 3,
    ]
    assert all(row["median_ms"] for row in rows[3:])


def test_compiled_stands_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as torch.compile does it, without the minutes that making machine code takes."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    rows = measure(job(backends=["compiled"])).rows
    assert [(row.backend, row.part) for row in rows] == [("compiled", part) for part in PARTS]
    for row in rows:
        assert row.median_ms
        assert row.max_error is not None
        assert row.max_error < 1e-5


def test_backends_by_name_and_by_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no compiler is found\nat all")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(CapabilityError, match=r"no compiler is found; .*C\+\+"):
        choose_backends(["compiled"], "cpu")
    assert choose_backends(["reference", "reference"], "cpu") == ["reference"]
    monkeypatch.setattr(cpu, "REASON", "")
    assert choose_backends(None, "cpu") == ["native", "reference"]
    monkeypatch.setattr(cpu, "REASON", "it was not built")
    assert choose_backends(None, "cpu") == ["reference"]
    with pytest.raises(CapabilityError, match="it was not built"):
        choose_backends(["native"], "cpu")


def test_time_writes_a_valid_result(trained: Workspace) -> None:
    sizes = ("--resolution=64x48", "--resolution=96x64")
    would = trained.json("time", "tiny", *sizes, "--dry-run")
    assert not (trained.path / "results").exists()
    measured = trained.json("time", "tiny", *sizes, "--budget", "0.1", "--dtype", "uint8")
    (path,) = (trained.path / "results/tiny/hdrnet-curves/seed-0").glob("timing-cpu-*.json")
    assert would["would write"].endswith(path.name)
    result = read_result(path)
    assert isinstance(result, Timing)
    rows = [row.model_dump() | {"megapixels_per_s": row.megapixels_per_s} for row in result.rows]
    assert json.loads(json.dumps(rows)) == measured["rows"]
    assert [(c.width, c.height) for c in result.copies] == [(64, 48), (96, 64)]
    assert {(r.width, r.height, r.dtype) for r in result.rows} == {
        (64, 48, "uint8"),
        (96, 64, "uint8"),
    }
    assert (result.device, result.recipe.name, result.method.run) == ("cpu", "tiny", "seed-0")
    assert result.environment.cpu
    assert str(trained.path) not in path.read_text()
    assert "leave --save out" in trained.fails(2, "time", "tiny", *sizes, "--save")
    two = ("--dtype=uint8", "--dtype=float32")
    assert "a run is timed with one" in trained.fails(2, "time", "tiny", *sizes, *two)


def test_sizes_by_default_are_the_usual_and_the_recipes(trained: Workspace) -> None:
    usual = [
        "640x480",
        "1280x720",
        "1920x1080",
        "2560x1440",
        "3840x2160",
        "4000x3000",
        "6000x4000",
        "8000x6000",
    ]
    assert [f"{w}x{h}" for w, h in SIZES.values()] == usual
    assert trained.json("time", "--dry-run")["sizes"] == usual
    assert trained.json("time", "tiny", "--dry-run")["sizes"] == ["64x48", "96x64", *usual]


@pytest.mark.usefixtures("in_this_process")
def test_time_without_a_run_writes_nothing(workspace: Workspace) -> None:
    done = workspace.run("time", "--resolution=40x40", "--budget=0", "--backend=reference")
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    for word in ("resolution", "backend", "part", "median", "p5", "MP/s", "GB/s", "error"):
        assert word in header
    assert [line.split("  ")[0] for line in lines[:3]] == ["40 x 40"] * 3
    assert "95 % interval" in done.stdout
    assert "copy (the floor)" in done.stdout
    assert "While timing: clock" in done.stdout
    assert list(workspace.path.iterdir()) == []


def _saved(workspace: Workspace) -> NetworkTiming:
    (path,) = workspace.path.glob("results/network-cpu-*.json")
    timing = read_machine(path)
    assert isinstance(timing, NetworkTiming)
    assert str(workspace.path) not in path.read_text()
    return timing


def _keys(timing: NetworkTiming) -> list[tuple[int, str]]:
    return [(size.rows[0].width, size.rows[0].dtype) for size in timing.sizes]


@pytest.mark.usefixtures("in_this_process")
def test_untrained_times_are_saved_and_types_stand_side_by_side(workspace: Workspace) -> None:
    save = ("time", "--save", "--device=cpu", "--budget=0", "--backend=reference")
    plan = workspace.json(*save, "--dry-run")
    assert plan["sizes"] == [f"{w}x{h}" for w, h in (SIZES[name] for name in SAVED)]
    assert list(workspace.path.iterdir()) == []

    types = ("--dtype=uint8", "--dtype=float32")
    measured = workspace.json(*save, *types, "--resolution=48x40", "--resolution=32x32")
    first = _saved(workspace)
    assert plan["would write"].endswith(next(workspace.path.glob("results/network-*")).name)
    assert _keys(first) == [(32, "float32"), (48, "float32"), (32, "uint8"), (48, "uint8")]
    assert {row["dtype"] for row in measured["rows"]} == {"uint8", "float32"}
    assert first.config == HDRNetConfig()
    for size in first.sizes:
        assert [row.part for row in size.rows] == PARTS
        assert [(copy.width, copy.height) for copy in size.copies] == [
            (size.rows[0].width, size.rows[0].height)
        ]

    workspace.json(*save, "--dtype=float16", "--resolution=32x32")
    workspace.json(*save, "--resolution=32x32", "--backend=reference")
    second = _saved(workspace)
    assert _keys(second) == [(32, "float32"), (48, "float32"), (32, "float16"), *_keys(first)[2:]]
    assert second.sizes[1] == first.sizes[1]
    assert second.sizes[0] != first.sizes[0], "measured again"


@pytest.mark.usefixtures("in_this_process")
def test_times_of_another_installation_are_replaced(workspace: Workspace) -> None:
    save = ("time", "--save", "--device=cpu", "--budget=0", "--backend=reference")
    workspace.json(*save, "--resolution=32x32")
    (path,) = workspace.path.glob("results/network-cpu-*.json")
    content = json.loads(path.read_text())
    content["environment"]["torch"] = "1.0"
    path.write_text(json.dumps(content))
    assert "begins anew" in workspace.run(*save, "--resolution=40x32").stderr
    assert _keys(_saved(workspace)) == [(40, "float32")]
    assert "begins anew" not in workspace.run(*save, "--resolution=32x32").stderr
    path.write_text(json.dumps(content | {"kind": "kernels"}))
    assert "network-cpu-" in workspace.fails(3, *save, "--resolution=40x32")
    path.write_text('{"kind": "network"}')
    assert "network-cpu-" in workspace.fails(3, *save, "--resolution=40x32")
    assert "network-cpu-" in workspace.fails(3, "report")


@pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
@pytest.mark.usefixtures("in_this_process")
def test_a_backend_that_is_not_timed_again_does_not_go_without_a_word(workspace: Workspace) -> None:
    save = ("time", "--save", "--device=cpu", "--budget=0", "--resolution=32x32")
    assert "no longer there" not in workspace.run(*save).stderr
    assert "no longer there" not in workspace.run(*save).stderr
    said = workspace.run(*save, "--backend=native").stderr
    assert "reference of 32x32 float32 was timed in another run and is no longer there" in said
    assert {row.backend for row in _saved(workspace).sizes[0].rows} == {"native"}


@pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
def test_kernels_that_are_stopped_take_no_whole_file_s_place(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_size = kernels_module._one

    def until_noise(*arguments: Any) -> Any:
        if arguments[3] == "noise":
            raise KeyboardInterrupt
        return one_size(*arguments)

    save = ("time", "--kernels", "--resolution=64x48", "--save", "--device=cpu")
    monkeypatch.setattr(kernels_module, "_one", until_noise)
    assert workspace.run(*save).returncode == 130
    (path,) = workspace.path.glob("results/kernels-cpu-*.json")
    assert {row["guide"] for row in json.loads(path.read_text())["rows"]} == {"natural"}
    monkeypatch.undo()
    workspace.json(*save)
    whole = path.read_text()
    assert {row["guide"] for row in json.loads(whole)["rows"]} == {"natural", "noise"}
    monkeypatch.setattr(kernels_module, "_one", until_noise)
    assert workspace.run(*save).returncode == 130
    assert path.read_text() == whole


def test_an_interrupted_run_keeps_the_sizes_it_has(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:

    def until_the_second(job: TimingJob) -> Measurement:
        if job.width == 40:
            raise KeyboardInterrupt
        return timing._here(job)

    monkeypatch.setattr(timing, "_one_size", until_the_second)
    sizes = ("--resolution=32x32", "--resolution=40x32")
    done = workspace.run(
        "time", "--save", "--device=cpu", "--budget=0", "--backend=reference", *sizes
    )
    assert done.returncode == 130
    assert _keys(_saved(workspace)) == [(32, "float32")]


def test_what_was_timed_before_a_stop_is_shown(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file keeps it: of a run, whose times are written once all are there, and without
    --save."""

    def until_the_second(job: TimingJob) -> Measurement:
        if job.width == 96:
            raise Stopped(signal.SIGINT)
        return timing._here(job)

    monkeypatch.setattr(timing, "_one_size", until_the_second)
    sizes = ("--resolution=64x48", "--resolution=96x64")
    for target, said in (("tiny", "those that are timed are shown"), ("", "1 of 2 sizes were")):
        arguments = [*([target] if target else []), "--device=cpu", "--budget=0", *sizes]
        done = trained.run("time", *arguments, "--backend=reference")
        assert done.returncode == 130
        assert re.search(r"\b64 ?x ?48\b", done.stdout)
        assert not re.search(r"\b96 ?x ?64\b", done.stdout)
        assert said in done.stderr
    assert not list(trained.path.rglob("timing-*.json"))


def test_sizes_on_cuda_are_timed_one_after_another_in_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here on the CPU, where what is done is the same."""
    monkeypatch.setattr(timing, "_one_size", timing._here)
    monkeypatch.setattr(multiprocessing, "get_context", None)
    seen: list[Measurement] = []
    measured = timing.time_model(
        SMALL, [(64, 48), (40, 32)], backends=["reference"], budget_s=0.0, on_size=seen.append
    )
    assert [(row.width, row.part) for row in measured.rows] == [
        *((64, part) for part in PARTS),
        *((40, part) for part in PARTS),
    ]
    assert all(row.median_ms for row in measured.rows)
    assert [row for one in seen for row in one.rows] == measured.rows

    def too_much(job: TimingJob, log: Any) -> Measurement:
        raise torch.OutOfMemoryError("made up for a test")

    monkeypatch.setattr(child, "measure", too_much)
    measured = timing.time_model(SMALL, [(64, 48)], backends=["reference"])
    assert [row.note for row in measured.rows] == ["out of memory"] * 3


def test_bad_sizes_and_devices(workspace: Workspace) -> None:
    for size in ("64", "64x", "0x64", "7x64", "-8x8", "axb"):
        assert "WIDTHxHEIGHT" in workspace.fails(2, "time", f"--resolution={size}")
    assert "use cpu, cuda" in workspace.fails(2, "time", "--device", "tpu")
    if not torch.cuda.is_available():
        assert "no CUDA device here" in workspace.fails(4, "time", "--device", "cuda")


def test_bad_options(workspace: Workspace) -> None:
    assert "did you mean native" in workspace.fails(2, "time", "--backend", "nativ")
    assert "did you mean float16" in workspace.fails(2, "time", "--dtype", "float61")
    assert "--budget inf" in workspace.fails(2, "time", "--budget", "inf", "--dry-run")
    assert "--backend compiled" in workspace.fails(2, "time", "--compile")
    most = ("--resolution=20000x20000", "--batch")
    assert "--batch 2 of 20000x20000" in workspace.fails(2, "time", *most, "2", "--dry-run")
    assert workspace.json("time", *most, "1", "--dry-run")["sizes"] == ["20000x20000"]
    for option in ("--batch=2", "--dtype=uint8", "--backend=native", "--budget=3"):
        assert "--kernels times" in workspace.fails(2, "time", "--kernels", option)
        assert "--training times" in workspace.fails(2, "time", "--training", option)


@pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
def test_kernels_are_timed_against_plain_torch_and_a_copy(workspace: Workspace) -> None:
    rows = workspace.json("time", "--kernels", "--resolution", "160x120")
    kernels = {(row["guide"], row["kernel"]) for row in rows}
    assert kernels == {
        *(("natural", k) for k in ("forward, out given", "forward, fresh output")),
        *(("noise", k) for k in ("forward, out given", "forward, fresh output")),
        ("natural", "forward + backward"),
        ("noise", "forward + backward"),
        ("natural", "backward"),
        ("noise", "backward"),
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
    assert "--kernels" in workspace.fails(2, "time", "--compile")
    if not torch.cuda.is_available():
        assert "no CUDA" in workspace.fails(4, "time", "--kernels", "--device", "cuda")


@pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")
def test_kernel_times_are_saved_and_reported(workspace: Workspace) -> None:
    would = workspace.json("time", "--kernels", "--resolution=64x48", "--save", "--dry-run")
    rows = workspace.json("time", "--kernels", "--resolution=64x48", "--save")
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
        median = row["median_ms"]
        shown = f"{median:.3f} [" if median < 1 else f"{median:.2f} ["
        assert shown in text
    assert result.environment.machine() in text


def test_a_file_of_another_kind_is_not_taken_for_a_network_s(tmp_path: Path) -> None:
    made_up.training(tmp_path)
    (path,) = tmp_path.glob("training-*.json")
    other = path.rename(tmp_path / "network-made-up.json")
    with pytest.raises(DataError, match=r"network-made-up\.json is no timing of a network"):
        saved_network(other)
    assert saved_network(tmp_path / "network-none.json") is None
