"""A network whose outputs are far outside [0, 1], untrained or diverging, has bad scores, not an
error: what is clamped by its definition is clamped first."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.pairs import Pair, PictureStore, load_pair
from hdrnet_bench.evaluation.score import score_pair
from hdrnet_bench.metric_specs import METRICS
from hdrnet_bench.metrics import mean_ab
from hdrnet_bench.model.file import read_model_header, save_model
from hdrnet_bench.training.validation import validate
from tests.conftest import Workspace, write_recipe

# All that is of a picture and needs no weights of its own.
NAMES = [name for name, of in METRICS.items() if not of.of_groups and "lpips" not in name]
UNCLAMPED = {"namedcurves.psnr", "namedcurves.ssim", "hdrnet.mse"}
CONFIG = HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4)
PLAIN = [name for name in NAMES if METRICS[name].needs != "masks"]


def make_wild(model: HDRNet) -> HDRNet:
    """Its coefficients a thousand times what they were, half of them turned round."""
    prediction = model.coefficient_network.prediction.conv
    with torch.no_grad():
        for parameter in prediction.parameters():
            parameter.mul_(1000)
            parameter[::2].neg_()
    return model


def pair_of(workspace: Workspace) -> Pair:
    dataset = Dataset(workspace.path / "data/demo-tiny")
    pair = load_pair(dataset, dataset.split("test")[0])
    mask = torch.ones(pair.target.shape[1:])
    return pair._replace(mask=mask, row=pair.row.model_copy(update={"group": "a scene"}))


@pytest.mark.parametrize("side", [1, -1])
def test_every_metric_has_a_value(tiny: Workspace, side: int) -> None:
    pair = pair_of(tiny)
    output = side * (300 * pair.input + 20)

    def method(pair: Pair) -> Tensor:
        return output

    row = score_pair(method, pair, [*NAMES, "glc"], 8)
    assert row["mean_ab"] == mean_ab(output.clamp(0, 1)).tolist()
    expected = score_pair(lambda pair: output.clamp(0, 1), pair, NAMES, 8)
    for name in set(NAMES) - UNCLAMPED - {"inversions"}:
        assert row[name] == expected[name], name
    mse = float((output.double() - pair.target.double()).square().mean())
    assert row["hdrnet.mse"] == pytest.approx(mse)
    assert row["namedcurves.psnr"] == pytest.approx(-10 * math.log10(mse))
    assert row["namedcurves.ssim"] is not None
    assert mse > 100


def test_an_evaluation_goes_through(tiny: Workspace) -> None:
    # What every evaluation measures besides cannot be named.
    named = [name for name in PLAIN if name not in ("grid_artefact", "inversions")]
    write_recipe(tiny.path / "tiny.yaml", lambda r: r["evaluation"].update(metrics=named))
    tiny.json("train", "./tiny.yaml")
    path = tiny.path / "runs/tiny/seed-0/last.safetensors"
    save_model(path, make_wild(load_model(path)), read_model_header(path))
    pair = pair_of(tiny)
    output = load_model(path).enhance(pair.input)
    assert output.max() > 10
    assert output.min() < -10

    _, result = tiny.json("eval", "./tiny.yaml")
    for name in PLAIN:
        assert result["metrics"][name]["mean"] is not None, name
    assert result["metrics"]["psnr"]["mean"] < 15
    mse = float((output.double() - pair.target.double()).square().mean())
    assert result["rows"][0]["hdrnet.mse"] == pytest.approx(mse)


def test_a_validation_goes_through(tiny: Workspace) -> None:
    dataset = Dataset(tiny.path / "data/demo-tiny")
    pictures = PictureStore(dataset, dataset.split("validation"), True)
    torch.manual_seed(0)
    model = make_wild(HDRNet(CONFIG).eval())
    pair = pictures.pair(0)
    output = model.enhance(pair.input)
    assert output.abs().max() > 10
    values = validate(model, pictures, PLAIN)
    assert values is not None
    assert all(math.isfinite(value) for value in values.values())
    assert values["psnr"] < 15
    mse = float((output.double() - pair.target.double()).square().mean())
    assert values["hdrnet.mse"] == pytest.approx(mse)
