"""Training ends early once validations bring nothing better: after how many, what is then there,
and that stopping and resuming change nothing of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.model.file import read_model_header
from hdrnet_bench.recipe import Recipe
from hdrnet_bench.runs import open_run
from hdrnet_bench.stopping import Stopped
from hdrnet_bench.training.checkpoint import Checkpoint, read_training_state
from hdrnet_bench.training.overrides import override
from hdrnet_bench.training.train import Trainer, train
from tests.conftest import Workspace, write_recipe
from tests.training.running import asked, run_recipe
from tests.training.test_distributed import torchrun
from tests.training.test_resume import Killed, content, small, trained

# Best at step 4; with a patience of 2, step 8 is the end of it.
SCORES = {2: 10.0, 4: 12.0, 6: 11.0, 8: 11.5, 10: 13.0, 12: 9.0}


def measured(monkeypatch: pytest.MonkeyPatch, scores: dict[int, float], name: str = "psnr") -> None:
    """Validations that give these values, by their step."""
    monkeypatch.setattr(
        Trainer, "validate", lambda trainer, step, asked: {"psnr": 1.0} | {name: scores[step]}
    )


def patient(tiny: Workspace, patience: int, *settings: str) -> Recipe:
    fixed = ["training.steps=12", "training.validate_every=2", "training.checkpoint_every=3"]
    return small(tiny, *fixed, f"training.patience={patience}", *settings)


def summary(tiny: Workspace, recipe: Recipe, run: str, **arguments: object) -> dict[str, object]:
    dataset = Dataset(tiny.path / "data/demo-tiny")
    return train(recipe, dataset, tiny.path / run, seed=0, workers=0, **arguments)


@pytest.mark.parametrize(
    ("patience", "scores", "end"),
    [
        (1, [10, 12, 11, 11.5, 13, 9], 6),
        (2, [10, 12, 11, 11.5, 13, 9], 8),
        (3, [10, 12, 11, 11.5, 13, 9], 12),  # the third is better, and begins anew
        (2, [10, 10, 10, 11, 12, 13], 6),  # as good is not better
        (2, [9, 10, 9, 11, 10, 11], 12),  # out of patience with the last step alone
        (5, [13, 12, 11, 10, 9, 8], 12),
        (1, [1, 2, 3, 4, 5, 4], 12),
    ],
)
def test_it_ends_after_as_many_validations_without_a_better_one(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, patience: int, scores: list[float], end: int
) -> None:
    measured(monkeypatch, dict(zip(SCORES, scores, strict=True)))
    told: list[str] = []
    of_run = summary(tiny, patient(tiny, patience), "run", log=told.append)
    early = [note for note in told if note.startswith("ended early, at step")]
    lines = (tiny.path / "run/log.jsonl").read_text().splitlines()
    assert of_run["steps"] == len(lines) == end
    if end == 12:
        assert not early
        assert "stopped_early" not in of_run
        assert "planned_steps" not in of_run
    else:
        assert (of_run["stopped_early"], of_run["planned_steps"]) == (True, 12)
        (note,) = early
        assert note.startswith(f"ended early, at step {end} of 12: ")


def test_a_last_validation_out_of_turn_is_no_early_end(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, {5: 10.0, 7: 9.0})
    recipe = patient(tiny, 1, "training.steps=7", "training.validate_every=5")
    assert "stopped_early" not in summary(tiny, recipe, "run")


@pytest.mark.parametrize(("value", "end"), [(3.0, 6), (2.5, 12)])
def test_better_is_what_the_metric_says(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, value: float, end: int
) -> None:
    """Of a colour difference, less."""
    measured(monkeypatch, SCORES | {2: 4.0, 4: 3.0, 6: value, 8: 2.0, 10: 1.0}, "delta_e_76")
    recipe = patient(tiny, 1, "training.best_metric=delta_e_76")
    assert summary(tiny, recipe, "run")["steps"] == end


def test_what_ended_early_is_finished(tiny: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, SCORES)
    recipe = patient(tiny, 2)
    best = {}
    for patience, name in ((2, "run"), (100, "whole")):
        summary(tiny, override(recipe, [f"training.patience={patience}"]), name)
        best[name] = safetensors.torch.load_file(tiny.path / name / "best.safetensors")
    run = tiny.path / "run"
    headers = [read_model_header(run / f"{name}.safetensors") for name in ("last", "best")]
    assert [(header.step, header.steps) for header in headers] == [(8, 8), (4, 8)]
    assert open_run(run).finished_header().step == 8
    # The best of step 4, which the longer run has replaced by that of step 10.
    assert any(not torch.equal(t, best["whole"][name]) for name, t in best["run"].items())
    state = read_training_state(run)
    assert (state.step, state.steps, state.finished) == (8, 12, True)
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    again = summary(tiny, recipe, "run", resume=True)
    assert (again["resumed_at"], again["steps"], again["stopped_early"]) == (8, 8, True)
    assert before == {path: path.stat().st_mtime_ns for path in run.iterdir()}
    with pytest.raises(UsageError, match="was trained with another tiny"):
        summary(tiny, override(recipe, ["training.patience=null"]), "run", resume=True)


def test_stopped_before_its_patience_ran_out_it_is_not_finished(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, SCORES)
    with pytest.raises(Stopped):
        run_recipe(tiny, patient(tiny, 2), "run", {6: asked(signal.SIGTERM)})
    with pytest.raises(DataError, match="was stopped at step 6 of 12"):
        open_run(tiny.path / "run").finished_header()


def test_resumed_at_any_step_it_ends_at_the_same(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with the best weights of the step from before."""
    measured(monkeypatch, SCORES)
    recipe = patient(tiny, 2)
    expected = content(trained(tiny, recipe, "whole"))
    assert len(expected["log"]) == 8
    for stop in range(3, 8):  # from its first state on
        with pytest.raises(Killed):
            trained(tiny, recipe, f"r{stop}", stop)
        assert content(trained(tiny, recipe, f"r{stop}", resume=True)) == expected


@pytest.mark.fault("kills")
def test_killed_between_its_last_models_and_its_state_it_ends_there_again(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, SCORES)
    recipe = patient(tiny, 2)
    expected = content(trained(tiny, recipe, "whole"))
    real = Checkpoint.save

    def killed_at_the_end(checkpoint: Checkpoint, directory: Path, state: object) -> None:
        if state.stopped_early:
            raise Killed
        real(checkpoint, directory, state)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", killed_at_the_end)
        with pytest.raises(Killed):
            trained(tiny, recipe, "run")
    assert read_training_state(tiny.path / "run").step == 6
    assert content(trained(tiny, recipe, "run", resume=True)) == expected


@pytest.mark.fault("signals")
@pytest.mark.parametrize("step", [7, 8])
def test_asked_to_stop_at_its_early_end(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """While step 7 is reported, the next one is the last; while step 8 is, all is done."""
    measured(monkeypatch, SCORES)
    recipe = patient(tiny, 2)
    with pytest.raises(Stopped) as stopped:
        run_recipe(tiny, recipe, "run", {step: asked(signal.SIGINT)})
    assert stopped.value.__notes__[0].endswith("at step 8 of 12; was trained to its end")
    assert content(tiny.path / "run") == content(trained(tiny, recipe, "whole"))


def test_two_processes_end_at_the_same_step(tiny: Workspace) -> None:
    """With weights that no step moves, no validation is better than the first."""
    write_recipe(
        tiny.path / "tiny.yaml",
        lambda r: r["training"].update(
            steps=100, batch_size=4, validate_every=2, patience=2, learning_rate=1.0e-38
        ),
    )
    done = torchrun(tiny, "tiny.yaml")
    assert done.returncode == 0, done.stderr
    state = json.loads((tiny.path / "runs/tiny/seed-0/state.json").read_text())
    assert (state["step"], state["stopped_early"], state["processes"]) == (6, True, 2)
    assert done.stderr.count("ended early, at step 6 of 100: 2 validations in a row") == 1
