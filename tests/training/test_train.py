import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.pairs import PictureStore
from hdrnet_bench.errors import DataError
from hdrnet_bench.model.file import ModelHeader, read_model_header, save_model
from hdrnet_bench.prepare.build import build
from hdrnet_bench.prepare.staging import Task
from hdrnet_bench.recipe import parse_recipe
from hdrnet_bench.training.optimisation import loss_of
from hdrnet_bench.training.overrides import override
from hdrnet_bench.training.train import TrainingError, train
from hdrnet_bench.training.validation import validate
from tests.conftest import (
    Workspace,
    clean_environment,
    in_a_thread,
    make_tiny,
    tiny_plan,
    write_recipe,
)

CONFIG = HDRNetConfig(net_input_size=32, spatial_bin=4, luma_bins=4)


def test_a_run_holds_all_it_should(trained: Workspace) -> None:
    run = trained.path / "runs/tiny/seed-0"
    names = {"recipe.yaml", "environment.json", "setup.json", "log.jsonl"}
    names |= {"last.safetensors", "best.safetensors", "state.safetensors", "state.json"}
    events = {p.name for p in run.glob("events.out.tfevents.*")}
    assert len(events) == 1
    assert {p.name for p in run.iterdir()} == names | events
    assert [p.name for p in run.parent.iterdir() if p.suffix != ".lock"] == ["seed-0"]
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
    untrained = validate(HDRNet(CONFIG), PictureStore(dataset, dataset.split("validation"), True))
    assert summary["validation_psnr"]["last"] > untrained["psnr"] + 3


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
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) at step 2 \(batch: [ab], [ab]\)"
    ):
        train(recipe, dataset, tiny.path / "another", seed=0)


def test_a_diverging_run_keeps_its_last_good_checkpoint(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is spoilt at step 5 is neither in the models nor in the state of step 4."""
    recipe = parse_recipe(tiny.path / "tiny.yaml")
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    run, calls = tiny.path / "run", []

    def spoilt_at_five(spec, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return loss_of(spec, output, target) * (torch.nan if len(calls) == 5 else 1)

    monkeypatch.setattr("hdrnet_bench.training.train.loss_of", spoilt_at_five)
    small = override(recipe, ["training.validate_every=2", "training.batch_size=1"])
    with pytest.raises(TrainingError, match=r"the loss is nan at step 5 \(batch: [ab]\)"):
        train(small, dataset, run, seed=0)
    assert read_model_header(run / "last.safetensors").step == 4
    assert all(torch.isfinite(p).all() for p in load_model(run).parameters())
    assert json.loads((run / "state.json").read_text())["step"] == 4
    monkeypatch.setattr("hdrnet_bench.training.train.loss_of", loss_of)
    assert train(small, dataset, run, seed=0, resume=True)["resumed_at"] == 4


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_on_a_cpu_is_refused(tiny: Workspace, precision: str) -> None:
    message = tiny.fails(
        4, "train", "tiny.yaml", "--device", "cpu", "--set", f"training.precision={precision}"
    )
    assert f"training.precision {precision} needs a CUDA device, not cpu" in message
    assert not (tiny.path / "runs/tiny/seed-0").exists()


@pytest.mark.parametrize(
    "settings",
    [
        ["training.loss=l1", "training.optimiser=adamw", "training.weight_decay=0.01"],
        ["training.loss=charbonnier", "training.ema=0.9", "training.rot90=true"],
        ["model.variant=pyramid", "training.best_metric=delta_e_76", "training.weight_decay=1e-4"],
        ["model.variant=pointwise", "model.batch_norm=true", "model.lowres_resize=nearest"],
        ["training.epochs=3", "training.crop=80", "training.schedule=cosine"],
    ],
    ids=lambda settings: settings[0],
)
def test_every_choice_trains(tiny: Workspace, settings: list[str]) -> None:
    (summary,) = tiny.json("train", "tiny.yaml", *(f"--set={text}" for text in settings))
    log = (tiny.path / "runs/tiny/seed-0/log.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in log]
    assert len(entries) == summary["steps"] == (3 if "epochs" in settings[0] else 6)
    assert all(entry["loss"] < 100 for entry in entries)
    load_model(tiny.path / "runs/tiny/seed-0")


def test_best_is_chosen_by_the_named_metric(tiny: Workspace) -> None:
    settings = ["training.best_metric=delta_e_76", "training.validate_every=1"]
    (summary,) = tiny.json("train", "tiny.yaml", *(f"--set={text}" for text in settings))
    run = tiny.path / "runs/tiny/seed-0"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    measured = {entry["step"]: entry["validation_delta_e_76"] for entry in log}
    best = min(measured, key=lambda step: measured[step])  # lower is better
    assert summary["best"] == {"metric": "delta_e_76", "step": best, "value": measured[best]}
    assert read_model_header(run / "best.safetensors").step == best
    assert read_model_header(run / "last.safetensors").step == 6


def test_a_metric_that_cannot_be_computed_is_refused_at_the_start(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tiny.path / "hub"))
    message = tiny.fails(4, "train", "tiny.yaml", "--set", "training.best_metric=lpips")
    assert "best_metric lpips: not computed" in message
    assert not (tiny.path / "runs/tiny/seed-0").exists()


def test_averaged_weights_are_those_that_are_kept(tiny: Workspace) -> None:
    """With a decay of almost nothing they are the last ones; with a long one they are not."""
    weights = {}
    for name, decay in (("plain", "null"), ("short", "1e-9"), ("long", "0.99")):
        done = tiny.run("train", "tiny.yaml", "--run", name, "--set", f"training.ema={decay}")
        assert done.returncode == 0, done.stderr
        weights[name] = safetensors.torch.load_file(
            tiny.path / f"runs/tiny/{name}/last.safetensors"
        )
    key = "coefficient_network.prediction.conv.weight"
    assert torch.allclose(weights["plain"][key], weights["short"][key], atol=1e-6)
    assert not torch.allclose(weights["plain"][key], weights["long"][key], atol=1e-4)


def test_compiled_training_gives_the_same_losses(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced forward and backward, run by PyTorch: a compiler would take a minute more."""
    monkeypatch.setattr("torch.compile", partial(torch.compile, backend="aot_eager"))
    recipe = parse_recipe(tiny.path / "tiny.yaml")
    dataset = Dataset(tiny.path / "data" / "demo-tiny")
    losses = {}
    for compiled in (False, True):
        steps: list[float] = []
        train(
            override(recipe, ["training.steps=2", f"training.compile={compiled}".lower()]),
            dataset,
            tiny.path / f"run-{compiled}",
            seed=0,
            on_step=lambda progress, steps=steps: steps.append(progress.loss),
        )
        losses[compiled] = steps
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)


def test_data_wait_is_counted(tiny: Workspace) -> None:
    (summary,) = tiny.json("train", "tiny.yaml")
    assert 0 <= summary["data_wait_seconds"] <= summary["seconds"]
    share = summary["data_wait_seconds"] / summary["seconds"]
    assert summary["data_wait_share"] == pytest.approx(share, abs=1e-3)
    done = tiny.run("train", "tiny.yaml", "--overwrite")
    assert "waiting for data" in done.stdout
    log = (tiny.path / "runs/tiny/seed-0/log.jsonl").read_text().splitlines()
    waits = [json.loads(line)["data_wait"] for line in log]
    assert waits == sorted(waits)


def test_workers_change_no_result(tiny: Workspace) -> None:
    losses = []
    for workers in ("0", "1", "2"):
        done = tiny.run("train", "tiny.yaml", "--run", f"w{workers}", "--workers", workers)
        assert done.returncode == 0, done.stderr
        log = (tiny.path / f"runs/tiny/w{workers}/log.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in log])
    assert losses[0] == losses[1] == losses[2]


def test_events_read_back_as_the_log_has_them(tiny: Workspace) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tiny.json("train", "tiny.yaml")
    run = tiny.path / "runs/tiny/seed-0"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(run))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [
        (entry["step"], pytest.approx(entry["loss"], rel=1e-6)) for entry in log
    ]
    assert [e.step for e in events.Scalars("validation/psnr")] == [3, 6]
    pictures = events.Images("validation/input, output, target")
    assert [picture.step for picture in pictures] == [3, 6]
    assert (pictures[0].width, pictures[0].height) == (3 * 58, 58)


def test_several_seeds_end_in_their_mean_and_spread(tiny: Workspace) -> None:
    write_recipe(tiny.path / "tiny.yaml", lambda r: r["training"].update(seeds=[3, 5]))
    done = tiny.run("train", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tiny.path / "runs/tiny").glob("seed*")} == {"seed-3", "seed-5"}
    assert "2 seeds: validation PSNR" in done.stdout
    assert "±" in done.stdout


def test_a_dataset_without_validation_gives_some_of_its_training_pictures(tiny: Workspace) -> None:
    tasks = [Task(f"p{i}", "train", (i, 40, 40)) for i in range(20)]
    build(tiny_plan(), tasks, make_tiny, tiny.path / "data", open_pool=in_a_thread, overwrite=True)
    done = tiny.run("train", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    setup = json.loads((tiny.path / "runs/tiny/seed-0/setup.json").read_text())
    assert (setup["train"], setup["validation"]) == (19, 1)
    assert "5% of the training ids, by hash" in setup["notes"][0]


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
    for name in ("last", "best"):
        if (run / f"{name}.safetensors").exists():
            read_model_header(run / f"{name}.safetensors")
    message = tiny.fails(3, "eval", "tiny/seed-0")
    assert "was stopped at step" in message


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
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
    ids=["pickle", "truncated", "other safetensors", "future format", "wrong weights"],
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
