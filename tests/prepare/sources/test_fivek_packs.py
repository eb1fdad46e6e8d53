"""`prepare fivek --source-dir PACK`: renderings in the folders that their authors publish."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from hdrnet_bench.cli import progress
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.errors import DataError, StorageError
from hdrnet_bench.images.files import write_png
from hdrnet_bench.prepare import protocols
from hdrnet_bench.prepare.protocols import load_protocol, load_source, read_list
from hdrnet_bench.prepare.sources import source_files
from hdrnet_bench.prepare.sources.fivek_packs import find_folders, folders_of_lists, keep_lists
from tests.conftest import ROOT, Workspace, clean_environment, wait_for_files
from tests.file_server import serve
from tests.fivek_server import TEST, TRAIN, make_fivek, write_source

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

IDS = [*TRAIN, *TEST]
SRGB, XYZ, TARGETS = "input/JPG/480p", "input/PNG/480p_16bits_XYZ_WB", "expertC/JPG/480p"
PREPARE = ("prepare", "fivek", "--protocol", "zeng-srgb")


@pytest.fixture
def fivek(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose protocols are of small pictures, with the index beside it; the server of
    lists is gone."""
    monkeypatch.setenv("HDRBENCH_CACHE", str(workspace.path / "cache"))
    make_fivek(tmp_path / "fivek")
    with serve(tmp_path / "fivek") as server:
        write_source(tmp_path / "fivek", server.url, workspace.path)
    return tmp_path / "fivek"


def make_pack(top: Path, fivek: Path, *folders: str) -> Path:
    """Pictures named by their ids, as the 3D-LUT authors have them, and the lists beside them."""
    for folder in folders:
        (top / folder).mkdir(parents=True)
        for seed, id_ in enumerate(IDS):
            pixels = np.random.default_rng(seed).integers(0, 255, (48, 60, 3)).astype(np.uint8)
            if "XYZ" in folder:
                write_png(top / folder / f"{id_}.png", pixels.astype(np.uint16) * 257)
            else:
                Image.fromarray(pixels).save(top / folder / f"{id_}.jpg", quality=95)
    for name in ("train.txt", "test.txt"):
        shutil.copy(fivek / "lists" / name, top)
    for name in ("filesAdobe.txt", "filesAdobeMIT.txt"):
        shutil.copy(fivek / "legal" / name, top.parent)
    return top.parent


def by_two_folders(pack: Path, workspace: Workspace) -> tuple[str, ...]:
    """The command for the same files. The index comes from the cache: no pack lies beside it."""
    source = yaml.safe_load((workspace.path / "recipes/protocols/fivek/source.yaml").read_text())
    for licence in source["licences"]:
        listed = pack / Path(licence["names"]).name
        shutil.copy(listed, workspace.path / f"cache/{licence['names_sha256']}.names")
    inputs, targets = (str(pack / "fiveK" / folder) for folder in (SRGB, TARGETS))
    return (*PREPARE, "--input-dir", inputs, "--target-dir", targets)


def test_a_pack_is_taken_as_it_is_and_is_what_its_two_folders_are(
    fivek: Path, workspace: Workspace, tmp_path: Path
) -> None:
    """Below a folder of its own, with other folders around, and without a network: the lists lie in
    it."""
    pack = make_pack(tmp_path / "download/fiveK", fivek, SRGB, XYZ, TARGETS, "input/JPG/4k")
    (tmp_path / "download/__MACOSX/fiveK" / SRGB).mkdir(parents=True)
    (tmp_path / "download/__MACOSX/fiveK" / TARGETS).mkdir(parents=True)
    (tmp_path / "download/HDRplus/middle_480p").mkdir(parents=True)
    dry = workspace.json(*PREPARE, "--source-dir", str(pack), "--dry-run")
    folders = {"input": str(pack / "fiveK" / SRGB), "target": str(pack / "fiveK" / TARGETS)}
    assert dry["folders"] == folders
    assert not (workspace.path / "data").exists()
    report = workspace.json(*PREPARE, "--source-dir", str(pack))
    assert report["pairs"] == {"train": 7, "validation": 1, "test": 2, "rejected": 0}
    card = (workspace.path / "data/fivek-zeng-srgb-c/README.md").read_text()
    assert "hdrbench prepare fivek --protocol zeng-srgb --source-dir DIR --expert c" in card
    assert str(tmp_path) not in card
    again = workspace.json(*by_two_folders(pack, workspace))
    assert "nothing to do" in again["prepared"]
    assert again["digest"] == report["digest"]
    xyz = workspace.json("prepare", "fivek", "--protocol", "zeng-xyz", "--source-dir", str(pack))
    assert xyz["pairs"] == report["pairs"]
    row = Dataset(workspace.path / "data/fivek-zeng-xyz-c").rows[0]
    assert (row.input_bit_depth, row.target_bit_depth) == (16, 8)


def test_the_size_picks_the_folders(fivek: Path, workspace: Workspace, tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "p/FiveK", fivek, SRGB, TARGETS, "input/JPG/4k", "expertC/JPG/4k")
    original = (*PREPARE, "--source-dir", str(pack), "--size", "original")
    found = workspace.json(*original, "--dry-run")["folders"]
    assert found["input"] == str(pack / "FiveK/input/JPG/4k")
    assert workspace.json(*original)["dataset"] == "fivek-zeng-srgb-c-original"
    card = (workspace.path / "data/fivek-zeng-srgb-c-original/README.md").read_text()
    assert "--input-dir DIR --target-dir DIR" in card, "nobody publishes this size"
    shutil.rmtree(pack / "FiveK/expertC/JPG/480p")
    message = workspace.fails(3, *PREPARE, "--source-dir", str(pack))
    assert "no folder expertC/JPG/480p in it" in message
    assert "its folders are those of --protocol zeng-srgb --size original" in message


def test_ways_to_renderings_are_said_and_not_mixed(workspace: Workspace, tmp_path: Path) -> None:
    line = workspace.fails(2, *PREPARE)
    for part in ("https://drive.google.com/", "--source-dir", "Lightroom", "--target-dir"):
        assert part in line
    assert "CIE XYZ" in workspace.fails(2, "prepare", "fivek", "--protocol", "zeng-xyz")
    line = workspace.fails(2, "prepare", "fivek", "--protocol", "dpe")
    assert "Lightroom" in line
    assert "https" not in line, "there is no pack"
    assert "--target-dir is missing" in workspace.fails(2, *PREPARE, "--input-dir", ".")
    assert "--input-dir is missing" in workspace.fails(2, *PREPARE, "--target-dir", ".")
    assert "no size '481p'" in workspace.fails(2, *PREPARE, "--size", "481p")
    assert "no expert 'f'" in workspace.fails(2, *PREPARE, "--expert", "f")
    assert "not both" in workspace.fails(2, *PREPARE, "--source-dir", ".", "--target-dir", ".")
    assert "once" in workspace.fails(2, *PREPARE, "--source-dir", ".", "--source-dir", "..")
    assert "no size '481p'" in workspace.fails(2, *PREPARE, "--source-dir", ".", "--size", "481p")
    assert "--keep-raw goes with" in workspace.fails(2, *PREPARE, "--source-dir", ".", "--keep-raw")
    upe = ("prepare", "fivek", "--protocol", "upe", "--source-dir", ".")
    assert "no published pack is known whose folders" in workspace.fails(2, *upe)
    (tmp_path / "FiveK.zip").write_bytes(b"PK")
    line = workspace.fails(3, *PREPARE, "--source-dir", str(tmp_path / "FiveK.zip"))
    assert "extracted first" in line
    assert "there is no folder" in workspace.fails(3, *PREPARE, "--source-dir", "gone")


def make_folders(top: Path, *places: str) -> Path:
    for place in places:
        (top / place).mkdir(parents=True)
    return top


ZENG = load_protocol("fivek", "zeng-srgb")
UEGAN = load_protocol("fivek", "uegan")


@pytest.mark.parametrize("above", ["", "fiveK", "download/FiveK"])
def test_a_pack_lies_up_to_two_levels_below(tmp_path: Path, above: str) -> None:
    make_folders(tmp_path / above, SRGB, TARGETS)
    assert find_folders(tmp_path, ZENG, None) == (
        tmp_path / above / SRGB,
        tmp_path / above / TARGETS,
    )


def test_a_pack_that_lies_deeper_is_not_found(tmp_path: Path) -> None:
    make_folders(tmp_path / "a/b/c", SRGB, TARGETS)
    with pytest.raises(DataError, match=r"no folder input/JPG/480p and no folder expertC/JPG/480p"):
        find_folders(tmp_path, ZENG, None)


def test_sides_that_were_extracted_apart_belong_together(tmp_path: Path) -> None:
    make_folders(tmp_path, f"input/{SRGB}", TARGETS)
    found = find_folders(tmp_path, ZENG, "480p")
    assert found == (tmp_path / "input" / SRGB, tmp_path / TARGETS)


@pytest.mark.parametrize(
    ("input_", "target"),
    [("original", "expertC"), ("Original", "Expert C"), ("ORIGINAL", "expertc")],
)
def test_capitals_and_spaces_do_not_count(tmp_path: Path, input_: str, target: str) -> None:
    make_folders(tmp_path, input_, target, "Expert D", "originals")
    assert find_folders(tmp_path, UEGAN, None) == (tmp_path / input_, tmp_path / target)


def test_a_folder_in_one_of_its_name_is_the_same(tmp_path: Path) -> None:
    """As an archive gives that has the folder in it and is extracted into one of its name."""
    make_folders(tmp_path, "original/original", "expertC")
    (tmp_path / "linked").symlink_to(tmp_path / "expertC")
    assert find_folders(tmp_path, UEGAN, None) == (tmp_path / "original", tmp_path / "expertC")


def test_of_two_packs_none_is_taken(tmp_path: Path) -> None:
    for top in ("old", "new"):
        make_folders(tmp_path / top, SRGB, TARGETS)
    with pytest.raises(
        DataError, match=r"inputs may be .*new/input/JPG/480p or .*old/input/JPG/480p"
    ):
        find_folders(tmp_path, ZENG, None)
    shutil.rmtree(tmp_path / "old/input")
    with pytest.raises(DataError, match=r"targets may be .*new/.* or .*old/"):
        find_folders(tmp_path, ZENG, None)


def test_what_a_folder_has_instead_is_said(tmp_path: Path) -> None:
    make_folders(tmp_path, "Expert C", *(f"folder{i}" for i in range(9)))
    with pytest.raises(DataError) as caught:
        find_folders(tmp_path, UEGAN, None)
    assert "no folder original in it" in str(caught.value)
    assert "Expert C, folder0," in str(caught.value)
    assert "and 2 more" in str(caught.value)
    with pytest.raises(DataError, match="it has nothing; --input-dir"):
        find_folders(make_folders(tmp_path, "empty/inside") / "empty/inside", UEGAN, None)
    make_folders(tmp_path / "other", SRGB, TARGETS)
    with pytest.raises(DataError, match="those of --protocol zeng-srgb --size 480p;"):
        find_folders(tmp_path / "other", UEGAN, None)


@pytest.mark.fault("I/O errors")
def test_a_pack_that_cannot_be_listed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    record_property("faults", 1)
    make_folders(tmp_path, SRGB, TARGETS)
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "JPG":
            raise OSError(5, "Input/output error", path)
        return listed(path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(StorageError, match="JPG cannot be listed: Input/output error"):
        find_folders(tmp_path, ZENG, None)


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize(
    ("closed", "whole"),
    [("private", True), ("fiveK/private", True), ("fiveK", False), ("fiveK/input/JPG", False)],
)
def test_a_folder_that_is_not_of_the_pack_may_be_closed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    closed: str,
    whole: bool,
) -> None:
    """One that the pack may lie in, or is of it, may not: nothing is known of it then."""
    record_property("faults", 1)
    make_folders(tmp_path, "private", f"fiveK/{SRGB}", f"fiveK/{TARGETS}", "fiveK/private")
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path) == tmp_path / closed:
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr("os.scandir", scandir)
    if whole:
        assert find_folders(tmp_path, ZENG, None).input == tmp_path / "fiveK" / SRGB
        return
    with pytest.raises(StorageError, match=f"{closed} cannot be listed: Permission denied"):
        find_folders(tmp_path, ZENG, None)


@pytest.mark.parametrize("place", ["export", "export/target"])
def test_without_a_network_the_lists_lie_with_two_folders(
    fivek: Path, workspace: Workspace, tmp_path: Path, place: str
) -> None:
    """Beside them or in one of them; the server is gone, and the cache is empty."""
    pack = make_pack(tmp_path / "p/FiveK", fivek, SRGB, TARGETS)
    (tmp_path / "export").mkdir()
    (pack / "FiveK" / SRGB).rename(tmp_path / "export/input")
    (pack / "FiveK" / TARGETS).rename(tmp_path / "export/target")
    inputs = str(tmp_path / "export/input")
    command = (*PREPARE, "--input-dir", inputs, "--target-dir", str(tmp_path / "export/target"))
    said = f"or put filesAdobe.txt of FiveK into {inputs}, beside it, or at {workspace.path}"
    assert said in workspace.fails(3, *command)
    for path in (*pack.glob("*.txt"), *pack.glob("FiveK/*.txt")):
        shutil.move(path, tmp_path / place)
    report = workspace.json(*command)
    assert report["pairs"] == {"train": 7, "validation": 1, "test": 2, "rejected": 0}


def test_dry_run_counts_the_pairs_that_are_there(
    fivek: Path, workspace: Workspace, tmp_path: Path
) -> None:
    pack = make_pack(tmp_path / "p/fiveK", fivek, SRGB, TARGETS)
    (workspace.path / "cache").mkdir()
    for id_ in IDS[:8]:
        (pack / "fiveK" / TARGETS / f"{id_}.jpg").unlink()
    for command in ((*PREPARE, "--source-dir", str(pack)), by_two_folders(pack, workspace)):
        dry = workspace.json(*command, "--dry-run")
        assert dry["pairs"] == {"train": 0, "validation": 0, "test": 2}
        assert dry["left out"] == {"pairing": 8}
    done = workspace.run(*command)
    assert "train 0, validation 0, test 2, rejected 8" in done.stdout
    lacking = "not all pictures that were chosen of protocol zeng-srgb are made: train 0 of 7, v"
    assert lacking in " ".join(done.stderr.split())


def test_no_pair_is_told_by_what_was_wrong_with_those_that_are_there(
    fivek: Path, workspace: Workspace, tmp_path: Path
) -> None:
    """The first ones by id are missing, as of a part that somebody exported."""
    pack = make_pack(tmp_path / "p/fiveK", fivek, SRGB, TARGETS)
    folders = [pack / "fiveK" / side for side in (SRGB, TARGETS)]
    for id_ in IDS[:7]:
        for folder in folders:
            (folder / f"{id_}.jpg").unlink()
    for id_ in IDS[7:]:
        jpeg = folders[1] / f"{id_}.jpg"
        Image.open(jpeg).save(jpeg.with_suffix(".png"))
        jpeg.unlink()
    line = workspace.fails(3, *PREPARE, "--source-dir", str(pack))
    assert (
        f"fivek-zeng-srgb-c has no pair; left out: kind 3 ({IDS[7]}: {IDS[7]}.png: jpeg is "
        f"wanted), pairing 7 ({IDS[0]}: input of {IDS[0]}: not there)"
    ) in line


def test_lists_in_a_pack_are_known_by_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 3D-LUT authors' pack has the training list as two, of which the pinned one is made."""
    lists = {"test.txt": "a0001\n", "train_input.txt": "a0002\n", "train_label.txt": "a0003\n"}
    source = load_source("fivek").model_dump()
    contents = {
        "adaint-test": "a0001\n",
        "adaint-train": "a0002\na0003\n",
        "adaint-train-input": "a0002\n",
        "adaint-train-label": "a0003\n",
    }
    for name, text in contents.items():
        source["lists"][name]["sha256"] = protocols.sha256_text(text)
        source["lists"][name]["count"] = text.count("\n")
    source = type(load_source("fivek")).model_validate(source)
    monkeypatch.setenv("HDRBENCH_CACHE", str(tmp_path / "cache"))
    pack = make_folders(tmp_path / "pack", "fiveK")
    for name, text in lists.items():
        (pack / "fiveK" / name).write_text(text)
    os.mkfifo(pack / "test.txt")
    (pack / "train.txt").write_text("a0004\n")  # another list of that name
    monkeypatch.setattr("hdrnet_bench.prepare.fetch.cached.Downloads", None)  # none is fetched
    keep_lists(ZENG, source, folders_of_lists(pack))
    assert read_list(source, "adaint-train") == ["a0002", "a0003"]
    assert read_list(source, "adaint-test") == ["a0001"]
    kept = {path.name for path in (tmp_path / "cache").iterdir() if len(path.name) == 64}
    assert kept == {source.lists[name].sha256 for name in ("adaint-train", "adaint-test")}
    # Parts that are not the pinned ones are none of it.
    (pack / "fiveK/train_label.txt").write_text("a0005\n")
    shutil.rmtree(tmp_path / "cache")
    keep_lists(ZENG, source, folders_of_lists(pack))
    kept = {path.name for path in (tmp_path / "cache").iterdir() if len(path.name) == 64}
    assert kept == {source.lists["adaint-test"].sha256}
    # What was broken since is put right.
    (tmp_path / "cache" / source.lists["adaint-test"].sha256).write_text("a00")
    keep_lists(ZENG, source, folders_of_lists(pack))
    assert read_list(source, "adaint-test") == ["a0001"]


def test_the_published_parts_are_the_published_list(monkeypatch: pytest.MonkeyPatch) -> None:
    published = ROOT.parent / "shared/data/splits"
    if not published.is_dir():
        pytest.skip("the published split lists are not beside the checkout (shared/data/splits)")
    files = {"adaint-train-input": "train_input", "adaint-train-label": "train_label"}
    entry = load_source("fivek").lists["adaint-train"]
    parts = [(published / f"fivek_dpe498_{files[part]}.txt").read_text() for part in entry.parts]
    assert protocols.sha256_text("".join(parts)) == entry.sha256


def test_a_list_that_neither_pack_nor_server_has_is_asked_for(
    fivek: Path, workspace: Workspace, tmp_path: Path
) -> None:
    pack = make_pack(tmp_path / "p/FiveK", fivek, SRGB, TARGETS)
    (pack / "FiveK/train.txt").write_text("a0001\n")
    message = workspace.fails(3, *PREPARE, "--source-dir", str(pack))
    assert "lists/train.txt" in message
    assert "or get that file otherwise and put it at" in message


def test_killed_it_goes_on_with_the_same_digest(
    fivek: Path, workspace: Workspace, tmp_path: Path
) -> None:
    pack = make_pack(tmp_path / "p/fiveK", fivek, SRGB, TARGETS)
    command = (*PREPARE, "--source-dir", str(pack), "--workers", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "hdrnet_bench", *command],
        cwd=workspace.path,
        env=clean_environment() | {"HDRBENCH_CACHE": os.environ["HDRBENCH_CACHE"]},
        start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for_files(process, workspace.path / "data/.fivek-zeng-srgb-c.building", "rows/*/*", 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    report = workspace.json(*command)
    shutil.rmtree(workspace.path / "data")
    assert workspace.json(*by_two_folders(pack, workspace))["digest"] == report["digest"]


def test_what_is_hashed_is_counted(
    fivek: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a log a line now and then, here after every file; --quiet has none."""
    pack = make_pack(tmp_path / "p/FiveK", fivek, SRGB, TARGETS)
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    dry = (*PREPARE, "--source-dir", str(pack), "--dry-run")
    said = workspace.run(*dry).stderr
    assert "hash fivek-zeng-srgb-c: 1 of 20" in said
    assert "hash fivek-zeng-srgb-c: done, 20 of 20 in" in said
    assert "hash" not in workspace.run(*dry, "--quiet").stderr


def test_files_are_hashed_and_counted_up_to_one_that_fails(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(path.name)
    hashes = source_files.hash_all(paths)
    assert list(hashes) == paths
    assert hashes[paths[1]] == protocols.sha256_text("b")
    paths[1].unlink()
    with pytest.raises(StorageError, match="b cannot be read"):
        source_files.hash_all(paths)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("zeng-srgb", ("      480p: {input: input", "      481p: {input: input"), "481p is none"),
        ("uegan", ("input: original, ", "input: ../x, "), "without .."),
        ("uegan", ("Google Drive: https://", "Google Drive: ftp://"), "begins with https"),
        ("dpe", ("without_pack: >-", "by_nobody: >-"), "by_nobody"),
        ("libraw", ("used_by: []", "used_by: []\nwithout_pack: x"), "for renderings, and for"),
        ("dpe", ("without_pack: >-", "packs: [{name: x, described: https://a.b/, amount: x}]\n"
                 "without_pack: >-"), "for renderings, and for"),
    ],
)  # fmt: skip
def test_faulty_packs_are_refused(
    workspace: Workspace, name: str, change: tuple[str, str], message: str
) -> None:
    text = (ROOT / f"recipes/protocols/fivek/{name}.yaml").read_text()
    assert change[0] in text
    folder = workspace.path / "recipes/protocols/fivek"
    folder.mkdir(parents=True)
    (folder / f"{name}.yaml").write_text(text.replace(*change))
    assert message in workspace.fails(2, "protocols", name)


def test_protocols_show_their_packs(workspace: Workspace) -> None:
    rows = {row["protocol"]: row for row in workspace.json("protocols") if row["source"] == "fivek"}
    for name, row in rows.items():
        if row["runnable"] and load_protocol("fivek", name).of_renderings:
            assert bool(row["packs"]) != bool(row["without pack"]), name
    pack = rows["zeng-srgb"]["packs"][0]
    assert pack["folders"]["480p"] == {"input": SRGB, "target": TARGETS}
    said = workspace.run("protocols", "zeng-srgb").stdout
    for part in (*pack["downloads"].values(), pack["described"], f"inputs in {SRGB}", "5fyk"):
        assert part in said
    assert "without pack: The DPE authors" in workspace.run("protocols", "dpe").stdout
    assert "its folders are not known" in workspace.run("protocols", "upe").stdout
    assert "pack" not in workspace.run("protocols", "libraw").stdout


@pytest.mark.parametrize(
    ("protocol", "size", "options"),
    [
        ("zeng-srgb", None, "--source-dir DIR"),
        ("zeng-srgb", "480p", "--source-dir DIR"),
        ("zeng-srgb", "original", "--input-dir DIR --target-dir DIR"),
        ("zeng-xyz", None, "--source-dir DIR"),
        ("uegan", "512p", "--source-dir DIR"),
        ("upe", None, "--input-dir DIR --target-dir DIR"),
        ("dpe", None, "--input-dir DIR --target-dir DIR"),
        ("libraw", None, ""),
        ("csrnet", None, ""),
        ("nobodys", None, ""),
    ],
)
def test_commands_say_where_renderings_lie(protocol: str, size: str | None, options: str) -> None:
    assert protocols.rendering_options("fivek", protocol, size) == options
