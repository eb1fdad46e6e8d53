"""What `prepare` says of what it leaves out, and of what this machine lacks."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.install import install_advice
from tests.conftest import Workspace, smooth_picture

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

FOLDERS = ("--input-dir", "in", "--target-dir", "target", "--workers", "1")
PREPARE = ("prepare", "folder", "--protocol", "mine", *FOLDERS)


@pytest.fixture
def pairs(workspace: Workspace) -> Workspace:
    """Four good pairs."""
    for seed, name in enumerate("abcd"):
        pair(f"{name}.png", seed)
    return workspace


def pair(name: str, seed: int, target_height: int = 24) -> None:
    for folder, height in (("in", 24), ("target", target_height)):
        Path(folder).mkdir(exist_ok=True)
        picture = Image.fromarray(smooth_picture(seed, height, 30))
        picture.save(f"{folder}/{name}", format="PNG")


def test_what_is_left_out_is_counted_by_stage_and_kind(pairs: Workspace) -> None:
    for seed, name in enumerate(("e: a.gif", "f.GIF", "g.cr2", "h"), 10):
        pair(name, seed)
    pair("i.png", 20, target_height=25)
    for name in ("j.png", "k.png"):
        pair(name, 30)
        Path("in", name).write_bytes(b"no picture")
    done = pairs.run(*PREPARE)
    assert done.returncode == 0, done.stderr
    said = (
        "7 rejected (kind 4: 2 .gif, 1 .cr2, 1 without suffix; decode 2; size 1): "
        "see data/folder-mine/rejected.jsonl"
    )
    assert said in done.stderr.splitlines()
    assert "rejections" not in done.stdout
    report = pairs.json(*PREPARE)
    assert report["rejections"] == {"kind": 4, "decode": 2, "size": 1}
    assert report["pairs"]["rejected"] == 7


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize(
    "content", [None, "no json\n", "[1]\n", '{"id":"a"}\n', "[" * 100_000, "\udcff", "pipe"]
)
def test_a_list_that_is_gone_or_broken_stops_nothing(pairs: Workspace, content: str | None) -> None:
    pair("e.gif", 9)
    path = Path(pairs.json(*PREPARE)["directory"]) / "rejected.jsonl"
    path.unlink()
    if content == "pipe":
        os.mkfifo(path)
    elif content is not None:
        path.write_text(content, errors="surrogateescape")
    done = pairs.run(*PREPARE)
    assert done.returncode == 0, done.stderr
    assert "1 rejected: see " in done.stderr
    assert ("is not what was left out" in done.stderr) == (content is not None)


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize("notes", [5, {"input": 5}, [[1], {}], None, {"input": ["grey", 7]}])
def test_notes_of_another_shape_stop_nothing(pairs: Workspace, notes: object) -> None:
    path = Path(pairs.json(*PREPARE)["directory"]) / "train" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["measured"] = json.dumps({"notes": notes})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = pairs.run(*PREPARE)
    assert done.returncode == 0, done.stderr
    assert ("grey" in done.stderr) == (notes == {"input": ["grey", 7]})


def test_where_nothing_is_left_out_nothing_is_said(pairs: Workspace) -> None:
    assert "rejected" not in pairs.run(*PREPARE).stderr
    assert pairs.json(*PREPARE)["rejections"] == {}


@pytest.mark.parametrize("limit", ["abc", "0", "nan", "1e9"])
def test_a_limit_that_is_none(pairs: Workspace, limit: str) -> None:
    message = pairs.fails(2, *PREPARE, env={"HDRBENCH_MAX_MEGAPIXELS": limit})
    assert f"HDRBENCH_MAX_MEGAPIXELS={limit}" in message


@pytest.mark.usefixtures("prepares_in_processes")
def test_a_missing_library_is_said_with_the_file(
    pairs: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip("pillow_heif")
    for folder, seed in (("in", 1), ("target", 2)):
        pixels = np.ascontiguousarray(smooth_picture(seed, 24, 32))
        library.from_bytes("RGB", (32, 24), pixels.tobytes()).save(f"{folder}/z.heic", quality=90)
    # Workers are processes of their own, which take over where modules are looked for.
    Path("without").mkdir()
    Path("without/pillow_heif.py").write_text("raise ImportError\n")
    monkeypatch.syspath_prepend(pairs.path / "without")
    message = pairs.fails(4, *PREPARE)
    assert "in/z.heic" in message
    assert install_advice("heif") in message
