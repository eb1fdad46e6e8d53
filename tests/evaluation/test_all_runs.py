"""`hdrbench eval` without arguments: what is wrong with one run does not stop the others."""

import json
import shutil

import pytest

from hdrnet_bench.data.manifest import Dataset
from tests.conftest import Workspace, write_recipe


@pytest.fixture
def two(trained: Workspace) -> Workspace:
    """Two finished runs, of which the first one's dataset is gone."""
    write_recipe(
        trained.path / "another.yaml",
        lambda r: r.update(name="another", dataset={"source": "demo", "protocol": "another"}),
    )
    data = trained.path / "data"
    shutil.copytree(data / "demo-tiny", data / "demo-another")
    header = json.loads((data / "demo-another/dataset.json").read_text())
    header |= {"name": "demo-another", "protocol": "another"}
    (data / "demo-another/dataset.json").write_text(json.dumps(header))
    done = trained.run("train", "./another.yaml", "--set", "training.steps=1")
    assert done.returncode == 0, done.stderr
    shutil.move(data / "demo-another", trained.path / "away")
    return trained


def runs_of(content: list[dict]) -> list[tuple[str, str]]:
    return [
        (r["recipe"]["name"], r["method"]["name"]) for r in content if r["kind"] == "evaluation"
    ]


def test_the_others_are_measured_and_it_is_said_which_is_not(two: Workspace) -> None:
    (run,) = (path.parent for path in two.path.glob("runs/another*/*/recipe.yaml"))
    name = str(run.relative_to(two.path))
    dry = two.run("eval", "--dry-run", "--json")
    assert dry.returncode == 3
    plan = json.loads(dry.stdout)
    assert len(plan["would measure"]) == 2
    assert list(plan["cannot measure"]) == [name]

    done = two.run("eval", "--json")
    assert done.returncode == 3, done.stderr
    content = json.loads(done.stdout)
    assert runs_of(content) == [("tiny", "identity"), ("tiny", "hdrnet-curves")]
    missing = [entry for entry in content if entry["kind"] == "not measured"]
    assert [entry["run"] for entry in missing] == [name]
    assert "demo-another" in missing[0]["reason"]
    assert "prepare demo --protocol another" in missing[0]["reason"]
    message = two.fails(3, "eval")
    assert f"not measured: {name}: " in message
    assert "PSNR" in two.run("eval").stdout

    shutil.move(two.path / "away", two.path / "data/demo-another")
    assert len(two.json("eval")) == 4


def test_the_run_that_is_asked_for_is_an_error(two: Workspace) -> None:
    assert "demo-another" in two.fails(3, "eval", "another")
    assert not (two.path / "results").exists()


def test_a_picture_that_cannot_be_read_stops_its_own_dataset_alone(two: Workspace) -> None:
    shutil.move(two.path / "away", two.path / "data/demo-another")
    dataset = Dataset(two.path / "data/demo-another")
    dataset.input_path(dataset.split("test")[0]).write_bytes(b"no picture")
    done = two.run("eval", "--json")
    assert done.returncode == 3
    content = json.loads(done.stdout)
    assert runs_of(content) == [("tiny", "identity"), ("tiny", "hdrnet-curves")]
    assert len([entry for entry in content if entry["kind"] == "not measured"]) == 2
    assert len([line for line in done.stderr.splitlines() if "not measured: " in line]) == 3
    assert "(and 1 more, see above)" in done.stderr


def test_a_dataset_that_is_named_and_not_there_is_one_error(two: Workspace) -> None:
    message = two.fails(3, "eval", "--dataset", "demo-gone")
    assert "not measured" not in message
    assert "demo-gone" in message
