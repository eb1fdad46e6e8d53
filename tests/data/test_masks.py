"""Masks and groups of rows: kept, read back at every size, and absent where there are none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hdrnet_bench.data import sizes
from hdrnet_bench.data.compare import compare
from hdrnet_bench.data.manifest import Dataset, Row, read_rows, rows_digest
from hdrnet_bench.data.pairs import PictureStore, load_pair
from hdrnet_bench.data.sizes import averaged_mask, load_pair_at
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.images.resize import SizeRule
from hdrnet_bench.prepare.build import Maker, PreparedPair, build
from hdrnet_bench.prepare.staging import Plan, Task
from tests.conftest import Workspace, in_a_thread, smooth_picture

PLAN = Plan("demo-masked", "demo", "masked", 1, "CC0-1.0", {})
HEIGHT, WIDTH = 40, 60


def mask_of(seed: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5 : 20 + seed, 7:31] = 255
    mask[0, 0] = 3
    return mask


def masked(seed: int) -> PreparedPair:
    picture = smooth_picture(seed, HEIGHT, WIDTH)
    return PreparedPair(
        picture, picture, ["made"], ["0" * 64], "CC0-1.0", {}, None, mask_of(seed), "g7"
    )


def bare(seed: int) -> PreparedPair:
    return masked(seed)._replace(mask=None, group=None)


TASKS = [Task("a", "train", 1), Task("b", "test", 2)]
Made = Callable[..., Dataset]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[Maker, Path]:
    roots = {maker: tmp_path_factory.mktemp(maker.__name__) for maker in (masked, bare)}
    for maker, root in roots.items():
        build(PLAN, TASKS, maker, root, open_pool=in_a_thread)
    return roots


@pytest.fixture
def made(prepared: dict[Maker, Path], tmp_path: Path) -> Made:
    """Gives a copy of the dataset with masks, or of the one without, below a folder."""

    def copied(root: Path = tmp_path, maker: Maker = masked) -> Dataset:
        shutil.copytree(prepared[maker], root, dirs_exist_ok=True)
        return Dataset(root / PLAN.name)

    return copied


def test_a_pair_has_its_mask(tmp_path: Path, made: Made) -> None:
    dataset = made(tmp_path)
    for seed, row in enumerate(dataset.rows, 1):
        assert (row.group, row.mask_file_name) == ("g7", f"mask/{row.id}.png")
        pair = load_pair(dataset, row)
        assert pair.mask is not None
        assert np.array_equal(pair.mask.numpy(), mask_of(seed) / np.float32(255))
        assert pair.to("meta").mask.device.type == "meta"
    assert PictureStore(dataset, dataset.rows, keep=True).pair(0).mask is None


def test_rows_without_are_written_as_before(tmp_path: Path, made: Made) -> None:
    """So that locks of before keep their digests."""
    rows = made(tmp_path, bare).rows
    for row in rows:
        assert not {"group", "mask_file_name", "mask_pixels_sha256"} & set(json.loads(row.line()))
        assert load_pair(Dataset(tmp_path / PLAN.name), row).mask is None
    assert rows_digest(rows) != rows_digest([r.model_copy(update={"group": "1"}) for r in rows])


def test_half_of_a_mask_is_refused(tmp_path: Path, made: Made) -> None:
    dataset = made(tmp_path)
    path = dataset.directory / "test/metadata.jsonl"
    whole = json.loads(path.read_text())
    assert [Row.model_validate(whole)] == read_rows(path)
    for key in ("mask_file_name", "mask_pixels_sha256"):
        path.write_text(json.dumps({k: v for k, v in whole.items() if k != key}) + "\n")
        with pytest.raises(DataError, match=r"line 1: .*stand together"):
            read_rows(path)
    path.write_text(json.dumps(whole | {"mask_file_name": "../../secret.png"}) + "\n")
    with pytest.raises(DataError, match="leads outside"):
        Dataset(dataset.directory)


def test_a_link_out_of_the_dataset_is_refused(tmp_path: Path, made: Made) -> None:
    dataset = made(tmp_path / "data")
    path = dataset.directory / "test/mask/b.png"
    path.rename(tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(DataError, match="leads outside"):
        Dataset(dataset.directory)


def test_a_mask_of_another_size_is_no_mask_of_the_pair(tmp_path: Path, made: Made) -> None:
    dataset = made(tmp_path)
    row = dataset.rows[0].model_copy(update={"mask_file_name": "input/small.png"})
    from hdrnet_bench.images.files import write_png

    write_png(dataset.directory / "train/input/small.png", mask_of(1)[:-1])
    with pytest.raises(DataError, match=r"60x39, its row says 60x40"):
        load_pair(dataset, row)


def test_masks_are_averaged_as_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Made
) -> None:
    small = averaged_mask(np.array([[0, 255], [255, 255]], np.uint8), (1, 1))
    assert small.tolist() == [[191]], "not in linear light"
    monkeypatch.setattr(sizes, "RULE_480P", SizeRule(edge="short", pixels=20))
    dataset = made(tmp_path)
    pair = load_pair_at(dataset, dataset.rows[0], "480p")
    assert pair.mask is not None
    assert pair.mask.shape == pair.input.shape[1:] == (20, 30)
    blocks = mask_of(1).reshape(20, 2, 30, 2).mean((1, 3)) / 255
    np.testing.assert_allclose(pair.mask.numpy(), blocks, atol=0.51 / 255)
    full = load_pair_at(dataset, dataset.rows[0], "full").mask
    assert full is not None
    assert full.shape == (HEIGHT, WIDTH)


def test_other_masks_are_a_difference(tmp_path: Path, made: Made) -> None:
    dataset, other = made(tmp_path / "a"), made(tmp_path / "b")
    assert compare(dataset, other).identical == 2
    other.rows = [r.model_copy(update={"mask_pixels_sha256": "0" * 64}) for r in other.rows]
    compared = compare(dataset, other)
    assert compared.identical == 0
    assert {(d.role, d.what) for d in compared.differences} == {("mask", "the masks are others")}
    (found,) = {d.what for d in compare(dataset, made(tmp_path / "c", bare)).differences}
    assert found == "one dataset alone has a mask"


def test_hugging_face_gets_the_masks_path(tmp_path: Path, made: Made) -> None:
    from hdrnet_bench import load_pairs

    dataset = made(tmp_path)
    table = load_pairs(dataset.directory, "test").to_datasets()
    assert table[0]["mask"] == str(dataset.directory / "test/mask/b.png")
    assert table[0]["group"] == "g7"
    assert "mask_file_name" not in table.column_names


def test_a_replaced_dataset_loses_its_masks_too(workspace: Workspace, made: Made) -> None:
    """They are its own, and what else lies among them is not."""
    dataset = made(workspace.path)
    stranger = dataset.directory / "test/mask/mine.png"
    stranger.write_bytes(b"")
    other = PLAN._replace(settings={"other": 1})
    tasks = [Task("b", "test", 2)]
    with pytest.raises(UsageError, match=r"test/mask/mine\.png"):
        build(other, tasks, bare, workspace.path, open_pool=in_a_thread, overwrite=True)
    stranger.unlink()
    build(other, tasks, bare, workspace.path, open_pool=in_a_thread, overwrite=True)
    assert not list(dataset.directory.rglob("mask"))
