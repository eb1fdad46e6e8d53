"""One photograph from file to file, in Python, as the command does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdrnet_bench import HDRNet, enhance_file
from hdrnet_bench.errors import CapabilityError, DataError, UsageError
from hdrnet_bench.images import read_picture, write_png
from tests import pictures
from tests.conftest import Workspace, smooth_picture
from tests.enhance.test_run import model as model  # a fixture

EIGHT = smooth_picture(1, 30, 44)


@pytest.mark.parametrize("as_path", [str, Path])
def test_it_is_what_the_command_makes(workspace: Workspace, model: HDRNet, as_path: type) -> None:
    Image.fromarray(EIGHT).save("a.png", icc_profile=pictures.DISPLAY_P3)
    report = enhance_file(model, as_path("a.png"), as_path("b.tif"), bits=16)
    workspace.run("enhance", "model.safetensors", "a.png", "c.tif", "--bits", "16")
    assert Path("b.tif").read_bytes() == Path("c.tif").read_bytes()
    assert {key: report[key] for key in ("input", "output", "width", "height", "bits")} == {
        "input": "a.png",
        "output": "b.tif",
        "width": 44,
        "height": 30,
        "bits": 16,
    }
    assert set(report) == {"input", "output", "width", "height", "bits", "notes", "seconds"}
    written = read_picture("b.tif")
    assert written.pixels.dtype == np.uint16
    assert np.abs(written.pixels.astype(int) // 257 - read_picture("a.png").pixels).mean() > 5


def test_nothing_is_replaced_unasked(workspace: Workspace, model: HDRNet) -> None:
    write_png("a.png", EIGHT)
    Path("b.png").write_text("mine")
    with pytest.raises(UsageError, match=r"b\.png is there already"):
        enhance_file(model, "a.png", "b.png")
    assert Path("b.png").read_text() == "mine"
    enhance_file(model, "a.png", "b.png", overwrite=True)
    assert read_picture("b.png").pixels.shape == EIGHT.shape
    with pytest.raises(UsageError, match="input"):
        enhance_file(model, "a.png", "a.png", overwrite=True)


@pytest.mark.parametrize(
    ("source", "target", "settings", "error", "says"),
    [
        ("none.png", "b.png", {}, DataError, "there is no file none.png"),
        ("*.png", "b.png", {}, DataError, r"there is no file \*.png"),
        (".", "b.png", {}, UsageError, r"\. is a folder"),
        ("a.png", "folder", {}, UsageError, "folder is a folder"),
        ("a.png", "b.gif", {}, UsageError, "b.gif: its suffix says no kind"),
        ("a.png", "b", {}, UsageError, "b: its suffix says no kind"),
        (
            "a.png",
            "b.jpg",
            {"bits": 16},
            UsageError,
            "b.jpg: bits=16 is not what such a file holds",
        ),
        (
            "a.png",
            "b.png",
            {"bits": 10},
            UsageError,
            "b.png: bits=10 is not what such a file holds",
        ),
        ("a.png", "b.png", {"untagged": "foo"}, UsageError, "untagged is 'foo', not one of srgb, "),
        ("a.png", "b.jpg", {"quality": 0}, UsageError, "quality is 0, not 1 to 100"),
        ("a.png", "b.jpg", {"quality": 101}, UsageError, "quality is 101, not 1 to 100"),
        ("words.png", "b.png", {}, DataError, "words.png"),
        ("a.png", "b.png", {"untagged": "camera"}, DataError, "a.png: .*camera"),
    ],
)
def test_what_is_wrong_is_said(
    workspace: Workspace,
    model: HDRNet,
    source: str,
    target: str,
    settings: dict,
    error: type[Exception],
    says: str,
) -> None:
    write_png("a.png", EIGHT)
    Path("words.png").write_text("words")
    Path("folder").mkdir()
    before = sorted(path.name for path in Path().iterdir())
    with pytest.raises(error, match=says):
        enhance_file(model, source, target, **settings)
    assert sorted(path.name for path in Path().iterdir()) == before


def test_a_library_that_is_missing_is_a_capability(
    workspace: Workspace, model: HDRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png("a.png", EIGHT)

    def missing() -> None:
        raise CapabilityError("pillow-heif is missing")

    monkeypatch.setattr("hdrnet_bench.images.heif.pillow_heif", missing)
    with pytest.raises(CapabilityError, match="pillow-heif is missing"):
        enhance_file(model, "a.png", "b.heic")


def test_the_extremes_of_quality_are_taken(workspace: Workspace, model: HDRNet) -> None:
    write_png("a.png", EIGHT)
    sizes = []
    for quality in (1, 100):
        enhance_file(model, "a.png", f"{quality}.jpg", quality=quality)
        sizes.append(Path(f"{quality}.jpg").stat().st_size)
    assert sizes[0] < sizes[1]


def test_a_name_is_no_model(workspace: Workspace) -> None:
    write_png("a.png", EIGHT)
    with pytest.raises(UsageError, match="the model is str: hand what load_model gives"):
        enhance_file("demo-retouch", "a.png", "b.png")  # type: ignore[arg-type]
