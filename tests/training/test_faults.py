"""Signals, kills, full disks, lost folders and too little memory, while a recipe is trained: what
was trained is kept, said in one line, and `--resume` gives the weights of a run never stopped."""

import contextlib
import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.errors import CapabilityError, DataError, StorageError
from hdrnet_bench.model.tensors import read_claims, read_tensors, write_tensors
from hdrnet_bench.recipe import Recipe, parse_recipe
from hdrnet_bench.stopping import SIGNALS, Stopped
from hdrnet_bench.training import memory, run_writer, validation
from hdrnet_bench.training.checkpoint import _KEY as KEY
from hdrnet_bench.training.checkpoint import STATE, read_training_state
from hdrnet_bench.training.overrides import override
from hdrnet_bench.training.train import train
from tests import running
from tests.conftest import ROOT, Workspace, clean_environment, write_recipe
from tests.training.test_distributed import torchrun_command
from tests.training.test_resume import content, small

SMALL_LOSSES = ["training.checkpoint_every=100"]  # so that only what a fault saves is there


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """A signal that was heeded leaves the handlers of the next one in place."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_recipe(
    tiny: Workspace,
    recipe: Recipe,
    name: str,
    at: dict[int, Callable[[], object]] | None = None,
    **arguments: object,
) -> Path:
    """Train in this process; `at` says what is done after a step."""

    def report(progress) -> None:
        (at or {}).get(progress.step, int)()

    chosen = {"seed": 0, "workers": 0} | arguments
    dataset = Dataset(tiny.path / "data/demo-tiny")
    train(recipe, dataset, tiny.path / name, on_step=report, **chosen)
    return tiny.path / name


def asked(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def no_rubbish(run: Path) -> None:
    assert not list(run.glob(".tmp-*"))
    left = {path.name for path in run.parent.glob(".*") if path.suffix != ".lock"}
    assert not {name for name in left if run.name in name}


@pytest.mark.fault("signals")
def test_asked_to_stop_after_any_step_it_loses_none(
    tiny: Workspace, record_property: Callable[[str, object], None]
) -> None:
    recipe = small(tiny, *SMALL_LOSSES)
    expected = content(run_recipe(tiny, recipe, "whole"))
    for number in SIGNALS:
        for step in range(1, 6):
            name = f"{number.name}-{step}"
            with pytest.raises(Stopped) as stopped:
                run_recipe(tiny, recipe, name, {step: asked(number)})
            assert stopped.value.exit_code == 128 + number
            # Asked for while it reports a step, it ends with the next one.
            (note,) = stopped.value.__notes__
            validated = ", before its validation" if step + 1 in (3, 6) else ""
            assert note.endswith(f"at step {step + 1} of 6{validated}; --resume goes on")
            assert read_training_state(tiny.path / name).step == step + 1
            assert content(run_recipe(tiny, recipe, name, resume=True)) == expected
    record_property("faults", 10)


@pytest.mark.fault("signals")
@pytest.mark.parametrize("step", [3, 6])
def test_a_validation_that_is_stopped_comes_first_when_it_goes_on(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    recipe = small(tiny)
    expected = content(run_recipe(tiny, recipe, "whole"))
    pictures, measured = validation.PictureStore.__len__, []

    def asked_in_validation(store: object) -> int:
        measured.append(1)
        if len(measured) == counted:
            asked(signal.SIGTERM)()
        return pictures(store)

    # Which of the lengths that are asked for is the first of that step's validation.
    monkeypatch.setattr(validation.PictureStore, "__len__", asked_in_validation)
    counted, before = -1, []
    reports = {step - 1: lambda: before.append(len(measured))}
    run_recipe(tiny, recipe, "counts", reports)
    measured.clear()
    counted = before[0] + 1
    with pytest.raises(Stopped) as stopped:
        run_recipe(tiny, recipe, "run")
    end = f"at step {step} of 6, before its validation; --resume goes on"
    assert stopped.value.__notes__[0].endswith(end)
    state = read_training_state(tiny.path / "run")
    assert state.unvalidated is not None
    assert not state.finished
    assert len((tiny.path / "run/log.jsonl").read_text().splitlines()) == step - 1
    assert content(run_recipe(tiny, recipe, "run", resume=True)) == expected


@pytest.mark.fault("signals")
@pytest.mark.parametrize("written", ["write_tensors", "write_text"])
def test_asked_to_stop_while_the_state_is_written(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    recipe = small(tiny)
    expected = content(run_recipe(tiny, recipe, "whole"))
    from hdrnet_bench.training import checkpoint

    real, calls = getattr(checkpoint, written), []

    def interrupted(*arguments: object, **named: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            asked(signal.SIGINT)()
        real(*arguments, **named)

    monkeypatch.setattr(checkpoint, written, interrupted)
    with pytest.raises(Stopped):
        run_recipe(tiny, recipe, "run")
    assert read_training_state(tiny.path / "run").step == 5  # the step after the state of step 4
    assert content(run_recipe(tiny, recipe, "run", resume=True)) == expected


@pytest.mark.fault("signals")
def test_asked_to_stop_before_the_first_step_nothing_is_begun(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the pictures are decoded, which may take minutes."""

    def decoding(store: object, *arguments: object) -> None:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("hdrnet_bench.training.train.PictureStore", decoding)
    with pytest.raises(Stopped) as stopped:
        run_recipe(tiny, small(tiny), "run")
    assert "before its first step: " in stopped.value.__notes__[0]
    assert not (tiny.path / "run").exists()
    no_rubbish(tiny.path / "run")


def wait_for_step(process: subprocess.Popen, run: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while not (run / "log.jsonl").exists() or (run / "log.jsonl").read_bytes().count(b"\n") < step:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def said(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("hdrbench: ")]


@pytest.mark.fault("signals")
def test_ctrl_c_and_sigterm_at_random_moments(
    tiny: Workspace, record_property: Callable[[str, object], None]
) -> None:
    """Real processes with two workers, the terminal's Ctrl-C to all of them at once."""
    write_recipe(
        tiny.path / "tiny.yaml",
        lambda r: r["training"].update(
            steps=120, validate_every=20, checkpoint_every=1000, ema=0.99, schedule="cosine"
        ),
    )
    run, chance = tiny.path / "runs/tiny/stopped", random.Random(3)
    arguments = ["tiny.yaml", "--run", "stopped", "--workers", "2"]
    at = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        at += chance.randrange(15, 40)
        process = running.start(
            tiny.path, "train", *arguments, *(["--resume"] if run.exists() else [])
        )
        wait_for_step(process, run, at)
        workers = running.descendants(process.pid)
        assert len(workers) >= 2
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + number, errors
        assert "Traceback" not in errors
        step = read_training_state(run).step
        assert step >= at
        (line,) = said(errors)
        assert f"at step {step} of 120; --resume goes on" in line
        assert running.all_gone(workers)
    done = tiny.run("train", *arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert tiny.run("train", "tiny.yaml", "--run", "whole").returncode == 0
    # As many threads in each: else the weights agree up to rounding alone.
    assert content(run)["log"][0] == content(tiny.path / "runs/tiny/whole")["log"][0]
    no_rubbish(run)
    record_property("faults", 2)


@pytest.mark.fault("signals")
def test_several_processes_stop_at_the_same_step(tiny: Workspace) -> None:
    write_recipe(
        tiny.path / "tiny.yaml",
        lambda r: r["training"].update(steps=100_000, validate_every=50_000),
    )
    process = running.start(tiny.path, "tiny.yaml", command=torchrun_command())
    run = tiny.path / "runs/tiny/seed-0"
    wait_for_step(process, run, 5)
    processes = running.descendants(process.pid)
    os.kill(running.children(process.pid)[0], signal.SIGTERM)
    try:
        _, errors = process.communicate(timeout=120)
    finally:
        process.terminate()
    step = read_training_state(run).step
    (line,) = said(errors)
    assert line == (
        f"hdrbench: stopped by SIGTERM; runs/tiny/seed-0 at step {step} of 100000; --resume goes on"
    )
    assert len((run / "log.jsonl").read_text().splitlines()) == step
    assert running.all_gone(processes)


@pytest.mark.fault("kills")
def test_a_killed_data_worker_is_said_and_nothing_is_lost(tiny: Workspace) -> None:
    recipe = small(tiny, *SMALL_LOSSES)
    expected = content(run_recipe(tiny, recipe, "whole"))

    def kill_worker() -> None:
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGKILL)
        worker.join(10)

    with pytest.raises(StorageError, match="a process that prepares batches was killed") as lost:
        run_recipe(tiny, recipe, "run", {2: kill_worker}, workers=1)
    step = read_training_state(tiny.path / "run").step
    assert 2 <= step < 6
    assert f"it is kept as it was at step {step} of 6: --resume goes on" in str(lost.value)
    assert content(run_recipe(tiny, recipe, "run", resume=True)) == expected


@pytest.mark.fault("I/O errors")
def test_a_picture_that_goes_bad_costs_no_step(
    tiny: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr("hdrnet_bench.training.train.fits_in_memory", lambda *a: False)
    recipe = small(tiny, *SMALL_LOSSES)
    expected = content(run_recipe(tiny, recipe, "whole"))
    pictures = tiny.path / "data/demo-tiny/train/input"
    aside = tiny.path / "aside"

    with pytest.raises(DataError, match="it is kept as it was at step 4 of 6"):
        run_recipe(tiny, recipe, "run", {4: lambda: pictures.rename(aside)})
    aside.rename(pictures)
    assert content(run_recipe(tiny, recipe, "run", resume=True)) == expected

    # Of one that is validated on, the step before is whole, and is validated when it goes on.
    pictures = tiny.path / "data/demo-tiny/validation/input"
    with pytest.raises(DataError, match="it is kept as it was at step 3 of 6"):
        run_recipe(tiny, recipe, "other", {2: lambda: pictures.rename(aside)})
    aside.rename(pictures)
    assert content(run_recipe(tiny, recipe, "other", resume=True)) == expected
    record_property("faults", 2)


@pytest.mark.fault("signals")
def test_asked_to_stop_when_all_is_done_no_other_seed_is_begun(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_writer.RunWriter.close

    def interrupted(writer: run_writer.RunWriter) -> None:
        asked(signal.SIGINT)()
        real(writer)

    monkeypatch.setattr(run_writer.RunWriter, "close", interrupted)
    with pytest.raises(Stopped) as stopped:
        run_recipe(tiny, small(tiny), "run")
    assert stopped.value.__notes__[0].endswith("at step 6 of 6; was trained to its end")


KILLED = """
import os, signal, sys
from pathlib import Path
from hdrnet_bench.files import atomic_path
run = Path(sys.argv[1])
(run.parent / f".{run.name}.begun").mkdir()
(run.parent / f".{run.name}.replaced").mkdir()
with atomic_path(run / "state.safetensors") as temporary:
    temporary.write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault("kills")
@pytest.mark.parametrize("arguments", [{"resume": True}, {"overwrite": True}])
def test_what_a_kill_left_is_swept_by_the_next_run(
    trained: Workspace, arguments: dict[str, bool]
) -> None:
    run = trained.path / "runs/tiny/seed-0"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(run)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(run.glob(".tmp-*"))
    option = f"--{next(iter(arguments))}"
    assert trained.run("train", "tiny.yaml", option).returncode == 0
    no_rubbish(run)


def test_files_have_the_modes_that_the_user_asked_for(tiny: Workspace) -> None:
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            run = run_recipe(tiny, small(tiny), f"run-{mode}")
        finally:
            os.umask(before)
        assert {stat.S_IMODE(path.stat().st_mode) for path in run.iterdir()} == {mode}


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process may grow beyond: what the system then says is as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.fault("full disks")
def test_where_no_file_can_grow_the_last_state_is_kept(
    tiny: Workspace, record_property: Callable[[str, object], None]
) -> None:
    recipe = small(tiny)
    whole = run_recipe(tiny, recipe, "whole")
    expected = content(whole)
    model, state = (whole / name for name in ("last.safetensors", STATE))
    assert model.stat().st_size < state.stat().st_size
    limits = {
        "model": lambda run: model.stat().st_size - 1,
        "state": lambda run: state.stat().st_size - 1,
        "log": lambda run: (run / "log.jsonl").stat().st_size + 10,
    }
    message = r"cannot be written: File too large; it is kept as it was at step 2 of 6"
    for what, size in limits.items():
        run = tiny.path / what
        stack = contextlib.ExitStack()
        at = {2: lambda: stack.enter_context(files_up_to(size(run)))}  # noqa: B023
        with stack, pytest.raises(StorageError, match=message):
            run_recipe(tiny, recipe, what, at)
        assert read_training_state(run).step == 2
        no_rubbish(run)
        assert content(run_recipe(tiny, recipe, what, resume=True)) == expected
    record_property("faults", len(limits))


@pytest.mark.fault("full disks")
def test_events_that_cannot_be_written_stop_nothing(
    tiny: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    def not_opened(stream: object) -> RecordWriter:
        raise OSError(errno.ENOSPC, "No space left on device")

    def on_full_disk(stream: object) -> RecordWriter:
        return RecordWriter(Path("/dev/full").open("wb"))

    recipe = small(tiny)
    expected = content(run_recipe(tiny, recipe, "whole"))
    for writer in (not_opened, on_full_disk):
        monkeypatch.setattr("hdrnet_bench.training.events.RecordWriter", writer)
        notes: list[str] = []
        assert content(run_recipe(tiny, recipe, writer.__name__, log=notes.append)) == expected
        assert [note for note in notes if "TensorBoard" in note] == [
            "no TensorBoard events from here on (No space left on device): training goes on"
        ]
    record_property("faults", 2)


def _remove(run: Path) -> None:
    shutil.rmtree(run)


def _replace_by_a_file(run: Path) -> None:
    shutil.rmtree(run)
    run.write_text("mine")


def _replace_by_a_link(run: Path) -> None:
    run.rename(run.with_name("moved"))
    run.symlink_to("nowhere")


@pytest.mark.fault("I/O errors")
def test_a_run_directory_that_goes_is_said(
    tiny: Workspace, record_property: Callable[[str, object], None]
) -> None:
    frequent = small(tiny, "training.checkpoint_every=1")
    for lose in (_remove, _replace_by_a_file, _replace_by_a_link):
        run = tiny.path / lose.__name__
        message = "was removed, or replaced, while it was trained"
        with pytest.raises(StorageError, match=message):
            run_recipe(tiny, frequent, run.name, {4: lambda: lose(run)})  # noqa: B023
        if lose is _replace_by_a_file:
            assert run.read_text() == "mine"
        else:
            assert not run.exists()
    record_property("faults", 3)


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize("what", ["sync", "stale"])
def test_what_the_disk_says_is_one_line(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fails(*arguments: object) -> None:
        number = errno.EIO if what == "sync" else errno.ESTALE
        raise OSError(number, os.strerror(number))

    if what == "sync":
        monkeypatch.setattr("hdrnet_bench.files.sync", fails)
        message = trained.fails(3, "train", "tiny.yaml", "--run", "other")
        assert "cannot be written: Input/output error; nothing was saved before it" in message
    else:
        monkeypatch.setattr("hdrnet_bench.model.tensors.open_regular", fails)
        message = trained.fails(3, "train", "tiny.yaml", "--resume")
        assert "state.safetensors cannot be read: Stale file handle" in message


def _own_file(run: Path) -> None:
    (run / "notes.txt").write_text("mine")


def _own_folder(run: Path) -> None:
    (run / "last.onnx").mkdir()


def _folder_of_our_name(run: Path) -> None:
    (run / "state.json").unlink()
    (run / "state.json").mkdir()


def _own_recipe_alone(run: Path) -> None:
    (run / "log.jsonl").unlink()


def _link(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))
    run.symlink_to("elsewhere")


@pytest.mark.fault("several at once")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_own_file, "holds what no training wrote (notes.txt)"),
        (_own_folder, "holds what no training wrote (last.onnx)"),
        (_folder_of_our_name, "holds what no training wrote (state.json)"),
        (_own_recipe_alone, "has no log.jsonl"),
        (_link, "is a symbolic link, which --overwrite does not follow"),
    ],
)
def test_overwrite_deletes_nothing_but_a_trainings_own(
    trained: Workspace, spoil: Callable[[Path], None], message: str
) -> None:
    run = trained.path / "runs/tiny/seed-0"
    spoil(run)
    before = sorted(path.name for path in run.iterdir())
    assert message in trained.fails(2, "train", "tiny.yaml", "--overwrite")
    assert sorted(path.name for path in run.iterdir()) == before


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
    assert " GB of 20 GB that are free" in plan["memory"]
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


def _state(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """The state with its header changed, its tensors as they are."""

    def spoil(run: Path) -> None:
        tensors = read_tensors(run / STATE)
        content = json.loads(read_claims(run / STATE).metadata[KEY])
        text = change(content)
        text = text if isinstance(text, str) else json.dumps(content)
        write_tensors(run / STATE, tensors, {KEY: text})

    return spoil


def _tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        tensors, metadata = read_tensors(run / STATE), read_claims(run / STATE).metadata
        change(tensors)
        write_tensors(run / STATE, tensors, metadata)

    return spoil


def _pipe(name: str) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)

    return spoil


MOMENT = "optimiser/guides.0.ccm/exp_avg"
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a deep state": (_state(lambda c: "[" * 100_000), "nested too deep"),
    "a state of digits": (_state(lambda c: "9" * 5000), "digits"),
    "a step beyond the last": (_state(lambda c: c.update(step=7)), "step 7 of 6"),
    "a negative step": (_state(lambda c: c.update(step=-1)), "greater than or equal to 0"),
    "a step of text": (_state(lambda c: c.update(step="many")), "valid integer"),
    "NaN for the best": (_state(lambda c: "NaN"), "not a training state"),
    "best without its step": (_state(lambda c: c.update(best=1.0)), "best without its step"),
    "an unknown key": (_state(lambda c: c.update(more=1)), "more"),
    "no moment": (_tensors(lambda t: t.pop(MOMENT)), "is missing or does not fit"),
    "another shape": (
        _tensors(lambda t: t.update({MOMENT: torch.zeros(7)})),
        "is missing or does not fit",
    ),
    "half the best": (
        _tensors(lambda t: t.update({"best/guides.0.ccm": torch.zeros(1)})),
        "best/ does not fit",
    ),
    "no random state": (_tensors(lambda t: t.pop("random/cpu")), "random/cpu"),
    "a random state of numbers": (
        _tensors(lambda t: t.update({"random/cpu": torch.zeros(3)})),
        "does not fit this training",
    ),
    "a state that is a pipe": (_pipe(STATE), "is not a regular file"),
    "a log that is a pipe": (_pipe("log.jsonl"), "is not a regular file"),
    "a binary log": (lambda run: (run / "log.jsonl").write_bytes(bytes(99)), "line 1"),
    "a log of one endless line": (
        lambda run: (run / "log.jsonl").write_bytes(b"1" * (1 << 20)),
        "line 1",
    ),
    "a log in another order": (
        lambda run: (run / "log.jsonl").write_text('{"step": 2}\n{"step": 1}\n'),
        "line 1",
    ),
    "a deep log": (lambda run: (run / "log.jsonl").write_text("[" * 60_000 + "\n"), "line 1"),
}


@pytest.mark.fault("hostile recipes and models")
def test_a_hostile_run_is_not_resumed(
    tiny: Workspace, record_property: Callable[[str, object], None]
) -> None:
    recipe = small(tiny, *SMALL_LOSSES)
    with pytest.raises(Stopped):
        run_recipe(tiny, recipe, "run", {1: asked(signal.SIGINT)})
    for name, (spoil, reason) in HOSTILE.items():
        run = tiny.path / "spoilt"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(tiny.path / "run", run)
        spoil(run)
        with pytest.raises(DataError) as caught:
            run_recipe(tiny, recipe, "spoilt", resume=True)
        assert reason in str(caught.value), name
        assert "spoilt/" in str(caught.value)
        assert "\n" not in str(caught.value)
    record_property("faults", len(HOSTILE))


@pytest.mark.fault("hostile recipes and models")
def test_a_log_that_lost_its_end_is_said(tiny: Workspace) -> None:
    recipe = small(tiny, *SMALL_LOSSES)
    with pytest.raises(Stopped):
        run_recipe(tiny, recipe, "run", {4: asked(signal.SIGINT)})
    (tiny.path / "run/log.jsonl").unlink()
    notes: list[str] = []
    run_recipe(tiny, recipe, "run", resume=True, log=notes.append)
    assert any(note.endswith("log.jsonl has 0 of the 5 steps so far") for note in notes)
