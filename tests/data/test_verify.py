from pathlib import Path

import numpy as np
import pytest

from hdrnet_bench.data.manifest import Dataset, write_lock
from hdrnet_bench.data.verify import verify
from hdrnet_bench.images.files import read_picture, write_png
from tests.conftest import Workspace


@pytest.fixture
def locked(tiny: Workspace) -> Workspace:
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    write_lock(tiny.path / "manifests", dataset.header, dataset.rows)
    return tiny


def change_pixels(path: Path, change) -> None:
    pixels = read_picture(path).pixels.astype(int)
    change(pixels)
    write_png(path, np.clip(pixels, 0, 255).astype(np.uint8))


def one_pixel(pixels: np.ndarray) -> None:
    pixels[3, 4, 1] += 1 if pixels[3, 4, 1] < 255 else -1


def brighter(pixels: np.ndarray) -> None:
    pixels += 20


def test_identical(locked: Workspace) -> None:
    report = locked.json("verify", "demo-tiny")
    assert (report["status"], report["lock"], report["pictures"]) == ("identical", "identical", 10)
    assert report["problems"] == []
    assert locked.json("verify", "data/demo-tiny")["status"] == "identical"


def test_without_a_lock_it_says_so(tiny: Workspace) -> None:
    done = tiny.run("verify", "demo-tiny")
    assert done.returncode == 0
    assert "identical (10 pictures, no lock known)" in done.stdout


@pytest.mark.parametrize(
    ("change", "size"), [(one_pixel, "rounding-sized"), (brighter, "more than rounding")]
)
@pytest.mark.parametrize("role", ["input", "target"])
def test_a_changed_pixel_names_its_row(locked: Workspace, role: str, change, size: str) -> None:
    change_pixels(locked.path / f"data/demo-tiny/test/{role}/d.png", change)
    done = locked.run("verify", "demo-tiny")
    assert done.returncode == 3
    assert "demo-tiny: differing" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "differing:" in line]
    assert f"test/d: {role} pixels: {size}" in line


def test_a_missing_picture_is_incomplete(locked: Workspace) -> None:
    (locked.path / "data/demo-tiny/train/input/a.png").unlink()
    done = locked.run("verify", "demo-tiny")
    assert done.returncode == 3
    assert "demo-tiny: incomplete" in done.stdout
    assert "incomplete: train/a: input" in done.stdout


def test_a_missing_row_is_incomplete(locked: Workspace) -> None:
    rows = locked.path / "data/demo-tiny/train/metadata.jsonl"
    rows.write_text(rows.read_text().splitlines()[0] + "\n")
    result = verify(Dataset(locked.path / "data/demo-tiny"))
    assert result.status == "incomplete"
    assert {p.what for p in result.problems} == {
        "1 rows where dataset.json counts 2",
        "in the lock, not in the dataset",
    }


def test_a_picture_of_another_size_or_kind(locked: Workspace) -> None:
    folder = locked.path / "data/demo-tiny/test/input"
    write_png(folder / "d.png", np.zeros((5, 6, 3), np.uint8))
    (folder / "e.png").write_text("no picture")
    whats = {p.id: p.what for p in verify(Dataset(locked.path / "data/demo-tiny")).problems}
    assert whats["d"] == "input pixels: size 6x5, not 50x66"
    assert "cannot be decoded" in whats["e"]


def test_another_preparation_differs_from_the_lock(locked: Workspace) -> None:
    """Pictures and rows agree with each other, and not with the lock."""
    lock = locked.path / "manifests/demo-tiny.jsonl"
    dataset = Dataset(locked.path / "data/demo-tiny")
    rows = [
        row.model_copy(update={"target_pixels_sha256": "f" * 64}) if row.id == "e" else row
        for row in dataset.rows
    ]
    from hdrnet_bench.data.manifest import rows_digest

    header = dataset.header.model_copy(update={"digest": rows_digest(rows)})
    write_lock(lock.parent, header, rows)
    result = verify(dataset)
    assert (result.status, result.lock) == ("differing", "differing")
    (problem,) = result.problems
    assert problem.id == "e"
    assert "target pixels differ from the lock's: rounding-sized" in problem.what


def test_a_broken_lock_is_an_error(locked: Workspace) -> None:
    lock = locked.path / "manifests/demo-tiny.jsonl"
    lock.write_text(lock.read_text().replace("0.5", "0.4", 1))
    assert "does not fit its rows" in locked.fails(3, "verify", "demo-tiny")


def test_an_edited_protocol_or_name_is_found(locked: Workspace) -> None:
    header = locked.path / "data/demo-tiny/dataset.json"
    original = header.read_text()
    header.write_text(original.replace('"protocol": "tiny"', '"protocol": "zeng-srgb"'))
    done = locked.run("verify", "demo-tiny")
    assert done.returncode == 3
    assert "protocol in dataset.json differs from the lock's" in done.stdout
    header.write_text(original.replace('"name": "demo-tiny"', '"name": "other"'))
    done = locked.run("verify", "demo-tiny")
    assert done.returncode == 3
    assert "dataset.json names other, its folder is another" in done.stdout


def test_rows_without_three_channels_are_refused(locked: Workspace) -> None:
    rows = locked.path / "data/demo-tiny/test/metadata.jsonl"
    text = rows.read_text()
    start = text.index('"input_mean":[')
    end = text.index("]", start)
    rows.write_text(text[:start] + '"input_mean":[0.1' + text[end:])
    assert "line 1: input_mean" in locked.fails(3, "verify", "demo-tiny")


def test_an_edited_header_is_found(tiny: Workspace) -> None:
    header = tiny.path / "data/demo-tiny/dataset.json"
    text = header.read_text()
    digest = text.split('"digest": "')[1][:8]
    header.write_text(text.replace(digest, "00000000"))
    done = tiny.run("verify", "demo-tiny")
    assert done.returncode == 3
    assert "do not give dataset.json's digest" in done.stdout


def test_unknown_datasets(tiny: Workspace) -> None:
    message = tiny.fails(3, "verify", "demo-tinny")
    assert "did you mean demo-tiny?" in message
    assert "prepared here: demo-tiny" in tiny.fails(3, "verify", "xyz")
    (tiny.path / "data/.folder-mine.building").mkdir()
    message = tiny.fails(3, "verify", "folder-mine")
    assert "its preparation was stopped: the same `hdrbench prepare` goes on with it" in message
