"""Runs whose state or log somebody else made are not resumed."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hdrnet_bench.errors import DataError
from hdrnet_bench.model.tensors import read_tensors, write_tensors
from hdrnet_bench.safetensors_header import read_claims
from hdrnet_bench.stopping import Stopped
from hdrnet_bench.training.checkpoint import _KEY as KEY
from hdrnet_bench.training.checkpoint import STATE
from tests.conftest import Workspace
from tests.training.running import SMALL_LOSSES, asked, run_recipe
from tests.training.test_resume import small


def _state(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """The state with its header changed, its tensors as they are."""

    def spoil(run: Path) -> None:
        tensors = read_tensors(run / STATE)
        content = json.loads(read_claims(run / STATE).metadata[KEY])
        text = change(content)
        text = text if isinstance(text, str) else json.dumps(content)
        write_tensors(run / STATE, tensors, {KEY: text})

    return spoil


def _tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        tensors, metadata = read_tensors(run / STATE), read_claims(run / STATE).metadata
        change(tensors)
        write_tensors(run / STATE, tensors, metadata)

    return spoil


def _pipe(name: str) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)

    return spoil


MOMENT = "optimiser/guides.0.ccm/exp_avg"


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a deep state": (_state(lambda c: "[" * 100_000), "nested too deep"),
    "a state of digits": (_state(lambda c: "9" * 5000), "digits"),
    "a step beyond the last": (_state(lambda c: c.update(step=7)), "step 7 of 6"),
    "a negative step": (_state(lambda c: c.update(step=-1)), "greater than or equal to 0"),
    "a step of text": (_state(lambda c: c.update(step="many")), "valid integer"),
    "NaN for the best": (_state(lambda c: "NaN"), "not a training state"),
    "best without its step": (_state(lambda c: c.update(best=1.0)), "best without its step"),
    "an unknown key": (_state(lambda c: c.update(more=1)), "more"),
    "no moment": (_tensors(lambda t: t.pop(MOMENT)), "is missing or does not fit"),
    "another shape": (
        _tensors(lambda t: t.update({MOMENT: torch.zeros(7)})),
        "is missing or does not fit",
    ),
    "half the best": (
        _tensors(lambda t: t.update({"best/guides.0.ccm": torch.zeros(1)})),
        "best/ does not fit",
    ),
    "no random state": (_tensors(lambda t: t.pop("random/cpu")), "random/cpu"),
    "a random state of numbers": (
        _tensors(lambda t: t.update({"random/cpu": torch.zeros(3)})),
        "does not fit this training",
    ),
    "a state that is a pipe": (_pipe(STATE), "is not a regular file"),
    "a log that is a pipe": (_pipe("log.jsonl"), "is not a regular file"),
    "a binary log": (lambda run: (run / "log.jsonl").write_bytes(bytes(99)), "line 1"),
    "a log of one endless line": (
        lambda run: (run / "log.jsonl").write_bytes(b"1" * (1 << 20)),
        "line 1",
    ),
    "a log in another order": (
        lambda run: (run / "log.jsonl").write_text('{"step": 2}\n{"step": 1}\n'),
        "line 1",
    ),
    "a deep log": (lambda run: (run / "log.jsonl").write_text("[" * 60_000 + "\n"), "line 1"),
}


@pytest.mark.fault("hostile recipes and models")
def test_a_hostile_run_is_not_resumed(
    tiny: Workspace, record_property: Callable[[str, object], None]
) -> None:
    recipe = small(tiny, *SMALL_LOSSES)
    with pytest.raises(Stopped):
        run_recipe(tiny, recipe, "run", {1: asked(signal.SIGINT)})
    for name, (spoil, reason) in HOSTILE.items():
        run = tiny.path / "spoilt"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(tiny.path / "run", run)
        spoil(run)
        with pytest.raises(DataError) as caught:
            run_recipe(tiny, recipe, "spoilt", resume=True)
        assert reason in str(caught.value), name
        assert "spoilt/" in str(caught.value)
        assert "\n" not in str(caught.value)
    record_property("faults", len(HOSTILE))


@pytest.mark.fault("hostile recipes and models")
def test_a_log_that_lost_its_end_is_said(tiny: Workspace) -> None:
    recipe = small(tiny, *SMALL_LOSSES)
    with pytest.raises(Stopped):
        run_recipe(tiny, recipe, "run", {4: asked(signal.SIGINT)})
    (tiny.path / "run/log.jsonl").unlink()
    notes: list[str] = []
    run_recipe(tiny, recipe, "run", resume=True, log=notes.append)
    assert any(note.endswith("log.jsonl has 0 of the 5 steps so far") for note in notes)
