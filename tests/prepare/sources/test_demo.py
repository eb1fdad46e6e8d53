from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hdrnet_bench.data.manifest import Dataset, Row, find_lock
from hdrnet_bench.data.verify import verify
from hdrnet_bench.errors import UsageError
from hdrnet_bench.files import read_json
from hdrnet_bench.prepare.build import Maker, build
from hdrnet_bench.prepare.sources import demo, synthetic_hdrplus
from hdrnet_bench.prepare.staging import Plan, Task
from tests.conftest import ROOT


def check_sources(rows: list[Row], lock: list[Row]) -> None:
    sources = {row.id: row.source_sha256 for row in lock}
    drifted = [row.id for row in rows if row.source_sha256 != sources[row.id]]
    assert drifted == [], f"the installed packages carry other photographs: {drifted}"


def test_preparing_again_gives_the_committed_hashes(tmp_path: Path) -> None:
    header, _ = build(demo.plan("retouch"), demo.tasks("retouch"), demo.make, tmp_path)
    lock = find_lock("demo-retouch")
    assert lock is not None, "no lock is committed"
    dataset = Dataset(tmp_path / "demo-retouch")
    check_sources(dataset.rows, lock[1])
    result = verify(dataset)
    assert result.problems == []
    assert (result.status, result.lock) == ("identical", "identical")
    assert header.digest == lock[0].digest


def synthetic_tasks(protocol: str) -> list[Task]:
    return synthetic_hdrplus.plan_and_tasks(protocol, None)[1]


@pytest.mark.parametrize(
    ("name", "tasks", "make"),
    [
        ("demo-local-laplacian", lambda: demo.tasks("local-laplacian"), demo.make),
        (
            "synthetic-hdrplus-local-tone-map",
            lambda: synthetic_tasks("local-tone-map"),
            synthetic_hdrplus.make,
        ),
    ],
)
def test_some_pictures_again_give_the_committed_hashes(
    tmp_path: Path, name: str, tasks: Callable[[], list[Task]], make: Maker
) -> None:
    """Two of the smaller ones: the filters take seconds a picture."""
    lock = find_lock(name)
    assert lock is not None, "no lock is committed"
    few = [task for task in tasks() if task.id in ("chelsea", "coffee")]
    build(Plan("few", "demo", "few", 1, "CC0-1.0", {}), few, make, tmp_path, workers=2)
    rows = Dataset(tmp_path / "few").rows
    check_sources(rows, lock[1])
    assert [row for row in lock[1] if row.id in ("chelsea", "coffee")] == rows


def test_splits_have_different_scenes() -> None:
    scenes: dict[str, set[str]] = {}
    for photo in demo.PHOTOGRAPHS:
        scene = photo.id.removesuffix("-left").removesuffix("-right")
        scenes.setdefault(scene, set()).add(photo.split)
    assert all(len(splits) == 1 for splits in scenes.values())
    assert {photo.split for photo in demo.PHOTOGRAPHS} == {"train", "validation", "test"}


def test_test_pictures_may_be_passed_on() -> None:
    """Their thumbnails are committed under results/."""
    licences = {photo.licence for photo in demo.PHOTOGRAPHS if photo.split == "test"}
    assert licences <= {"CC0-1.0", "CC-BY-2.0", "public-domain"}


def test_test_pictures_are_in_colour() -> None:
    for photo in demo.PHOTOGRAPHS:
        if photo.split == "test":
            pixels = demo.read(photo).pixels.astype(int)
            assert np.ptp(pixels, axis=2).mean() > 8, f"{photo.id} is grey"


def test_unknown_protocol_brings_the_near_ones() -> None:
    with pytest.raises(UsageError, match="did you mean retouch"):
        demo.plan("retuch")


def test_locks_name_no_path_of_a_machine() -> None:
    for path in (ROOT / "manifests").glob("*.json"):
        header = read_json(path)
        assert header["counts"]["rejected"] == 0
        assert "/" not in "".join(header["tools"].values())
