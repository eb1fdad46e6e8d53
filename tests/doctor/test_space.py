"""Memory and disk: what follows from what was read, and what is read of folders."""

import os
from pathlib import Path

import pytest

from hdrnet_bench.doctor import space
from hdrnet_bench.doctor.space import LEAST, LEAST_FILES, Folder, Memory
from hdrnet_bench.recipe import DatasetSpec, load_recipe
from tests.conftest import Workspace

GB = 10**9
GOOD = Folder("data", Path("data"), "HDRBENCH_DATA", True, "", 50 * GB, None)


@pytest.mark.parametrize(
    ("changed", "needed", "state", "says"),
    [
        ({}, 0, "ok", "data, 50 GB free"),
        ({"there": False}, 0, "ok", "not there yet"),
        ({"free": None}, 0, "ok", "data"),
        ({"problem": "cannot be written: Read-only file system"}, 0, "warning", "Read-only"),
        ({"free": LEAST}, 0, "ok", "1.0 GB free"),
        ({"free": LEAST - 1}, 0, "warning", "MB free"),
        ({}, 50 * GB, "ok", "data, 50 GB free"),
        ({}, 50 * GB + 1, "warning", "and about 50 GB may be written"),
        ({"files": LEAST_FILES}, 0, "ok", "data, 50 GB free"),
        ({"files": LEAST_FILES - 1}, 0, "warning", "only 9,999 more files may be made (inodes)"),
    ],
)
def test_what_a_folder_is_good_for(
    changed: dict[str, object], needed: int, state: str, says: str
) -> None:
    finding = space.folder_finding(GOOD._replace(**changed), needed)
    assert (finding.state, says in finding.text) == (state, True), finding
    assert ("set HDRBENCH_DATA to another folder" in finding.advice) == (state == "warning")


def names(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "to-here").symlink_to(tmp_path)
    before = names(tmp_path)
    changed = tmp_path.stat().st_mtime_ns

    def read(name: str) -> Folder:
        return space.read_folder("data", tmp_path / name, "X")

    assert read("") == read("")._replace(there=True, problem="")
    assert read("to-here").there
    assert read("new/deep") == read("new/deep")._replace(there=False, problem="")
    assert read("file").problem == "is a file, where a folder must be"
    assert read("link").problem == "is a link that leads nowhere, where a folder must be"
    assert "File name too long" in read("x" * 300).problem
    assert (read("").free or 0) > 0
    assert names(tmp_path) == before
    if hasattr(os, "O_TMPFILE"):
        assert tmp_path.stat().st_mtime_ns == changed


@pytest.mark.fault("I/O errors")
def test_what_the_system_says_of_a_folder_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**arguments: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(space.tempfile, "TemporaryFile", refuses)
    found = space.read_folder("data", tmp_path, "X")
    assert found.problem == "cannot be written: Read-only file system"
    assert (found.free or 0) > 0  # what was learned before
    above = space.read_folder("data", tmp_path / "new", "X").problem
    assert above == f"cannot be written (it would be made below {tmp_path}): Read-only file system"


@pytest.mark.parametrize(
    ("memory", "says"),
    [
        (Memory(25 * GB, None, 22 * GB), "22 GB free of 25 GB"),
        (Memory(25 * GB, 8 * GB, 7 * GB), "this process's control group may have 8.0 GB"),
        (Memory(25 * GB, 25 * GB, 7 * GB), "7.0 GB free of 25 GB"),
        (Memory(None, None, 7 * GB), "7.0 GB free"),
    ],
)
def test_memory_is_said_with_its_limit(memory: Memory, says: str) -> None:
    text = space.memory_finding(memory).text
    assert text.endswith(says)


def test_what_a_recipe_needs_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("demo-retouch")

    def found(free: int, shared: int | None) -> list[tuple[str, str]]:
        monkeypatch.setattr("hdrnet_bench.training.memory.available", lambda: free)
        findings = list(space.training_findings(recipe, "cpu", shared))
        return [(finding.state, finding.text) for finding in findings]

    ((state, text),) = found(10 * GB, None)
    assert (state, "10 GB free" in text) == ("ok", True)
    for free in (60 * 10**6, 10**6):  # where a step may not fit, and where it clearly does not
        ((state, text),) = found(free, None)
        assert state == "warning"
        assert "lower " in text
    assert [state for state, _ in found(10 * GB, 10**6)] == ["ok", "warning"]


def test_shared_memory_on_both_sides_of_what_is_needed() -> None:
    assert space.shared_finding(100, 100).state == "ok"
    assert space.shared_finding(101, 100).state == "warning"


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (DatasetSpec(source="demo", protocol="retouch"), 35.4e6),  # by its lock
        (DatasetSpec(source="fivek", protocol="libraw", expert="c"), 4998 * 480 * 720 * 6),
        (DatasetSpec(source="hdrplus", protocol="hdrnet", part="full", size="1024"),
         2000 * 1024 * 683 * 9),
        (DatasetSpec(source="hdrplus", protocol="hdrnet", part="full", size="original"), None),
        (DatasetSpec(source="hdrplus", protocol="hdrnet", part="subset"), None),
        (DatasetSpec(source="ppr10k", protocol="360p-plain", expert="b"), 11161 * 540 * 360 * 9),
        (DatasetSpec(source="fivek", protocol="csrnet", expert="c"), None),  # cannot be prepared
        (DatasetSpec(source="folder", protocol="mine"), None),
    ],
)  # fmt: skip
def test_a_dataset_s_size_by_its_lock_or_its_protocol(
    spec: DatasetSpec, size: float | None
) -> None:
    found = space.dataset_bytes(spec)
    assert found == (None if size is None else pytest.approx(size, rel=0.01))


def test_a_dataset_that_is_there_takes_no_more(tiny: Workspace) -> None:
    spec = DatasetSpec(source="demo", protocol="tiny")
    finding, needed = space.dataset_finding(spec)
    assert (finding.state, finding.text, needed) == ("ok", "prepared, 5 pairs", 0)
    (tiny.path / "data/demo-tiny/dataset.json").write_text("{")
    finding, _ = space.dataset_finding(spec)
    assert finding.state == "warning"
    finding, needed = space.dataset_finding(DatasetSpec(source="demo", protocol="retouch"))
    assert (finding.state, needed > 10**7) == ("missing", True)
    assert "`hdrbench prepare demo --protocol retouch`" in finding.advice
