from pathlib import Path

import pytest
import yaml

from hdrnet_bench.errors import UsageError
from hdrnet_bench.recipe import load_recipe, markdown_list, parse_recipe, recipe_paths
from tests.conftest import ROOT, write_recipe


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_recipe_loads_and_is_named_as_its_file(path: Path) -> None:
    recipe = parse_recipe(path)
    assert recipe.name == path.stem
    assert recipe.summary


def test_generated_list_is_what_is_committed() -> None:
    recipes = [parse_recipe(p) for p in sorted((ROOT / "recipes").glob("*.yaml"))]
    committed = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    assert committed == markdown_list(recipes)


def test_resolved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    write_recipe(tmp_path / "tiny.yaml")
    recipe = parse_recipe(tmp_path / "tiny.yaml")
    (tmp_path / "again.yaml").write_text(recipe.yaml())
    again = parse_recipe(tmp_path / "again.yaml")
    assert again == recipe
    assert again.digest == recipe.digest
    assert recipe.model.net_input_size == 32


@pytest.mark.parametrize(
    ("source", "part", "fits"),
    [
        ("hdrplus", "subset", True),
        ("hdrplus", "full", True),
        ("hdrplus", None, False),
        ("fivek", "full", False),
        ("demo", None, True),
    ],
)
def test_a_part_is_said_of_hdrplus_and_of_nothing_else(
    tmp_path: Path, source: str, part: str | None, fits: bool
) -> None:
    said = {"source": source, "protocol": "hdrnet"} | ({"part": part} if part else {})
    write_recipe(tmp_path / "a.yaml", lambda r: r.update(dataset=said))
    if fits:
        assert parse_recipe(tmp_path / "a.yaml").dataset.part == part
    else:
        with pytest.raises(UsageError, match="part: subset or full for source hdrplus"):
            parse_recipe(tmp_path / "a.yaml")


def test_an_expert_is_said_of_fivek(tmp_path: Path) -> None:
    """Its datasets always have one in their names."""
    said = {"source": "fivek", "protocol": "libraw"}
    write_recipe(tmp_path / "a.yaml", lambda r: r.update(dataset=said))
    with pytest.raises(UsageError, match="expert: a to e for source fivek"):
        parse_recipe(tmp_path / "a.yaml")
    write_recipe(tmp_path / "a.yaml", lambda r: r.update(dataset=said | {"expert": "c"}))
    assert parse_recipe(tmp_path / "a.yaml").dataset.name == "fivek-libraw-c"


def test_digest_changes_with_any_value(tmp_path: Path) -> None:
    write_recipe(tmp_path / "a.yaml")
    write_recipe(tmp_path / "b.yaml", lambda r: r["training"].update(steps=7))
    assert parse_recipe(tmp_path / "a.yaml").digest != parse_recipe(tmp_path / "b.yaml").digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(epochs=3), "epochs: unknown key"),
        (lambda r: r["training"].update(step=3), "training.step: unknown key; did you mean steps"),
        (lambda r: r["model"].update(lumabins=8), "model.lumabins: unknown key; did you mean luma"),
        (lambda r: r["training"].update(steps="many"), "training.steps: .*got 'many'"),
        (lambda r: r["training"].update(steps=0), "training.steps: .*greater than or equal to 1"),
        (lambda r: r["training"].pop("crop"), "training.crop: Field required"),
        (lambda r: r["training"].update(flips=1), "training.flips"),
        (lambda r: r["training"].update(seeds=[1, 1]), "seeds .* must be different"),
        (lambda r: r["training"].update(learning_rate="1e-3"), "YAML wants 0.001 here"),
        (lambda r: r["model"].update(spatial_bin=5), "net_input_size 32 must be spatial_bin 5"),
        (lambda r: r["evaluation"].update(metrics=["psnr", "msssim"]), "unknown metric 'msssim'"),
        (lambda r: r["evaluation"].update(metrics=["ssim"]), "psnr must be among"),
        (lambda r: r["evaluation"].update(resolutions=[[4, 4]]), "too small"),
        (lambda r: r["dataset"].update(source="../x"), "dataset.source"),
        (lambda r: r["training"].update(gradient_clip=float("inf")), "finite number"),
        (lambda r: r["training"].update(steps="1e3"), "training.steps: .*got '1e3'\\)$"),
        (lambda r: r["training"].update(steps=10**30), "training.steps"),
        (lambda r: r["training"].update(seeds=["7"]), "training.seeds.0: .*got '7'\\)$"),
        (lambda r: r["evaluation"].update(resolutions=[]), "at least one is needed"),
        (lambda r: r["evaluation"].update(metrics=["psnr", "psnr"]), "is named twice"),
        (lambda r: r.update(name="a/b"), "name"),
        (lambda r: r.update(model=3), "model"),
    ],
)
def test_faults_are_named_with_their_path(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "bad.yaml"
    write_recipe(path, change)
    with pytest.raises(UsageError, match=message) as caught:
        load_recipe(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "line 1 is not YAML"),
        ("- a\n- b\n", "not a mapping"),
        ("", "not a mapping"),
        ("name: a\nname: b\n", "line 2 is not YAML: key 'name' occurs twice"),
        ("name: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("{1: 2}", "1: Keys should be strings"),
        ("? [a, b]\n: 1\n", "a key is not a plain value"),
        ("name: 2020-99-99\n", "is not YAML: ValueError"),
        ("version: !!int x\n", "is not YAML: ValueError"),
        ("version: !!bool x\n", "is not YAML: KeyError"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(str(path))


def test_batch_norm_of_one_sample_is_refused(tmp_path: Path) -> None:
    def change(recipe: dict) -> None:
        recipe["model"].update(batch_norm=True)
        recipe["training"].update(batch_size=1)

    write_recipe(tmp_path / "bn.yaml", change)
    with pytest.raises(UsageError, match="batch_norm needs a batch_size over 1"):
        load_recipe(str(tmp_path / "bn.yaml"))


def test_a_recipe_is_named_as_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    write_recipe(tmp_path / "recipes" / "mine.yaml")
    with pytest.raises(UsageError, match="'tiny' must be that of its file"):
        load_recipe("mine")


def test_unknown_name_brings_the_near_ones() -> None:
    with pytest.raises(UsageError, match="did you mean demo-retouch"):
        load_recipe("demo-retuch")
    with pytest.raises(UsageError, match="there is no recipe file"):
        load_recipe("nowhere/demo.yaml")


def test_own_recipes_come_before_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "demo-retouch" in recipe_paths()
    own = tmp_path / "recipes" / "demo-retouch.yaml"
    own.parent.mkdir()
    write_recipe(own, lambda r: r.update(name="demo-retouch"))
    assert load_recipe("demo-retouch").version == 1
    assert recipe_paths()["demo-retouch"].resolve() == own


def test_yaml_of_a_recipe_is_plain() -> None:
    text = load_recipe("demo-retouch").yaml()
    assert yaml.safe_load(text)["training"]["seeds"] == [0]


def test_a_protocols_own_size_may_be_said(tmp_path: Path) -> None:
    """It stands in no dataset's name, so that both recipes mean the same data."""
    names, digests = {}, {}
    for size in (None, "480p", "original"):
        data = {"source": "fivek", "protocol": "zeng-srgb", "expert": "c"}
        data |= {"size": size} if size else {}
        write_recipe(tmp_path / "r.yaml", lambda r, data=data: r.update(dataset=data))
        recipe = load_recipe(str(tmp_path / "r.yaml"))
        names[size], digests[size] = recipe.dataset.name, recipe.digest
    assert names == {
        None: "fivek-zeng-srgb-c",
        "480p": "fivek-zeng-srgb-c",
        "original": "fivek-zeng-srgb-c-original",
    }
    assert digests["480p"] == digests[None] != digests["original"]
