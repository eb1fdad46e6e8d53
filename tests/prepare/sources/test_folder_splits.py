"""Splits of a user's own pairs: folders of them by any usual name, published lists, test alone."""

import hashlib
import json
from pathlib import Path

import pytest

from hdrnet_bench.data.load import load_pairs
from hdrnet_bench.data.manifest import SPLITS, Dataset
from hdrnet_bench.file_names import name_hash
from tests.conftest import Workspace, write_recipe
from tests.prepare.sources.test_folder import fill, prepare, two_folders

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

MINE = ("prepare", "folder", "--protocol", "mine")


def filled(workspace: Workspace, names: list[str]) -> list[str]:
    """Pairs of these names; the options that name their folders."""
    fill(workspace.path / "in", [f"{name}.png" for name in names])
    fill(workspace.path / "out", [f"{name}.png" for name in names], first=100)
    return two_folders(workspace)


def split_ids(dataset: Dataset) -> dict[str, set[str]]:
    return {split: {row.id for row in dataset.split(split)} for split in SPLITS}


def listed(workspace: Workspace, **lists: str | bytes) -> list[str]:
    options = []
    for split, content in lists.items():
        path = workspace.path / f"{split}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        options += ["--split-list", f"{split}={path.name}"]
    return options


ELEVEN = [*"abcdefghi", "sub/j", "IMG_1.5"]


def test_a_list_of_test_alone_leaves_the_rest_for_training(workspace: Workspace) -> None:
    folders = filled(workspace, ELEVEN)
    lines = [
        b"\xef\xbb\xbf# the test set",
        b"",
        b"a",
        b"b.png",
        b"  c.JPG ",
        b"./sub\\j.tif",
        b"IMG_1.5",
    ]
    content = b"\r\n".join(lines)
    command = (*MINE, *folders, *listed(workspace, test=content))
    plan = workspace.json(*command, "--dry-run")
    assert plan["pairs"] == {"train": 5, "validation": 1, "test": 5}
    assert plan["left out"] == {}
    dataset, rejected = prepare(workspace, *command[4:])
    assert rejected == {}
    splits = split_ids(dataset)
    assert splits["test"] == {"a", "b", "c", "sub-j", "IMG_1.5"}
    assert splits["train"] | splits["validation"] == set("defghi")
    settings = dataset.header.settings
    assert settings["splits"] == "lists"
    assert settings["split_lists_sha256"] == {"test": hashlib.sha256(content).hexdigest()}
    assert "test.txt" not in json.dumps(settings)
    card = (dataset.directory / "README.md").read_text()
    assert "--input-dir DIR --target-dir DIR --split-list test=FILE\n" in card


def test_with_a_list_of_training_what_is_on_none_is_left_out(workspace: Workspace) -> None:
    folders = filled(workspace, ELEVEN)
    (workspace.path / "out/i.png").unlink()
    lists = listed(workspace, train="a\nb\nc\n", val="d\n", test="e\nf\n")
    plan = workspace.json(*MINE, *folders, *lists, "--dry-run")
    assert plan["pairs"] == {"train": 3, "validation": 1, "test": 2}
    assert plan["left out"] == {"split": 4, "pairing": 1}
    shown = workspace.run(*MINE, *folders, *lists, "--dry-run").stdout
    assert "left out: split 4, pairing 1" in shown
    done = workspace.run(*MINE, *folders, *lists)
    assert "5 rejected (split 4; pairing 1)" in done.stderr
    dataset, rejected = prepare(workspace, *folders, *lists)
    assert split_ids(dataset) == {"train": set("abc"), "validation": {"d"}, "test": set("ef")}
    assert rejected.pop("i") == ("pairing", "there is no target of that name")
    assert rejected == dict.fromkeys(
        ["g", "h", "sub-j", "IMG_1.5"], ("split", "on none of the split lists")
    )


def test_other_lists_are_another_dataset_wherever_they_lie(workspace: Workspace) -> None:
    folders = filled(workspace, ELEVEN)
    lists = listed(workspace, test="a\nb\n")
    prepare(workspace, *folders, *lists)
    (workspace.path / "elsewhere").mkdir()
    (workspace.path / "test.txt").rename(workspace.path / "elsewhere/other.txt")
    same = ["--split-list", "test=elsewhere/other.txt"]
    assert "nothing to do" in workspace.run(*MINE, *folders, *same).stdout
    other = listed(workspace, test="a\nc\n")
    assert "was prepared with other settings" in workspace.fails(2, *MINE, *folders, *other)


@pytest.mark.parametrize(
    ("lists", "code", "says"),
    [
        ({"test": "a\nz\ny.png\nx\nw\nv\n"}, 3,
         "test.txt: 5 of 6 lines name no pair: 'z', 'y.png', 'x', 'w' and 1 more"),
        ({"test": "IMG_1\n"}, 3, "test.txt: 1 of 1 line names no pair: 'IMG_1'"),
        ({"test": "a\nb # the second\nz # c\n"}, 3, "1 of 3 lines names no pair: 'z # c'"),
        ({"test": "a\na # again\n"}, 3, "1 pair listed more than once: 'a', 'a # again'"),
        ({"test": "a.5\nb.v2\nc.png\n"}, 3, "2 of 3 lines name no pair: 'a.5', 'b.v2'"),
        ({"test": "a\nb\na\n"}, 3, "test.txt: 1 pair listed more than once: 'a'"),
        ({"test": "a\na.png\nb\nb\n"}, 3, "2 pairs listed more than once: 'a', 'a.png', 'b'"),
        ({"train": "a\nb\nc\n", "test": "c\nb.png\nd\n"}, 3,
         "test.txt: 2 pairs on the list of train too, train.txt: 'c', 'b'"),
        ({"test": "# a\n\n"}, 3, "test.txt lists nothing: one id or file name a line"),
        ({"test": "a\n".encode("utf-16")}, 3, "test.txt cannot be read: it is UTF-16"),
        ({"test": "q\n"}, 3, "no pair for testing was found (q: there is no target"),
        ({"train": "q\n", "test": "a\n"}, 3, "no pair for training was found"),
        ({"train": "a\n"}, 2, "--split-list: give test=FILE too"),
        ({"val": "a\n"}, 2, "--split-list: give test=FILE too"),
        ({"tset": "a\n"}, 2, "--split-list tset=tset.txt: there is no split 'tset': did you mean "
         "test?"),
        ({"test": "a\n", "Testing": "b\n"}, 2, "two lists are of the test split"),
    ],
)  # fmt: skip
def test_a_list_that_does_not_fit_is_one_line(
    workspace: Workspace, lists: dict[str, str | bytes], code: int, says: str
) -> None:
    folders = filled(workspace, ELEVEN)
    fill(workspace.path / "in", ["q.png"], first=70)
    assert says in workspace.fails(code, *MINE, *folders, *listed(workspace, **lists))
    assert not (workspace.path / "data").exists()


@pytest.mark.parametrize(
    ("option", "code", "says"),
    [
        ("test", 2, "--split-list test: write SPLIT=FILE, as test=test.txt"),
        ("test=", 2, "write SPLIT=FILE"),
        ("test=gone.txt", 3, "gone.txt cannot be read"),
        ("test=in", 3, "in cannot be read"),
    ],
)
def test_an_option_that_names_no_list(
    workspace: Workspace, option: str, code: int, says: str
) -> None:
    folders = filled(workspace, ["a", "b", "c"])
    assert says in workspace.fails(code, *MINE, *folders, "--split-list", option)


def test_a_name_that_two_pairs_have_is_listed_by_its_file(workspace: Workspace) -> None:
    names = ["a.png", "a.jpg", "b.png", "c.png"]
    fill(workspace.path / "s/input", names)
    fill(workspace.path / "s/output", names, first=50)
    (workspace.path / "s/filelist.txt").write_text("\n".join(names))
    source = ["--source-dir", "s"]
    line = workspace.fails(3, *MINE, *source, *listed(workspace, test="a\n"))
    assert "test.txt: 1 name that several pairs have: 'a'; list their files with suffix" in line
    dataset, _ = prepare(workspace, *source, *listed(workspace, test="a.jpg\n"))
    assert [row.source_names[0] for row in dataset.split("test")] == ["input/a.jpg"]


def test_ids_and_other_spellings_of_unicode_name_pairs_too(workspace: Workspace) -> None:
    folders = filled(workspace, ["a/b", "e\u0301", "50%", "c", "d"])
    dataset, _ = prepare(workspace, *folders, *listed(workspace, test="a-b\né.png\n50\n"))
    assert split_ids(dataset)["test"] == {"a-b", "é", "50"}


def test_a_comment_stands_behind_a_name(workspace: Workspace) -> None:
    names = ["a", "UPPER", "c", "d", "d # e", "f#1", "g", "h"]
    folders = filled(workspace, names)
    content = "UPPER.JPG # three\nc\t#\nd # e.png # and # more\nf#1 #a\n"
    dataset, _ = prepare(workspace, *folders, *listed(workspace, test=content))
    assert split_ids(dataset)["test"] == {"UPPER", "c", "d # e", "f#1"}


@pytest.mark.parametrize("comment", ["#1", "#1.png", "#1.JPG"])
def test_a_pair_that_is_called_as_a_comment_is_not_passed_over(
    workspace: Workspace, comment: str
) -> None:
    folders = filled(workspace, ["#1", "# 2", "a", "b", "c"])
    lists = listed(workspace, test=f"{comment}\na\n")
    line = workspace.fails(3, *MINE, *folders, *lists)
    assert f"a pair is called {comment!r}: write ./{comment} where it is meant" in line
    content = f"# the pictures:\n#1 of them\n./{comment}\n"
    dataset, _ = prepare(workspace, *folders, *listed(workspace, test=content))
    assert split_ids(dataset)["test"] == {"1"}


LAYOUTS = ["inside", "outside", "filelist"]


def laid_out(workspace: Workspace, layout: str, names: dict[str, list[str]]) -> list[str]:
    """Pairs in folders of the splits, `names` by folder; the options that name them."""
    for number, (folder, stems) in enumerate(names.items()):
        files = [f"{stem}.png" for stem in stems]
        for role, other, first in (("input", "in", 0), ("output", "out", 100)):
            place = f"{other}/{folder}" if layout == "inside" else f"s/{folder}/{role}"
            if layout == "filelist":
                place = f"s/{role}/{folder}"
            (workspace.path / place).mkdir(parents=True, exist_ok=True)
            fill(workspace.path / place, files, first=first + 10 * number)
    if layout == "filelist":
        lines = [f"{folder}/{stem}.png" for folder, stems in names.items() for stem in stems]
        (workspace.path / "s/filelist.txt").write_text("\n".join(lines))
    return two_folders(workspace) if layout == "inside" else ["--source-dir", "s"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["val", "valid", "eval", "validation", "Val"])
def test_validation_has_many_names(workspace: Workspace, layout: str, name: str) -> None:
    names = {"Train": ["a", "b"], name: ["c"], "testing": ["d", "sub/a"]}
    dataset, rejected = prepare(workspace, *laid_out(workspace, layout, names))
    assert rejected == {}
    assert split_ids(dataset) == {
        "train": {"a", "b"}, "validation": {"c"}, "test": {"d", "sub-a"},
    }  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_folders_of_one_split_are_refused(workspace: Workspace, layout: str) -> None:
    names = {"train": ["a", "b"], "val": ["c"], "validation": ["d"], "test": ["e"]}
    line = workspace.fails(2, *MINE, *laid_out(workspace, layout, names))
    assert "has val/ and validation/, which are both the validation split" in line


def test_of_one_split_inputs_and_targets_may_lie_in_folders_of_two_names(
    workspace: Workspace,
) -> None:
    options = laid_out(workspace, "inside", {"train": ["a"], "val": ["b"], "test": ["c"]})
    (workspace.path / "out/val").rename(workspace.path / "out/Validation")
    dataset, rejected = prepare(workspace, *options)
    assert rejected == {}
    assert split_ids(dataset)["validation"] == {"b"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("option", ["--all-test", "--split-list"])
def test_folders_of_splits_and_another_way_are_two(
    workspace: Workspace, layout: str, option: str
) -> None:
    options = laid_out(workspace, layout, {"train": ["a"], "test": ["b"]})
    options += [option] if option == "--all-test" else listed(workspace, test="a\n")
    line = workspace.fails(2, *MINE, *options)
    assert f"{option} splits pairs that lie in folders of splits already" in line


def test_pictures_beside_a_folder_of_a_split_are_not_guessed_about(workspace: Workspace) -> None:
    options = laid_out(workspace, "inside", {"test": ["a"], ".": ["b", "c"], "cats": ["d"]})
    line = workspace.fails(2, *MINE, *options)
    assert "in has test/, as of a split, and 3 pictures beside it, as b: put all into" in line
    # What is no picture is no reason; and with a folder of training it is known what is what.
    (workspace.path / "in/train").mkdir()
    fill(workspace.path / "in/train", ["b.png"], first=60)
    fill(workspace.path / "out/train", ["b.png"], first=61)
    dataset, rejected = prepare(workspace, *options)
    assert split_ids(dataset) == {"train": {"b"}, "validation": set(), "test": {"a"}}
    assert rejected == dict.fromkeys(
        [f"b-{name_hash('b')}", "c", "cats-d"], ("split", "in none of the split folders")
    )


def test_pairs_in_two_layouts_are_refused(workspace: Workspace) -> None:
    options = laid_out(workspace, "outside", {".": ["a", "b", "c"], "test": ["d"]})
    assert "s has input/ and test/input/: put all" in workspace.fails(2, *MINE, *options)


def test_a_folder_of_another_thing_is_no_split(workspace: Workspace) -> None:
    options = laid_out(workspace, "outside", {".": ["a", "b", "c"]})
    (workspace.path / "s/test").mkdir()
    dataset, _ = prepare(workspace, *options)
    assert dataset.header.settings["splits"].startswith("hash of the id")


def test_what_source_dir_is_called_says_nothing(workspace: Workspace) -> None:
    laid_out(workspace, "outside", {"test": ["a", "b", "c"]})
    dataset, _ = prepare(workspace, "--source-dir", "s/test")
    assert {s: len(i) for s, i in split_ids(dataset).items()} == {
        "train": 1, "validation": 1, "test": 1,
    }  # fmt: skip


@pytest.mark.parametrize("layout", ["inside", "outside"])
def test_a_folder_of_training_that_holds_nothing_is_no_test_set(
    workspace: Workspace, layout: str
) -> None:
    options = laid_out(workspace, layout, {"train": [], "test": ["a", "b"]})
    assert "no pair for training was found" in workspace.fails(3, *MINE, *options)


def only_test(workspace: Workspace, way: str) -> Dataset:
    """A dataset of two test pictures."""
    if way == "folder inside":
        options = laid_out(workspace, "inside", {"test": ["IMG 0012 (2)", "b"]})
    elif way == "folder outside":
        options = laid_out(workspace, "outside", {"test": ["IMG 0012 (2)", "b"]})
    else:
        options = filled(workspace, ["IMG 0012 (2)", "b"])
        listing = listed(workspace, test="IMG 0012 (2).png\nb\n")
        options += ["--all-test"] if way == "--all-test" else listing
    dataset, rejected = prepare(workspace, *options)
    assert rejected == {}
    assert split_ids(dataset) == {
        "train": set(), "validation": set(), "test": {"IMG 0012 (2)", "b"},
    }  # fmt: skip
    return dataset


@pytest.mark.parametrize("way", ["--all-test", "--split-list", "folder inside", "folder outside"])
def test_every_pair_may_be_for_testing(workspace: Workspace, way: str) -> None:
    dataset = only_test(workspace, way)
    assert workspace.run("verify", "folder-mine").returncode == 0
    card = (dataset.directory / "README.md").read_text()
    assert "train 0, validation 0, test 2" in card
    assert ("--all-test\n" in card) == (way == "--all-test")
    assert 'load_pairs("folder-mine", "test")' in card
    assert [pair.id for pair in load_pairs(dataset.directory, "test")] == ["IMG 0012 (2)", "b"]


def test_a_test_set_is_scored_compared_and_loaded(workspace: Workspace) -> None:
    dataset = only_test(workspace, "--all-test")
    theirs = workspace.path / "theirs"
    theirs.mkdir()
    for row in dataset.split("test"):
        (theirs / f"{row.id}.png").write_bytes(dataset.target_path(row).read_bytes())
    identity, scored = workspace.json(
        *("eval", "--predictions", "theirs", "--name", "other", "--dataset", "folder-mine")
    )
    assert [row["id"] for row in scored["rows"]] == ["IMG 0012 (2)", "b"]
    assert scored["metrics"]["ssim"]["mean"] == 1
    assert identity["metrics"]["ssim"]["mean"] < 1
    (again,) = workspace.json("eval", "--baseline", "identity", "--dataset", "folder-mine")
    assert again["rows"] == identity["rows"]
    compared = workspace.json("compare-datasets", "folder-mine", "folder-mine")
    assert compared["common"] == compared["identical"] == 2
    workspace.json("report", "--private")
    page = (workspace.path / "results/report-private.html").read_text()
    assert "IMG 0012 (2)" in page
    line = workspace.fails(
        3, "eval", "--baseline", "identity", "--dataset", "folder-mine", "--split", "train"
    )
    assert "folder-mine has no pictures in its train split" in line


def test_with_datasets_alone_a_test_set_is_an_image_folder(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    folders = filled(workspace, ["a, b+c & d", "it's #1 [x]", "写真"])
    dataset, _ = prepare(workspace, *folders, "--all-test")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(dataset.directory), split="test", cache_dir=str(tmp_path)
    )
    assert sorted(loaded["id"]) == sorted(row.id for row in dataset.rows)
    assert loaded[0]["input"].size == (30, 24)


def test_nothing_is_trained_on_a_test_set(workspace: Workspace) -> None:
    only_test(workspace, "--all-test")
    for command in (
        ("train", "demo-retouch", "--dataset", "folder-mine"),
        ("train", "demo-retouch", "--dataset", "folder-mine", "--dry-run"),
        ("recipes", "new", "own", "--dataset", "folder-mine"),
    ):
        line = workspace.fails(2, *command)
        assert "dataset folder-mine has no training pictures: `hdrbench eval --predictions" in line
    own = {"source": "folder", "protocol": "mine"}
    write_recipe(workspace.path / "tiny.yaml", lambda recipe: recipe.update(dataset=own))
    line = workspace.fails(3, "train", "./tiny.yaml")
    assert "folder-mine has no pictures in its train split" in line
    assert not list(workspace.path.glob("runs/*/*"))


def test_one_test_picture_is_enough_and_what_follows_is_said(workspace: Workspace) -> None:
    folders = filled(workspace, ["a"])
    done = workspace.run(*MINE, *folders, "--all-test")
    assert done.returncode == 0, done.stderr
    command = "hdrbench eval --predictions DIR --name METHOD --dataset folder-mine"
    assert f"next: `{command}` scores" in done.stderr
    (identity,) = workspace.json("eval", "--baseline", "identity", "--dataset", "folder-mine")
    assert identity["metrics"]["psnr"]["n"] == 1


def test_all_test_and_lists_are_two_ways(workspace: Workspace) -> None:
    folders = filled(workspace, ["a", "b", "c"])
    lists = listed(workspace, test="a\n")
    assert "give one of them" in workspace.fails(2, *MINE, *folders, *lists, "--all-test")
    (workspace.path / "out/a.png").unlink()
    fill(workspace.path / "lone", ["z.png"])
    options = ["--input-dir", "lone", "--target-dir", "out", "--all-test"]
    line = workspace.fails(3, *MINE, *options)
    assert "no pair for testing was found (b: there is no input of that name" in line


def test_splitting_is_the_source_folders_alone(workspace: Workspace) -> None:
    for options in (["--all-test"], ["--split-list", "test=x"]):
        for source in ("demo", "fivek", "hdrplus", "synthetic-hdrplus"):
            line = workspace.fails(2, "prepare", source, *options)
            assert f"{options[0]} is not for source {source}" in line
