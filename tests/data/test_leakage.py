"""A model is not scored, without a word, on pictures that it was trained with."""

import json
from pathlib import Path

import pytest

from hdrnet_bench.data.leakage import leaked_ids, trained_on
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.model.file import save_model
from hdrnet_bench.model.load import read_model
from hdrnet_bench.prepare.build import build
from hdrnet_bench.prepare.staging import Plan, Task
from tests.conftest import TINY, Workspace, in_a_thread, make_tiny

# a and c were trained and validated with; under another protocol they are other pixels.
OTHER = [Task("a", "test", (11, 40, 44)), Task("c", "test", (12, 40, 44)), TINY[3]]


@pytest.fixture
def other(trained: Workspace) -> Workspace:
    """Beside the trained run, another protocol's dataset of the same source."""
    plan = Plan("demo-other", "demo", "other", 1, "CC0-1.0", {})
    build(plan, OTHER, make_tiny, trained.path / "data", open_pool=in_a_thread)
    return trained


def test_evaluation_on_training_pictures_stops(other: Workspace) -> None:
    message = other.fails(3, "eval", "tiny/seed-0", "--dataset", "demo-other")
    assert "trained with 2 of the 3 pictures" in message
    assert not (other.path / "results/tiny-on-demo-other/hdrnet-curves").exists()


def test_allowed_it_is_marked(other: Workspace) -> None:
    results = other.json("eval", "tiny/seed-0", "--dataset", "demo-other", "--allow-leak")
    assert {r["method"]["name"]: r["leaked"] for r in results} == {
        "identity": 0,
        "hdrnet-curves": 2,
    }
    assert {r["recipe"]["name"] for r in results} == {"tiny-on-demo-other"}
    command = ("eval", "tiny/seed-0", "--dataset", "demo-other", "--allow-leak")
    assert "hdrnet-curves (trained with 2 of these)" in other.run(*command).stdout
    other.json("report")
    table = (other.path / "results/README.md").read_text()
    assert "hdrnet-curves (trained with 2 of these)" in table
    assert "its scores mean nothing" in table


def test_other_pictures_are_scored_apart_from_the_recipe_s_own(other: Workspace) -> None:
    plan = Plan("demo-clean", "demo", "clean", 1, "CC0-1.0", {})
    build(plan, [TINY[3], TINY[4]], make_tiny, other.path / "data", open_pool=in_a_thread)
    other.json("eval", "tiny/seed-0")
    results = other.json("eval", "tiny/seed-0", "--dataset", "demo-clean")
    assert all(r["leaked"] == 0 for r in results)
    folder = other.path / "results"
    own = json.loads((folder / "tiny/hdrnet-curves/seed-0/eval-test-full.json").read_text())
    assert own["dataset"]["name"] == "demo-tiny"
    path = folder / "tiny-on-demo-clean/hdrnet-curves/seed-0/eval-test-full.json"
    assert json.loads(path.read_text())["dataset"]["name"] == "demo-clean"


def test_its_own_training_split_is_no_exception(other: Workspace) -> None:
    for split, count in (("train", 2), ("validation", 1)):
        message = other.fails(3, "eval", "tiny/seed-0", "--split", split)
        assert f"trained with {count} of the {count} pictures" in message
        results = other.json("eval", "tiny/seed-0", "--split", split, "--allow-leak")
        assert {r["leaked"] for r in results} == {0, count}


def test_a_model_file_from_before_is_known_by_its_dataset(other: Workspace) -> None:
    path = other.path / "runs/tiny/seed-0/last.safetensors"
    model, header = read_model(path)
    assert header.trained_on is not None
    assert header.trained_on.ids == ("a", "b", "c")
    save_model(path, model, header.model_copy(update={"trained_on": None}))
    assert "2 of the 3" in other.fails(3, "eval", "tiny/seed-0", "--dataset", "demo-other")
    (other.path / "data/demo-tiny").rename(other.path / "data/gone")
    message = other.fails(3, "eval", "tiny/seed-0", "--dataset", "demo-other")
    assert "does not say which pictures it was trained with" in message


def test_pixels_tell_where_ids_do_not(tmp_path: Path) -> None:
    datasets = []
    for name, tasks in (
        ("one", TINY),
        # The same name for another picture, and the same picture under another name.
        ("two", [Task("a", "test", (77, 40, 40)), Task("z", "test", TINY[1].payload)]),
    ):
        plan = Plan(f"folder-{name}", "folder", name, 1, "not-stated", {})
        build(plan, tasks, make_tiny, tmp_path, open_pool=in_a_thread)
        datasets.append(Dataset(tmp_path / f"folder-{name}"))
    known = trained_on(datasets[0])
    assert leaked_ids(known, datasets[1], datasets[1].rows) == ["z"]
    assert leaked_ids(known, datasets[0], datasets[0].split("test")) == []
    # The same file, prepared as another source.
    assert leaked_ids(
        known.model_copy(update={"source": "demo"}), datasets[1], datasets[1].rows
    ) == ["z"]
