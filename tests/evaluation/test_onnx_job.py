"""Another method as an ONNX file, scored as its pictures are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.files import sha256_file
from tests import onnx_methods as made
from tests.conftest import Workspace, no_network

pytest.importorskip("onnx", reason="the onnx extra is not installed")
pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
EVAL = ("eval", "./tiny.yaml", "--onnx", "m.onnx", "--name", "theirs")
RESULT = "results/tiny/theirs/onnx/eval-test-full.json"


def test_what_changes_nothing_scores_as_the_identity(tiny: Workspace) -> None:
    path = made.gain(tiny.path / "m.onnx", 1.0)
    done = tiny.run(*EVAL, "--json")
    assert done.returncode == 0, done.stderr
    assert "does not say which pictures it was trained with" in done.stderr
    identity, theirs = json.loads(done.stdout)
    for ours, other in zip(identity["rows"], theirs["rows"], strict=True):
        assert {k: v for k, v in other.items() if v is not None} == {
            k: v for k, v in ours.items() if v is not None
        }
    assert theirs["method"] == {
        "name": "theirs",
        "run": "onnx",
        "parameters": 1,
        "network_macs": None,
        "pixel_macs": None,
        "model_sha256": sha256_file(path),
        "predictions_sha256": None,
        "seed": None,
        "onnx": {"values": "0..1", "multiple": 1},
    }
    assert theirs["environment"]["onnxruntime"]
    assert "onnx" not in identity["method"]
    assert "onnxruntime" not in identity["environment"]
    assert json.loads((tiny.path / RESULT).read_text())["rows"] == theirs["rows"]
    assert tiny.json(*EVAL, "--dry-run") == {"would measure": []}


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_another_files_result_stays_unless_asked(tiny: Workspace, dry: tuple[str, ...]) -> None:
    made.gain(tiny.path / "m.onnx", 1.1)
    before = tiny.json(*EVAL)[1]
    for change in ((), ("--onnx-multiple", "8")):
        if not change:
            made.gain(tiny.path / "m.onnx", 1.3)
        else:
            made.gain(tiny.path / "m.onnx", 1.1)
        message = tiny.fails(2, *EVAL, *change, *dry)
        assert "another file, or of other settings, named theirs: --overwrite replaces" in message
        assert json.loads((tiny.path / RESULT).read_text())["rows"] == before["rows"]
    made.gain(tiny.path / "m.onnx", 1.3)
    if dry:
        assert RESULT in tiny.json(*EVAL, "--overwrite", *dry)["would measure"]
        return
    assert tiny.json(*EVAL, "--overwrite")[1]["rows"] != before["rows"]


def test_our_own_export_scores_as_the_run(trained: Workspace) -> None:
    quiet = no_network(trained)
    assert trained.run("export", "tiny/seed-0", "m.onnx").returncode == 0
    done = trained.run("eval", "tiny/seed-0", "--json", env=quiet)
    (_, ours), (_, theirs) = json.loads(done.stdout), trained.json(*EVAL)
    for one, other in zip(ours["rows"], theirs["rows"], strict=True):
        assert other["psnr"] == pytest.approx(one["psnr"], abs=0.01)
        assert other["grid_artefact"] == pytest.approx(one["grid_artefact"], abs=1e-3)
    for costs in ("parameters", "network_macs", "pixel_macs"):
        assert theirs["method"][costs] == ours["method"][costs]


def test_sizes_are_looked_at_before_anything_is_scored(tiny: Workspace) -> None:
    made.gain(tiny.path / "m.onnx", 1.0, [1, 3, 66, 50])  # of d, not of e
    message = tiny.fails(3, *EVAL)
    assert "e at size full: m.onnx takes pictures of 50 x 66 pixels alone" in message
    assert not (tiny.path / "results").exists()
    # Padded, both have one size.
    made.gain(tiny.path / "m.onnx", 1.0, [1, 3, 80, 80])
    assert tiny.json(*EVAL, "--onnx-multiple", "80")[1]["metrics"]["psnr"]["n"] == 2


def test_what_goes_wrong_names_the_picture(tiny: Workspace) -> None:
    made.quarter(tiny.path / "m.onnx")
    message = tiny.fails(3, *EVAL)
    assert "d: m.onnx fails for 50 x 66 pixels (where it takes multiples of N alone" in message
    assert tiny.json(*EVAL, "--onnx-multiple", "4")[1]["metrics"]["psnr"]["n"] == 2

    made.gain(tiny.path / "m.onnx", float("inf"))
    assert "d: m.onnx gives values that are not finite" in tiny.fails(3, *EVAL, "--overwrite")

    made.gain(tiny.path / "m.onnx", 255.0)
    message = tiny.fails(2, *EVAL, "--overwrite")
    assert "d: what m.onnx gives out is not in 0..1; it looks like 0..255" in message
    assert "--onnx-range=0..255" in message
    range_ = ("--onnx-range=-1..1", "--overwrite")
    made.gain(tiny.path / "m.onnx", 1.0)
    assert tiny.json(*EVAL, *range_)[1]["method"]["onnx"]["values"] == "-1..1"


def test_linear_inputs_are_not_shown_to_a_method_for_srgb(tiny: Workspace) -> None:
    path = Dataset(tiny.path / "data/demo-tiny").directory / "dataset.json"
    header = json.loads(path.read_text())
    path.write_text(json.dumps(header | {"input_encoding": "linear"}))
    made.gain(tiny.path / "m.onnx", 1.0)
    message = tiny.fails(2, *EVAL)
    assert (
        "taken for a method for sRGB pictures, and the inputs of dataset demo-tiny are" in message
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--onnx", "m.onnx"), "--onnx needs --name"),
        (("--name", "x"), "--name goes with --predictions or --onnx"),
        (("--onnx", "m.onnx", "--name", "hdrnet-x"), "is the name of a method of this project"),
        (("--onnx", "m.onnx", "--name", "../x"), "use letters, digits"),
        (("--onnx", "m.onnx", "--name", "x", "--baseline", "grid"), "are two things"),
        (("--onnx", "m.onnx", "--name", "x", "--predictions", "."), "are two things"),
        (("--onnx", "m.onnx", "--name", "x", "--allow-missing"), "goes with --predictions"),
        (("--onnx-range", "-1..1"), "--onnx-range and --onnx-multiple go with --onnx"),
        (("--onnx-multiple", "2"), "--onnx-range and --onnx-multiple go with --onnx"),
        (("--onnx", "m.onnx", "--name", "x", "--onnx-range", "0..2"), "0..2"),
        (("--onnx", "m.onnx", "--name", "x", "--onnx-multiple", "0"), "--onnx-multiple"),
    ],
)
def test_options_that_do_not_go_together(
    tiny: Workspace, arguments: tuple[str, ...], says: str
) -> None:
    made.gain(tiny.path / "m.onnx", 1.0)
    assert says in tiny.fails(2, "eval", "./tiny.yaml", *arguments)


def test_a_dataset_alone_and_a_file_that_is_not_there(tiny: Workspace) -> None:
    made.gain(tiny.path / "m.onnx", 1.0)
    command = ("eval", "--onnx", "m.onnx", "--name", "theirs")
    assert "needs a recipe or --dataset NAME" in tiny.fails(2, *command)
    tiny.json(*command, "--dataset", "demo-tiny")
    assert (tiny.path / "results/on-demo-tiny/theirs/onnx/eval-test-full.json").exists()
    Path("m.onnx").unlink()
    assert "m.onnx is missing" in tiny.fails(3, *EVAL)
