"""Crops follow from (seed, epoch, id) alone, and hold what is stored."""

import numpy as np
import pytest
import torch

from hdrnet_bench import HDRNetConfig
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.pairs import (
    PictureStore,
)
from hdrnet_bench.errors import DataError
from hdrnet_bench.images.pixels import to_float32
from hdrnet_bench.prepare.build import PreparedPair, build
from hdrnet_bench.prepare.staging import Task
from hdrnet_bench.recipe import TrainingSpec
from hdrnet_bench.training.crops import BatchSampler, CropDataset, batch_loader, training_rows
from tests.conftest import Workspace, in_a_thread, smooth_picture, tiny_plan

CONFIG = HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4)


def spec(**changes: object) -> TrainingSpec:
    values = {"steps": 9, "batch_size": 2, "crop": 32, "learning_rate": 0.1, "validate_every": 1}
    return TrainingSpec.model_validate(values | changes)


def crops_of(tiny: Workspace, seed: int = 0, keep: bool = True, **changes: object) -> CropDataset:
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    return CropDataset(
        PictureStore(dataset, dataset.split("train"), keep), CONFIG, spec(**changes), seed
    )


class Twins(PictureStore):
    """Pictures whose target is the input."""

    def pixels(self, index: int):
        return (super().pixels(index)[0],) * 2


def test_crops_are_a_function_of_seed_and_number(tiny: Workspace) -> None:
    one, other, third = crops_of(tiny), crops_of(tiny, keep=False), crops_of(tiny, seed=1)
    together = one.batch([3, 5, 8])
    for place, sample in enumerate((3, 5, 8)):
        for whole, alone in zip(together, other.batch([sample]), strict=True):
            assert torch.equal(whole[place], alone[0])
    assert not torch.equal(one.batch(range(6)).crop, third.batch(range(6)).crop)
    assert [tuple(t.shape) for t in together] == [(3, 3, 32, 32)] * 3


def test_each_epoch_takes_each_picture_once_and_places_differ(tiny: Workspace) -> None:
    crops = crops_of(tiny, crop=50, flips=False)
    ids = crops.ids(range(10))
    assert all({ids[k], ids[k + 1]} == {"a", "b"} for k in range(0, 10, 2))
    for sample in range(10):
        index = [row.id for row in crops.pictures.rows].index(ids[sample])
        windows = crops.pictures.pair(index).input.unfold(1, 50, 1).unfold(2, 50, 1)
        crop = crops.batch([sample]).crop[0]
        assert (windows == crop[:, None, None]).flatten(3).all(3).all(0).any()
    assert len({crops.batch([k]).crop.sum().item() for k in range(40)}) > 30


def test_input_and_target_are_cut_flipped_and_turned_alike(tiny: Workspace) -> None:
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    twins = Twins(dataset, dataset.split("train"), True)
    batch = CropDataset(twins, CONFIG, spec(rot90=True), 0).batch(range(16))
    assert torch.equal(batch.crop, batch.target)


def test_flips_and_turns_reach_all_eight_positions(tiny: Workspace) -> None:
    """Of one window: with neither, one; flips, four; rotations, four; both, all eight."""
    found = {}
    for flips, rot90 in ((False, False), (True, False), (False, True), (True, True)):
        crops = crops_of(tiny, crop=80, flips=flips, rot90=rot90)  # larger than both: one window
        samples = [sample for sample in range(120) if crops.ids([sample]) == ["a"]]
        seen = {crops.batch([sample]).crop.numpy().tobytes() for sample in samples}
        found[flips, rot90] = len(seen)
    assert list(found.values()) == [1, 4, 4, 8]


@pytest.mark.parametrize("side", [55, 56, 57, 130])
def test_a_picture_smaller_than_the_crop_goes_on_as_its_mirror_image(
    tiny: Workspace, side: int
) -> None:
    """Picture b is 56 wide and 64 high: crops of 55 and 56 fit, larger ones do not."""
    crops = crops_of(tiny, crop=side, flips=False)
    sample = crops.ids(range(2)).index("b")
    crop = crops.batch([sample]).crop[0]
    index = [row.id for row in crops.pictures.rows].index("b")
    picture = crops.pictures.pair(index).input
    assert crop.shape == (3, side, side)
    inside = crop[:, : min(side, 64), : min(side, 56)]
    height, width = inside.shape[1:]
    windows = picture.unfold(1, height, 1).unfold(2, width, 1)
    assert (windows == inside[:, None, None]).flatten(3).all(3).all(0).any()
    if side > 56:
        again = min(side, 112)
        assert torch.equal(crop[:, :, 56:again], crop[:, :, :56].flip(2)[:, :, : again - 56])
    if side > 112:
        assert torch.equal(crop[:, :, 112:], crop[:, :, : side - 112])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_becomes_what_the_scorer_reads(workspace: Workspace, dtype: type) -> None:
    """8 and 16 bits, mixed in one pair: the crop's values are to_float32's, bit for bit."""
    count = np.iinfo(dtype).max + 1
    side = int(count**0.5)
    levels = np.arange(count).astype(dtype).reshape(side, side, 1).repeat(3, 2)

    class Levels(PictureStore):
        def pixels(self, index: int):
            return levels.transpose(2, 0, 1), smooth_picture(0, side, side).transpose(2, 0, 1)

    build(tiny_plan(), [Task("x", "train", levels)], made, workspace.path, open_pool=in_a_thread)
    dataset = Dataset(workspace.path / "demo-tiny")
    row = dataset.split("train")[0]
    assert (row.input_bit_depth, row.target_bit_depth) == (np.dtype(dtype).itemsize * 8, 8)
    for pictures in (Levels(dataset, [row], False), PictureStore(dataset, [row], True)):
        batch = CropDataset(pictures, CONFIG, spec(crop=side, flips=False), 0).batch([0])
        assert np.array_equal(batch.crop[0].numpy(), to_float32(levels))
        assert np.array_equal(batch.target[0].numpy(), to_float32(smooth_picture(0, side, side)))


def made(levels: np.ndarray) -> PreparedPair:
    side = levels.shape[0]
    return PreparedPair(levels, smooth_picture(0, side, side), ["x"], ["0" * 64], "CC0-1.0", {})


def test_lowres_is_made_from_the_crop(tiny: Workspace) -> None:
    for resize in ("nearest", "area"):
        crops = crops_of(tiny, crop=64)
        crops.config = CONFIG.model_copy(update={"lowres_resize": resize})
        batch = crops.batch([0, 1])
        two = batch.crop.unflatten(2, (32, 2)).unflatten(4, (32, 2))
        expected = two[:, :, :, 0, :, 0] if resize == "nearest" else two.mean((3, 5))
        assert torch.allclose(batch.lowres, expected, atol=1e-6)


@pytest.mark.parametrize(("batch", "processes"), [(4, 1), (4, 2), (6, 3), (4, 4)])
def test_processes_share_each_global_batch_without_padding(batch: int, processes: int) -> None:
    shares = [list(BatchSampler(batch, 5, 2, rank, processes)) for rank in range(processes)]
    for step in range(3):
        samples = [sample for share in shares for sample in share[step]]
        assert samples == list(range((step + 2) * batch, (step + 3) * batch))


def test_a_file_broken_meanwhile_is_named_by_a_worker(tiny: Workspace) -> None:
    crops = crops_of(tiny, keep=False)
    (tiny.path / "data/demo-tiny/train/input/a.png").write_bytes(b"no picture")
    for workers in (0, 1):
        with pytest.raises(DataError, match=r"a\.png cannot be decoded") as caught:
            list(batch_loader(crops, BatchSampler(2, 3), workers, False))
        assert "Traceback" not in str(caught.value)


def test_validation_is_the_datasets_own_or_taken_by_hash(tiny: Workspace) -> None:
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    train, validation, rule = training_rows(dataset)
    assert [r.id for r in validation] == ["c"]
    assert rule == "the dataset's validation split"
    some = dataset.rows[0]
    dataset.rows = [some.model_copy(update={"id": f"p{i}", "split": "train"}) for i in range(60)]
    train, validation, rule = training_rows(dataset)
    assert (len(train), len(validation)) == (57, 3)
    assert not {r.id for r in train} & {r.id for r in validation}
    assert training_rows(dataset)[1] == validation
    assert rule == "5% of the training ids, by hash"
    dataset.rows = dataset.rows[:1]
    with pytest.raises(DataError, match="one training picture,"):
        training_rows(dataset)
    dataset.rows = [some.model_copy(update={"split": "test"})]
    with pytest.raises(DataError, match="no pictures in its train split"):
        training_rows(dataset)


def in_groups(dataset: Dataset, groups: int, versions: tuple[str, ...]) -> Dataset:
    """Three photographs in each group, in these versions, "" the photograph itself."""
    some = dataset.rows[0]
    dataset.rows = [
        some.model_copy(
            update={
                "id": f"{group}_{photo}{version}",
                "split": "train",
                "group": str(group),
                "measured": '{"augmented": true}' if version else "{}",
            }
        )
        for group in range(groups)
        for photo in range(3)
        for version in versions
    ]
    return dataset


def test_groups_and_versions_are_not_parted_by_validation(tiny: Workspace) -> None:
    dataset = in_groups(Dataset(tiny.path / "data" / "demo-tiny"), 60, ("", "_1", "_2"))
    train, validation, rule = training_rows(dataset)
    assert (len(train), len(validation)) == (57 * 9, 3 * 3)
    assert not {row.group for row in train} & {row.group for row in validation}
    assert {row.measured for row in validation} == {"{}"}
    text = "5% of the training groups, by hash, without their augmented versions (18)"
    assert rule == text
    in_groups(dataset, 60, ("",))
    assert training_rows(dataset)[2] == "5% of the training groups, by hash"
    in_groups(dataset, 1, ("", "_1"))
    with pytest.raises(DataError, match="one group of training pictures,"):
        training_rows(dataset)


def test_groups_of_augmented_versions_alone_are_validated_on_last(tiny: Workspace) -> None:
    dataset = in_groups(Dataset(tiny.path / "data" / "demo-tiny"), 9, ("", "_1"))
    for kept in range(9):
        in_groups(dataset, 9, ("", "_1"))
        dataset.rows = [r for r in dataset.rows if r.id.count("_") == 2 or r.group == str(kept)]
        train, validation, _ = training_rows(dataset)
        assert [row.id for row in validation] == [f"{kept}_{photo}" for photo in range(3)]
        assert {row.group for row in train} == set(map(str, range(9))) - {str(kept)}
    in_groups(dataset, 9, ("_1",))
    train, validation, rule = training_rows(dataset)
    assert (len(train), len(validation)) == (24, 3)
    assert rule == "5% of the training groups, by hash"
