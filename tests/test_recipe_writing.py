"""Recipes made of others: on another dataset, and as a file that explains itself."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from hdrnet_bench.cli.next_steps import after_eval, after_prepare, after_train
from hdrnet_bench.data.manifest import Header, open_dataset
from hdrnet_bench.errors import UsageError
from hdrnet_bench.recipe import PROSE, SECTIONS, Recipe, load_recipe, parse_recipe, recipe_paths
from hdrnet_bench.recipe_writing import (
    crop_for,
    dataset_spec,
    explained_yaml,
    on_dataset,
    short_edge,
)
from hdrnet_bench.training.overrides import override
from tests.conftest import Workspace, write_recipe


def header(name: str, source: str, protocol: str, **more: Any) -> Header:
    values = {
        "licence": "", "tools": {}, "digest": "", "version": 1, "settings": {},
        "counts": {"train": 300},
    }  # fmt: skip
    return Header(name=name, source=source, protocol=protocol, **(values | more))


MINE = header("folder-mine", "folder", "mine")


@pytest.mark.parametrize("counts", [{}, {"train": 0, "test": 3}])
def test_no_recipe_is_made_on_a_dataset_without_training(counts: dict[str, int]) -> None:
    only_test = header("folder-mine", "folder", "mine", counts=counts)
    command = "hdrbench eval --predictions DIR --name METHOD --dataset folder-mine"
    for recipe in (load_recipe("demo-retouch"), load_recipe("local-laplacian-l4s8")):
        with pytest.raises(UsageError, match=f"has no training pictures: `{command}`"):
            on_dataset(recipe, only_test, "mine")
    assert after_prepare(only_test) == f"`{command}` scores pictures that another method made"


@pytest.mark.parametrize(
    ("name", "source", "protocol", "settings"),
    [
        ("folder-mine", "folder", "mine", {}),
        ("demo-retouch", "demo", "retouch", {}),
        ("fivek-libraw-c", "fivek", "libraw", {"expert": "c", "size": {"name": "480p"}}),
        ("hdrplus-hdrnet-full-1024", "hdrplus", "hdrnet",
         {"part": "full", "size": {"name": "1024"}}),
    ],
)  # fmt: skip
def test_a_recipe_names_a_dataset_as_prepare_does(
    name: str, source: str, protocol: str, settings: dict[str, Any]
) -> None:
    spec = dataset_spec(header(name, source, protocol, settings=settings))
    assert (spec.name, spec.source, spec.protocol) == (name, source, protocol)


@pytest.mark.parametrize(
    ("name", "source", "protocol", "says"),
    [
        ("folder-mine-limited", "folder", "mine", "is called folder-mine"),
        ("x", "folder", "Mine!", "cannot be told"),
        ("fivek-libraw", "fivek", "libraw", "cannot be told"),  # no expert
    ],
)
def test_a_dataset_that_no_recipe_can_name(
    name: str, source: str, protocol: str, says: str
) -> None:
    with pytest.raises(UsageError, match=f"no recipe can name the dataset {name}: .*{says}"):
        dataset_spec(header(name, source, protocol))


def test_the_training_of_a_recipe_on_another_dataset() -> None:
    base = load_recipe("local-laplacian-l8s16")
    made = on_dataset(base, MINE)
    assert made.name == "local-laplacian-l8s16-on-folder-mine"
    assert made.dataset.name == "folder-mine"
    for section in ("model", "training", "evaluation"):
        assert getattr(made, section) == getattr(base, section)
    # What is published of the one says nothing of the other, and nothing was changed in it.
    assert (made.published, made.changed, made.version) == ("none stated", (), 1)
    paper = on_dataset(load_recipe("fivek-zeng-srgb"), MINE)
    assert (paper.expected, paper.cost, paper.by_hand) == (None, None, None)
    assert made.label == made.name
    assert made.digest != base.digest
    assert on_dataset(base, MINE, "my-look").name == "my-look"


def test_on_its_own_dataset_a_recipe_is_itself() -> None:
    base = load_recipe("demo-retouch")
    assert on_dataset(base, header("demo-retouch", "demo", "retouch")) is base


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(UsageError, match="name"):
        on_dataset(load_recipe("demo-retouch"), MINE, "My look")


@pytest.mark.parametrize("name", recipe_paths())
def test_an_explained_recipe_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / f"{name}.yaml"
    path.write_text(explained_yaml(recipe, 100))
    read = parse_recipe(path)
    assert read.digest == recipe.digest
    absent = {key: Recipe.model_fields[key].default for key in PROSE}
    assert read == recipe.model_copy(update=absent)


def test_every_key_of_it_is_explained() -> None:
    recipe = override(
        on_dataset(load_recipe("demo-retouch"), MINE),
        ["summary='a: b # c, \"d\"'", "training.ema=0.9", "training.gradient_clip=null"],
    )
    lines = explained_yaml(recipe, 300).splitlines()
    assert "300 pictures to train on, each shown 16 times" in " ".join(lines)
    assert "--input-dir DIR --target-dir DIR" in " ".join(line.strip("# ") for line in lines)
    assert max(map(len, lines)) <= 100
    for section, model in SECTIONS.items():
        start = lines.index(f"{section}:")
        for key, field in model.model_fields.items():
            if section == "dataset" and getattr(recipe.dataset, key) is None:
                continue
            place = next(i for i in range(start, len(lines)) if lines[i].startswith(f"  {key}: "))
            assert lines[place - 1].startswith("  # "), key
            assert (field.description or "").split()[-1] in lines[place - 1]


def test_recipes_new_writes_one_that_trains(tiny: Workspace) -> None:
    wrote = tiny.run("recipes", "new", "mine", "--dataset", "demo-tiny", "--from", "tiny.yaml")
    assert wrote.returncode == 0, wrote.stderr
    assert "wrote: recipes/mine.yaml" in wrote.stdout
    assert "`hdrbench train mine`" in wrote.stderr
    assert tiny.json("train", "mine", "--dry-run")["runs"] == ["runs/mine/seed-0"]
    written = (tiny.path / "recipes/mine.yaml").read_text()
    assert "there is a recipe of the name mine" in tiny.fails(
        2, "recipes", "new", "mine", "--dataset", "demo-tiny"
    )
    assert (tiny.path / "recipes/mine.yaml").read_text() == written
    shown = tiny.run("recipes", "new", "mine", "--dataset", "demo-tiny", "--overwrite",
                     "--from", "tiny.yaml", "--dry-run")  # fmt: skip
    assert shown.stdout == written
    again = ("recipes", "new", "mine", "--dataset", "demo-tiny", "--overwrite")
    assert tiny.json(*again) == {"wrote": "recipes/mine.yaml"}
    assert (tiny.path / "recipes/mine.yaml").read_text() != written  # of demo-retouch now
    tiny.run("recipes", "new", "look.yaml", "--dataset", "demo-tiny")
    assert parse_recipe(tiny.path / "look.yaml").name == "look"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("new",), 2, "give one NAME"),
        (("new", "a", "b"), 2, "give one NAME"),
        (("new", "a"), 2, "--dataset DATASET says what it trains on"),
        (("new", "a", "--dataset", "gone"), 3, "prepared here: demo-tiny"),
        (("new", "new", "--dataset", "demo-tiny"), 2, "there is a recipe of the name new"),
        (("new", "demo-retouch", "--dataset", "demo-tiny"), 2, "of the name demo-retouch"),
        (("new", "a", "--dataset", "demo-tiny", "--markdown"), 2, "`recipes new` writes one"),
        (("demo-retouch", "--markdown"), 2, "--markdown is the list of all"),
        (("--protocols", "--markdown"), 2, "--markdown is the list of all"),
        (("new", "a/b", "--dataset", "demo-tiny"), 2, "name"),
        (("new", "A", "--dataset", "demo-tiny"), 2, "name"),
        (("new", "a", "--dataset", "demo-tiny", "--from", "gone"), 2, "unknown recipe"),
        (("demo-retouch", "identity"), 2, "'identity' is too much"),
        (("demo-retouch", "--dataset", "demo-tiny"), 2, "go with `recipes new`"),
        (("--overwrite",), 2, "go with `recipes new`"),
    ],
)
def test_recipes_new_refuses(
    tiny: Workspace, arguments: tuple[str, ...], code: int, says: str
) -> None:
    before = sorted(tiny.path.rglob("*"))
    assert says in tiny.fails(code, "recipes", *arguments)
    assert sorted(tiny.path.rglob("*")) == before


def test_one_command_trains_on_ones_own_pairs(tiny: Workspace) -> None:
    """--dataset, evaluated by the name that it says, resumed and refused as any run."""
    write_recipe(tiny.path / "other.yaml", lambda r: r.update(
        name="other", dataset={"source": "folder", "protocol": "elsewhere"}))  # fmt: skip
    done = tiny.run("train", "other.yaml", "--dataset", "demo-tiny")
    assert done.returncode == 0, done.stderr
    assert "next: `hdrbench eval other-on-demo-tiny/seed-0`" in done.stderr
    assert (tiny.path / "runs/other-on-demo-tiny/seed-0/last.safetensors").exists()
    results = tiny.json("eval", "other-on-demo-tiny")
    assert {r["recipe"]["name"] for r in results} == {"other-on-demo-tiny"}
    assert {r["dataset"]["name"] for r in results} == {"demo-tiny"}
    resumed = tiny.run("train", "other.yaml", "--dataset", "demo-tiny", "--resume")
    assert "nothing to do" in resumed.stdout
    assert "is there" in tiny.fails(2, "train", "other.yaml", "--dataset", "demo-tiny")
    assert "not prepared" in tiny.fails(3, "train", "other.yaml", "--dataset", "gone")


@pytest.mark.parametrize("here", [False, True])
def test_a_dataset_elsewhere_cannot_be_trained_on(tiny: Workspace, here: bool) -> None:
    """Not even where one of its name is in data/: it is another one."""
    shutil.copytree(tiny.path / "data", tiny.path / "elsewhere")
    if not here:
        shutil.rmtree(tiny.path / "data")
    for command in (("train", "tiny.yaml"), ("recipes", "new", "mine")):
        line = tiny.fails(2, *command, "--dataset", "elsewhere/demo-tiny")
        assert "must lie at data/demo-tiny (HDRBENCH_DATA moves data)" in line
    (tiny.path / "link").symlink_to(tiny.path / "elsewhere")
    moved = {"HDRBENCH_DATA": "elsewhere"}
    done = tiny.run("train", "tiny.yaml", "--dataset", "link/demo-tiny", "--dry-run", env=moved)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("crop", "short_edge", "fits"),
    [
        (160, 640, 160),  # a quarter is enough
        (160, 642, 320),
        (160, 1284, 640),
        (160, 3000, 1024),
        (1024, 10_000, 1024),
        (2048, 100_000, 2048),  # never a smaller one
        (8, 33, 32),
    ],
)
def test_crops_fit_the_pictures(crop: int, short_edge: float, fits: int) -> None:
    assert crop_for(crop, short_edge) == fits
    base = override(load_recipe("demo-retouch"), [f"training.crop={crop}"])
    assert on_dataset(base, MINE, short_edge=short_edge).training.crop == fits
    assert on_dataset(base, MINE).training.crop == crop


def test_a_recipe_on_large_pictures_has_larger_crops(tiny: Workspace) -> None:
    write_recipe(tiny.path / "small.yaml", lambda r: r.update(name="small") or
                 r["training"].update(crop=8))  # fmt: skip
    tiny.run("recipes", "new", "large", "--dataset", "demo-tiny", "--from", "small.yaml")
    short = short_edge(open_dataset("demo-tiny").split("train"))
    assert short == 58  # of 60 x 72 and 64 x 56
    assert load_recipe("large").training.crop == crop_for(8, short) == 32


def test_what_was_changed_is_said_on() -> None:
    changed = override(load_recipe("demo-retouch"), ["training.steps=5", "dataset.protocol=x"])
    assert set(changed.changed) == {"training.steps=5", "dataset.protocol=x"}
    made = on_dataset(changed, MINE)
    assert made.changed == ("training.steps=5",)
    assert made.label == f"demo-retouch-on-folder-mine-set-{made.digest[:8]}"
    assert on_dataset(changed, MINE, "mine").changed == ()


def test_all_seeds_are_looked_at_before_one_is_trained(tiny: Workspace) -> None:
    second = tiny.path / "runs/tiny/seed-1"
    second.mkdir(parents=True)
    (second / "holiday.jpg").write_bytes(b"x")
    seeds = ("--set", "training.seeds=[0,1]", "--overwrite")
    assert "move it away" in tiny.fails(2, "train", "tiny.yaml", *seeds)
    assert not (tiny.path / "runs/tiny/seed-0").exists()


def test_a_hint_fails_no_command(tiny: Workspace) -> None:
    """A recipe that is broken; a dataset whose recipes would have too long a name."""
    (tiny.path / "recipes").mkdir()
    (tiny.path / "recipes/broken.yaml").write_text("name: broken")
    done = tiny.run("prepare", "demo")
    assert (done.returncode, "next: `hdrbench train demo-retouch`" in done.stderr) == (0, True)
    long = "x" * 85
    assert after_prepare(header(f"folder-{long}", "folder", long)) is None
    assert after_prepare(header(f"folder-{long[:60]}", "folder", long[:60])) is not None


def test_a_command_that_is_named_can_be_copied(tiny: Workspace) -> None:
    (tiny.path / "my looks").mkdir()
    new = ("recipes", "new", "my looks/look.yaml", "--dataset", "demo-tiny", "--from", "tiny.yaml")
    words = shlex.split(tiny.run(*new).stderr.split("`")[1])
    assert tiny.run(*words[1:], "--dry-run").returncode == 0


def named(text: str | None) -> list[str]:
    """The words of the command that a text names first."""
    assert text is not None
    return text.split("`")[1].split()


@pytest.mark.parametrize(
    ("of", "command"),
    [
        (header("demo-retouch", "demo", "retouch"), "hdrbench train demo-retouch"),
        (MINE, "hdrbench train demo-retouch --dataset folder-mine"),
        (header("fivek-dpe-b", "fivek", "dpe", settings={"expert": "b"}),
         "hdrbench train fivek-dpe --dataset fivek-dpe-b"),
        (header("fivek-uegan-b", "fivek", "uegan", settings={"expert": "b"}),
         "hdrbench train fivek-uegan --dataset fivek-uegan-b"),
        (header("fivek-libraw-c", "fivek", "libraw", settings={"expert": "c"}),
         "hdrbench train fivek-expert-c"),
    ],
)  # fmt: skip
def test_prepare_names_what_trains_on_its_dataset(of: Header, command: str) -> None:
    text = after_prepare(of)
    assert " ".join(named(text)) == command
    recipe = load_recipe(command.split()[2])
    assert recipe.dataset.name == of.name or on_dataset(recipe, of).dataset.name == of.name


def test_prepare_names_no_recipe_for_what_none_takes() -> None:
    linear = header("folder-mine", "folder", "mine", input_encoding="linear")
    assert after_prepare(linear) is None
    assert after_prepare(header("folder-x", "folder", "mine")) is None


def test_train_and_eval_name_what_comes_next() -> None:
    one, two = Path("runs/r/seed-0"), Path("runs/r/seed-1")
    assert " ".join(named(after_train([one]))) == "hdrbench eval r/seed-0"
    assert " ".join(named(after_train([one, two]))) == "hdrbench eval r"
    paths = [
        Path(f"results/r/m/{run}/eval-test-{s}.json") for run in "ab" for s in ("full", "480p")
    ]
    assert named(after_eval(paths)) == ["hdrbench", "report"]
    assert "results/r/m/ " in after_eval(paths)
    assert "results/r/m/a/ " in after_eval(paths[:1])
    assert "results/r/m/a/ " in after_eval(paths[:2])


def test_next_steps_are_for_who_reads_them(tiny: Workspace) -> None:
    """Not beside JSON, and not where --quiet asks for none."""
    assert "next: " in tiny.run("train", "tiny.yaml").stderr
    assert "next: " not in tiny.run("train", "tiny.yaml", "--resume", "--json").stderr
    assert "next: " not in tiny.run("train", "tiny.yaml", "--resume", "--quiet").stderr
    for quiet in ((), ("--quiet",)):
        shown = tiny.run("train", "tiny.yaml", "--run", f"r{len(quiet)}", *quiet).stderr
        assert ("to watch in" in shown) == (not quiet)
        assert "validation: 1 picture(s)" in shown  # a note
    shown = tiny.run("eval").stderr
    assert "next: `hdrbench report` makes tables and a page of results/tiny/" in shown
    assert "next: `hdrbench report`" in tiny.run("eval").stderr  # also where all was there


def test_a_report_says_where_its_page_is(trained: Workspace) -> None:
    trained.run("eval")
    done = trained.run("report")
    assert done.stdout.startswith("wrote results/report.html and ")
    assert len(done.stdout.splitlines()) == 1
    listed = trained.json("report")
    assert f"and {len(listed['files']) - 1} more files" in done.stdout
    assert trained.run("report", "--dry-run").stdout.startswith("would write results/report.html ")
