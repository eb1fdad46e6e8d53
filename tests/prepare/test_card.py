"""The card that `prepare` writes beside the pictures: it changes nothing for those who read the
dataset, and an edited one is nobody's to remove."""

import shutil
from pathlib import Path

import pytest
import typer
from huggingface_hub import DatasetCard

from hdrnet_bench.cli.app import app
from hdrnet_bench.data.card import is_unedited
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.verify import verify
from hdrnet_bench.errors import StorageError, UsageError
from hdrnet_bench.prepare import protocols
from hdrnet_bench.prepare.build import build
from hdrnet_bench.prepare.finishing import finish
from hdrnet_bench.prepare.replacing import foreign_files
from hdrnet_bench.prepare.staging import Plan
from tests.conftest import TINY, in_a_thread, make_tiny, tiny_plan
from tests.prepare.test_build import make_16_bit

OTHER = tiny_plan()._replace(settings={"made": "otherwise"})
COUNTS = {"train": 2, "validation": 1, "test": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread)
    return tmp_path / "demo-tiny"


def again(folder: Path, plan: Plan = OTHER, overwrite: bool = True) -> bool:
    """Whether it was made again."""
    _, cost = build(
        plan, TINY, make_tiny, folder.parent, open_pool=in_a_thread, overwrite=overwrite,
        note=pytest.fail,
    )  # fmt: skip
    return cost is not None


def test_prepare_writes_it_and_the_dataset_is_the_same(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert is_unedited(text)
    assert DatasetCard.load(folder / "README.md").data.license == "cc0-1.0"
    assert str(folder.parent) not in text
    with_it = Dataset(folder).header
    assert with_it.digest in text
    assert verify(Dataset(folder)).status == "identical"
    (folder / "README.md").unlink()
    assert Dataset(folder).header == with_it
    assert verify(Dataset(folder)).status == "identical"


@pytest.mark.parametrize("card", ["as it was", "edited", "none"])
def test_the_same_again_has_nothing_to_do(folder: Path, card: str) -> None:
    path = folder / "README.md"
    if card == "none":
        path.unlink()
    elif card == "edited":
        path.write_text(path.read_text() + "Mine.\n")
    before = path.read_bytes() if path.exists() else None
    assert not again(folder, tiny_plan(), overwrite=False)
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize("card", ["as it was", "none"])
def test_overwrite_writes_a_new_one(folder: Path, card: str) -> None:
    path = folder / "README.md"
    if card == "none":
        path.unlink()
    assert again(folder)
    assert is_unedited(path.read_text())
    assert not list(folder.parent.glob(".demo-tiny.[!l]*"))


def edited(path: Path) -> None:
    path.write_text(path.read_text() + "Mine.\n")


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def very_long(path: Path) -> None:
    path.write_text("x" * (1 << 21))


def linked(path: Path) -> None:
    path.rename(path.parent.parent / "mine.md")
    path.symlink_to(path.parent.parent / "mine.md")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("mine")


@pytest.mark.parametrize("change", [edited, no_text, very_long, linked, a_folder])
def test_overwrite_leaves_somebodys_readme_alone(folder: Path, change) -> None:
    path = folder / "README.md"
    change(path)
    with pytest.raises(UsageError, match=r"no part of the dataset, README\.md.*move it away"):
        again(folder)
    assert foreign_files(folder)
    assert Dataset(folder).header.settings == {"made": "by a test"}
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    assert again(folder)


def test_a_card_that_the_system_does_not_give_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, most: int) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("hdrnet_bench.prepare.replacing.read_text", fail)
    with pytest.raises(StorageError, match=r"README\.md cannot be read: Input/output error"):
        foreign_files(folder)


@pytest.mark.parametrize("make", [make_tiny, make_16_bit])
def test_datasets_loads_the_folder_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make
) -> None:
    import datasets

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    build(tiny_plan(), TINY, make, tmp_path / "data", open_pool=in_a_thread)
    place = str(tmp_path / "data" / "demo-tiny")
    for loaded in (datasets.load_dataset("imagefolder", data_dir=place),
                   datasets.load_dataset(place)):  # fmt: skip
        assert {split: len(loaded[split]) for split in loaded} == COUNTS
        assert loaded["test"]["id"] == ["d", "e"]
        assert loaded["test"][0]["input"].size == (50, 66)


SIZE = {"size": {"name": "480p"}}


@pytest.mark.parametrize(
    ("source", "protocol", "settings", "command"),
    [
        ("demo", "retouch", {}, "demo --protocol retouch"),
        ("folder", "mine", {"pairing": "names"},
         "folder --protocol mine --input-dir DIR --target-dir DIR"),
        ("folder", "mine", {"pairing": "filelist"}, "folder --protocol mine --source-dir DIR"),
        ("folder", "identity", {"pairing": "computed"},
         "folder --protocol identity --input-dir DIR"),
        ("synthetic-hdrplus", "local-tone-map", {}, "synthetic-hdrplus --protocol local-tone-map"),
        ("synthetic-hdrplus", "mine", {"files_sha256": "0"},
         "synthetic-hdrplus --protocol mine --source-dir DIR"),
        ("fivek", "libraw", {"expert": "c", "subset": None} | SIZE,
         "fivek --protocol libraw --expert c --size 480p"),
        ("fivek", "libraw", {"expert": "a", "subset": "first50"} | SIZE,
         "fivek --protocol libraw --expert a --size 480p --limit 50"),
        ("fivek", "zeng-srgb", {"expert": "c", "subset": None} | SIZE,
         "fivek --protocol zeng-srgb --source-dir DIR --expert c --size 480p"),
        ("fivek", "dpe", {"expert": "c", "subset": None, "size": {"name": "512"}},
         "fivek --protocol dpe --input-dir DIR --target-dir DIR --expert c --size 512"),
        ("hdrplus", "hdrnet", {"part": "full", "subset": "ids-01234567"} | SIZE,
         "hdrplus --protocol hdrnet --full --size 480p --ids FILE"),
    ],
)  # fmt: skip
def test_it_says_the_command_that_prepares_it(
    tmp_path: Path, source: str, protocol: str, settings: dict, command: str
) -> None:
    plan = Plan(f"{source}-x", source, protocol, 1, "CC0-1.0", settings)
    build(plan, TINY[:1], make_tiny, tmp_path, open_pool=in_a_thread)
    card = (tmp_path / plan.name / "README.md").read_text()
    assert f"\nhdrbench prepare {command}\n" in card
    prepare = typer.main.get_command(app).commands["prepare"]
    prepare.make_context("prepare", command.split())
    if source in protocols.SOURCES:
        paper = protocols.load_source(source).paper.strip()
        assert f"## Citation\n\nFor the photographs: {paper}\n" in card
    else:
        assert "## Citation" not in card


def test_a_source_of_ones_own_has_no_command(tmp_path: Path) -> None:
    plan = Plan("mine-x", "mine", "x", 1, "CC0-1.0", {"size": 3, "expert": ["c"]})
    build(plan, TINY[:1], make_tiny, tmp_path, open_pool=in_a_thread)
    card = (tmp_path / "mine-x" / "README.md").read_text()
    assert "from a source of its own" in card
    assert "hdrbench prepare mine" not in card


def test_one_that_a_stopped_run_left_does_not_stay(tmp_path: Path) -> None:
    """`finish` may have been killed after it wrote a card, and pairs have come since."""
    staging = tmp_path / "there"
    (staging / "test").mkdir(parents=True)
    build(tiny_plan(), TINY, make_tiny, tmp_path, open_pool=in_a_thread)
    made = Dataset(tmp_path / "demo-tiny")
    for text in ("as another program left it", (made.directory / "README.md").read_text()):
        (staging / "README.md").write_text(text)
        finish(tiny_plan(), made.split("test"), [], staging)
        card = (staging / "README.md").read_text()
        assert is_unedited(card)
        assert "| pairs | train 0, validation 0, test 2 |" in card
