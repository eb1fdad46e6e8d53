"""PPR10K from made-up pictures in the folders that are published: 16-bit TIFF inputs, 8-bit TIFF
targets, PNG masks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from hdrnet_bench.data.licences import may_be_passed_on
from hdrnet_bench.data.manifest import SPLITS, Dataset
from hdrnet_bench.data.pairs import load_pair
from hdrnet_bench.data.verify import verify
from hdrnet_bench.images import icc
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.images.photo import STORED
from hdrnet_bench.prepare import protocols
from hdrnet_bench.prepare.staging import Made
from hdrnet_bench.training.crops import training_rows
from tests.conftest import Workspace, clean_environment

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

PREPARE = ("prepare", "ppr10k", "--accept-licence", "--workers", "1")
# The last group to train with and the first to test on; 235 is validated on.
TRAIN, HELD, TEST = ("0_0", "1355_2"), "235_1", ("1356_0", "1680_11")
NAMES = (*TRAIN, HELD, *TEST)
VERSIONS = ("_1", "_5")


def picture(name: str, kind: type, size: tuple[int, int] = (9, 540)) -> np.ndarray:
    random = np.random.default_rng([ord(mark) for mark in name])
    return random.integers(0, np.iinfo(kind).max, (*size, 3), endpoint=True).astype(kind)


def mask_of(name: str, size: tuple[int, int] = (9, 540)) -> np.ndarray:
    return (picture(name, np.uint8, size)[:, :, 0] > 127).astype(np.uint8) * 255


def write_tiff(path: Path, pixels: np.ndarray, profile: bytes | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="rgb", iccprofile=profile)


def write_mask(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(pixels))


def write_picture(images: Path, masks: Path | None, name: str) -> None:
    """One picture with its targets and, where it is one to train with, its versions."""
    write_tiff(images / "source" / f"{name}.tif", picture(name, np.uint16))
    for expert in "abc":
        write_tiff(images / f"target_{expert}" / f"{name}.tif", picture(name + expert, np.uint8))
    for version in ("", *VERSIONS) if int(name.split("_")[0]) < 1356 else ():
        pixels = picture(name + version, np.uint16)
        write_tiff(images / "source_aug_6" / f"{name}{version}.tif", pixels)
    if masks:
        write_mask(masks / f"{name}.png", mask_of(name))


@pytest.fixture(scope="session")
def published_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("ppr10k")
    for name in NAMES:
        write_picture(top / "train_val_images_tif_360p", top / "masks_360p", name)
    return top


class Ppr10k(Workspace):
    """A workspace with a copy of it in PPR10K/."""

    @property
    def images(self) -> Path:
        return self.path / "PPR10K/train_val_images_tif_360p"

    @property
    def masks(self) -> Path:
        return self.path / "PPR10K/masks_360p"

    def prepared(self, *options: str) -> tuple[dict[str, Any], Dataset]:
        report = self.json(*PREPARE, "--source-dir", "PPR10K", *options)
        return report, Dataset(self.path / report["directory"])

    def rejected(self, *options: str) -> dict[str, tuple[str, str]]:
        """Stage and reason by split and id."""
        _, dataset = self.prepared(*options)
        lines = (dataset.directory / "rejected.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        return {f"{row['split']}/{row['id']}": (row["stage"], row["reason"]) for row in rows}


@pytest.fixture
def ppr10k(published_directory: Path, workspace: Workspace, monkeypatch: Any) -> Ppr10k:
    monkeypatch.setenv("HDRBENCH_CACHE", str(workspace.path / "cache"))
    shutil.copytree(published_directory, workspace.path / "PPR10K")
    return Ppr10k(workspace.path)


@pytest.mark.usefixtures("prepares_in_processes")
def test_rows_have_depths_groups_and_masks(ppr10k: Ppr10k) -> None:
    report, dataset = ppr10k.prepared("--protocol", "360p-plain", "--expert", "b")
    assert report["dataset"] == "ppr10k-360p-plain-b"
    assert {row.id: row.split for row in dataset.rows} == {
        **dict.fromkeys(TRAIN, "train"),
        HELD: "validation",
        **dict.fromkeys(TEST, "test"),
    }
    for row in dataset.rows:
        assert (row.input_bit_depth, row.target_bit_depth) == (16, 8)
        assert row.group == row.id.split("_")[0]
        assert not may_be_passed_on(row.licence)
        assert row.source_names == [
            f"source/{row.id}.tif", f"target_b/{row.id}.tif", f"masks_360p/{row.id}.png",
        ]  # fmt: skip
        assert len(row.source_sha256) == 3
        pair = load_pair(dataset, row)
        assert np.array_equal(pair.input.numpy() * 65535, planar(picture(row.id, np.uint16)))
        levels = np.rint(pair.target.numpy() * 255)
        assert np.array_equal(levels, planar(picture(row.id + "b", np.uint8)))
        assert pair.mask is not None
        assert np.array_equal(pair.mask.numpy(), mask_of(row.id) / np.float32(255))
        assert (dataset.directory / row.split / f"mask/{row.id}.png").is_file()
    checked = verify(dataset)
    assert (checked.status, checked.pictures) == ("identical", 15)
    settings = dataset.header.settings
    assert settings["masks"] is True
    assert settings["groups"] == {"train": 2, "validation": 1, "test": 2}


def planar(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(2, 0, 1).astype(np.float32)


def test_versions_are_trained_with_and_nothing_else(ppr10k: Ppr10k) -> None:
    _, dataset = ppr10k.prepared()
    assert dataset.header.name == "ppr10k-360p-a"
    rows = {row.id: row for row in dataset.rows}
    versions = {f"{name}{version}" for name in TRAIN for version in VERSIONS}
    assert set(rows) == {*NAMES, *versions}
    assert {rows[id_].split for id_ in versions} == {"train"}
    for name in TRAIN:
        for version in VERSIONS:
            row, plain = rows[name + version], rows[name]
            assert row.source_names[0] == f"source_aug_6/{name}{version}.tif"
            assert row.input_pixels_sha256 != plain.input_pixels_sha256
            assert row.target_pixels_sha256 == plain.target_pixels_sha256
            assert row.mask_pixels_sha256 == plain.mask_pixels_sha256
            assert row.group == plain.group
    augmented = {id_ for id_, row in rows.items() if json.loads(row.measured).get("augmented")}
    assert augmented == versions


@pytest.mark.parametrize(
    ("protocol", "there", "said"),
    [("360p", True, "some, computed"), ("360p", False, "none"), ("360p-plain", True, "none")],
)
def test_the_card_says_whether_inputs_were_computed(
    ppr10k: Ppr10k, protocol: str, there: bool, said: str
) -> None:
    if not there:
        folder = ppr10k.images / "source_aug_6"
        for path in folder.glob("*_*_*.tif"):
            path.unlink()
    _, dataset = ppr10k.prepared("--protocol", protocol)
    card = (dataset.directory / "README.md").read_text()
    assert f"- **Synthetic pictures:** {said}" in card
    assert ("which the authors computed" in card) == (said != "none")
    assert "any portion of derived data.\n" in card
    described = json.loads((dataset.directory / "croissant.json").read_text())
    assert described["rai:hasSyntheticData"] is (said != "none")


def test_a_copy_without_groups_to_validate_on_parts_none(ppr10k: Ppr10k) -> None:
    (ppr10k.path / "ids.txt").write_text("\n".join(f"{n}{v}" for n in TRAIN for v in ("", "_1")))
    _, dataset = ppr10k.prepared("--ids", "ids.txt")
    train, validation, rule = training_rows(dataset)
    assert {row.group for row in train} | {row.group for row in validation} == {"0", "1355"}
    assert (len(train), len(validation)) == (2, 1)
    assert rule.endswith("groups, by hash, without their augmented versions (1)")


def test_the_published_split_by_groups() -> None:
    """Without a file: of all groups, and of a part of them, the same are held out."""
    source = protocols.load_source("ppr10k")
    protocol = protocols.load_protocol("ppr10k", "360p")
    groups = {f"{group}_{n}": group for group in range(1682) for n in range(3)}
    split_of = protocols.splits(protocol, source, groups)
    of_group = {group: {split_of.get(f"{group}_{n}") for n in range(3)} for group in range(1682)}
    assert all(len(found) == 1 for found in of_group.values())
    counts = [sum(found == {split} for found in of_group.values()) for split in SPLITS]
    assert counts == [1356 - 68, 68, 325]
    assert of_group[1355] <= {"train", "validation"}
    assert of_group[1356] == of_group[1680] == {"test"}
    assert of_group[1681] == {None}
    part = {id_: group for id_, group in groups.items() if group % 7 == 0}
    assert protocols.splits(protocol, source, part).items() <= split_of.items()
    assert protocols.whole_test_split("360p") == 2286


def flat(top: Path) -> list[str]:
    return ["PPR10K"]


def apart(top: Path) -> list[str]:
    """The masks elsewhere, by a second option, named as AdaInt's README has them."""
    (top / "masks_360p").rename(top.parent / "masks")
    return ["PPR10K", "--source-dir", "masks"]


def in_splits(top: Path) -> list[str]:
    """As the authors' loaders have it."""
    for path in sorted((top / "train_val_images_tif_360p").rglob("*.tif")):
        part = "train" if int(path.name.split("_")[0]) < 1356 else "val"
        folder = "source_aug" if path.parent.name == "source_aug_6" else path.parent.name
        (top / part / folder).mkdir(parents=True, exist_ok=True)
        path.rename(top / part / folder / path.name)
    for path in sorted((top / "masks_360p").iterdir()):
        part = "train" if int(path.name.split("_")[0]) < 1356 else "val"
        (top / part / "masks").mkdir(parents=True, exist_ok=True)
        path.rename(top / part / "masks" / path.name)
    return ["PPR10K"]


def test_every_layout_is_the_same_dataset(ppr10k: Ppr10k) -> None:
    digests, top = set(), ppr10k.path / "PPR10K"
    published = ppr10k.path / "published"
    shutil.copytree(top, published)
    for layout in (flat, apart, in_splits):
        shutil.rmtree(top)
        shutil.copytree(published, top)
        report = ppr10k.json(*PREPARE, "--overwrite", "--source-dir", *layout(top))
        assert report["pairs"]["rejected"] == 0
        digests.add(report["digest"])
    assert len(digests) == 1


def test_originals_may_lie_among_the_versions_alone(ppr10k: Ppr10k) -> None:
    shutil.rmtree(ppr10k.images / "source")
    _, dataset = ppr10k.prepared("--protocol", "360p-plain")
    assert {row.source_names[0] for row in dataset.split("train")} == {
        f"source_aug_6/{name}.tif" for name in TRAIN
    }


def test_a_group_in_the_wrong_folder_is_refused(ppr10k: Ppr10k) -> None:
    in_splits(ppr10k.path / "PPR10K")
    for name, folder, other, purpose in (
        ("1356_0", "train", "val", "to test on"),
        ("1355_2", "val", "train", "to train with"),
    ):
        there = ppr10k.path / "PPR10K" / other / "source" / f"{name}.tif"
        here = ppr10k.path / "PPR10K" / folder / "source" / f"{name}.tif"
        there.rename(here)
        line = ppr10k.fails(3, *PREPARE, "--source-dir", "PPR10K")
        assert f"group {name.split('_')[0]} is one {purpose}" in line
        assert f"below {folder}/" in line
        here.rename(there)
    assert not (ppr10k.path / "data").exists()


@pytest.mark.parametrize("name", ["test", "val", "train"])
def test_a_folder_of_ones_own_parts_nothing(ppr10k: Ppr10k, name: str) -> None:
    """Neither the folders above what was given, nor one in which everything lies."""
    for given in (f"{name}/PPR10K", name, "."):
        top = ppr10k.path / name
        top.mkdir()
        if given == ".":
            for path in list(ppr10k.images.iterdir()):
                path.rename(top / path.name)
        else:
            (ppr10k.path / "PPR10K").rename(top / "PPR10K")
        report = ppr10k.json(
            *PREPARE, "--overwrite", "--source-dir", given, "--protocol", "360p-plain"
        )
        assert report["pairs"]["rejected"] == 0
        if given != ".":
            (top / "PPR10K").rename(ppr10k.path / "PPR10K")
            top.rmdir()


def test_folders_named_as_splits_above_what_is_given(ppr10k: Ppr10k) -> None:
    in_splits(ppr10k.path / "PPR10K")
    there = ppr10k.path / "PPR10K" / "val" / "source" / "1356_0.tif"
    there.rename(ppr10k.path / "PPR10K" / "train" / "source" / there.name)
    parts = ("--source-dir", "PPR10K/train", "--source-dir", "PPR10K/val")
    report = ppr10k.json(*PREPARE, *parts)
    assert report["pairs"]["rejected"] == 0
    assert "1356 is one to test on" in ppr10k.fails(3, *PREPARE, *parts, "--source-dir", "PPR10K")


Spoil = Callable[[Ppr10k, str], None]


def at(here: Ppr10k, folder: str, name: str) -> Path:
    return here.masks / f"{name}.png" if folder == "masks" else here.images / folder / f"{name}.tif"


def tiff(folder: str, kind: type, size: tuple[int, int]) -> Spoil:
    return lambda here, name: write_tiff(at(here, folder, name), picture("other", kind, size))


def mask(pixels: np.ndarray) -> Spoil:
    return lambda here, name: write_mask(at(here, "masks", name), pixels)


def gone(folder: str) -> Spoil:
    return lambda here, name: at(here, folder, name).unlink()


def cut(folder: str) -> Spoil:
    return lambda here, name: os.truncate(at(here, folder, name), 60)


def png_by_name(here: Ppr10k, name: str) -> None:
    write_png(at(here, "source", name), picture("x", np.uint16))


def twice(here: Ppr10k, name: str) -> None:
    write_tiff(here.images / f"more/source/{name}.tif", picture("x", np.uint16))


REJECTED: list[tuple[Spoil, str, str]] = [
    (gone("source"), "pairing", "source/{}: not there"),
    (gone("target_a"), "pairing", "target_a/{}: not there"),
    (gone("masks"), "pairing", "masks_360p/{}: not there"),
    (twice, "pairing", "several: more/source/{}.tif, "),
    (tiff("source", np.uint8, (9, 540)), "depth", "{}.tif: 8 bits, 16 are wanted"),
    (tiff("target_a", np.uint16, (9, 540)), "depth", "{}.tif: 16 bits, 8 are wanted"),
    (tiff("source", np.uint16, (9, 541)), "size", "input 541x9, a long edge of 540"),
    (tiff("target_a", np.uint8, (9, 539)), "size", "target 539x9, a long edge of 540"),
    (tiff("target_a", np.uint8, (540, 9)), "size", "input 540x9, target 9x540"),
    (mask(mask_of("x", (9, 539))), "size", "mask 539x9, pictures 540x9"),
    (mask(picture("x", np.uint8)), "decode", "{}.png is no mask: it has colours"),
    (mask(mask_of("x").astype(np.uint16) * 257), "decode", "{}.png is no mask: it has 16 bits"),
    (cut("source"), "decode", "{}.tif"),
    (cut("target_a"), "decode", "{}.tif"),
    (cut("masks"), "decode", "{}.png"),
    (png_by_name, "kind", "{}.tif: it is no TIFF"),
]


def test_what_is_no_pair_is_left_out_with_its_reason(ppr10k: Ppr10k) -> None:
    expected = {}
    for number, (spoil, stage, reason) in enumerate(REJECTED):
        name = f"{1400 + number}_0"
        write_picture(ppr10k.images, ppr10k.masks, name)
        spoil(ppr10k, name)
        expected[f"test/{name}"] = stage, reason.format(name)
    rejected = ppr10k.rejected("--protocol", "360p-plain")
    assert {key: stage for key, (stage, _) in rejected.items()} == {
        key: stage for key, (stage, _) in expected.items()
    }
    for key, (_, reason) in expected.items():
        assert reason in rejected[key][1]
        assert str(ppr10k.path) not in rejected[key][1]


def test_without_masks_it_is_made_and_says_so(ppr10k: Ppr10k) -> None:
    shutil.rmtree(ppr10k.masks)
    done = ppr10k.run(*PREPARE, "--source-dir", "PPR10K", "--protocol", "360p-plain")
    assert done.returncode == 0
    assert "no masks are there (masks_360p/)" in done.stderr
    dataset = Dataset(ppr10k.path / "data/ppr10k-360p-plain-a")
    assert dataset.header.settings["masks"] is False
    assert {row.mask_file_name for row in dataset.rows} == {None}
    assert {load_pair(dataset, row).mask for row in dataset.rows} == {None}
    assert '"mask' not in (dataset.directory / "test/metadata.jsonl").read_text()
    # With them it is another dataset, which takes nobody's place unasked.
    for name in NAMES:
        write_mask(ppr10k.masks / f"{name}.png", mask_of(name))
    line = ppr10k.fails(2, *PREPARE, "--source-dir", "PPR10K", "--protocol", "360p-plain")
    assert "--overwrite" in line


def test_what_differs_from_the_published_is_said(ppr10k: Ppr10k) -> None:
    for name in ("1681_0", "7", "7_x", "007_1", "0_0 copy"):
        write_tiff(ppr10k.images / "source" / f"{name}.tif", picture(name, np.uint16))
    (ppr10k.images / "target_a/8_1.jpg").write_bytes(b"")
    done = ppr10k.run(*PREPARE, "--source-dir", "PPR10K", "--dry-run")
    said = " ".join(done.stderr.split())
    assert "photographs to train with: 3 of 8875; 4 augmented versions are counted apart" in said
    assert "photographs to test on: 2 of 2286 " in said
    assert "passed over, as names or kinds are others: 5, " in said
    assert "passed over, as PPR10K has no such group: 1, 1681_0 among them" in said
    assert "no masks" not in said
    assert "no augmented" not in said
    shutil.rmtree(ppr10k.images / "source_aug_6")
    done = ppr10k.run(*PREPARE, "--source-dir", "PPR10K", "--dry-run")
    assert "no augmented versions are there" in " ".join(done.stderr.split())


def test_colours_are_converted_by_the_profile_at_their_depth(ppr10k: Ppr10k) -> None:
    pixels = picture("profiled", np.uint16)
    path = ppr10k.images / "source/1356_0.tif"
    write_tiff(path, pixels, icc.ROMM)
    expected = read_picture(path)
    assert expected.pixels.dtype == np.uint16
    assert not np.array_equal(expected.pixels, pixels)
    _, dataset = ppr10k.prepared("--protocol", "360p-plain")
    (row,) = (row for row in dataset.rows if row.id == "1356_0")
    stored = read_picture(dataset.input_path(row), STORED)
    assert np.array_equal(stored.pixels, expected.pixels)
    (note,) = json.loads(row.measured)["notes"]["input"]
    assert note.startswith("converted from")


def test_the_licence_is_shown_and_accepted_once(ppr10k: Ppr10k) -> None:
    plain = ("prepare", "ppr10k", "--workers", "1", "--source-dir", "PPR10K")
    assert ppr10k.run(*plain, "--dry-run").returncode == 0, "nothing is made, nothing is asked"
    # Whoever runs the tests may have accepted it.
    own_cache = clean_environment() | {"HDRBENCH_CACHE": str(ppr10k.path / "cache")}
    done = ppr10k.process(*plain, stdin=subprocess.DEVNULL, env=own_cache)
    assert done.returncode == 2
    assert "non-commercial research purposes only" in " ".join(done.stderr.split())
    assert "--accept-licence" in done.stderr
    assert not list((ppr10k.path / "data").glob("*"))
    ppr10k.json(*plain, "--limit", "3", "--accept-licence")
    ppr10k.json(*plain, "--limit", "4")


def test_limit_and_ids(ppr10k: Ppr10k) -> None:
    report, dataset = ppr10k.prepared("--limit", "3")
    assert report["dataset"] == "ppr10k-360p-a-first3"
    assert {row.split for row in dataset.rows} == set(SPLITS)
    (ppr10k.path / "ids").write_text(f"{TEST[0]}.tif\n0_0_5\n")
    _, dataset = ppr10k.prepared("--ids", "ids")
    assert {row.id for row in dataset.rows} == {TEST[0], "0_0_5"}
    (ppr10k.path / "ids").write_text(f"{HELD}_1\n")  # there, and of no split
    assert "is no id" in ppr10k.fails(2, *PREPARE, "--source-dir", "PPR10K", "--ids", "ids")


def test_a_command_that_cannot_work_says_why(ppr10k: Ppr10k) -> None:
    empty = ppr10k.path / "empty"
    empty.mkdir()
    assert "--source-dir DIR" in ppr10k.fails(2, *PREPARE)
    assert "no picture of PPR10K" in ppr10k.fails(3, *PREPARE, "--source-dir", "empty")
    assert "no folder" in ppr10k.fails(3, *PREPARE, "--source-dir", "nowhere")
    given = ("--source-dir", "PPR10K")
    assert "no expert 'd'" in ppr10k.fails(2, *PREPARE, *given, "--expert", "d")
    assert "Camera Raw" in ppr10k.fails(2, *PREPARE, *given, "--protocol", "raw")
    assert "no protocol" in ppr10k.fails(2, *PREPARE, *given, "--protocol", "720p")
    assert "--size is not for" in ppr10k.fails(2, *PREPARE, *given, "--size", "360p")
    shutil.rmtree(ppr10k.images / "target_a")
    line = ppr10k.fails(3, *PREPARE, *given)
    assert "no pair of ppr10k-360p-a is whole: target_a/" in line
    assert not (ppr10k.path / "data/ppr10k-360p-a").exists()
    shutil.rmtree(ppr10k.images)
    assert "no picture of PPR10K" in ppr10k.fails(3, *PREPARE, *given)


def test_a_missing_mask_is_a_missing_picture(ppr10k: Ppr10k) -> None:
    """To resuming, to a second preparation, to `verify`."""
    options = (*PREPARE, "--source-dir", "PPR10K", "--protocol", "360p-plain")
    _, dataset = ppr10k.prepared("--protocol", "360p-plain")
    row = dataset.rows[0]
    path = dataset.mask_path(row)
    assert path is not None
    content = path.read_bytes()
    sizes = [(dataset.directory / row.split / name).stat().st_size for name in row.file_names]
    made = Made(row=row, sizes=sizes)
    assert made.is_whole(dataset.directory)
    path.write_bytes(content + b"0")
    assert not made.is_whole(dataset.directory)
    path.unlink()
    assert not made.is_whole(dataset.directory)
    assert verify(dataset).status == "incomplete"
    assert "lacks 1 of its 15 pictures" in ppr10k.fails(3, *options)
    ppr10k.json(*options, "--overwrite")
    assert path.read_bytes() == content


def test_a_changed_mask_differs(ppr10k: Ppr10k) -> None:
    _, dataset = ppr10k.prepared("--protocol", "360p-plain")
    row = dataset.split("test")[0]
    path = dataset.mask_path(row)
    assert path is not None
    for pixels, said in (
        (255 - mask_of(row.id), "others than its row says"),
        (mask_of(row.id, (9, 539)), "size 539x9, not 540x9"),
        (picture("colours", np.uint8), "it has colours"),
    ):
        write_mask(path, pixels)
        (problem,) = verify(dataset).problems
        assert (problem.kind, problem.id) == ("differing", row.id)
        assert said in problem.what
