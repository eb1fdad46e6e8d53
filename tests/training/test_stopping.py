"""Ctrl-C and SIGTERM at any moment of a training: the step it is at is saved, said in one line, and
`--resume` gives the weights of a run never stopped."""

import os
import random
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable
from unittest import mock

import pytest
import torch

import hdrnet_bench.training.train as train_module
from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.stopping import SIGNALS, Stopped
from hdrnet_bench.training import run_writer, validation
from hdrnet_bench.training.checkpoint import read_training_state
from hdrnet_bench.training.crops import CropDataset
from hdrnet_bench.training.train import train
from tests import running
from tests.conftest import Workspace, write_recipe
from tests.training.running import SMALL_LOSSES, asked, no_rubbish, run_recipe, said, wait_for_step
from tests.training.test_distributed import torchrun_command
from tests.training.test_resume import content, small


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
def test_in_a_program_of_ones_own_ctrl_c_is_what_it_always_is(tiny: Workspace) -> None:
    """Its step is saved all the same, and the next Ctrl-C finds the handler that was there."""
    recipe, handler = small(tiny, *SMALL_LOSSES), signal.getsignal(signal.SIGINT)

    def ask(progress: object) -> None:
        if progress.step == 2:
            signal.raise_signal(signal.SIGINT)

    dataset = Dataset(tiny.path / "data/demo-tiny")
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(recipe, dataset, tiny.path / "run", seed=0, workers=0, on_step=ask)
    assert stopped.value.__notes__[0].endswith(
        "at step 3 of 6, before its validation; --resume goes on"
    )
    assert signal.getsignal(signal.SIGINT) is handler


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
        again = "hdrbench train runs/tiny/stopped/recipe.yaml --run stopped --seed 0 --resume"
        assert f"at step {step} of 120; `{again}` goes on" in line
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
        f"hdrbench: stopped by SIGTERM; runs/tiny/seed-0 at step {step} of 100000; "
        "`torchrun … -m hdrnet_bench train runs/tiny/seed-0/recipe.yaml --run-name seed-0 "
        "--seed 0 --resume` goes on"
    )
    assert len((run / "log.jsonl").read_text().splitlines()) == step
    assert running.all_gone(processes)


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


@pytest.mark.fault("signals")
def test_the_first_signal_is_answered_at_once(tiny: Workspace) -> None:
    """Asked for in mid-step, it is said before the step has ended, and ends with that step."""
    notes: list[str] = []
    said_before: list[bool] = []
    loss, backward = train_module.loss_of, torch.Tensor.backward
    calls: list[int] = []

    def asked_in_the_second(*arguments: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            asked(signal.SIGINT)()
        return loss(*arguments)

    def heard(tensor: torch.Tensor, *arguments: object, **named: object) -> None:
        said_before.append(any("stopping after this step" in note for note in notes))
        backward(tensor, *arguments, **named)

    patched = mock.patch.object(train_module, "loss_of", asked_in_the_second)
    listening = mock.patch.object(torch.Tensor, "backward", heard)
    with patched, listening, pytest.raises(Stopped) as stopped:
        run_recipe(tiny, small(tiny), "run", log=notes.append)
    assert said_before == [False, True]
    assert sum("a second signal ends it at once" in note for note in notes) == 1
    assert "at step 2 of 6; --resume goes on" in stopped.value.__notes__[0]


@pytest.mark.fault("signals")
@pytest.mark.parametrize("step", [0, 2])
def test_it_is_heeded_while_a_batch_is_waited_for(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A worker that hangs, as on a disk that is gone."""
    recipe = small(tiny, *SMALL_LOSSES)
    expected = content(run_recipe(tiny, recipe, "whole"))
    real = CropDataset.batch

    def hangs(crops: CropDataset, samples: list[int]) -> object:
        if samples[0] >= step * recipe.training.batch_size:
            time.sleep(600)
        return real(crops, samples)

    with monkeypatch.context() as patched:
        patched.setattr(CropDataset, "batch", hangs)
        timer = threading.Timer(4.0, asked(signal.SIGTERM))
        timer.start()
        try:
            with pytest.raises(Stopped) as stopped:
                run_recipe(tiny, recipe, "run", workers=1)
        finally:
            timer.cancel()
    note = "at step 2 of 6; --resume goes on" if step else "no state was saved yet: --resume begins"
    assert note in stopped.value.__notes__[0]
    assert content(run_recipe(tiny, recipe, "run", resume=True)) == expected


@pytest.mark.fault("signals")
def test_the_command_that_goes_on_is_said_whole(tiny: Workspace) -> None:
    """After --set, `train tiny.yaml --resume` would be of another recipe."""
    folder = "runs/of mine"
    with mock.patch.object(train_module, "loss_of", side_effect=_asking(train_module.loss_of)):
        done = tiny.run(
            *("train", "tiny.yaml", "--set", "training.steps=9", "--run", "a", "--workers", "0"),
            env={"HDRBENCH_RUNS": folder},
        )
    assert done.returncode == 130
    command = re.search("`hdrbench (.*)` goes on", " ".join(done.stderr.split()))[1]
    assert command == "train 'runs/of mine/tiny/a/recipe.yaml' --run a --seed 0 --resume"
    went_on = tiny.run(*shlex.split(command), env={"HDRBENCH_RUNS": folder})
    assert went_on.returncode == 0, went_on.stderr
    assert "9 steps" in went_on.stdout


def _asking(loss: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def asks(*arguments: object) -> torch.Tensor:
        asked(signal.SIGINT)()
        return loss(*arguments)

    return asks


@pytest.mark.fault("signals")
@pytest.mark.parametrize(
    ("options", "kept"),
    [((), "nothing was to be written"), (("--save",), ".json is as it was")],
)
def test_stopped_the_timing_of_steps_says_what_is_kept(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], kept: str
) -> None:
    def interrupted(*arguments: object, **named: object) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr("hdrnet_bench.timing.steps.time_training", interrupted)
    message = tiny.fails(130, "time", "--training", "--device", "cpu", *options)
    assert message.startswith("hdrbench: stopped by Ctrl-C; ")
    assert message.endswith(kept)
