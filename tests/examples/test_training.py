"""The example that goes from two folders to a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hdrnet_bench.errors import UsageError
from hdrnet_bench.examples import train_on_your_pairs
from hdrnet_bench.images import read_picture, write_png
from hdrnet_bench.recipe import load_recipe
from tests.conftest import Workspace, smooth_picture


def test_two_folders_become_a_model_its_score_and_pictures(workspace: Workspace) -> None:
    for folder, dark in (("before", 2), ("after", 1)):
        Path(folder).mkdir()
        for index in range(16):
            write_png(f"{folder}/photo{index}.png", smooth_picture(index, 40, 48) // dark)
    train_on_your_pairs.main(["before", "after", "mine", "--steps", "4"])
    results = {
        path.parts[2]: json.loads(path.read_text())
        for path in Path("results/mine").rglob("eval-test-full.json")
    }
    assert results.keys() == {"identity", "hdrnet-curves"}
    assert {one["dataset"]["name"] for one in results.values()} == {"folder-mine"}
    tested = {path.name for path in Path("data/folder-mine/test/input").iterdir()}
    assert tested
    assert {path.name for path in Path("mine-enhanced").iterdir()} == tested
    for name in tested:
        enhanced = read_picture(f"mine-enhanced/{name}").pixels
        assert enhanced.shape == (40, 48, 3)
        assert (enhanced != read_picture(f"before/{name}").pixels).any()


def test_a_failure_ends_it_with_the_commands_exit_code(workspace: Workspace, capfd) -> None:
    with pytest.raises(SystemExit) as exit_:
        train_on_your_pairs.main(["none", "neither", "mine"])
    assert exit_.value.code in (2, 3)
    assert not Path("mine.yaml").exists()
    out, err = capfd.readouterr()
    assert out.count("$ hdrbench") == 1, "went on after a failure"
    assert err.count("hdrbench: ") == 1
    assert err.endswith("\nAn option that this names is the command's: run it by hand.\n")


@pytest.fixture
def commands(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that would have been run."""
    run: list[str] = []
    monkeypatch.setattr(
        train_on_your_pairs, "hdrbench", lambda *arguments: run.append(arguments[0])
    )
    return run


ALL = ["prepare", "train", "eval", "enhance"]


def test_a_recipe_is_written_and_may_be_there(commands: list[str]) -> None:
    for times in (1, 2):
        train_on_your_pairs.main(["before", "after", "mine", "--steps", "7"])
        assert commands == ALL * times
    assert Path("mine.yaml").read_text() == train_on_your_pairs.recipe("mine", 7)


@pytest.mark.parametrize("there", [train_on_your_pairs.recipe("mine", 8), "of mine\n"])
def test_another_recipe_that_is_there_is_neither_used_nor_lost(
    commands: list[str], there: str
) -> None:
    Path("mine.yaml").write_text(there)
    says = r"^mine\.yaml is there, and is not what --steps 7 gives: .*`hdrbench train mine\.yaml`"
    with pytest.raises(UsageError, match=says):
        train_on_your_pairs.main(["before", "after", "mine", "--steps", "7"])
    assert not commands
    assert Path("mine.yaml").read_text() == there


@pytest.mark.parametrize("steps", [None, 7, 8])
def test_a_run_that_is_there_is_gone_on_with_by_hand(
    commands: list[str], steps: int | None
) -> None:
    Path("runs/mine/seed-0").mkdir(parents=True)
    if steps:
        Path("mine.yaml").write_text(train_on_your_pairs.recipe("mine", steps))
    command = "hdrbench train runs/mine/seed-0/recipe.yaml --run seed-0 --seed 0 --resume"
    with pytest.raises(UsageError, match=f"^runs/mine/seed-0 is there: `{command}` goes on"):
        train_on_your_pairs.main(["before", "after", "mine", "--steps", "7"])
    assert not commands
    assert Path("mine.yaml").exists() == bool(steps)


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_it_takes_a_step_at_least(commands: list[str], steps: int) -> None:
    arguments = ["before", "after", "mine", f"--steps={steps}"]
    if steps < 1:
        with pytest.raises(UsageError, match="--steps is 1 or more"):
            train_on_your_pairs.main(arguments)
    else:
        train_on_your_pairs.main(arguments)
    assert commands == (ALL if steps == 1 else [])
    assert Path("mine.yaml").exists() == (steps == 1)


@pytest.mark.parametrize("steps", [1, 1200])
def test_its_recipe_is_one(workspace: Workspace, steps: int) -> None:
    parts = train_on_your_pairs.recipe("mine", steps)
    Path("mine.yaml").write_text(parts)
    loaded = load_recipe("mine.yaml")
    assert (loaded.training.steps, loaded.dataset.name) == (steps, "folder-mine")
    assert "lpips" not in loaded.evaluation.metrics
