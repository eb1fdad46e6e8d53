import pytest
import torch

from hdrnet_bench.result_timing import StepRow, TrainingTiming, read_machine
from hdrnet_bench.slicing import cpu
from hdrnet_bench.timing import steps
from hdrnet_bench.timing.steps import PARTS, time_throughput, time_training
from tests.conftest import Workspace

needs_native = pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")


@needs_native
def test_parts_make_the_whole_and_native_is_faster() -> None:
    done = []
    rows = time_training(2, lambda: done.append(1), crop=192)
    assert len(done) == 4
    assert [row.part for row in rows] == list(PARTS)
    *parts, at_hand, whole = rows
    assert sum(row.share for row in parts) == pytest.approx(1, abs=2e-3)
    assert at_hand.share == pytest.approx(1 - parts[0].share, abs=2e-3)
    assert whole.share == 1
    assert whole.native_p5_ms <= whole.native_ms <= whole.native_p95_ms
    by_part = {row.part: row for row in rows}
    assert by_part["wait for data"].speedup is None
    for part in ("guide", "slice + apply", "step, data at hand"):
        assert (by_part[part].speedup or 0) > 1


@needs_native
def test_plain_torch_out_of_memory_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    measured = steps._step

    def step(model, optimiser, batches, backend, device):
        asked.append(backend)
        if backend == "reference":
            raise torch.OutOfMemoryError("made up for a test")
        return measured(model, optimiser, batches, backend, device)

    monkeypatch.setattr(steps, "_step", step)
    rows = time_training(1, crop=32)
    assert asked.count("reference") == 1
    for row in rows:
        assert row.native_ms > 0
        assert (row.reference_ms, row.reference_p95_ms, row.speedup) == (None, None, None)
        assert row.note == "plain torch: out of memory"
    with pytest.raises(ValueError, match="a missing time needs its note"):
        StepRow.model_validate(rows[0].model_dump() | {"note": None})


@needs_native
def test_throughput_is_of_whole_steps_and_the_wait_a_part_of_them() -> None:
    done = []
    rows = list(time_throughput("cpu", [0, 1], lambda: done.append(1), crop=32, budget_s=0.1))
    assert len(done) == 2
    assert [(row.precision, row.workers) for row in rows] == [("float32", 0), ("float32", 1)]
    for row in rows:
        assert row.steps >= steps.LEAST_STEPS
        assert 0 < row.p5_ms <= row.median_ms <= row.p95_ms
        assert 1e3 / row.steps_per_s >= row.p5_ms
        assert 0 <= row.data_wait_share < 1


def test_half_precision_is_timed_on_cuda_alone() -> None:
    assert steps.precisions_of("cpu") == ("float32",)
    assert steps.precisions_of("cuda:1") == ("float32", "bfloat16")
    assert steps.workers_here()[:2] == [0, 1]


def test_only_device_and_save_go_with_it(workspace: Workspace) -> None:
    for more in (["--kernels"], ["--resolution", "9x9"], ["demo-retouch"], ["--dtype", "float16"]):
        message = workspace.fails(2, "time", "--training", *more)
        assert "only --device and --save go with it" in message
    plan = workspace.json("time", "--training", "--device", "cpu", "--dry-run")
    assert (plan["batch"], plan["device"], plan["would write"]) == (4, "cpu", "nothing")
    plan = workspace.json("time", "--training", "--device=cpu", "--save", "--dry-run")
    assert "training-cpu-" in plan["would write"]
    if not torch.cuda.is_available():
        assert "no CUDA" in workspace.fails(4, "time", "--training", "--device", "cuda")


@needs_native
def test_its_tables_json_and_file(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "CROP", 64)
    monkeypatch.setattr(steps, "REPEATS", {"cpu": 1})
    monkeypatch.setattr(steps, "WARM_UPS", 0)
    monkeypatch.setattr(steps, "WORKERS", (0,))
    monkeypatch.setattr(steps, "WARM_S", 0.0)
    monkeypatch.setattr(steps, "BUDGET_S", 0.0)
    done = workspace.run("time", "--training", "--device=cpu")
    assert done.returncode == 0, done.stderr
    for text in ("step, data at hand", "crops of 64 x 64", "steps/s", "of it waiting for data"):
        assert text in done.stdout
    assert list(workspace.path.iterdir()) == []

    timing = workspace.json("time", "--training", "--device=cpu", "--save")
    assert [row["part"] for row in timing["parts"]] == list(PARTS)
    assert [row["workers"] for row in timing["throughput"]] == [0]
    (path,) = workspace.path.glob("results/training-cpu-*.json")
    written = read_machine(path)
    assert isinstance(written, TrainingTiming)
    assert written.model_dump(mode="json") == timing
    workspace.json("report")
    text = (workspace.path / "results/README.md").read_text()
    assert "## Training steps" in text
    assert "step, data at hand" in text
    assert "| float32 | 0 |" in text


@needs_native
def test_what_is_measured_before_an_interruption_stays(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "CROP", 64)
    monkeypatch.setattr(steps, "REPEATS", {"cpu": 1})
    monkeypatch.setattr(steps, "_throughput", interrupted)
    assert workspace.run("time", "--training", "--device=cpu", "--save").returncode == 130
    (path,) = workspace.path.glob("results/training-cpu-*.json")
    written = read_machine(path)
    assert isinstance(written, TrainingTiming)
    assert [row.part for row in written.parts] == list(PARTS)
    assert written.throughput == []
    workspace.json("report")
    assert "step, data at hand" in (workspace.path / "results/README.md").read_text()
