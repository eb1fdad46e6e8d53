"""Kills, full disks, bad pictures and lost folders while a recipe is trained: what was trained is
kept, and said in one line."""

import contextlib
import errno
import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tensorboard.summary.writer.record_writer import RecordWriter

from hdrnet_bench.errors import DataError, StorageError
from hdrnet_bench.training import checkpoint
from hdrnet_bench.training.checkpoint import STATE, read_training_state
from hdrnet_bench.training.train import Trainer
from tests.conftest import Workspace
from tests.training.running import SMALL_LOSSES, no_rubbish, run_recipe
from tests.training.test_resume import content, small


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
    assert f"the run is kept at step {step} of 6: --resume goes on" in str(lost.value)
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

    with pytest.raises(DataError, match="the run is kept at step 4 of 6"):
        run_recipe(tiny, recipe, "run", {4: lambda: pictures.rename(aside)})
    aside.rename(pictures)
    assert content(run_recipe(tiny, recipe, "run", resume=True)) == expected

    # Of one that is validated on, the step before is whole, and is validated when it goes on.
    pictures = tiny.path / "data/demo-tiny/validation/input"
    with pytest.raises(DataError, match="the run is kept at step 3 of 6"):
        run_recipe(tiny, recipe, "other", {2: lambda: pictures.rename(aside)})
    aside.rename(pictures)
    assert content(run_recipe(tiny, recipe, "other", resume=True)) == expected
    record_property("faults", 2)


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
    message = r"cannot be written: File too large; the run is kept at step 2 of 6"
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
        with pytest.raises(StorageError, match=message) as lost:
            run_recipe(tiny, frequent, run.name, {4: lambda: lose(run)})  # noqa: B023
        assert "kept" not in str(lost.value)
        assert "resume" not in str(lost.value)
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
        assert (
            "cannot be written: Input/output error; no state was saved yet: --resume begins again"
            in message
        )
    else:
        monkeypatch.setattr("hdrnet_bench.safetensors_header.open_regular", fails)
        message = trained.fails(3, "train", "tiny.yaml", "--resume")
        assert "state.safetensors cannot be read: Stale file handle" in message


@pytest.mark.fault("full disks")
def test_where_the_first_state_does_not_fit_what_is_there_is_said(tiny: Workspace) -> None:
    """Weights are written before it: over them --resume begins nothing."""
    recipe = small(tiny, *SMALL_LOSSES)
    size = (run_recipe(tiny, recipe, "whole") / STATE).stat().st_size
    stack = contextlib.ExitStack()
    at = {5: lambda: stack.enter_context(files_up_to(size - 1))}
    message = "File too large; no state was saved yet: --overwrite begins again"
    with stack, pytest.raises(StorageError, match=message):
        run_recipe(tiny, recipe, "run", at)
    assert (tiny.path / "run/best.safetensors").exists()
    with pytest.raises(DataError, match="but no state"):
        run_recipe(tiny, recipe, "run", resume=True)


@pytest.mark.fault("I/O errors")
def test_a_picture_that_goes_bad_before_it_is_shown_costs_no_step(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is validated on, it is decoded again to be compared in TensorBoard."""
    recipe = small(tiny, *SMALL_LOSSES)
    expected = content(run_recipe(tiny, recipe, "whole"))

    def bad(store: object, index: int) -> object:
        raise DataError("it went bad")

    validate = Trainer.validate

    def then_it_goes_bad(trainer: Trainer, *arguments: object) -> object:
        metrics = validate(trainer, *arguments)
        monkeypatch.setattr("hdrnet_bench.training.train.PictureStore.pair", bad)
        return metrics

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "validate", then_it_goes_bad)
        with pytest.raises(DataError, match="it went bad; the run is kept at step 3 of 6"):
            run_recipe(tiny, recipe, "run")
    monkeypatch.undo()
    assert content(run_recipe(tiny, recipe, "run", resume=True)) == expected


@pytest.mark.fault("I/O errors")
def test_a_run_directory_that_goes_while_it_is_written_is_not_said_to_be_kept(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = checkpoint.write_tensors, []

    def goes(path: Path, *arguments: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            shutil.rmtree(path.parent)
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        real(path, *arguments)

    monkeypatch.setattr(checkpoint, "write_tensors", goes)
    with pytest.raises(StorageError, match=r"while it was trained$"):
        run_recipe(tiny, small(tiny), "run")
