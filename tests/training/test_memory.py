"""Too little memory, and too little shared memory: refused before it is tried, or one line."""

import errno
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hdrnet_bench.errors import CapabilityError
from hdrnet_bench.memory import lack_of_memory
from hdrnet_bench.recipe import parse_recipe
from hdrnet_bench.training import memory
from hdrnet_bench.training.overrides import override
from tests import running
from tests.conftest import ROOT, Workspace, clean_environment
from tests.training.running import run_recipe, said

ABSURD = [
    ["training.crop=65536", "training.batch_size=4096"],
    ["training.crop=65536"],
    ["model.net_input_size=4096", "model.spatial_bin=4", "training.batch_size=4096"],
    ["model.net_input_size=512", "model.spatial_bin=256", "training.batch_size=4096"],
    ["model.channel_multiplier=16", "model.luma_bins=64", "model.spatial_bin=16"],
    ["model.variant=pointwise", "model.guide_complexity=256", "training.crop=16384"],
]


@pytest.mark.fault("hostile recipes and models")
def test_what_no_machine_can_train_is_refused_with_the_figure(
    tiny: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 20 * 10**9)
    began = time.process_time()
    for settings in ABSURD:
        options = [f"--set={setting}" for setting in settings]
        message = tiny.fails(4, "train", "tiny.yaml", *options)
        assert "a step of recipe tiny needs about" in message
        assert "this machine has 20 GB free: lower " in message
        assert not (tiny.path / "runs/tiny/seed-0").exists()
    assert time.process_time() - began < 20
    plan = tiny.json("train", "tiny.yaml", "--dry-run", *options)
    assert plan["memory"].endswith(" GB of memory, and this machine has 20 GB free")
    record_property("faults", len(ABSURD))


@pytest.mark.fault("streams and limits")
def test_an_allocator_that_has_nothing_left_is_one_line(
    tiny: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """Beyond any machine's address space; the check before it looks away."""
    monkeypatch.setattr(memory, "available", lambda: 1 << 62)
    recipe = override(parse_recipe(tiny.path / "tiny.yaml"), ABSURD[0])
    for workers in (0, 1):  # where batches are made: here, and in a process of their own
        with pytest.raises(CapabilityError, match=r"memory ran out: .* lower .*training\.crop"):
            run_recipe(tiny, recipe, f"run-{workers}", workers=workers)
    record_property("faults", 2)


MEASURE = """
import copy, json, os, sys
import torch
from hdrnet_bench.model.hdrnet import HDRNet
from hdrnet_bench.recipe import Recipe
from hdrnet_bench.training.memory import estimate
from hdrnet_bench.training.optimisation import TrainingForward, loss_of, optimiser_of
from tests.conftest import TINY_RECIPE
def resident(key):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024
def step(recipe):
    spec, side = recipe.training, recipe.model.net_input_size
    model = HDRNet(recipe.model)
    optimiser = optimiser_of(spec, model)
    lowres = torch.rand(spec.batch_size, 3, side, side)
    crop, target = (torch.rand(spec.batch_size, 3, spec.crop, spec.crop) for _ in range(2))
    loss_of(spec, TrainingForward(model, "float32")(lowres, crop), target).backward()
    optimiser.step()
def recipe(change):
    content = copy.deepcopy(TINY_RECIPE)
    content["model"] = change["model"]
    content["training"] |= change["training"]
    return Recipe.model_validate(content)
step(Recipe.model_validate(TINY_RECIPE))
for change in json.loads(sys.argv[1]):
    if os.fork() == 0:  # so that nothing of the one before is counted
        before = resident("VmRSS")
        open("/proc/self/clear_refs", "w").write("5")
        step(recipe(change))
        print(resident("VmHWM") - before, estimate(recipe(change), 0).step, flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc to measure with")
def test_the_estimate_is_what_a_step_takes_within_a_factor_of_two() -> None:
    """Where the network's activations, the full resolution, or the weights are the most of it."""
    changes = [
        {"model": {}, "training": {"batch_size": 16, "crop": 256}},
        {"model": {"variant": "pyramid"}, "training": {"batch_size": 1, "crop": 512}},
        {"model": {"channel_multiplier": 4}, "training": {"batch_size": 2, "crop": 64}},
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(changes)],
        cwd=ROOT,
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(changes)
    for line in lines:
        measured, estimated = map(int, line.split())
        assert measured / 2 < estimated < measured * 2, line


def test_a_dry_run_says_what_the_run_would_need(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    arguments = ["tiny.yaml", "--set=training.crop=512", "--set=training.batch_size=16"]
    plan = tiny.json("train", *arguments, "--workers", "64", "--dry-run")
    message = tiny.fails(4, "train", *arguments, "--workers", "64")
    assert f"a step of recipe tiny needs {plan['memory']}: lower --workers" in message
    assert plan["workers"] == 64
    assert tiny.json("train", *arguments, "--dry-run")["memory"] != plan["memory"]


def test_what_may_not_fit_is_begun_with_a_note(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = parse_recipe(tiny.path / "tiny.yaml")
    need = memory.estimate(recipe, 0).total
    for free, noted in ((need * 2, False), (need * 4 // 5, True)):
        monkeypatch.setattr(memory, "available", lambda: free)  # noqa: B023
        notes: list[str] = []
        run_recipe(tiny, recipe, f"run-{noted}", log=notes.append)
        assert any("where it runs out, lower" in note for note in notes) is noted


def test_what_torch_keeps_of_a_seed_before_is_free(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 << 30, 8 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1 << 30)
    assert memory.free_for("cuda:0") == 7 << 30
    recipe = parse_recipe(tiny.path / "tiny.yaml")
    half = override(recipe, ["training.precision=bfloat16"])
    whole = memory.estimate(recipe, 0)
    assert memory.estimate(half, 0) == whole._replace(network=whole.network // 2)


ARGUMENTS = ["train", "tiny.yaml", "--workers", "2", "--set", "training.crop=256"]
SMALL_SHARED = """
mount -t tmpfs -o size={size} none /dev/shm || exit 77
exec "$@"
"""


@pytest.mark.fault("streams and limits")
@pytest.mark.parametrize("size", ["256k", "4k"])
def test_a_small_shared_memory_is_one_line(tiny: Workspace, size: str) -> None:
    command = ["unshare", "-m", "sh", "-c", SMALL_SHARED.format(size=size), "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        pytest.skip("no file system may be mounted here")
    done = subprocess.run(
        [*command, *running.HDRBENCH, *ARGUMENTS],
        cwd=tiny.path,
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    (line,) = said(done.stderr)
    assert "the shared memory (/dev/shm) is too small" in line
    assert "no state was saved yet: --resume begins again" in line
    if size != "4k":  # of a loader that did not even get its locks, torch complains besides
        assert "Traceback" not in done.stderr


@pytest.mark.fault("streams and limits")
def test_shared_memory_that_fills_up_later_costs_no_step(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = override(parse_recipe(tiny.path / "tiny.yaml"), ["training.validate_every=6"])
    calls: list[int] = []

    def full(tensor: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 6:  # three of each batch
            raise RuntimeError(
                "unable to allocate shared memory(shm) for file </torch_1>: No space"
            )
        return tensor

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(CapabilityError, match=r"too small .* the run is kept at step 2 of 6"):
        run_recipe(tiny, recipe, "run", workers=1)


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("std::bad_alloc"), True),
        (torch.OutOfMemoryError(), True),
        (RuntimeError("unable to mmap 8 bytes from file </torch_1>: Cannot allocate memory"), True),
        (ImportError("libtorch.so: failed to map segment from shared object"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.EIO, "out of memory"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_every_way_in_which_memory_runs_out(error: Exception, lacks: bool) -> None:
    assert lack_of_memory(error) is lacks
