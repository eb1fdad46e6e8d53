"""Another method's time: in the same turns as a copy and a run, each fault a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hdrnet_bench import HDRNetConfig
from hdrnet_bench.files import sha256_file
from hdrnet_bench.report import contents
from hdrnet_bench.result_ids import OnnxSettings
from hdrnet_bench.result_timing import Timing
from hdrnet_bench.results import read_result
from hdrnet_bench.timing.child import measure
from hdrnet_bench.timing.job import ONNX, TimedOnnx, TimingJob
from hdrnet_bench.timing.network import choose_backends
from hdrnet_bench.timing.turns import MIN_REPEATS
from tests import onnx_methods as made
from tests.conftest import Workspace

pytest.importorskip("onnx", reason="the onnx extra is not installed")
pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
FAST = ("--budget", "0", "--resolution", "64x48")


def job(path: Path, **changes: Any) -> TimingJob:
    values: dict[str, Any] = {
        "model": None,
        "onnx": TimedOnnx(path=path, sha256=sha256_file(path), settings=OnnxSettings()),
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "width": 64,
        "height": 48,
        "batch": 1,
        "dtype": "float32",
        "backends": (ONNX,),
        "budget_s": 0.0,
    }
    return TimingJob(**(values | changes))


@pytest.mark.parametrize(("dtype", "batch"), [("float32", 1), ("uint8", 2), ("float16", 1)])
def test_it_is_timed_whole_beside_a_copy(tmp_path: Path, dtype: str, batch: int) -> None:
    path = made.gain(tmp_path / "m.onnx", 1.1)
    said: list[str] = []
    measured = measure(job(path, dtype=dtype, batch=batch), said.append)
    assert said == [ONNX, "timing"]
    (row,), (copy,) = measured.rows, measured.copies
    assert (row.backend, row.part, row.dtype, row.batch) == (ONNX, "whole", dtype, batch)
    assert row.repeats >= MIN_REPEATS
    assert (row.max_error, row.note) == (None, None)
    size = {"float32": 4, "float16": 2, "uint8": 1}[dtype]
    moved = 2 * batch * 3 * 64 * 48 * size + path.stat().st_size
    assert row.gigabytes_per_s == pytest.approx(moved / row.median_ms / 1e6, rel=2e-3)
    assert copy.median_ms > 0


def test_it_is_timed_in_the_turns_of_a_run(tmp_path: Path) -> None:
    model = HDRNetConfig(net_input_size=32, spatial_bin=8)
    backend = choose_backends(None, "cpu")[0]
    path = made.gain(tmp_path / "m.onnx", 1.1)
    measured = measure(job(path, model=model, backends=(backend, ONNX), no_exact="no reason"))
    keys = [(row.backend, row.part) for row in measured.rows]
    assert keys[3:] == [(ONNX, "whole")]
    assert {b for b, _ in keys[:3]} == {backend}
    # What is said of float64 is of the network that it is computed for.
    assert measured.rows[0].note == "no float64 to compare with: no reason"
    assert measured.rows[3].note is None


def test_what_it_cannot_do_is_a_row_without_a_path(tmp_path: Path) -> None:
    fixed = made.gain(tmp_path / "fixed.onnx", 1.1, [1, 3, 40, 60])
    (row,) = measure(job(fixed)).rows
    assert row.median_ms is None
    assert row.note.startswith("fixed.onnx takes pictures of 60 x 40 pixels alone")
    (row,) = measure(job(fixed, width=60, height=40)).rows
    assert row.note is None
    changed = job(fixed)
    made.gain(fixed, 1.2)
    assert measure(changed).rows[0].note == "fixed.onnx was changed meanwhile"
    fixed.write_bytes(b"no model")
    (row,) = measure(job(fixed)).rows
    assert row.note == "fixed.onnx is not an ONNX model"


def test_its_times_stand_beside_its_scores(trained: Workspace) -> None:
    made.gain(trained.path / "m.onnx", 1.1)
    theirs = ("--onnx", "m.onnx", "--name", "theirs")
    for command in (("eval", "./tiny.yaml"), ("time", "./tiny.yaml", *FAST)):
        done = trained.run(*command, *theirs)
        assert done.returncode == 0, done.stderr
    (path,) = trained.path.glob("results/tiny/theirs/onnx/timing-cpu*.json")
    timing = read_result(path)
    assert isinstance(timing, Timing)
    assert [row.backend for row in timing.rows] == [ONNX]
    assert timing.environment.onnxruntime
    assert timing.method.onnx == OnnxSettings()

    # With a run, its rows are shown; the file is the other method's alone.
    shown = trained.json("time", "tiny/seed-0", *theirs, *FAST)
    backend = choose_backends(None, "cpu")[0]
    assert [row["backend"] for row in shown["rows"]] == [*[backend] * 3, ONNX]
    again = read_result(path)
    assert isinstance(again, Timing)
    assert [row.backend for row in again.rows] == [ONNX]
    assert not list(trained.path.glob("results/tiny/hdrnet-*/*/timing-*"))

    read = contents.read(trained.path / "results")
    (timed,) = read.timings
    assert "onnxruntime" in [cell.text for cell in timed.table.rows[0]]
    names = [plot.stem for plot in read.plots]
    assert any(name.startswith("quality-time-") for name in names)
    assert not timed.timed.stale
    content = path.read_text()
    for key, value in (("model_sha256", "0" * 64), ("onnx", {"values": "0..1", "multiple": 8})):
        other = json.loads(content)
        other["method"][key] = value
        path.write_text(json.dumps(other))
        assert contents.read(trained.path / "results").timings[0].timed.stale
        # What only another file, or other settings, could bring back is not replaced.
        line = trained.fails(2, "time", "./tiny.yaml", *theirs, *FAST)
        assert "of another file, or of other settings, named theirs" in line
        assert json.loads(path.read_text()) == other


def test_without_a_recipe_times_are_shown(workspace: Workspace) -> None:
    # A name that no result could have: none is written.
    made.gain(workspace.path / "_my möbel.onnx", 1.1, [1, 3, 40, 60])
    plan = workspace.json("time", "--onnx", "_my möbel.onnx", "--dry-run")
    assert plan["sizes"] == ["60x40"]
    assert (plan["backends"], plan["would write"]) == ([ONNX], None)
    shown = workspace.json("time", "--onnx", "_my möbel.onnx", "--resolution", "60x40", *FAST)
    assert [row["median_ms"] is None for row in shown["rows"]] == [False, True]
    assert not (workspace.path / "results").exists()


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (2, ("--name", "x"), "--name is for results, which are a recipe's"),
        (2, ("--save",), "--onnx with a RECIPE is written"),
        (2, ("--backend", "native"), "name a RUN beside --onnx"),
        (2, ("--dtype", "uint8", "--dtype", "float32"), "--onnx is timed with one"),
        (2, ("--kernels",), "no run, --onnx"),
        (2, ("--training",), "--training times steps"),
        (2, ("./tiny.yaml",), "needs --name"),
        (2, ("./tiny.yaml", "--name", "identity"), "a method of this project"),
        (2, ("nothing", "--name", "x"), "neither a run nor a recipe"),
        (3, ("--onnx", "none.onnx"), "none.onnx is missing"),
    ],
)
def test_what_does_not_go_with_it(
    tiny: Workspace, code: int, arguments: tuple[str, ...], says: str
) -> None:
    made.gain(tiny.path / "m.onnx", 1.1)
    assert says in tiny.fails(code, "time", "--onnx", "m.onnx", *arguments)


def test_times_are_of_the_cpu(tiny: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    made.gain(tiny.path / "m.onnx", 1.1)
    monkeypatch.setattr("hdrnet_bench.cli.time_onnx.choose_device", lambda device: "cuda")
    assert "timed on the CPU alone" in tiny.fails(4, "time", "--onnx", "m.onnx")
    assert "--name goes with --onnx" in tiny.fails(2, "time", "--name", "x")
    assert "unknown backend 'onnxruntime'" in tiny.fails(2, "time", "--backend", "onnxruntime")
