import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hdrnet_bench.data.manifest import Dataset, Row
from hdrnet_bench.data.verify import verify
from hdrnet_bench.errors import DataError, UsageError
from hdrnet_bench.prepare.build import PreparedPair, RejectedPair, build
from hdrnet_bench.prepare.staging import Task
from tests.conftest import (
    ROOT,
    TINY,
    clean_environment,
    make_tiny,
    smooth_picture,
    tiny_plan,
    wait_for_files,
    whole_files,
)


def make_or_reject(payload: tuple[int, int, int]) -> PreparedPair:
    if payload[0] == 2:
        raise RejectedPair("decode", "made to fail")
    pair = make_tiny(payload)
    return pair._replace(target=pair.target[:-1]) if payload[0] == 3 else pair


def make_16_bit(payload: tuple[int, int, int]) -> PreparedPair:
    picture = smooth_picture(*payload).astype(np.uint16) * 257
    return PreparedPair(
        picture, picture // 2, ["made"], ["0" * 64], "CC0-1.0", {"gain": payload[0]}
    )


def make_slowly(payload: tuple[int, int, int]) -> PreparedPair:
    time.sleep(0.4)
    return make_tiny(payload)


def make_with_a_full_disk(payload: tuple[int, int, int]) -> PreparedPair:
    import errno

    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_layout_header_and_rows(tmp_path: Path) -> None:
    header, made = build(tiny_plan(), TINY, make_tiny, tmp_path, workers=2)
    assert made
    assert header.counts == {"train": 2, "validation": 1, "test": 2, "rejected": 0}
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    pictures = [f"{t.split}/{role}/{t.id}.png" for t in TINY for role in ("input", "target")]
    rows = [f"{split}/metadata.jsonl" for split in ("train", "validation", "test")]
    expected = ["README.md", "croissant.json", "dataset.json", "rejected.jsonl", *rows, *pictures]
    assert [f for f in files if not f.endswith(".lock")] == sorted(
        f"demo-tiny/{name}" for name in expected
    )
    row = Dataset(tmp_path / "demo-tiny").split("test")[0]
    assert (row.id, row.width, row.height, row.input_bit_depth) == ("d", 50, 66, 8)


def test_a_split_of_which_nothing_is_left_is_no_split(tmp_path: Path) -> None:
    def review(rows: list[Row]) -> dict[tuple[str, str], str]:
        return {(row.split, row.id): "a twin" for row in rows if row.split == "validation"}

    header, _ = build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1, review=review)
    assert header.counts == {"train": 2, "validation": 0, "test": 2, "rejected": 1}
    dataset = Dataset(tmp_path / "demo-tiny")
    assert len(dataset.rows) == 4
    assert not (dataset.directory / "validation").exists()
    assert verify(dataset).status == "identical"


def test_digest_does_not_depend_on_workers_or_order(tmp_path: Path) -> None:
    one, _ = build(tiny_plan(), TINY, make_tiny, tmp_path / "one", workers=1)
    other, _ = build(tiny_plan(), TINY[::-1], make_tiny, tmp_path / "other", workers=3)
    assert one.digest == other.digest


def test_rejected_pairs_are_listed_with_reasons(tmp_path: Path) -> None:
    header, _ = build(tiny_plan(), TINY, make_or_reject, tmp_path, workers=1)
    assert header.counts == {"train": 1, "validation": 0, "test": 2, "rejected": 2}
    text = (tmp_path / "demo-tiny" / "rejected.jsonl").read_text()
    rejected = [json.loads(line) for line in text.splitlines()]
    assert [(r["id"], r["stage"]) for r in rejected] == [("b", "decode"), ("c", "size")]
    assert rejected[1]["reason"] == "input 58x58, target 58x57"
    Dataset(tmp_path / "demo-tiny")


def test_again_does_nothing_and_other_settings_are_refused(tmp_path: Path) -> None:
    build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1)
    before = (tmp_path / "demo-tiny" / "dataset.json").stat().st_mtime_ns
    _, made = build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1)
    assert not made
    assert (tmp_path / "demo-tiny" / "dataset.json").stat().st_mtime_ns == before

    other = tiny_plan()._replace(settings={"made": "otherwise"})
    with pytest.raises(UsageError, match="--overwrite"):
        build(other, TINY, make_tiny, tmp_path, workers=1)
    header, made = build(other, TINY[:3], make_tiny, tmp_path, workers=1, overwrite=True)
    assert made
    assert header.counts["test"] == 0
    assert not (tmp_path / ".demo-tiny.old").exists()


def test_what_is_no_dataset_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo-tiny").mkdir()
    (tmp_path / "demo-tiny" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match="is no dataset"):
        build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1, overwrite=True)
    assert (tmp_path / "demo-tiny" / "holiday.jpg").exists()


def test_full_disk_stops_clearly_and_goes_on_later(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No space left.*same command again"):
        build(tiny_plan(), TINY, make_with_a_full_disk, tmp_path, workers=1)
    assert not (tmp_path / "demo-tiny").exists()
    _, made = build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1)
    assert made


def make_and_die(payload: tuple[int, int, int]) -> PreparedPair:
    os.kill(os.getpid(), signal.SIGKILL)
    return make_tiny(payload)


def test_a_worker_that_dies_stops_clearly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a worker process died.*fewer --workers"):
        build(tiny_plan(), TINY, make_and_die, tmp_path, workers=2)
    assert not (tmp_path / "demo-tiny").exists()


def test_leftovers_of_a_killed_worker_do_not_reach_the_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        build(tiny_plan(), TINY, make_and_die, tmp_path, workers=1)
    leftover = tmp_path / ".demo-tiny.building" / "dataset/train/input/.tmp-0123.png"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1)
    assert not list(tmp_path.rglob(".tmp-*"))


def test_killed_at_any_moment_it_goes_on_and_gives_the_same(tmp_path: Path) -> None:
    undisturbed, _ = build(tiny_plan(), TINY, make_tiny, tmp_path / "undisturbed", workers=1)
    script = (
        "from pathlib import Path\n"
        "from tests.conftest import TINY, tiny_plan\n"
        "from tests.prepare.test_build import make_slowly\n"
        "from hdrnet_bench.prepare.build import build\n"
        "if __name__ == '__main__':\n"
        f"    build(tiny_plan(), TINY, make_slowly, Path({str(tmp_path)!r}), workers=1)\n"
    )
    path = tmp_path / "script.py"
    path.write_text(script)
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(path)], env=environment, start_new_session=True)
    rows = tmp_path / ".demo-tiny.building" / "rows"
    wait_for_files(process, rows, "*/*.jsonl", 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "demo-tiny").exists()

    done = {p: p.stat().st_mtime_ns for p in rows.parent.glob("dataset/*/input/*.png")}
    finished = {f"{p.stem}.png" for p in whole_files(rows, "*/*.jsonl")}
    assert 2 <= len(finished) < len(TINY)
    header, _ = build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1)
    assert header.digest == undisturbed.digest
    final = tmp_path / "demo-tiny"
    for old, modified in done.items():
        if old.name in finished:
            new = final / old.relative_to(rows.parent / "dataset")
            assert new.stat().st_mtime_ns == modified, "made twice"
    assert not list(final.rglob(".tmp-*"))


def test_opens_as_a_hugging_face_imagefolder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    build(tiny_plan(), TINY, make_16_bit, tmp_path, workers=1)
    # Not decoded: `datasets` decodes through Pillow, which makes 8 bits of 16 without a word.
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "demo-tiny"))
    loaded = loaded.cast_column("input", datasets.Image(decode=False))
    assert {split: len(loaded[split]) for split in loaded} == {
        "train": 2,
        "validation": 1,
        "test": 2,
    }
    example = loaded["test"][0]
    assert example["id"] == "d"
    assert Path(example["input"]["path"]).name == "d.png"
    assert json.loads(example["measured"]) == {"gain": 4}


def test_rows_that_lead_outside_are_refused(tmp_path: Path) -> None:
    build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1)
    rows = tmp_path / "demo-tiny" / "test" / "metadata.jsonl"
    rows.write_text(rows.read_text().replace('"input/d.png"', '"../../../secret.png"'))
    with pytest.raises(DataError, match="outside its folder"):
        Dataset(tmp_path / "demo-tiny")


def test_a_broken_row_is_named_with_its_line(tmp_path: Path) -> None:
    build(tiny_plan(), TINY, make_tiny, tmp_path, workers=1)
    rows = tmp_path / "demo-tiny" / "test" / "metadata.jsonl"
    lines = rows.read_text().splitlines()
    rows.write_text(lines[0] + "\n" + lines[1].replace('"width":61', '"width":"wide"') + "\n")
    with pytest.raises(DataError, match=r"metadata.jsonl, line 2: width"):
        Dataset(tmp_path / "demo-tiny")


def test_task_ids_are_safe_file_names() -> None:
    from hdrnet_bench.prepare.sources.demo import PHOTOGRAPHS

    names = [photo.id for photo in PHOTOGRAPHS]
    assert len(set(names)) == len(names)
    assert all(Task(n, "train", None).id.replace("-", "").isalnum() for n in names)


@pytest.mark.parametrize("other", ["a", "A"])
def test_two_pairs_of_one_id_are_refused(tmp_path: Path, other: str) -> None:
    tasks = [*TINY, Task(other, "train", (7, 60, 72))]
    with pytest.raises(DataError, match=f"two pairs would have one id: train/a, train/{other}"):
        build(tiny_plan(), tasks, make_tiny, tmp_path, workers=1)
    assert not (tmp_path / "demo-tiny").exists()
    assert not list(tmp_path.glob(".demo-tiny*"))
    build(tiny_plan(), [*TINY, Task("a", "test", (7, 60, 72))], make_tiny, tmp_path, workers=1)
