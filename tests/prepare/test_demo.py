from pathlib import Path

import pytest

from hdrnet_bench.errors import UsageError
from hdrnet_bench.files import read_json
from hdrnet_bench.manifest import Dataset, find_lock
from hdrnet_bench.prepare import demo
from hdrnet_bench.prepare.build import build
from hdrnet_bench.verify import verify
from tests.conftest import ROOT


@pytest.mark.parametrize("protocol", ["retouch", "local-laplacian"])
def test_preparing_again_gives_the_committed_hashes(tmp_path: Path, protocol: str) -> None:
    header, _ = build(demo.plan(protocol), demo.tasks(protocol), demo.make, tmp_path)
    lock = find_lock(f"demo-{protocol}")
    assert lock is not None, "no lock is committed"
    dataset = Dataset(tmp_path / f"demo-{protocol}")
    sources = {row.id: row.source_sha256 for row in lock[1]}
    drifted = [row.id for row in dataset.rows if row.source_sha256 != sources[row.id]]
    assert drifted == [], f"the installed packages carry other photographs: {drifted}"
    result = verify(dataset)
    assert result.problems == []
    assert (result.status, result.lock) == ("identical", "identical")
    assert header.digest == lock[0].digest


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
    assert licences <= {"CC0-1.0", "public-domain"}


def test_unknown_protocol_brings_the_near_ones() -> None:
    with pytest.raises(UsageError, match="did you mean retouch"):
        demo.plan("retuch")


def test_locks_name_no_path_of_a_machine() -> None:
    for path in (ROOT / "manifests").glob("*.json"):
        header = read_json(path)
        assert header["counts"]["rejected"] == 0
        assert "/" not in "".join(header["tools"].values())
