import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.data import Crops, load_split
from hdrnet_bench.errors import DataError
from hdrnet_bench.manifest import Dataset
from hdrnet_bench.model_file import ModelHeader, read_model_header, save_model
from hdrnet_bench.recipe import TrainingSpec, parse_recipe
from hdrnet_bench.train import TrainingError, rate, train, validate
from tests.conftest import Workspace, clean_environment, write_recipe

CONFIG = HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4)


def pairs(tiny: Workspace):
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    return load_split(dataset, dataset.split("train"))


def test_crops_are_a_function_of_seed_and_draw(tiny: Workspace) -> None:
    def crops(seed: int = 0, draws: int = 20) -> Crops:
        return Crops(pairs(tiny), CONFIG, seed=seed, crop=32, flips=True, draws=draws)

    one, other, third = crops(), crops(draws=7), crops(seed=1)
    assert len(other) == 7
    assert all(torch.equal(a, b) for a, b in zip(one[5], other[5], strict=True))
    assert not all(torch.equal(one[k][1], third[k][1]) for k in range(6))
    lowres, crop, target = one[3]
    assert (lowres.shape, crop.shape, target.shape) == ((3, 32, 32),) * 3


def test_each_epoch_takes_each_picture_once_and_places_differ(tiny: Workspace) -> None:
    crops = Crops(pairs(tiny), CONFIG, seed=0, crop=50, flips=False, draws=40)
    sources = [
        next(
            pair.row.id
            for pair in crops.pairs
            if (pair.input.unfold(1, 50, 1).unfold(2, 50, 1) == crop[:, None, None])
            .flatten(3)
            .all(3)
            .all(0)
            .any()
        )
        for crop in (crops[k][1] for k in range(10))
    ]
    assert all({sources[k], sources[k + 1]} == {"a", "b"} for k in range(0, 10, 2))
    assert len({crops[k][1].sum().item() for k in range(40)}) > 30


def test_input_and_target_are_cut_and_flipped_alike(tiny: Workspace) -> None:
    twins = [pair._replace(target=pair.input) for pair in pairs(tiny)]
    crops = Crops(twins, CONFIG, seed=0, crop=32, flips=True, draws=16)
    assert all(torch.equal(crops[k][1], crops[k][2]) for k in range(16))


def test_a_picture_smaller_than_the_crop_is_named(tiny: Workspace) -> None:
    Crops(pairs(tiny), CONFIG, seed=0, crop=56, flips=True, draws=1)
    with pytest.raises(DataError, match="picture b is 56x64, smaller than the crop of 57"):
        Crops(pairs(tiny), CONFIG, seed=0, crop=57, flips=True, draws=1)


def test_schedule() -> None:
    def factors(**changes: object) -> list[float]:
        spec = TrainingSpec.model_validate(
            {
                "steps": 100,
                "batch_size": 1,
                "crop": 32,
                "learning_rate": 0.1,
                "validate_every": 1,
                **changes,
            }
        )
        return [rate(spec, step) for step in range(spec.steps)]

    assert set(factors()) == {1.0}
    warm = factors(warmup_steps=4)
    assert warm[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    cosine = factors(schedule="cosine")
    assert cosine[0] == 1
    assert cosine[50] == pytest.approx(0.5)
    assert 0 < cosine[-1] < 1e-3


def test_a_run_holds_all_it_should(trained: Workspace) -> None:
    run = trained.path / "runs/tiny/seed-0"
    names = {"recipe.yaml", "environment.json", "log.jsonl", "last.safetensors", "best.safetensors"}
    assert {p.name for p in run.iterdir()} == names
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2, 3, 4, 5, 6]
    measured = [entry["step"] for entry in log if entry["validation_psnr"] is not None]
    assert measured == [3, 6]
    header = read_model_header(run / "last.safetensors")
    assert (header.step, header.steps, header.seed, header.recipe) == (6, 6, 0, "tiny")
    dataset = Dataset(trained.path / "data/demo-tiny")
    assert header.dataset_digest == dataset.header.digest
    assert header.config == CONFIG
    model = load_model(run)
    assert not model.training
    assert model.config == CONFIG


def test_the_same_seed_gives_the_same_weights(trained: Workspace) -> None:
    run = trained.path / "runs/tiny"
    for arguments in (["--run", "again"], ["--seed", "1"]):
        done = trained.process("train", "tiny.yaml", *arguments)
        assert done.returncode == 0, done.stderr
    weights = {
        name: safetensors.torch.load_file(run / name / "last.safetensors")
        for name in ("seed-0", "again", "seed-1")
    }
    assert all(torch.equal(weights["seed-0"][k], v) for k, v in weights["again"].items())
    assert not all(torch.equal(weights["seed-0"][k], v) for k, v in weights["seed-1"].items())


def test_it_learns(tiny: Workspace) -> None:
    """A short training beats the untrained network by far, and the loss falls."""
    write_recipe(
        tiny.path / "tiny.yaml",
        lambda r: r["training"].update(
            steps=150, validate_every=150, gradient_clip=1.0, schedule="cosine", warmup_steps=5
        ),
    )
    (summary,) = tiny.json("train", "tiny.yaml")
    log = (tiny.path / "runs/tiny/seed-0/log.jsonl").read_text().splitlines()
    psnr = [json.loads(line)["psnr"] for line in log]
    assert sum(psnr[-10:]) / 10 > sum(psnr[:10]) / 10 + 6
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    untrained = validate(HDRNet(CONFIG), load_split(dataset, dataset.split("validation")))
    assert summary["validation_psnr"]["last"] > untrained + 3


def test_several_seeds_are_several_runs(tiny: Workspace) -> None:
    write_recipe(tiny.path / "tiny.yaml", lambda r: r["training"].update(seeds=[3, 8], steps=2))
    assert "add --seed" in tiny.fails(2, "train", "tiny.yaml", "--run", "x")
    plan = tiny.json("train", "tiny.yaml", "--dry-run")
    assert plan["runs"] == ["runs/tiny/seed-3", "runs/tiny/seed-8"]
    assert not (tiny.path / "runs").exists()
    summaries = tiny.json("train", "tiny.yaml")
    assert [s["run"] for s in summaries] == plan["runs"]


def test_nothing_is_overwritten_unasked(trained: Workspace) -> None:
    model = trained.path / "runs/tiny/seed-0/last.safetensors"
    before = model.stat().st_mtime_ns
    assert "--overwrite" in trained.fails(2, "train", "tiny.yaml")
    assert model.stat().st_mtime_ns == before
    assert trained.run("train", "tiny.yaml", "--overwrite").returncode == 0
    assert model.stat().st_mtime_ns != before


def test_diverging_training_stops_with_the_step(tiny: Workspace) -> None:
    recipe = parse_recipe(tiny.path / "tiny.yaml")
    spec = recipe.training.model_copy(update={"learning_rate": 1e30, "validate_every": 1})
    recipe = recipe.model_copy(update={"training": spec})
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    assert TrainingError.exit_code == 2
    with pytest.raises(TrainingError, match="the output is not finite after step 1"):
        train(recipe, dataset, tiny.path / "run", seed=0)
    assert not (tiny.path / "run" / "last.safetensors").exists()
    spec = spec.model_copy(update={"validate_every": 3})
    recipe = recipe.model_copy(update={"training": spec})
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at step 2"):
        train(recipe, dataset, tiny.path / "another", seed=0)


def start_long_training(tiny: Workspace) -> subprocess.Popen[str]:
    """Training that would take minutes, once it has written its first checkpoint."""
    write_recipe(
        tiny.path / "tiny.yaml",
        lambda r: r["training"].update(steps=100000, validate_every=2),
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hdrnet_bench", "train", "tiny.yaml"],
        cwd=tiny.path,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    checkpoint = tiny.path / "runs/tiny/seed-0/last.safetensors"
    deadline = time.monotonic() + 90
    while not checkpoint.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_training_is_whole_and_not_taken_for_finished(
    tiny: Workspace, kill: signal.Signals
) -> None:
    process = start_long_training(tiny)
    assert "another process" in tiny.fails(3, "train", "tiny.yaml", "--overwrite")
    os.kill(process.pid, kill)
    _, errors = process.communicate(timeout=60)
    if kill == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in errors
    run = tiny.path / "runs/tiny/seed-0"
    load_model(run)
    for path in run.glob("*.safetensors"):
        read_model_header(path)
    message = tiny.fails(3, "eval", "tiny/seed-0")
    assert "was stopped at step" in message


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.unlink(), "no model file"),
        (lambda p: p.write_bytes(b"\x80\x04\x95 pickled"), "is not a model file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "safetensors"),
        (
            lambda p: safetensors.torch.save_file({"x": torch.zeros(1)}, p),
            "holds no HDRNet configuration",
        ),
        (
            lambda p: safetensors.torch.save_file(
                {"x": torch.zeros(1)}, p, {"hdrnet_bench": '{"format": 99}'}
            ),
            "model format 99",
        ),
        (
            lambda p: save_model(p, HDRNet(CONFIG), ModelHeader(config=HDRNetConfig())),
            "weights do not fit",
        ),
    ],
    ids=["missing", "pickle", "truncated", "other safetensors", "future format", "wrong weights"],
)
def test_what_is_no_model_file_is_refused(tmp_path: Path, spoil, message: str) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, HDRNet(CONFIG), ModelHeader(config=CONFIG))
    spoil(path)
    with pytest.raises(DataError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)


def test_model_file_brings_the_same_network_back(tmp_path: Path) -> None:
    for variant in ("curves", "pointwise", "pyramid"):
        config = HDRNetConfig(
            variant=variant, net_input_size=32, spatial_bin=8, luma_bins=4, batch_norm=True
        )
        model = HDRNet(config).eval()
        save_model(tmp_path / "m.safetensors", model, ModelHeader(config=config))
        picture = torch.rand(3, 40, 30)
        again = load_model(tmp_path / "m.safetensors").enhance(picture)
        assert torch.equal(again, model.enhance(picture))
