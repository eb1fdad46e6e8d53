import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hdrnet_bench.config import HDRNetConfig
from hdrnet_bench.errors import DataError, HdrbenchError, StorageError, UsageError
from hdrnet_bench.recipe import (
    DatasetSpec,
    EvaluationSpec,
    Recipe,
    TrainingSpec,
    load_recipe,
    parse_recipe,
    recipe_paths,
    validate_recipe,
)
from hdrnet_bench.recipe_page import markdown_list
from hdrnet_bench.training.overrides import override
from hdrnet_bench.yaml_files import parse_yaml
from tests.conftest import ROOT, write_recipe


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_recipe_loads_and_is_named_as_its_file(path: Path) -> None:
    recipe = parse_recipe(path)
    assert recipe.name == path.stem
    assert recipe.summary


PAGE = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")


def shipped() -> list[Recipe]:
    paths = sorted((ROOT / "recipes").glob("*.yaml"), key=lambda path: path.stem)
    return [parse_recipe(path) for path in paths]


def test_generated_page_is_what_is_committed() -> None:
    assert markdown_list(shipped()) == PAGE


def test_the_page_has_every_recipe_once_and_says_once_what_a_group_shares() -> None:
    for recipe in shipped():
        assert PAGE.count(f"]({recipe.name}.yaml)") == 1
        assert recipe.dataset.prepare_command in PAGE.splitlines()
    assert PAGE.count("DNGs are developed by LibRaw, not Lightroom") == 1
    for expert in "ABCDE":
        assert PAGE.count(f"The reference's FiveK expert {expert} experiment.") == 1
    sections = {part.split("\n")[0]: part for part in PAGE.split("\n## ")}
    assert "(fivek-expert-e.yaml)" in sections["FiveK"]
    assert "(local-laplacian-strong-l4s8.yaml)" in sections["Local Laplacian, strong"]
    assert "(demo-hdrplus.yaml)" in sections["Demo"]
    assert "Your own" not in sections


def test_a_recipe_of_ones_own_is_on_the_page_and_begins_no_markup(tmp_path: Path) -> None:
    data = {"source": "folder", "protocol": "mine"}
    write_recipe(tmp_path / "a.yaml", lambda r: r.update(dataset=data, summary="a|b <script>"))
    page = markdown_list([parse_recipe(tmp_path / "a.yaml")])
    own = page.split("## Your own")[1].split("\n## ")[0]
    assert "a\\|b" in own
    assert "<script>" not in page
    assert "## FiveK" not in page  # nothing of an empty group


def test_the_recipe_that_the_page_shows_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    dataset = validate_recipe(yaml.safe_load(text), "the page").dataset
    assert dataset.source == "folder"
    assert f"hdrbench prepare folder --protocol {dataset.protocol} --input-dir A " in PAGE


def test_the_page_explains_every_key() -> None:
    sections = {"model": HDRNetConfig, "training": TrainingSpec, "evaluation": EvaluationSpec}
    for model in (Recipe, DatasetSpec, *sections.values()):
        for key, field in model.model_fields.items():
            if model is not Recipe or key not in {"dataset", *sections}:
                assert field.description, key
                assert PAGE.count(f"| `{key}` |") == 1, key


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


def test_a_key_that_came_later_counts_in_the_digest_where_it_is_not_at_its_default(
    tmp_path: Path,
) -> None:
    digests = []
    for more in ({}, {"patience": None}, {"patience": 1}, {"patience": 2}):
        write_recipe(tmp_path / "a.yaml", lambda r: r["training"].update(more))  # noqa: B023
        digests.append(parse_recipe(tmp_path / "a.yaml").digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


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
        (lambda r: r["training"].update(patience=0), "training.patience: .*equal to 1"),
        (lambda r: r["training"].update(patience=-1), "training.patience: .*equal to 1"),
        (lambda r: r["training"].update(patience=2.5), "training.patience: .*integer"),
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


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").rglob("*.yaml"))[::12], ids=lambda p: p.stem
)
def test_values_are_those_of_the_loader_in_python(path: Path) -> None:
    """Where PyYAML has libyaml its scanner reads, in which numbers and texts could differ."""
    text = path.read_text(encoding="utf-8") + "a: [1e-3, 1.0e-3, yes, 0o17, 010, ~, 'é', 1_000]\n"
    assert parse_yaml(text) == yaml.load(text, yaml.SafeLoader)  # it is one


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


def _repeated(first: str, form: str, levels: int) -> str:
    """Each level has the one before it nine times."""
    lines = [f"a0: &a0 {first}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} " + form.format(", ".join([f"*a{level - 1}"] * 9)))
    return "\n".join(lines) + "\n"


LONG = 20_000
HOSTILE = {
    "merge keys": _repeated("{k: 1}", "{{<<: [{}]}}", 10),
    "aliases": _repeated("[x, x, x]", "[{}]", 12),
    "aliases in a seed": "training: {seeds: &a [1], crop: *a}\n" + _repeated("[1]", "[{}]", 9),
    "itself": "training: &a {crop: *a}\n",
    "itself as a key": "&a {*a : 1}\n",
    "digits": f"version: {'9' * LONG}\n",
    "hexadecimal digits": f"version: 0x{'f' * LONG}\n",
    "hexadecimal seeds": f"training: {{seeds: [0x{'f' * LONG}]}}\n",
    "sexagesimal": f"version: 1{':59' * LONG}\n",
    "a sexagesimal float": f"version: 1{':59' * LONG}.5\n",
    "a time zone": "version: 2001-12-14t21:59:43.10-99:99\n",
    "a date": "summary: 2001-12-14\n",
    "NUL": "name: a\0b\n",
    "NUL as an escape": 'name: "a\\0b"\n',
    "an escape code": 'name: "a\\e[31mb"\n',
    "a line end": 'name: "tiny\\n"\n',
    "half a character": 'summary: "\\uD800"\n',
    "half a character in a key": '"\\uD800": 1\n',
    "HTML": "name: <script>alert(1)</script>\n",
    "a long name": f"name: {'a' * 200}\n",
    "a long key": f"{'a' * 900}: 1\n",
    "thousands of keys": "".join(f"k{n}: 1\n" for n in range(7000)),
    "thousands of values": f"a: [{'1,' * 30_000}]\n",
    "deep lists": "[" * 60_000,
    "deep mappings": "{a: " * 15_000,
    "deep keys": "? " * 30_000,
    "a tag that runs code": "name: !!python/object/apply:os.mkdir [made]\n",
    "a path for a protocol": "dataset: {source: fivek, protocol: ../../x, size: a}\n",
    "a list for a source": "dataset: {source: [a], protocol: {}, size: a}\n",
    "too many bytes": "# a comment\n" * 10_000,
}

REASONS = {
    "merge keys": "or repeats some so often",
    "aliases": "or repeats some so often",
    "itself": "it contains itself",
    "digits": "Exceeds the limit",
    "hexadecimal digits": "a number of thousands of digits",
    "a sexagesimal float": "OverflowError",
}


@pytest.mark.fault("hostile recipes and models")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_recipe_ends_soon_with_one_short_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.yaml"
    write_recipe(path)
    plain = yaml.safe_load(path.read_text())
    key = HOSTILE[name].partition(":")[0]
    plain.pop(key, None)
    path.write_text(yaml.safe_dump(plain) + HOSTILE[name])
    began = time.process_time()
    with pytest.raises(HdrbenchError) as caught:
        load_recipe(str(path))
    assert time.process_time() - began < 3
    message = str(caught.value)
    assert caught.value.exit_code == (3 if name == "too many bytes" else 2)
    assert str(path) in message
    assert REASONS.get(name, "") in message
    assert "\n" not in message
    assert len(message) < 1500
    assert not Path("made").exists()


@pytest.mark.fault("hostile recipes and models")
def test_what_is_no_file_is_not_waited_for(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    with (tmp_path / "sparse.yaml").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff\xfe")
    reasons = {"pipe": "not a regular", "device": "not a regular", "sparse": "has over 65,536"}
    reasons |= {"folder": "directory", "binary": "cannot be read"}
    for name, reason in reasons.items():
        with pytest.raises(DataError, match=reason):
            load_recipe(str(tmp_path / f"{name}.yaml"))
    record_property("faults", len(reasons))


@pytest.mark.fault("I/O errors")
def test_a_recipe_that_the_disk_does_not_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path / "a.yaml")

    def fails(*arguments: object) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("hdrnet_bench.yaml_files.read_text", fails)
    with pytest.raises(StorageError, match=r"a\.yaml cannot be read: Input/output error"):
        load_recipe(str(tmp_path / "a.yaml"))


@pytest.mark.fault("hostile recipes and models")
def test_hostile_settings_are_refused_in_one_line(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    write_recipe(tmp_path / "tiny.yaml")
    recipe = parse_recipe(tmp_path / "tiny.yaml")
    settings = [
        "training.steps=" + "{" + ", ".join(HOSTILE["merge keys"].splitlines()) + "}",
        f"training.steps={'9' * LONG}",
        f"training.steps=0x{'f' * LONG}",
        f"training.steps=1{':59' * LONG}.5",
        "training.steps=&a [*a]",
        "training.steps=" + "[" * 30_000,
        "training.steps=5 # \udcff",
        "summary=\x1b[31m",
        f"{'a.' * 20_000}b=1",
        f"summary={'a' * 70_000}",
        "name=x",
        "training.learning_rate=.nan",
        "training.seeds.0=1",
    ]
    began = time.process_time()
    for setting in settings:
        with pytest.raises(UsageError) as caught:
            override(recipe, [setting])
        assert len(str(caught.value)) < 200_000
    with pytest.raises(UsageError, match="longer than a run can keep"):
        override(recipe, [f"summary={'a' * 40_000}", f"published={'a' * 40_000}"])
    assert time.process_time() - began < 6
    record_property("faults", len(settings) + 1)


def test_merge_keys_and_aliases_work(tmp_path: Path) -> None:
    write_recipe(tmp_path / "tiny.yaml")
    text = (tmp_path / "tiny.yaml").read_text()
    text = text.replace("training:\n", "training:\n  <<: &a {flips: false}\n")
    (tmp_path / "tiny.yaml").write_text(text)
    assert not parse_recipe(tmp_path / "tiny.yaml").training.flips
