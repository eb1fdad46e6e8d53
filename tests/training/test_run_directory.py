"""What --overwrite and --resume may delete: nothing but what a training wrote, and no weights."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hdrnet_bench.errors import StorageError
from hdrnet_bench.training import run_writer
from hdrnet_bench.training.checkpoint import STATE
from tests.conftest import ROOT, Workspace
from tests.training.running import no_rubbish, run_recipe
from tests.training.test_resume import content, small


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
        (_link, "is a symbolic link, which is not followed"),
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


def _without_state(run: Path) -> None:
    (run / STATE).unlink()


def _with_own_files(run: Path) -> None:
    for name in (STATE, "state.json", "last.safetensors", "best.safetensors", "log.jsonl"):
        (run / name).unlink()
    (run / "log.jsonl").touch()
    (run / "notes.txt").write_text("mine")


def _with_a_log_alone(run: Path) -> None:
    for name in (STATE, "state.json", "last.safetensors", "best.safetensors"):
        (run / name).unlink()


def _with_an_export_alone(run: Path) -> None:
    _with_a_log_alone(run)
    (run / "log.jsonl").write_text("")
    (run / "last.onnx").write_bytes(b"weights")


@pytest.mark.fault("I/O errors")
@pytest.mark.parametrize(
    ("lose", "code", "message"),
    [
        (_without_state, 3, "has best.safetensors, last.safetensors, but no state.safetensors"),
        (_with_a_log_alone, 3, "has a log of 3 steps or more, but no state.safetensors"),
        (_with_an_export_alone, 3, "has last.onnx, but no state.safetensors"),
        (_with_own_files, 2, "holds what no training wrote (notes.txt)"),
    ],
)
def test_resume_deletes_no_run_that_lost_its_state(
    trained: Workspace, lose: Callable[[Path], None], code: int, message: str
) -> None:
    run = trained.path / "runs/tiny/seed-0"
    (run / "photos").mkdir()
    (run / "photos/a").write_text("mine")
    lose(run)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    if code == 2:
        message = message.replace("notes.txt", "notes.txt, photos")
    assert message in trained.fails(code, "train", "tiny.yaml", "--resume")
    assert message in trained.fails(code, "train", "tiny.yaml", "--resume", "--dry-run")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.fault("I/O errors")
def test_a_state_that_cannot_be_looked_at_is_not_taken_for_none(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.lstat

    def stale(path: Path) -> os.stat_result:
        if path.name == STATE:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path)

    monkeypatch.setattr(Path, "lstat", stale)
    message = trained.fails(3, "train", "tiny.yaml", "--resume")
    assert "state.safetensors cannot be read: Stale file handle" in message


@pytest.mark.fault("several at once")
def test_what_somebody_puts_there_while_pictures_are_decoded_is_not_deleted(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained.path / "runs/tiny/seed-0"
    real = run_writer.describe

    def slowly() -> object:
        (run / "notes.txt").write_text("mine")
        return real()

    monkeypatch.setattr(run_writer, "describe", slowly)
    message = trained.fails(2, "train", "tiny.yaml", "--overwrite")
    assert "holds what no training wrote (notes.txt)" in message
    assert (run / "notes.txt").read_text() == "mine"
    assert (run / STATE).exists()
    no_rubbish(run)


def test_what_export_writes_beside_a_model_is_overwritten(trained: Workspace) -> None:
    run = trained.path / "runs/tiny/seed-0"
    for name in ("last.onnx", "best.onnx", "best.onnx.data", "last.pt2"):
        (run / name).write_bytes(b"exported")
    assert trained.run("train", "tiny.yaml", "--overwrite").returncode == 0
    assert not (run / "last.onnx").exists()


def test_a_dry_run_refuses_what_the_run_would(trained: Workspace) -> None:
    (trained.path / "runs/tiny/seed-0/notes.txt").write_text("mine")
    message = trained.fails(2, "train", "tiny.yaml", "--overwrite", "--dry-run")
    assert "holds what no training wrote (notes.txt)" in message


@pytest.mark.fault("full disks")
@pytest.mark.parametrize("arguments", [{}, {"overwrite": True}])
def test_where_nothing_can_be_begun_nothing_is_left(
    tiny: Workspace, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, bool]
) -> None:
    recipe = small(tiny)
    expected = content(run_recipe(tiny, recipe, "run")) if arguments else None
    real = Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name == ".run.begun":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(StorageError, match=r"written: No space .*; nothing was begun"):
        run_recipe(tiny, recipe, "run", **arguments)
    if expected:
        assert content(tiny.path / "run") == expected
    else:
        assert not (tiny.path / "run").exists()
    no_rubbish(tiny.path / "run")
