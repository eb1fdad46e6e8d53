"""The example that goes from two folders to a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("there", [True, False])
def test_a_recipe_that_is_there_is_kept(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(train_on_your_pairs, "hdrbench", lambda *arguments: None)
    if there:
        Path("mine.yaml").write_text("changed by hand\n")
    train_on_your_pairs.main(["before", "after", "mine", "--steps", "7"])
    kept = Path("mine.yaml").read_text() == "changed by hand\n"
    assert kept == there
    assert there or "steps: 7" in Path("mine.yaml").read_text()


@pytest.mark.parametrize("steps", [1, 1200])
def test_its_recipe_is_one(workspace: Workspace, steps: int) -> None:
    parts = train_on_your_pairs.recipe("mine", steps)
    Path("mine.yaml").write_text(parts)
    loaded = load_recipe("mine.yaml")
    assert (loaded.training.steps, loaded.dataset.name) == (steps, "folder-mine")
    assert "lpips" not in loaded.evaluation.metrics
