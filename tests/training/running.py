"""Trainings in this process and in others, that something happens to."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.recipe import Recipe
from hdrnet_bench.stopping import raise_when_asked_to_stop
from hdrnet_bench.training.train import train
from tests.conftest import Workspace

SMALL_LOSSES = ["training.checkpoint_every=100"]  # so that only what a fault saves is there


def run_recipe(
    tiny: Workspace,
    recipe: Recipe,
    name: str,
    at: dict[int, Callable[[], object]] | None = None,
    **arguments: object,
) -> Path:
    """Train in this process; `at` says what is done after a step."""

    raise_when_asked_to_stop()  # as the command line does

    def report(progress) -> None:
        (at or {}).get(progress.step, int)()

    chosen = {"seed": 0, "workers": 0} | arguments
    dataset = Dataset(tiny.path / "data/demo-tiny")
    train(recipe, dataset, tiny.path / name, on_step=report, **chosen)
    return tiny.path / name


def asked(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def no_rubbish(run: Path) -> None:
    assert not list(run.glob(".tmp-*"))
    left = {path.name for path in run.parent.glob(".*") if path.suffix != ".lock"}
    assert not {name for name in left if run.name in name}


def wait_for_step(process: subprocess.Popen, run: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while not (run / "log.jsonl").exists() or (run / "log.jsonl").read_bytes().count(b"\n") < step:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def said(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("hdrbench: ")]
