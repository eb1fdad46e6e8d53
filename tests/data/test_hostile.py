"""Datasets that strangers hand in: each is refused by name, and nothing outside them is read."""

from __future__ import annotations

import errno
import json
import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdrnet_bench.data.compare import compare
from hdrnet_bench.data.manifest import Dataset, Row, rows_digest
from hdrnet_bench.data.pairs import load_pair
from hdrnet_bench.data.verify import verify
from hdrnet_bench.errors import DataError, StorageError
from hdrnet_bench.files import json_line
from hdrnet_bench.images import stored
from hdrnet_bench.images.files import write_png
from tests.conftest import Workspace
from tests.memory_use import takes_at_most
from tests.pictures.kinds import EIGHT, chunk
from tests.pictures.kinds import png as png_of

Record = Callable[[str, object], None]
pytestmark = pytest.mark.fault("hostile datasets")


def folder_of(tiny: Workspace) -> Path:
    return tiny.path / "data/demo-tiny"


def change_row(tiny: Workspace, **fields: Any) -> None:
    """Of the first test row."""
    path = folder_of(tiny) / "test/metadata.jsonl"
    first, *rest = path.read_text().split("\n")
    path.write_text("\n".join([json.dumps(json.loads(first) | fields), *rest]))


ROWS = [
    {"input_file_name": "/etc/passwd"},
    {"input_file_name": "../../../secret.png"},
    {"target_file_name": "..\\..\\secret.png"},
    {"target_file_name": "input/a\0.png"},
    {"target_file_name": ""},
    {"target_file_name": "C:secret.png"},
    {"id": "\ud800"},
    {"licence": "\udfff"},
    {"width": 0},
    {"height": -5},
    {"input_mean": [float("nan"), 0.0, 0.0]},
    {"target_std": [float("inf"), 0.0, 0.0]},
    {"measured": "no JSON"},
    {"measured": "[1]"},
    {"measured": '{"a":' + "[" * 100 + "]" * 100 + "}"},
    {"measured": '{"a":' + "[" * 100_000},
    {"more": 1},
]


def test_a_row_that_means_harm_is_named(tiny: Workspace, record_property: Record) -> None:
    path = folder_of(tiny) / "test/metadata.jsonl"
    whole = path.read_text()
    for fields in ROWS:
        change_row(tiny, **fields)
        line = tiny.fails(3, "verify", "demo-tiny")
        assert "test/metadata.jsonl, line 1: " in line, fields
        assert len(line) < 600
        path.write_text(whole)
    record_property("faults", len(ROWS))


HEADERS = [
    ("name", "../up"),
    ("name", "a\0b"),
    ("name", ""),
    ("licence", "\ud800"),
    ("version", "x"),
]


def test_a_header_that_means_harm_is_named(tiny: Workspace, record_property: Record) -> None:
    path = folder_of(tiny) / "dataset.json"
    whole = json.loads(path.read_text())
    for field, value in HEADERS:
        path.write_text(json.dumps(whole | {field: value}))
        assert "dataset.json is not a dataset header" in tiny.fails(3, "verify", "demo-tiny")
    record_property("faults", len(HEADERS))


@pytest.mark.parametrize("name", ["dataset.json", "test/metadata.jsonl"])
def test_texts_too_large_or_too_deep(tiny: Workspace, name: str, record_property: Record) -> None:
    path = folder_of(tiny) / name
    os.truncate(path, 1 << 30)
    with takes_at_most(400):
        assert f"{name} has over " in tiny.fails(3, "verify", "demo-tiny")
    path.write_text("[" * 100_000)
    assert "nested too deep" in tiny.fails(3, "verify", "demo-tiny")
    path.unlink()
    os.mkfifo(path)
    assert f"{name} is not a regular file" in tiny.fails(3, "verify", "demo-tiny")
    record_property("faults", 3)


def test_links_that_lead_out_are_refused(tiny: Workspace, record_property: Record) -> None:
    folder = folder_of(tiny)
    picture = folder / "test/input/d.png"
    outside = tiny.path / "outside"
    outside.mkdir()
    picture.rename(outside / "d.png")
    for link, target in (
        (picture, outside / "d.png"),
        (picture, Path("../../../../outside/d.png")),
        (picture, Path("/dev/zero")),
    ):
        link.symlink_to(target)
        with pytest.raises(DataError, match=r"row d: .*d\.png leads outside"):
            Dataset(folder)
        link.unlink()
    (outside / "d.png").rename(picture)
    (folder / "test/input").rename(outside / "input")
    (folder / "test/input").symlink_to(outside / "input")
    with pytest.raises(DataError, match=r"row d: .*input/d\.png leads outside"):
        Dataset(folder)
    record_property("faults", 4)


def test_links_inside_a_dataset_and_to_a_dataset_stay(tiny: Workspace) -> None:
    folder = folder_of(tiny)
    picture = folder / "test/input/d.png"
    picture.rename(folder / "kept.png")
    picture.symlink_to("../../kept.png")
    moved = folder.rename(tiny.path / "elsewhere")
    folder.symlink_to(moved)
    dataset = Dataset(folder)
    load_pair(dataset, dataset.split("test")[0])


def test_a_link_to_itself_is_no_picture(tiny: Workspace) -> None:
    picture = folder_of(tiny) / "test/input/d.png"
    picture.unlink()
    picture.symlink_to("d.png")
    dataset = Dataset(folder_of(tiny))
    with pytest.raises(StorageError, match=r"d\.png"):
        load_pair(dataset, dataset.split("test")[0])


def test_a_pipe_is_no_picture(tiny: Workspace) -> None:
    picture = folder_of(tiny) / "test/input/d.png"
    picture.unlink()
    os.mkfifo(picture)
    done = tiny.run("verify", "demo-tiny")
    assert done.returncode == 3
    assert "is not a regular file" in done.stdout + done.stderr


def test_a_picture_larger_than_its_row_is_never_decoded(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """The header is asked: 13,000 x 13,000 would take half a gigabyte, and seconds."""
    folder = folder_of(tiny)
    small = png_of(EIGHT)
    header = chunk(b"IHDR", struct.pack(">II", 13_000, 13_000) + small[24:29])
    (folder / "test/input/d.png").write_bytes(small[:8] + header + small[33:])
    dataset = Dataset(folder)
    row = dataset.split("test")[0]
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(DataError, match=r"d\.png is 13000x13000, its row says 50x66"):
        load_pair(dataset, row)
    whats = {problem.id: problem.what for problem in verify(dataset).problems}
    assert whats["d"] == "input pixels: size 13000x13000, not 50x66"
    other = Dataset(folder)
    other.rows = [r.model_copy(update={"input_pixels_sha256": "0" * 64}) for r in other.rows]
    monkeypatch.setattr(other, "directory", tiny.path / "other")
    (tiny.path / "other/test/input").mkdir(parents=True)
    for each in other.split("test"):
        write_png(other.input_path(each), np.zeros((each.height, each.width, 3), np.uint8))
    only = [r for r in other.rows if r.id == "d"]
    monkeypatch.setattr(other, "rows", only)
    (difference,) = compare(dataset, other).differences
    assert difference.what == "sizes 13000x13000 and 50x66"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before.ru_utime < 1
    record_property("faults", 3)


@pytest.mark.fault("names and texts")
def test_names_with_line_ends_stay_in_their_row(tiny: Workspace, record_property: Record) -> None:
    marks = ("\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\r", "\t", "\u202e", "\n")
    for mark in marks:
        _named_with(tiny, mark)
    record_property("faults", len(marks))


def _named_with(tiny: Workspace, mark: str) -> None:
    dataset = Dataset(folder_of(tiny))
    rows = [row.model_copy(update={"source_names": [f"a{mark}b.jpg"]}) for row in dataset.rows]
    for split in ("train", "validation", "test"):
        text = "".join(row.line() + "\n" for row in rows if row.split == split)
        (folder_of(tiny) / split / "metadata.jsonl").write_bytes(text.encode())
    assert rows_digest(Dataset(folder_of(tiny)).rows) == rows_digest(rows)


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_verify_says_nothing_of_pictures_that_cannot_be_read(
    tiny: Workspace, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(stored, "open_regular", failing)
    with pytest.raises(StorageError, match=os.strerror(number)):
        verify(Dataset(folder_of(tiny)))
    assert os.strerror(number) in tiny.fails(3, "verify", "demo-tiny")


def test_a_row_is_written_as_it_was_read(tiny: Workspace) -> None:
    """What is checked of rows changes none: digests are taken of them."""
    path = folder_of(tiny) / "test/metadata.jsonl"
    for line in path.read_text().splitlines():
        assert Row.model_validate(json.loads(line)).line() == line == json_line(json.loads(line))
