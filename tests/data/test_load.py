"""`load_pairs`: a dataset for loops that are not this package's."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hdrnet_bench import load_pairs
from hdrnet_bench.data.load import Pairs
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.images.files import write_png
from hdrnet_bench.prepare.build import PreparedPair, build
from hdrnet_bench.prepare.staging import Plan, Task
from tests.conftest import in_a_thread, smooth_picture

WHITE = 32767
TASKS = [
    Task("a", "train", (1, 60, 72)),
    Task("b", "train", (2, 64, 56)),
    Task("c", "train", (3, 58, 58)),
    Task("d", "test", (4, 66, 50)),
]


def eight(payload: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    picture = smooth_picture(*payload)
    return picture, 255 - picture


def sixteen(payload: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Whose lower bytes are something else than the upper ones; the target has 8 bits."""
    picture = smooth_picture(*payload)
    return picture.astype(np.uint16) * 256 + 7 * np.arange(3, dtype=np.uint16), picture


def make_eight(payload: tuple[int, int, int]) -> PreparedPair:
    return PreparedPair(*eight(payload), ["made"], ["0" * 64], "CC0-1.0", {"seed": payload[0]})


def make_sixteen(payload: tuple[int, int, int]) -> PreparedPair:
    return PreparedPair(*sixteen(payload), ["made"], ["0" * 64], "CC0-1.0", {})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared")
    plan = Plan("demo-eight", "demo", "eight", 1, "CC0-1.0", {})
    build(plan, TASKS, make_eight, path / "data", open_pool=in_a_thread)
    plan = Plan("demo-linear", "demo", "linear", 1, "CC0-1.0", {}, "linear", WHITE)
    build(plan, TASKS, make_sixteen, path / "data", open_pool=in_a_thread)
    return path


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the datasets demo-eight and demo-linear, which is worked in."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HDRBENCH_DATA", raising=False)
    return tmp_path


def test_pairs_are_what_is_stored_with_white_at_one(folder: Path) -> None:
    pairs = load_pairs("demo-eight", "train")
    assert [pair.id for pair in pairs] == ["a", "b", "c"] == [row.id for row in pairs.rows]
    input_, target, id_ = pairs[1]
    expected = [torch.from_numpy(p.transpose(2, 0, 1) / 255.0).float() for p in eight((2, 64, 56))]
    assert (id_, input_.dtype, tuple(input_.shape)) == ("b", torch.float32, (3, 64, 56))
    assert torch.equal(input_, expected[0])
    assert torch.equal(target, expected[1])


def test_linear_inputs_go_over_white(folder: Path) -> None:
    input_, target, _ = load_pairs("demo-linear", "test")[0]
    stored, finished = sixteen((4, 66, 50))
    assert np.allclose(input_.numpy(), stored.transpose(2, 0, 1) / WHITE, atol=1e-6)
    assert input_.max() > 1.5
    assert np.allclose(target.numpy(), finished.transpose(2, 0, 1) / 255, atol=1e-6)


def test_they_are_counted_as_a_list_is(folder: Path) -> None:
    pairs = load_pairs("demo-eight", "train")
    assert len(pairs) == 3
    assert pairs[-1].id == pairs[np.int64(2)].id == "c"
    for index in (3, -4):
        with pytest.raises(IndexError):
            pairs[index]
    with pytest.raises(TypeError):
        pairs[0:2]  # type: ignore[index]


def test_a_name_or_a_folder_and_a_split_or_all(folder: Path) -> None:
    assert [pair.id for pair in load_pairs("demo-eight")] == ["a", "b", "c", "d"]
    assert load_pairs(folder / "data" / "demo-eight", "test")[0].id == "d"
    assert load_pairs("data/demo-eight", "test").dataset.header.name == "demo-eight"


def test_what_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match="no split 'val': train, validation or test"):
        load_pairs("demo-eight", "val")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"demo-eight has no pairs in its split vali.*test 1"):
        load_pairs("demo-eight", "validation")
    with pytest.raises(DataError, match=r"demo-nine is not prepared.*: did you mean demo-"):
        load_pairs("demo-nine", "test")


def lost(path: Path) -> None:
    path.unlink()


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def of_another_size(path: Path) -> None:
    write_png(path, smooth_picture(4, 50, 66))


@pytest.mark.parametrize(
    ("harm", "message"), [(lost, "is missing"), (damaged, ""), (of_another_size, "row says 50x66")]
)
def test_a_broken_picture_is_named_either_way(folder: Path, harm, message: str) -> None:
    pairs = load_pairs("demo-eight")
    converted = pairs.to_datasets()
    harm(folder / "data" / "demo-eight" / "test" / "target" / "d.png")
    assert pairs[0].id == converted[0]["id"] == "a"
    for read in (lambda: pairs[3], lambda: converted[3]):
        with pytest.raises(DataError, match=rf"test/target/d\.png.*{message}"):
            read()


def crops(batch: list) -> tuple[list[str], torch.Tensor]:
    return [pair.id for pair in batch], torch.stack([pair.input[:, :40, :40] for pair in batch])


@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_of_a_loader_read_them(folder: Path, start: str, workers: int) -> None:
    pairs = load_pairs("demo-linear", "train")
    loader = DataLoader(pairs, batch_size=2, num_workers=workers, collate_fn=crops,
                        multiprocessing_context=start)  # fmt: skip
    (first, inputs), (rest, _) = loader
    assert (first, rest) == (["a", "b"], ["c"])
    assert torch.equal(inputs[1], pairs[1].input[:, :40, :40])


def test_one_by_one_without_a_collate_function(folder: Path) -> None:
    pairs = load_pairs("demo-eight", "train")
    (input_, target, ids), *_ = DataLoader(pairs)
    assert (tuple(input_.shape), ids) == ((1, 3, 60, 72), ("a",))
    assert torch.equal(target[0], pairs[0].target)


def test_they_survive_pickling_and_another_directory(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = load_pairs("demo-eight", "test").to_datasets()
    pairs = pickle.loads(pickle.dumps(load_pairs(folder / "data/demo-eight", "test")))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert isinstance(pairs, Pairs)
    assert np.array_equal(converted[0]["input"], eight((4, 66, 50))[0])
    assert pairs[0].id == "d"


@pytest.mark.parametrize(("name", "stored"), [("demo-eight", eight), ("demo-linear", sixteen)])
def test_a_dataset_of_hugging_face_has_the_stored_pixels(folder: Path, name: str, stored) -> None:
    pairs = load_pairs(name).to_datasets()
    assert (len(pairs), pairs["split"]) == (4, ["train", "train", "train", "test"])
    for row, task in zip(pairs, TASKS, strict=True):
        for side, pixels in zip(("input", "target"), stored(task.payload), strict=True):
            assert row[side].dtype == pixels.dtype
            assert np.array_equal(row[side], pixels)
    assert pairs[1]["licence"] == "CC0-1.0"
    assert (pairs[1]["width"], pairs[1]["height"]) == (56, 64)
    assert json.loads(load_pairs("demo-eight").to_datasets()[1]["measured"]) == {"seed": 2}


def test_what_users_of_datasets_do_keeps_the_depth(folder: Path) -> None:
    pairs = load_pairs("demo-linear", "train").to_datasets()
    mean = {task.id: float(sixteen(task.payload)[0].mean()) for task in TASKS}

    measured = pairs.map(lambda pair: {"mean": float(pair["input"].mean())})
    assert {row["id"]: row["mean"] for row in measured} == {k: mean[k] for k in "abc"}
    assert measured[0]["input"].dtype == np.uint16
    assert pairs.filter(lambda pair: pair["input"].shape[0] > 59)["id"] == ["a", "b"]
    for some in (pairs.shuffle(seed=0), pairs.select([2, 0]), pairs.select_columns(["input"]),
                 pairs.train_test_split(0.4, seed=0)["test"]):  # fmt: skip
        assert some[0]["input"].dtype == np.uint16
    cut = pairs.map(lambda pair: {"input": pair["input"][:2, :2]})
    assert np.array_equal(cut[0]["input"], sixteen((1, 60, 72))[0][:2, :2])
    assert pairs.with_format(None)[0]["input"] == str(folder / "data/demo-linear/train/input/a.png")
    (batch, *_) = DataLoader(pairs, num_workers=2)
    assert batch["input"].dtype == torch.uint16
    assert np.array_equal(batch["input"][0].numpy(), sixteen((1, 60, 72))[0])
