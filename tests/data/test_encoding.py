"""One white level everywhere: what is stored, trained on, scored and enhanced means the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hdrnet_bench import HDRNet, HDRNetConfig
from hdrnet_bench.color import linear_to_srgb, srgb_to_linear
from hdrnet_bench.config import input_description
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.pairs import PictureStore, load_pair
from hdrnet_bench.images.files import read_picture, write_png
from hdrnet_bench.images.photo import read_photo
from hdrnet_bench.model.encoding import to_display, to_model_input
from hdrnet_bench.model.file import ModelHeader, save_model
from hdrnet_bench.model.load import load_model
from hdrnet_bench.model.lowres import make_lowres
from hdrnet_bench.prepare.build import PreparedPair, build
from hdrnet_bench.prepare.staging import Plan, Task
from hdrnet_bench.recipe import TrainingSpec
from hdrnet_bench.training.crops import CropDataset
from tests.conftest import Workspace, in_a_thread, smooth_picture, write_recipe

WHITE = 32767
SIDE = 40


def make_linear(seed: int) -> PreparedPair:
    """Linear light beyond white in 16 bits, against the sRGB picture it was made of."""
    picture = smooth_picture(seed, SIDE, SIDE)
    light = srgb_to_linear(picture / 255.0) * 4
    stored = np.rint(light * WHITE).clip(0, 65535).astype(np.uint16)
    return PreparedPair(stored, picture, ["made"], ["0" * 64], "CC0-1.0", {})


@pytest.fixture
def linear(workspace: Workspace) -> Workspace:
    """A workspace with a linear dataset and a recipe for it, linear.yaml."""
    plan = Plan("demo-light", "demo", "light", 1, "CC0-1.0", {}, "linear", WHITE)
    tasks = [Task("a", "train", 1), Task("b", "validation", 2), Task("c", "test", 3)]
    build(plan, tasks, make_linear, workspace.path / "data", open_pool=in_a_thread)
    linear_recipe(workspace, input_encoding="linear", input_white=WHITE, input_transfer="srgb")
    return workspace


def linear_recipe(workspace: Workspace, **model: Any) -> None:
    def change(recipe: dict[str, Any]) -> None:
        recipe["dataset"]["protocol"] = "light"
        recipe["model"] |= model

    write_recipe(workspace.path / "linear.yaml", change)


def config(**changes: Any) -> HDRNetConfig:
    small = {"net_input_size": 32, "spatial_bin": 4, "luma_bins": 4}
    return HDRNetConfig(**small, input_encoding="linear", input_white=WHITE, **changes)


@pytest.mark.parametrize("transfer", ["none", "srgb"])
def test_training_and_evaluation_see_the_same_numbers(linear: Workspace, transfer: str) -> None:
    dataset = Dataset(linear.path / "data/demo-light")
    (row,) = dataset.split("train")
    spec = TrainingSpec(
        steps=1, batch_size=1, crop=SIDE, flips=False, learning_rate=0.1, validate_every=1
    )
    of = config(input_transfer=transfer)
    batch = CropDataset(PictureStore(dataset, [row], keep=True), of, spec, seed=0).batch([0])
    pair = load_pair(dataset, row)
    stored = read_picture(dataset.input_path(row)).pixels
    # By hand: 32767 is 1.0, then the curve.
    light = torch.from_numpy(stored.astype(np.float32)).permute(2, 0, 1) / WHITE
    wanted = linear_to_srgb(light) if transfer == "srgb" else light
    torch.testing.assert_close(pair.input, light)
    torch.testing.assert_close(batch.crop[0], wanted)
    torch.testing.assert_close(to_model_input(pair.input, of), wanted)
    assert light.max() > 1.5

    model = HDRNet(of).eval()
    trained = model(batch.lowres, batch.crop)[0]
    torch.testing.assert_close(model.enhance(pair.input), trained, atol=1e-5, rtol=0)
    # The stored 16 bits themselves, which the model knows the white of.
    integers = torch.from_numpy(stored).permute(2, 0, 1)
    levels = model.enhance(integers).float()
    assert (levels - trained.clamp(0, 1) * 65535).abs().max() <= 1


def test_pictures_of_eight_bits_have_white_at_255(linear: Workspace) -> None:
    model = HDRNet(config(input_transfer="srgb")).eval()
    eight = torch.from_numpy(smooth_picture(9, 37, 45)).permute(2, 0, 1)
    wanted = model.enhance(eight / 255.0).clamp(0, 1) * 255
    assert (model.enhance(eight).float() - wanted).abs().max() <= 1


def test_low_res_input_is_made_of_what_the_network_is_given() -> None:
    model = HDRNet(config(input_transfer="srgb")).eval()
    image = torch.rand(3, 64, 96)
    given = linear_to_srgb(image)[None]
    wanted = model(make_lowres(given, 32, "area"), given)[0]
    torch.testing.assert_close(model.enhance(image), wanted, atol=1e-5, rtol=0)


def test_trains_and_evaluates_end_to_end(linear: Workspace) -> None:
    (trained,) = linear.json("train", "linear.yaml")
    model = load_model(linear.path / trained["run"])
    assert (model.config.input_encoding, model.config.input_white) == ("linear", WHITE)
    results = {r["method"]["name"]: r for r in linear.json("eval", "linear.yaml")}
    dataset = Dataset(linear.path / "data/demo-light")
    pair = load_pair(dataset, dataset.split("test")[0])
    # What changes nothing is scored as it would be shown.
    shown = to_display(pair.input, "linear").mul(255).round() / 255
    psnr = -10 * torch.log10((shown - pair.target).square().mean())
    assert results["identity"]["rows"][0]["psnr"] == pytest.approx(float(psnr), abs=1e-3)
    output = model.enhance(pair.input).clamp(0, 1).mul(255).round() / 255
    psnr = -10 * torch.log10((output - pair.target).square().mean())
    assert results["hdrnet-curves"]["rows"][0]["psnr"] == pytest.approx(float(psnr), abs=1e-3)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({}, "input_encoding srgb"),
        ({"input_encoding": "camera", "input_white": WHITE}, "input_encoding camera"),
        ({"input_encoding": "linear"}, "input_white 65535"),
    ],
)
def test_a_model_for_other_inputs_is_refused(
    linear: Workspace, model: dict[str, Any], named: str
) -> None:
    linear_recipe(linear, **model)
    line = linear.fails(2, "train", "linear.yaml")
    assert named in line
    assert "demo-light" in line


def test_a_run_is_not_scored_on_inputs_of_another_white(linear: Workspace) -> None:
    linear.json("train", "linear.yaml")
    header = linear.path / "data/demo-light/dataset.json"
    content = json.loads(header.read_text())
    header.write_text(json.dumps(content | {"input_white": 65535}))
    assert "input_white" in linear.fails(2, "eval", "linear.yaml")


def test_srgb_inputs_are_not_encoded_twice() -> None:
    with pytest.raises(ValidationError, match="encoded already"):
        HDRNetConfig(input_transfer="srgb")


def test_who_runs_it_elsewhere_is_told_what_to_give_it() -> None:
    assert input_description(HDRNetConfig()) == "sRGB"
    told = "linear light, sRGB primaries, 32767 of 16 bits is 1.0"
    assert input_description(config()) == told
    assert input_description(config(input_transfer="srgb")) == f"{told}, then sRGB's curve"
    assert input_description(HDRNetConfig(input_encoding="camera")) == "linear camera RGB"


def test_an_unsaid_encoding_leaves_files_as_they_were() -> None:
    said = HDRNetConfig().model_dump()
    assert not {"input_encoding", "input_white", "input_transfer"} & set(said)
    assert config(input_transfer="srgb").model_dump()["input_white"] == WHITE


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [("linear", "it is encoded for display"), ("camera", "for linear camera colours")],
)
def test_enhance_takes_stored_inputs(workspace: Workspace, encoding: Any, reason: str) -> None:
    model = HDRNet(
        HDRNetConfig(
            net_input_size=32, spatial_bin=4, luma_bins=4,
            input_encoding=encoding, input_white=WHITE, input_transfer="srgb",
        )
    ).eval()  # fmt: skip
    save_model(Path("m.safetensors"), model, ModelHeader(config=model.config))
    stored = make_linear(4).input
    write_png(Path("in.png"), stored)
    workspace.json("enhance", "m.safetensors", "in.png", "out.png", "--untagged", encoding)
    wanted = model.enhance(torch.from_numpy(stored).permute(2, 0, 1)).permute(1, 2, 0).float()
    made = torch.from_numpy(read_photo(Path("out.png")).pixels.astype(np.float32))
    assert (made - wanted).abs().max() <= 2
    refused = workspace.run("enhance", "m.safetensors", "in.png", "no.png")
    assert reason in refused.stderr
    assert not Path("no.png").exists()


def test_camera_colours_are_no_other_models(workspace: Workspace) -> None:
    model = HDRNet(HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4)).eval()
    save_model(Path("m.safetensors"), model, ModelHeader(config=model.config))
    write_png(Path("in.png"), make_linear(4).input)
    done = workspace.run("enhance", "m.safetensors", "in.png", "o.png", "--untagged", "camera")
    assert done.returncode == 3
    assert "camera" in done.stderr
