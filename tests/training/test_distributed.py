"""Two real processes, started as users start them, against one with the same global batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.errors import UsageError
from hdrnet_bench.recipe import parse_recipe
from hdrnet_bench.training.checks import check_run
from hdrnet_bench.training.distributed import World, world_from_environment
from hdrnet_bench.training.overrides import override
from hdrnet_bench.version import __version__
from tests.conftest import Workspace, clean_environment, write_recipe


def torchrun_command() -> list[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = str(20000 + os.getpid() % 20000)
    return [*command, "--master-port", port, "-m", "hdrnet_bench", "train"]


def torchrun(tiny: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*torchrun_command(), *arguments],
        cwd=tiny.path,
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("hdrbench: ")]


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_two_processes_have_the_losses_of_one(tiny: Workspace) -> None:
    write_recipe(
        tiny.path / "tiny.yaml",
        lambda r: r["training"].update(
            batch_size=4, steps=12, validate_every=5, gradient_clip=1.0, ema=0.9, rot90=True
        ),
    )
    assert tiny.run("train", "tiny.yaml").returncode == 0
    done = torchrun(tiny, "tiny.yaml", "--run-name", "two")
    assert done.returncode == 0, done.stderr
    alone, two = tiny.path / "runs/tiny/seed-0", tiny.path / "runs/tiny/two"
    expected, measured = log_of(alone), log_of(two)
    assert [entry["step"] for entry in measured] == list(range(1, 13))
    for one, other in zip(expected, measured, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-5)
        if one["validation_psnr"] is not None:
            assert other["validation_psnr"] == pytest.approx(one["validation_psnr"], abs=0.01)
    weights = [safetensors.torch.load_file(r / "last.safetensors") for r in (alone, two)]
    for name, tensor in weights[0].items():
        assert torch.allclose(tensor, weights[1][name], atol=1e-3), name
    # One writer, one voice.
    assert done.stdout.count("12 steps in") == 1
    assert done.stderr.count("step 5/12") == 1
    assert len(list(two.glob("events.out.tfevents.*"))) == 1
    assert "2 processes, 2 of 4 samples each" in done.stderr


def test_batch_norm_on_cpus_is_per_process_and_said(tiny: Workspace) -> None:
    write_recipe(
        tiny.path / "tiny.yaml",
        lambda r: (r["model"].update(batch_norm=True), r["training"].update(batch_size=4)),
    )
    done = torchrun(tiny, "tiny.yaml", "--set", "training.steps=3")
    assert done.returncode == 0, done.stderr
    note = "batch norm: each process has the statistics of its own 2 samples"
    assert done.stderr.count(note) == 1
    assert note in (tiny.path / "runs/tiny/seed-0/setup.json").read_text()


def test_what_fails_in_all_is_said_once(tiny: Workspace) -> None:
    settings = ["training.learning_rate=1.0", "training.steps=60"]
    done = torchrun(tiny, "tiny.yaml", *(f"--set={text}" for text in settings))
    assert done.returncode != 0
    lines = said(done)
    assert len(lines) == 1, done.stderr
    assert "the loss is " in lines[0]


@pytest.mark.parametrize(
    ("processes", "settings", "message"),
    [
        (2, ["training.batch_size=3"], "batch_size 3 cannot be shared equally by 2 processes"),
        (2, ["training.batch_size=4"], None),
        (2, ["model.batch_norm=true"], "leaves each one sample, of which the dense layers have"),
        (2, ["model.batch_norm=true", "training.batch_size=4"], None),
        (1, ["model.batch_norm=true"], None),
    ],
)
def test_batches_that_cannot_be_shared_are_refused(
    tiny: Workspace, processes: int, settings: list[str], message: str | None
) -> None:
    recipe = override(parse_recipe(tiny.path / "tiny.yaml"), settings)
    dataset = Dataset(tiny.path / "data/demo-tiny")
    request = (recipe, dataset, tiny.path / "run", 0, "cpu", False, False, World(0, processes))
    if message is None:
        assert check_run(*request) is None
        return
    with pytest.raises(UsageError, match=message):
        check_run(*request)


def test_one_failing_process_ends_both_with_one_message(tiny: Workspace) -> None:
    """Rank 1 loses its data in the middle of training."""
    (tiny.path / "sitecustomize.py").write_text(
        "import os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    from hdrnet_bench.training import crops\n"
        "    whole, count = crops.CropDataset._cut, [0]\n"
        "    def fails(self, draw):\n"
        "        count[0] += 1\n"
        "        if count[0] > 3:\n"
        "            raise crops.DataError('rank 1 lost its disk')\n"
        "        return whole(self, draw)\n"
        "    crops.CropDataset._cut = fails\n"
    )
    os.environ["PYTHONPATH"] = str(tiny.path)
    try:
        done = torchrun(tiny, "tiny.yaml", "--workers", "0")
    finally:
        del os.environ["PYTHONPATH"]
    assert done.returncode != 0
    (line,) = said(done)
    assert line.startswith("hdrbench: rank 1 lost its disk; the run is kept at step "), line
    assert "Traceback" not in done.stderr.split("torch/distributed/elastic")[0]


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    world = world_from_environment()
    assert world == World(0, 1, 0, 1)
    assert world.all_gather(3) == [3]
    assert world.on_rank_zero(lambda: 7) == 7
    with pytest.raises(UsageError, match="x"):
        world.on_all_ranks(lambda: (_ for _ in ()).throw(UsageError("x")))
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(UsageError, match="WORLD_SIZE"):
        world_from_environment()


LEAVES = """
import atexit, sys
from hdrnet_bench.cli import main
atexit.register(print, "cleared up")
sys.argv[1:] = sys.argv[1:] or ["--version"]
main()
"""


@pytest.mark.parametrize("under", [{}, {"TORCHELASTIC_RUN_ID": "none"}])
@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["no-command"], 2)])
def test_under_torchrun_a_process_leaves_when_all_is_said(
    under: dict[str, str], arguments: list[str], code: int
) -> None:
    """Clearing up with it torch aborts one in thirty processes, and torchrun then all of them."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVES, *arguments],
        env=clean_environment() | under,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    assert ("cleared up" in done.stdout) == (not under)
    assert __version__ in done.stdout if code == 0 else "no-command" in done.stderr
