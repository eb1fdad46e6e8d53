import pytest

from hdrnet_bench.slicing import cpu
from hdrnet_bench.timing.steps import PARTS, time_training
from tests.conftest import Workspace

needs_native = pytest.mark.skipif(cpu.LIBRARY is None, reason=f"no native library: {cpu.REASON}")


@needs_native
def test_parts_make_the_whole_and_native_is_faster() -> None:
    steps = []
    rows = time_training(2, lambda: steps.append(1), crop=192)
    assert len(steps) == 4
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


def test_it_stands_alone(workspace: Workspace) -> None:
    for more in (["--kernels"], ["--device", "cpu"], ["--size", "64x64"], ["demo-retouch"]):
        message = workspace.fails(2, "time", "--training", *more)
        assert "nothing else goes with it" in message
    assert workspace.json("time", "--training", "--dry-run")["batch"] == 4


@needs_native
def test_its_table_and_json(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdrnet_bench.timing.steps.CROP", 64)
    monkeypatch.setattr("hdrnet_bench.timing.steps.REPEATS", 1)
    monkeypatch.setattr("hdrnet_bench.timing.steps.WARM_UPS", 0)
    done = workspace.run("time", "--training")
    assert done.returncode == 0, done.stderr
    assert "step, data at hand" in done.stdout
    assert "crops of 64 x 64" in done.stdout
    rows = workspace.json("time", "--training")
    assert [row["part"] for row in rows] == list(PARTS)
    assert list(workspace.path.iterdir()) == []
