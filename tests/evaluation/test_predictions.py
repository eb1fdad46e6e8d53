"""Another method's pictures: paired by id, scored as they are; what does not fit is listed."""

import csv
import json
import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from hdrnet_bench.data.manifest import Dataset, Row
from hdrnet_bench.errors import DataError
from hdrnet_bench.evaluation.predictions import pair_predictions
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.images.photo import picture_size
from hdrnet_bench.results import Unpaired
from tests.conftest import Workspace


@pytest.fixture
def folder(tiny: Workspace) -> Path:
    """Test inputs as another method's output: d as PNG, e as 16-bit TIFF."""
    dataset, path = Dataset(tiny.path / "data/demo-tiny"), tiny.path / "theirs"
    path.mkdir()
    d, e = (read_picture(dataset.input_path(row)).pixels for row in dataset.split("test"))
    write_png(path / "d.png", d)
    (path / "e.tiff").write_bytes(imagecodecs.tiff_encode(e.astype(np.uint16) * 257))
    return path


def test_the_inputs_score_as_the_identity(tiny: Workspace, folder: Path) -> None:
    identity, theirs = tiny.json(
        "eval", "./tiny.yaml", "--predictions", "theirs", "--name", "other"
    )
    assert theirs["method"]["name"] == "other"
    assert theirs["method"]["run"] == "predictions"
    assert len(theirs["method"]["predictions_sha256"]) == 64
    assert theirs["method"]["parameters"] is None
    assert theirs["unpaired"] == {"missing": [], "extra": [], "wrong_size": []}
    assert theirs["rows"] == identity["rows"]
    rows = list(
        csv.DictReader((tiny.path / "results/tiny/other/predictions/eval-test-full.csv").open())
    )
    assert [row["id"] for row in rows] == ["d", "e"]


def test_what_does_not_fit_is_listed(tiny: Workspace, folder: Path) -> None:
    (folder / "d.png").rename(folder / "dd.png")
    (folder / "notes.txt").write_text("by hand")
    Image.new("RGB", (50, 61)).save(folder / "e.png")
    (folder / "e.tiff").unlink()
    command = ("eval", "./tiny.yaml", "--predictions", "theirs", "--name", "other")
    message = tiny.fails(3, *command)
    assert "no picture for demo-tiny, test, full" in message
    assert (
        "1 missing: d; 1 of another size: e; 2 of no picture in the split: dd.png, notes.txt"
        in message
    )
    (folder / "dd.png").rename(folder / "d.png")
    message = tiny.fails(3, *command)
    assert "1 of another size: e; --allow-missing scores the other 1 of 2" in message
    assert not (tiny.path / "results/tiny/other").exists()

    done = tiny.run(*command, "--allow-missing")
    assert done.returncode == 0, done.stderr
    assert "1 of another size: e; 1 of no picture in the split: notes.txt" in done.stderr
    assert "other: 1 pictures of the split are not among these" in done.stdout
    _, result = tiny.json(*command, "--allow-missing")
    assert result["unpaired"] == {"missing": [], "extra": ["notes.txt"], "wrong_size": ["e"]}
    assert [row["id"] for row in result["rows"]] == ["d"]
    assert result["metrics"]["psnr"]["n"] == 1


def named(dataset: Dataset, *sources: list[str]) -> list[Row]:
    """The test rows as if they were made of these files."""
    rows = dataset.split("test")
    return [
        row.model_copy(update={"source_names": names})
        for row, names in zip(rows, sources, strict=True)
    ]


def test_pictures_may_be_called_as_the_source_files(tiny: Workspace, folder: Path) -> None:
    dataset = Dataset(tiny.path / "data/demo-tiny")
    rows = named(
        dataset,
        ["input/sub/IMG 1 (e\u0301).jpg", "target/sub/IMG 1 (é).tif"],
        ["input/a0005-jmac.dng", "target/a0005-jmac.tif"],
    )
    (folder / "d.png").rename(folder / "IMG 1 (é).png")
    (folder / "e.tiff").rename(folder / "a0005-jmac.tiff")
    found = pair_predictions(folder, rows, "full")
    assert found.unpaired == Unpaired()
    assert found.files == {"d": folder / "IMG 1 (é).png", "e": folder / "a0005-jmac.tiff"}
    (folder / "d.png").write_bytes((folder / "IMG 1 (é).png").read_bytes())
    with pytest.raises(DataError, match=r"has IMG 1 \(é\)\.png and d\.png: keep one"):
        pair_predictions(folder, rows, "full")


def test_a_source_files_name_that_others_have_too_means_none(tiny: Workspace, folder: Path) -> None:
    dataset = Dataset(tiny.path / "data/demo-tiny")
    (folder / "d.png").rename(folder / "same.png")
    same = named(dataset, ["a/same.jpg"], ["b/same.jpg"])
    assert pair_predictions(folder, same, "full").unpaired.extra == ["same.png"]
    # Of another split; or another row's id, which it then is.
    one = named(dataset, ["a/same.jpg"], ["b/e.jpg"])
    assert set(pair_predictions(folder, one, "full").files) == {"d", "e"}
    other = dataset.split("train")[0].model_copy(update={"source_names": ["c/same.png"]})
    assert set(pair_predictions(folder, one, "full", [other]).files) == {"e"}
    of_an_id = other.model_copy(update={"source_names": [], "id": "same"})
    assert set(pair_predictions(folder, one, "full", [of_an_id]).files) == {"e"}
    swapped = named(dataset, ["a/e.jpg"], ["b/d.jpg"])
    assert pair_predictions(folder, swapped, "full").files == {"e": folder / "e.tiff"}


def test_a_name_that_is_no_text_is_listed(tiny: Workspace, folder: Path) -> None:
    (folder / os.fsdecode(b"\xe9t\xe9.png")).touch()  # Latin-1, as old archives have it
    command = ("eval", "./tiny.yaml", "--predictions", "theirs", "--name", "other")
    (_, theirs) = tiny.json(*command)
    assert theirs["unpaired"]["extra"] == ["\ufffdt\ufffd.png"]
    assert tiny.json(*command, "--dry-run") == {"would measure": []}


def test_other_contents_are_scored_again_when_asked(tiny: Workspace, folder: Path) -> None:
    """A result of pictures that may be gone is not replaced unasked."""
    command = ("eval", "./tiny.yaml", "--predictions", "theirs", "--name", "other")
    (_, before) = tiny.json(*command)
    assert tiny.json(*command, "--dry-run") == {"would measure": []}
    pixels = read_picture(folder / "d.png").pixels
    write_png(folder / "d.png", 255 - pixels)
    path = "results/tiny/other/predictions/eval-test-full.json"
    for more in ((), ("--dry-run",)):
        message = tiny.fails(2, *command, *more)
        assert f"{path} is the result of other pictures named other: --overwrite" in message
    assert json.loads((tiny.path / path).read_text()) == before
    assert path in tiny.json(*command, "--overwrite", "--dry-run")["would measure"]
    (_, after) = tiny.json(*command, "--overwrite")
    assert after["rows"][0]["psnr"] < before["rows"][0]["psnr"]
    # Nor one that cannot be read: another version may have written it.
    (tiny.path / path).write_text(json.dumps(after | {"schema_version": 99}))
    assert "in its schema 99" in tiny.fails(2, *command)
    assert tiny.json(*command, "--overwrite")[1]["rows"] == after["rows"]


def test_two_files_of_one_id_and_broken_ones(tiny: Workspace, folder: Path) -> None:
    command = ("eval", "--dataset", "demo-tiny", "--predictions", "theirs", "--name", "other")
    (folder / "e.jpg").write_bytes(b"no picture")
    assert "has e.jpg and e.tiff: keep one" in tiny.fails(3, *command)
    (folder / "e.tiff").unlink()
    assert "e.jpg cannot be decoded as a picture" in tiny.fails(3, *command)
    assert "is not a folder" in tiny.fails(3, *command[:3], "--predictions", "x", "--name", "y")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--predictions", "theirs"), "needs --name"),
        (("--name", "x"), "goes with --predictions"),
        (("--allow-missing",), "goes with --predictions"),
        (("--predictions", "theirs", "--name", "a/b"), "use letters"),
        (("--predictions", "theirs", "--name", "oracle-x"), "a method of this project"),
        (("--predictions", "theirs", "--name", "identity"), "a method of this project"),
        (("--predictions", "theirs", "--name", "x", "--baseline", "grid"), "one at a time"),
        (("--predictions", "theirs", "--name", "x", "--size", "both"), "of one size"),
    ],
)
def test_options_that_do_not_go_together(
    tiny: Workspace, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in tiny.fails(2, "eval", "./tiny.yaml", *arguments)
    assert "needs a recipe" in tiny.fails(2, "eval", "--predictions", "theirs", "--name", "x")


def test_at_480p_the_files_are_of_that_size(tiny: Workspace, folder: Path) -> None:
    """Never a picture made smaller here: rows that are large at full size."""
    dataset = Dataset(tiny.path / "data/demo-tiny")
    (d, _) = dataset.split("test")
    large = d.model_copy(update={"width": 960, "height": 1440})
    Image.new("RGB", (480, 720)).save(folder / "d.png")
    assert pair_predictions(folder, [large], "480p").files == {"d": folder / "d.png"}
    assert pair_predictions(folder, [large], "full").unpaired.wrong_size == ["d"]


def test_480p_of_small_pictures_would_be_the_full_size_again(tiny: Workspace, folder: Path) -> None:
    command = ("eval", "./tiny.yaml", "--predictions", "theirs", "--name", "other")
    message = tiny.fails(3, *command, "--size", "480p")
    assert "480p would be the full size again" in message
    assert not (tiny.path / "results").exists()


def test_size_from_the_header_is_the_upright_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    for orientation, size in ((1, (30, 20)), (3, (30, 20)), (6, (20, 30)), (5, (20, 30))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (30, 20)).save(path, exif=exif)
        assert picture_size(path) == size
        height, width, _ = read_picture(path).pixels.shape
        assert (width, height) == size


def test_a_kind_that_is_not_read_is_said(tiny: Workspace, folder: Path) -> None:
    """Of a right id it is neither missing alone nor a picture of no row."""
    (folder / "d.png").rename(folder / "d.bmp")
    command = ("eval", "./tiny.yaml", "--predictions", "theirs", "--name", "other")
    message = tiny.fails(3, *command)
    assert "1 missing: d; 1 of a kind that is not read: d.bmp" in message
    _, result = tiny.json(*command, "--allow-missing")
    assert result["unpaired"]["unread"] == ["d.bmp"]
    assert result["unpaired"]["extra"] == []
    tiny.json("report")
    assert "1 of a kind that is not read" in (tiny.path / "results/README.md").read_text()


def test_one_beside_a_picture_that_is_read_is_no_gap(tiny: Workspace, folder: Path) -> None:
    (folder / "d.exr").write_bytes(b"the same, in float")
    done = tiny.run("eval", "./tiny.yaml", "--predictions", "theirs", "--name", "other")
    assert done.returncode == 0, done.stderr
    assert "1 of a kind that is not read: d.exr" in done.stderr


def test_what_reading_had_to_do_is_counted(tiny: Workspace, folder: Path) -> None:
    for name in ("d.png", "e.tiff"):
        pixels = read_picture(folder / name).pixels
        picture = Image.fromarray(pixels if pixels.dtype == np.uint8 else np.uint8(pixels // 257))
        (folder / name).unlink()
        exif = picture.getexif()
        exif[0x0112] = 1
        picture.convert("RGBA" if name == "d.png" else "L").save(folder / f"{name[0]}.png")
    command = ("eval", "./tiny.yaml", "--predictions", "theirs", "--name", "other")
    counts = {"alpha channel left out": 1, "grey repeated into three channels": 1}
    for _ in range(2):  # measured now, and before
        done = tiny.run(*command, "--json")
        identity, theirs = json.loads(done.stdout)
        assert theirs["notes"] == counts
        assert "notes" not in identity
        assert (
            "notes: 1 x alpha channel left out, 1 x grey repeated into three channels; "
            "each picture's are in its row of the result"
        ) in done.stderr.splitlines()
    assert [row["notes"] for row in theirs["rows"]] == [[note] for note in counts]
    assert tiny.json(*command, "--dry-run") == {"would measure": []}
