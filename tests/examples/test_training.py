"""The example that goes from two folders to a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hdrnet_bench.errors import UsageError
from hdrnet_bench.examples import train_on_your_pairs
from hdrnet_bench.images import read_picture, write_png
from tests.conftest import Workspace, smooth_picture


def test_two_folders_become_a_model_its_score_and_pictures(workspace: Workspace) -> None:
    for folder, dark in (("before", 2), ("after", 1)):
        Path(folder).mkdir()
        for index in range(16):
            write_png(f"{folder}/photo{index}.png", smooth_picture(index, 40, 48) // dark)
    train_on_your_pairs.main(["before", "after", "mine", "--steps", "4"])
    results = {
        path.parts[2]: json.loads(path.read_text())
        for path in Path("results").rglob("eval-test-full.json")
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
    out, err = capfd.readouterr()
    assert out.count("$ hdrbench") == 1, "went on after a failure"
    assert err.count("hdrbench: ") == 1
    assert err.endswith("\nAn option that this names is the command's: run it by hand.\n")


@pytest.fixture
def commands(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that would have been run."""
    run: list[str] = []
    monkeypatch.setattr(
        train_on_your_pairs, "hdrbench", lambda *arguments: run.append(" ".join(arguments))
    )
    return run


@pytest.mark.parametrize("steps", [None, -1, 0, 1])
def test_steps_are_the_recipes_or_one_at_least(commands: list[str], steps: int | None) -> None:
    arguments = ["before", "after", "mine", *([] if steps is None else [f"--steps={steps}"])]
    if steps is not None and steps < 1:
        with pytest.raises(UsageError, match="--steps is 1 or more"):
            train_on_your_pairs.main(arguments)
        assert not commands
        return
    train_on_your_pairs.main(arguments)
    run = "demo-retouch-on-folder-mine/seed-0"
    settings = "" if steps is None else f" --set training.steps={steps}"
    assert commands == [
        "prepare folder --protocol mine --input-dir before --target-dir after",
        f"train demo-retouch --dataset folder-mine{settings}",
        f"eval {run}",
        f"enhance {run} data/folder-mine/test/input mine-enhanced",
    ]


def test_a_run_that_is_there_is_gone_on_with_by_hand(tiny: Workspace, capfd) -> None:
    """`train` refuses it, and says how."""
    for folder, dark in (("before", 2), ("after", 1)):
        Path(folder).mkdir()
        for index in range(16):
            write_png(f"{folder}/photo{index}.png", smooth_picture(index, 40, 48) // dark)
    directory = Path("runs/demo-retouch-on-folder-mine/seed-0")
    directory.mkdir(parents=True)
    (directory / "recipe.yaml").write_text("of a run")
    with pytest.raises(SystemExit) as exit_:
        train_on_your_pairs.main(["before", "after", "mine"])
    assert exit_.value.code == 2
    out, err = capfd.readouterr()
    assert out.count("$ hdrbench") == 2
    assert f"{directory} is there: --resume goes on with it" in err
    assert [path.name for path in directory.iterdir()] == ["recipe.yaml"]
