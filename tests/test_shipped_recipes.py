"""Every shipped recipe trains: two real steps on tiny data under its dataset's name."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from hdrnet_bench import load_model
from hdrnet_bench.data.manifest import open_dataset
from hdrnet_bench.files import read_json
from hdrnet_bench.images.pixels import quantise
from hdrnet_bench.prepare.build import PreparedPair, build
from hdrnet_bench.prepare.operators import OPERATORS
from hdrnet_bench.prepare.staging import Plan, Task
from hdrnet_bench.recipe import Recipe, load_recipe, parse_recipe
from hdrnet_bench.training.overrides import override
from hdrnet_bench.training.train import train
from tests.conftest import ROOT, Workspace, in_a_thread, smooth_picture

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PUBLISHED = {f"fivek-expert-{expert}" for expert in "abcde"} | {"hdrplus", "identity"}
PUBLISHED |= {
    f"fivek-{data}-as-published"
    for data in ("zeng-srgb", "zeng-srgb-full", "zeng-xyz", "upe", "dpe", "uegan", "ltmnet")
}
PUBLISHED |= {
    f"local-laplacian{strong}-{shape}"
    for strong in ("", "-strong")
    for shape in ("l8s16", "l8s32", "l16s32", "l4s8", "pyramid")
}


def make_pair(payload: tuple[int, bool]) -> PreparedPair:
    """A small picture and its retouch; HDR+ has 16-bit linear input."""
    seed, linear = payload
    picture = smooth_picture(seed, 64, 72)
    target = quantise(OPERATORS["retouch"].apply(picture.transpose(2, 0, 1) / 255.0))
    if linear:
        picture = np.rint((picture / 255.0) ** 2.2 * 16000).astype(np.uint16)
    return PreparedPair(picture, target, ["made"], ["0" * 64], "CC0-1.0", {})


def test_the_published_experiments_are_there() -> None:
    assert {path.stem for path in RECIPES} >= PUBLISHED


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """False/ and True/ (16-bit linear input), each with the dataset demo-some."""
    root = tmp_path_factory.mktemp("shipped")
    plan = Plan("demo-some", "demo", "some", 1, "CC0-1.0", {})
    for linear in (False, True):
        tasks = [Task(f"p{i}", "train" if i < 3 else "validation", (i, linear)) for i in range(4)]
        build(plan, tasks, make_pair, root / str(linear), open_pool=in_a_thread)
    return root


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_two_steps(workspace: Workspace, tiny_data: Path, path: Path) -> None:
    recipe = parse_recipe(path)
    assert recipe.published != Recipe.model_fields["published"].default
    if recipe.name in PUBLISHED:
        assert recipe.model.lowres_resize == "nearest"
    linear = recipe.model.input_encoding != "srgb"
    there = workspace.path / "data" / recipe.dataset.name
    shutil.copytree(tiny_data / str(linear) / "demo-some", there)
    header = read_json(there / "dataset.json") | {
        "name": recipe.dataset.name,
        "input_encoding": recipe.model.input_encoding,
        "input_white": recipe.model.input_white,
    }
    (there / "dataset.json").write_text(json.dumps(header))
    small = override(recipe, ["training.steps=2", "training.crop=48", "training.batch_size=2"])
    losses: list[float] = []
    train(
        small,
        open_dataset(recipe.dataset.name),
        workspace.path / "run",
        seed=recipe.training.seeds[0],
        workers=0,
        on_step=lambda progress: losses.append(progress.loss),
    )
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    assert load_model(workspace.path / "run").config == recipe.model


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("identity", "run `hdrbench prepare folder --protocol identity --input-dir DIR` first"),
        (
            "local-laplacian-l8s16",
            "run `hdrbench prepare folder --protocol local-laplacian-mild --input-dir DIR` first",
        ),
        ("demo-retouch", "run `hdrbench prepare demo --protocol retouch` first"),
    ],
)
def test_data_that_is_not_there_brings_the_command(
    workspace: Workspace, name: str, says: str
) -> None:
    assert says in workspace.fails(3, "train", name)


def test_a_source_of_another_version_is_owned_up_to(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setattr("hdrnet_bench.prepare.SOURCES", ("demo", "folder"))
    message = workspace.fails(3, "train", "fivek-expert-c")
    assert "`hdrbench prepare fivek --protocol libraw --expert c`" in message
    assert "cannot prepare the source fivek yet" in message
    monkeypatch.setattr("hdrnet_bench.prepare.SOURCES", ("demo", "folder", "fivek"))
    message = workspace.fails(3, "train", "fivek-expert-c")
    assert "run `hdrbench prepare fivek --protocol libraw --expert c` first" in message


def test_a_folder_with_its_own_targets_is_asked_for_them(workspace: Workspace) -> None:
    spec = override(load_recipe("identity"), ["dataset.protocol=mine"]).dataset
    command = "hdrbench prepare folder --protocol mine --input-dir DIR --target-dir DIR"
    assert spec.prepare_command == command
