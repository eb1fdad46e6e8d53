"""Every kind of file gives the same right pixels, or the same refusal, wherever it is read."""

from __future__ import annotations

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.data.manifest import open_dataset
from hdrnet_bench.data.pairs import load_pair
from hdrnet_bench.errors import DataError
from hdrnet_bench.evaluation.predictions import pair_predictions
from hdrnet_bench.images.files import read_picture
from hdrnet_bench.images.photo import ENHANCING, picture_size, read_photo
from hdrnet_bench.model.file import ModelHeader, save_model
from tests.conftest import Workspace
from tests.pictures.kinds import CASES, Case

pytestmark = pytest.mark.usefixtures("prepares_in_a_thread")

BY_NAME = {case.name: case for case in CASES}
READ = [case for case in CASES if case.right is not None]
REFUSED = [case for case in CASES if case.refused]
DAMAGED = [case for case in CASES if case.damaged]
BY_ID = {"ids": lambda case: case.name}


def write(folder: Path, case: Case) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / case.name
    path.write_bytes(case.content)
    return path


def assert_right(pixels: np.ndarray, wanted: np.ndarray, levels: int) -> None:
    assert pixels.dtype == wanted.dtype
    assert pixels.shape == wanted.shape
    assert np.abs(pixels.astype(np.int64) - wanted).max() <= levels


def test_the_table_has_each_kind_once() -> None:
    assert len(BY_NAME) == len(CASES) > 100
    for case in CASES:
        assert (case.right is not None) + bool(case.refused) >= (case.damaged is None), case.name


@pytest.mark.parametrize("case", [c for c in READ if not c.damaged], **BY_ID)
def test_measuring_reads_the_right_pixels(tmp_path: Path, case: Case) -> None:
    path = write(tmp_path, case)
    picture = read_picture(path)
    assert_right(picture.pixels, case.right, case.levels)
    assert case.says is None or any(case.says in note for note in picture.notes), picture.notes
    height, width = case.right.shape[:2]
    assert picture_size(path) == (width, height)


@pytest.mark.parametrize("case", READ, **BY_ID)
def test_enhancing_reads_the_files_own_pixels(tmp_path: Path, case: Case) -> None:
    photo = read_photo(write(tmp_path, case), ENHANCING)
    own = case.right if case.own is None else case.own
    assert_right(photo.pixels, own, 0 if case.own is not None else case.levels)
    assert photo.pixels.flags.c_contiguous
    assert photo.pixels.flags.writeable
    assert case.says is None or photo.notes


@pytest.mark.parametrize("case", REFUSED, **BY_ID)
def test_what_is_refused_is_named_by_both(tmp_path: Path, case: Case) -> None:
    path = write(tmp_path, case)
    for read in (read_picture, read_photo):
        with pytest.raises(DataError) as caught:
            read(path)
        text = str(caught.value)
        assert case.refused in text
        assert str(path) in text
        assert "\n" not in text


@pytest.mark.parametrize("case", DAMAGED, **BY_ID)
def test_damage_that_the_decoder_knows_is_refused_or_noted(tmp_path: Path, case: Case) -> None:
    path = write(tmp_path, case)
    with pytest.raises(DataError, match=case.damaged):
        read_picture(path)
    with pytest.raises(DataError, match=case.damaged):
        read_photo(path, ENHANCING._replace(damaged=False))
    notes = read_photo(path, ENHANCING).notes
    assert any(note.startswith("damaged: ") and case.damaged in note for note in notes)


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    for case in CASES:
        # Names of their own: a.png and a.jpg would be one pair.
        path = Path("in") / case.name.replace(".", "-", case.name.count(".") - 1)
        path.parent.mkdir(exist_ok=True)
        path.with_name(f"{_id(case)}{Path(case.name).suffix}").write_bytes(case.content)
    return Path("in")


def _id(case: Case) -> str:
    return case.name.replace(".", "-")


def test_preparing_gives_the_right_pixels_or_the_refusal(
    workspace: Workspace, folder: Path
) -> None:
    report = workspace.json("prepare", "folder", "--protocol", "identity", "--input-dir", "in")
    dataset = open_dataset("folder-identity")
    rows = {row.id: row for row in dataset.rows}
    lines = (dataset.directory / "rejected.jsonl").read_text().splitlines()
    reasons = {line["id"]: line["reason"] for line in map(json.loads, lines)}
    duplicates = {id_ for id_, reason in reasons.items() if "has the pixels of" in reason}
    for case in CASES:
        if case.refused or case.damaged:
            assert (case.refused or case.damaged) in reasons[_id(case)]
            assert str(Path.cwd()) not in reasons[_id(case)]
        elif _id(case) not in duplicates:
            pixels = imagecodecs.png_decode(dataset.input_path(rows[_id(case)]).read_bytes())
            assert_right(pixels, case.right, case.levels)
    assert len(duplicates) > 20  # many kinds hold the same picture
    assert report["notes"]["orientation 6 applied"] > 0


def test_predictions_are_the_right_pixels_or_refused(workspace: Workspace) -> None:
    """Of each kind one picture: its targets are the right pixels, so all that is read is exact."""
    Path("in").mkdir()
    Path("predicted").mkdir()
    chosen = [c for c in READ if not c.damaged]
    for number, case in enumerate(chosen):
        # A pixel of its own keeps equal pictures apart; the predictions are the files themselves.
        right = case.right.copy()
        right[0, 0, 0] = number
        (Path("in") / f"{_id(case)}.png").write_bytes(imagecodecs.png_encode(right))
        (Path("predicted") / f"{_id(case)}{Path(case.name).suffix}").write_bytes(case.content)
    workspace.json("prepare", "folder", "--protocol", "identity", "--input-dir", "in")
    dataset = open_dataset("folder-identity")
    predictions = pair_predictions(Path("predicted"), dataset.rows, "original")
    assert not predictions.unpaired.missing
    assert not predictions.unpaired.wrong_size
    for row in dataset.rows:
        case = next(c for c in chosen if _id(c) == row.id)
        scored = predictions.method(load_pair(dataset, row))
        white = np.iinfo(case.right.dtype).max
        wanted = torch.from_numpy(case.right.astype(np.float64) / white).permute(2, 0, 1)
        assert (scored.double() - wanted).abs().max() * white <= case.levels + 0.01


def test_enhancing_by_a_model_that_changes_nothing(workspace: Workspace, folder: Path) -> None:
    model = _identity()
    save_model(Path("model.safetensors"), model, ModelHeader(config=model.config))
    done = workspace.run("enhance", "model.safetensors", "in", "out", "--format", "png", "--json")
    assert done.returncode == 3
    reports = {Path(r["input"]).stem: r for r in json.loads(done.stdout) if "skipped" not in r}
    for case in CASES:
        report = reports[_id(case)]
        if case.refused:
            assert case.refused in report["error"]
            continue
        assert report["error"] is None, case.name
        assert not case.damaged or any(case.damaged in note for note in report["notes"])
        own = case.own if case.own is not None else case.right
        if own is None:
            continue
        assert case.says is None or any(case.says in note for note in report["notes"])
        pixels = imagecodecs.png_decode(Path(report["output"]).read_bytes())
        # By way of sRGB and back where the file has other colours: a level of rounding more.
        assert_right(pixels, own, case.levels + 2 if case.own is not None else case.levels)
    strict = workspace.run(
        "enhance", "model.safetensors", "in", "strict", "--format", "png", "--json", "--strict"
    )
    refused = {Path(r["input"]).stem for r in json.loads(strict.stdout) if r.get("error")}
    assert refused == {_id(case) for case in CASES if case.refused or case.damaged}


def _identity() -> HDRNet:
    model = HDRNet(HDRNetConfig(net_input_size=32, spatial_bin=8, luma_bins=4)).eval()
    with torch.no_grad():
        last = model.coefficient_network.prediction.conv
        last.weight.zero_()
        bias = torch.zeros(4, 3, 4)
        for channel in range(3):
            bias[channel, channel] = 1.0
        last.bias.copy_(bias.flatten())
    return model
