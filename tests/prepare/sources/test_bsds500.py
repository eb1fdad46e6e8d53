"""The source bsds500: which folders are a copy of the data set, what becomes of a photograph."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from hdrnet_bench.data.leakage import trained_on
from hdrnet_bench.data.manifest import Dataset, find_lock
from hdrnet_bench.errors import DataError, StorageError, UsageError
from hdrnet_bench.images.files import read_picture
from hdrnet_bench.images.pixels import quantise
from hdrnet_bench.prepare.build import RejectedPair, build
from hdrnet_bench.prepare.operators import OPERATORS, as_planar
from hdrnet_bench.prepare.sources import bsds500
from hdrnet_bench.prepare.staging import Plan, Task
from tests.conftest import ROOT, Workspace, smooth_picture

COUNTS = {"train": 200, "val": 100, "test": 200}
ARCHIVE = ROOT.parent / "shared" / "photos" / "bsds500.tar"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the archive is laid out: small JPEGs instead of the photographs."""
    root = tmp_path_factory.mktemp("archive") / "BSR"
    for number, (split, count) in enumerate(COUNTS.items()):
        folder = root / "BSDS500" / "data" / "images" / split
        folder.mkdir(parents=True)
        (folder / "Thumbs.db").write_bytes(b"what Windows leaves")
        for k in range(count):
            jpeg = simplejpeg.encode_jpeg(smooth_picture(1000 * number + k, 12, 16), 95)
            (folder / f"{number}{k:04d}.jpg").write_bytes(jpeg)
    return root


@pytest.fixture
def images(copy: Path, tmp_path: Path) -> Path:
    """The folder of the three splits, to change."""
    return shutil.copytree(copy / "BSDS500/data/images", tmp_path / "images")


@pytest.mark.parametrize(
    "inside", ["", "BSR", "BSR/BSDS500", "BSR/BSDS500/data", "BSR/BSDS500/data/images"]
)
def test_any_folder_of_the_archive_will_do(copy: Path, inside: str) -> None:
    plan, tasks = bsds500.plan_and_tasks(None, copy.parent / inside)
    assert plan.name == "bsds500-local-laplacian"
    counts = {split: sum(t.split == split for t in tasks) for split in ("train", "test")}
    assert counts == {"train": 200, "test": 200}
    assert len(tasks) == 500
    again, _ = bsds500.plan_and_tasks("local-laplacian", copy)
    assert again.settings == plan.settings


def test_the_validation_folder_has_either_name(images: Path) -> None:
    plan, _ = bsds500.plan_and_tasks(None, images)
    (images / "val").rename(images / "validation")
    renamed, tasks = bsds500.plan_and_tasks(None, images)
    assert renamed.settings == plan.settings
    assert {t.payload.name for t in tasks if t.split == "validation"} == {
        f"validation/1{k:04d}.jpg" for k in range(100)
    }


def test_other_photographs_are_another_dataset(images: Path) -> None:
    before, _ = bsds500.plan_and_tasks(None, images)
    first = images / "train" / "00000.jpg"
    first.write_bytes(simplejpeg.encode_jpeg(smooth_picture(9999, 12, 16)))
    after, _ = bsds500.plan_and_tasks(None, images)
    assert after.settings["files_sha256"] != before.settings["files_sha256"]


@pytest.mark.parametrize("change", ["one too few", "one too many"])
def test_another_number_of_photographs_is_no_copy(images: Path, change: str) -> None:
    first = images / "val" / "10000.jpg"
    first.rename(images / "a.txt") if change == "one too few" else shutil.copy(
        first, images / "val" / "a.jpg"
    )
    found = 99 if change == "one too few" else 101
    with pytest.raises(DataError, match=rf"val has {found} JPEGs, and BSDS500 has 100"):
        bsds500.plan_and_tasks(None, images)


def test_what_is_no_copy_is_said(tmp_path: Path, images: Path) -> None:
    with pytest.raises(UsageError, match="needs --source-dir DIR"):
        bsds500.plan_and_tasks(None, None)
    with pytest.raises(DataError, match="there is no folder"):
        bsds500.plan_and_tasks(None, tmp_path / "none")
    shutil.rmtree(images / "test")
    with pytest.raises(DataError, match="has no folders train, val and test"):
        bsds500.plan_and_tasks(None, images)
    with pytest.raises(UsageError, match="did you mean local-laplacian"):
        bsds500.plan_and_tasks("local-laplacien", images)


@pytest.mark.parametrize("protocol", list(OPERATORS))
def test_the_target_is_the_operators_in_float64(copy: Path, protocol: str) -> None:
    _, tasks = bsds500.plan_and_tasks(protocol, copy)
    pair = bsds500.make(tasks[0].payload)
    pixels = read_picture(copy / "BSDS500/data/images/train/00000.jpg").pixels
    np.testing.assert_array_equal(pair.input, pixels)
    expected = quantise(OPERATORS[protocol].apply(as_planar(pixels)))
    np.testing.assert_array_equal(pair.target, expected)
    assert pair.source_names == ["train/00000.jpg"]
    assert pair.licence == bsds500.LICENCE


def test_a_photograph_that_changed_or_is_broken(images: Path) -> None:
    path = images / "train" / "00000.jpg"
    path.write_bytes(b"no JPEG")
    _, tasks = bsds500.plan_and_tasks(None, images)
    with pytest.raises(RejectedPair):
        bsds500.make(tasks[0].payload)
    path.write_bytes(b"another")
    with pytest.raises(StorageError, match="another file than when the dataset was planned"):
        bsds500.make(tasks[0].payload)


def test_by_the_command(workspace: Workspace, copy: Path) -> None:
    assert "needs --source-dir" in workspace.fails(2, "prepare", "bsds500")
    assert "once" in workspace.fails(
        2, "prepare", "bsds500", "--source-dir", copy, "--source-dir", copy
    )
    said = workspace.json("prepare", "bsds500", "--source-dir", copy, "--dry-run")
    assert said["pairs"] == {"train": 200, "validation": 100, "test": 200}


def test_ids_tell_a_leak_under_another_operator(tmp_path: Path, copy: Path) -> None:
    _, tasks = bsds500.plan_and_tasks("retouch", copy)
    few = [task for task in tasks if task.id in ("00000", "10000", "20000")]
    build(Plan("few", "bsds500", "retouch", 1, "", {}), few, bsds500.make, tmp_path, workers=1)
    assert trained_on(Dataset(tmp_path / "few")).ids == ("00000", "10000")


def test_the_photographs_give_the_committed_hashes(tmp_path: Path) -> None:
    if not ARCHIVE.exists():
        pytest.skip("a copy of BSDS500 is missing")
    lock = find_lock("bsds500-local-laplacian")
    assert lock is not None, "no lock is committed"
    header, rows = lock
    assert header.counts == {"train": 200, "validation": 100, "test": 200, "rejected": 0}
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "copy", filter="data")
    plan, tasks = bsds500.plan_and_tasks(None, tmp_path / "copy")
    assert plan.settings == header.settings
    few: list[Task] = [task for task in tasks if task.id in ("100075", "101085")]
    build(Plan("few", "bsds500", "few", 1, "", {}), few, bsds500.make, tmp_path, workers=1)
    made = Dataset(tmp_path / "few").rows
    assert len(made) == 2
    assert made == [row for row in rows if row.id in {task.id for task in few}]
