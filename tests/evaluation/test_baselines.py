"""Baselines: each reaches what it must, and none says that it is a method."""

import json

import pytest
import torch

from hdrnet_bench import HDRNetConfig
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.pairs import Pair
from hdrnet_bench.data.sizes import load_pair_at
from hdrnet_bench.evaluation.baselines import affine, grid, identity, luma
from hdrnet_bench.evaluation.score import score
from tests.conftest import Workspace, no_network, write_recipe

CONFIG = HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4)


def pair(tiny: Workspace) -> Pair:
    dataset = Dataset(tiny.path / "data/demo-tiny")
    return load_pair_at(dataset, dataset.split("test")[0], "full")


def test_each_bound_holds_the_one_below(tiny: Workspace) -> None:
    one = pair(tiny)
    methods = [identity("srgb"), affine(CONFIG), grid(CONFIG, luma)]
    errors = [float((method(one) - one.target).square().mean()) for method in methods]
    assert errors[0] > errors[1] > errors[2]


def test_an_affine_target_is_met_by_both_oracles(tiny: Workspace) -> None:
    one = pair(tiny)
    matrix = torch.tensor([[0.6, 0.2, 0.0], [0.1, 0.7, 0.1], [0.0, 0.3, 0.4]])
    target = torch.einsum("oi,ihw->ohw", matrix, one.input) + 0.05
    for method in (affine(CONFIG), grid(CONFIG, luma)):
        torch.testing.assert_close(method(one._replace(target=target)), target, atol=1e-4, rtol=0)


def test_oracles_see_what_a_model_is_given(tiny: Workspace) -> None:
    """Linear inputs that the model puts through sRGB's curve: a transform of the encoded picture
    is met, as the model could."""
    from hdrnet_bench.color import linear_to_srgb

    one = pair(tiny)
    config = CONFIG.model_copy(update={"input_encoding": "linear", "input_transfer": "srgb"})
    target = 0.7 * linear_to_srgb(one.input) + 0.1
    torch.testing.assert_close(
        affine(config)(one._replace(target=target)), target, atol=1e-4, rtol=0
    )
    assert float((affine(CONFIG)(one._replace(target=target)) - target).abs().max()) > 1e-2


def test_no_model_of_that_grid_is_better(trained: Workspace) -> None:
    """The fit under a run's own guide bounds the run, picture by picture."""
    from hdrnet_bench import load_model

    model = load_model(trained.path / "runs/tiny/seed-0")
    one = pair(trained)
    fitted = grid(model.config, model.guides[0])(one)
    error, bound = ((x - one.target).square().mean() for x in (model.enhance(one.input), fitted))
    assert bound < error


def test_results_name_oracles_and_their_guide(trained: Workspace) -> None:
    (affine_,) = trained.json("eval", "./tiny.yaml", "--baseline", "affine")
    (under_luma,) = trained.json("eval", "./tiny.yaml", "--baseline", "grid")
    (under_run,) = trained.json("eval", "tiny/seed-0", "--baseline", "grid")
    assert affine_["method"]["name"] == "oracle-affine"
    assert under_luma["method"]["name"] == "oracle-grid-4x4x4-luma"
    assert under_run["method"]["name"] == "oracle-grid-4x4x4-curves"
    assert [r["method"]["run"] for r in (under_luma, under_run)] == ["baseline", "seed-0"]
    assert under_luma["method"]["model_sha256"] is None
    assert under_run["method"]["model_sha256"] is not None
    (identity_, run) = trained.json("eval", "tiny/seed-0")
    for name in ("psnr", "ssim"):
        means = [
            r["metrics"][name]["mean"] for r in (identity_, affine_, under_luma, run, under_run)
        ]
        assert max(means[2], means[4]) > means[1] > means[0]
        assert means[4] > means[3]
    text = trained.run("eval", "./tiny.yaml", "--baseline", "affine").stdout
    assert "oracle: fitted to each picture's target; a bound, not a method" in text


def test_a_dataset_alone_will_do(tiny: Workspace) -> None:
    done = tiny.run(
        "eval", "--baseline", "identity", "--dataset", "demo-tiny", "--json", env=no_network(tiny)
    )
    (result,) = json.loads(done.stdout)
    assert result["recipe"]["name"] == "on-demo-tiny"
    assert (tiny.path / "results/on-demo-tiny/identity/baseline/eval-test-full.json").exists()
    assert set(result["metrics"]) >= {"psnr", "ssim", "lpips", "delta_e_2000", "grid_artefact"}
    message = tiny.fails(2, "eval", "--baseline", "affine")
    assert "--baseline affine needs a recipe or --dataset NAME" in message


def test_a_pyramid_has_no_single_bound(trained: Workspace) -> None:
    write_recipe(
        trained.path / "pyramid.yaml",
        lambda r: r.update(name="pyramid", model=r["model"] | {"variant": "pyramid"}),
    )
    done = trained.run("train", "pyramid.yaml", "--set", "training.steps=1")
    assert done.returncode == 0, done.stderr
    message = trained.fails(2, "eval", "runs/pyramid/seed-0", "--baseline", "grid")
    assert "is a pyramid" in message
    (luma_,) = trained.json("eval", "./pyramid.yaml", "--baseline", "grid")
    assert luma_["method"]["name"] == "oracle-grid-4x4x4-luma"


def test_identity_is_the_input(tiny: Workspace) -> None:
    one = pair(tiny)
    (result,) = tiny.json("eval", "./tiny.yaml", "--baseline", "identity")
    row = next(r for r in result["rows"] if r["id"] == one.row.id)
    names = ["psnr", "ssim", "delta_e_76", "delta_e_2000", "grid_artefact"]
    assert {n: row[n] for n in names} == pytest.approx(score(one.input, one.target, names))
    assert json.loads(
        (tiny.path / "results/tiny/identity/baseline/eval-test-full.json").read_text()
    )
