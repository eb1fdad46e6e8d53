"""A run that was killed and resumed is the run that was not, bit for bit on the CPU."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import filelock
import pytest
import safetensors.torch
import torch

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.files import write_text
from hdrnet_bench.model.tensors import write_tensors
from hdrnet_bench.prepare.build import build
from hdrnet_bench.recipe import Recipe, parse_recipe
from hdrnet_bench.training import checkpoint
from hdrnet_bench.training.checkpoint import STATE, read_training_state
from hdrnet_bench.training.overrides import override
from hdrnet_bench.training.train import train
from tests.conftest import (
    TINY,
    Workspace,
    clean_environment,
    in_a_thread,
    make_tiny,
    tiny_plan,
    write_recipe,
)


class Killed(Exception):
    """Stands for a kill at this point: nothing after it runs."""


def small(tiny: Workspace, *settings: str) -> Recipe:
    """All that has a state: averages, a schedule, checkpoints out of step with validation."""
    fixed = ["training.steps=6", "training.validate_every=3", "training.checkpoint_every=2"]
    more = ["training.ema=0.9", "training.schedule=cosine", "training.warmup_steps=2"]
    return override(parse_recipe(tiny.path / "tiny.yaml"), [*fixed, *more, *settings])


def content(run: Path) -> dict[str, object]:
    """What of a run must not depend on interruptions."""
    lines = (run / "log.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    timeless = [{k: v for k, v in e.items() if k not in ("seconds", "data_wait")} for e in log]
    files = {
        name: {k: v.numpy().tobytes() for k, v in safetensors.torch.load_file(run / name).items()}
        for name in ("last.safetensors", "best.safetensors", STATE)
    }
    return {"log": timeless, **files, "best": read_training_state(run).best_step}


def trained(tiny: Workspace, recipe: Recipe, run: str, stop=None, **arguments: object) -> Path:
    dataset = Dataset(tiny.path / "data/demo-tiny")

    def report(progress) -> None:
        if progress.step == stop:
            raise Killed

    directory = tiny.path / run
    train(recipe, dataset, directory, seed=0, workers=0, on_step=report, **arguments)
    return directory


def test_stopped_at_any_step_and_resumed_it_is_the_same(tiny: Workspace) -> None:
    recipe = small(tiny)
    expected = content(trained(tiny, recipe, "whole"))
    for stop in range(1, 7):
        with pytest.raises(Killed):
            trained(tiny, recipe, f"r{stop}", stop)
        # Lines and models from after the last state are there, and must not stay.
        assert content(trained(tiny, recipe, f"r{stop}", resume=True)) == expected


@pytest.mark.parametrize("settings", [["model.batch_norm=true"], ["training.optimiser=adamw"]])
def test_batch_norm_and_other_optimisers_resume_too(tiny: Workspace, settings: list[str]) -> None:
    recipe = small(tiny, *settings)
    expected = content(trained(tiny, recipe, "whole"))
    with pytest.raises(Killed):
        trained(tiny, recipe, "run", 5)
    with pytest.raises(Killed):
        trained(tiny, recipe, "run", 6, resume=True)
    assert content(trained(tiny, recipe, "run", resume=True)) == expected


def test_killed_while_the_state_is_written_one_whole_generation_is_left(tiny: Workspace) -> None:
    """Before the state is renamed the old one holds, after it the new one; state.json lags."""
    recipe = small(tiny)
    expected = content(trained(tiny, recipe, "whole"))
    for name, real in (("write_tensors", write_tensors), ("write_text", write_text)):
        calls = 0

        def fails_late(*arguments: object, real=real, **named: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise Killed
            real(*arguments, **named)

        run = f"run-{name[-4:]}"
        patched = mock.patch(f"hdrnet_bench.training.checkpoint.{name}", fails_late)
        with patched, pytest.raises(Killed):
            trained(tiny, recipe, run)
        assert not list((tiny.path / run).glob(".tmp-*"))
        assert content(trained(tiny, recipe, run, resume=True)) == expected


def test_killed_before_the_first_state_it_starts_again(tiny: Workspace) -> None:
    recipe = small(tiny, "training.checkpoint_every=100", "training.validate_every=100")
    with pytest.raises(Killed):
        trained(tiny, recipe, "run", 3)
    assert not (tiny.path / "run" / STATE).exists()
    resumed = content(trained(tiny, recipe, "run", resume=True))
    assert resumed == content(trained(tiny, recipe, "whole"))


def test_a_finished_run_has_nothing_to_resume(tiny: Workspace) -> None:
    assert tiny.run("train", "tiny.yaml").returncode == 0
    before = {p: p.stat().st_mtime_ns for p in (tiny.path / "runs/tiny/seed-0").iterdir()}
    done = tiny.run("train", "tiny.yaml", "--resume")
    assert done.returncode == 0
    assert "finished before, at step 6: nothing to do" in done.stdout
    assert before == {p: p.stat().st_mtime_ns for p in (tiny.path / "runs/tiny/seed-0").iterdir()}


def test_only_a_run_can_be_resumed_and_not_overwritten_at_once(tiny: Workspace) -> None:
    assert "no run runs/tiny/seed-0 to resume" in tiny.fails(2, "train", "tiny.yaml", "--resume")
    message = tiny.fails(2, "train", "tiny.yaml", "--resume", "--overwrite")
    assert "use one of them" in message


def test_of_several_seeds_each_goes_on_where_it_was(tiny: Workspace) -> None:
    write_recipe(tiny.path / "tiny.yaml", lambda r: r["training"].update(seeds=[0, 1]))
    assert tiny.run("train", "tiny.yaml", "--seed", "0").returncode == 0
    first, second = tiny.json("train", "tiny.yaml", "--resume")
    assert (first["seed"], first["resumed_at"]) == (0, 6)
    assert second["seed"] == 1
    assert "resumed_at" not in second


def test_another_recipe_data_or_seed_is_refused(tiny: Workspace) -> None:
    recipe = small(tiny)
    run = tiny.path / "run"
    with pytest.raises(Killed):
        trained(tiny, recipe, "run", 5)
    before = content(run)
    with pytest.raises(UsageError, match="was trained with another tiny") as refused:
        trained(tiny, override(recipe, ["training.learning_rate=0.1"]), "run", resume=True)
    assert "/run/recipe.yaml --run run --seed 0 --resume`" in str(refused.value)
    dataset = Dataset(tiny.path / "data/demo-tiny")
    with pytest.raises(UsageError, match="was trained with seed 0, not 1"):
        train(recipe, dataset, run, seed=1, resume=True)
    build(
        tiny_plan(), TINY[1:], make_tiny, tiny.path / "data", open_pool=in_a_thread, overwrite=True
    )
    with pytest.raises(DataError, match="was trained on demo-tiny with digest"):
        trained(tiny, recipe, "run", resume=True)
    assert content(run) == before
    (run / STATE).unlink()
    with pytest.raises(UsageError, match="was begun with another tiny"):
        trained(tiny, override(recipe, ["training.learning_rate=0.1"]), "run", resume=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"\x80\x04\x95 pickled"),
        lambda path: path.write_bytes(path.read_bytes()[:-50]),
        lambda path: safetensors.torch.save_file({"x": torch.zeros(1)}, path),
        lambda path: shutil.copy(path.with_name("last.safetensors"), path),
    ],
    ids=["pickle", "truncated", "other tensors", "a model"],
)
def test_what_is_no_state_is_refused(tiny: Workspace, spoil) -> None:
    with pytest.raises(Killed):
        trained(tiny, small(tiny), "run", 5)
    spoil(tiny.path / "run" / STATE)
    with pytest.raises(DataError, match=r"state\.safetensors"):
        trained(tiny, small(tiny), "run", resume=True)


def test_a_run_that_another_process_writes_is_left_alone(tiny: Workspace) -> None:
    with pytest.raises(Killed):
        trained(tiny, small(tiny), "run", 5)
    with filelock.FileLock(tiny.path / ".run.lock"):
        for arguments in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(DataError, match=r"another process is training .*run"):
                trained(tiny, small(tiny), "run", **arguments)
        with pytest.raises(DataError, match="another process"):
            trained(tiny, small(tiny), "run")


def test_the_state_says_where_it_stands(tiny: Workspace) -> None:
    with pytest.raises(Killed):
        trained(tiny, small(tiny), "run", 5)
    state = json.loads((tiny.path / "run/state.json").read_text())
    assert (state["step"], state["steps"]) == (4, 6)
    assert state == checkpoint.read_training_state(tiny.path / "run").model_dump(mode="json")


def test_killed_at_random_moments_and_resumed_it_is_the_same(tiny: Workspace) -> None:
    """Real processes and SIGKILL, the worker that prepares batches among them."""
    write_recipe(
        tiny.path / "tiny.yaml",
        lambda r: r["training"].update(
            steps=150, validate_every=20, checkpoint_every=7, ema=0.99, schedule="cosine"
        ),
    )
    assert tiny.process("train", "tiny.yaml", "--run", "whole").returncode == 0
    run = tiny.path / "runs/tiny/killed"
    chance = random.Random(0)
    kills, at = 0, 0
    for _ in range(3):
        at += chance.randrange(20, 45)
        process = start(tiny, "--run", "killed", *(["--resume"] if run.exists() else []))
        deadline = time.monotonic() + 120
        while process.poll() is None and steps(run) < at:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        if process.poll() is None:
            kills += 1
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert kills == 3
    done = tiny.process("train", "tiny.yaml", "--run", "killed", "--resume")
    assert done.returncode == 0, done.stderr
    assert content(run) == content(tiny.path / "runs/tiny/whole")
    left = [*run.glob(".tmp-*"), *run.parent.glob(".killed.[br]*")]
    assert not left


def start(tiny: Workspace, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hdrnet_bench", "train", "tiny.yaml", *arguments],
        cwd=tiny.path,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def steps(run: Path) -> int:
    """How far a run's log has come."""
    try:
        return len((run / "log.jsonl").read_text().splitlines())
    except OSError:
        return 0
