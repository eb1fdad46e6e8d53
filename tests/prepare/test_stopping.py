"""`prepare` stopped by real signals to real processes: it ends at once, with all that it started,
says what is kept, and goes on from there."""

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hdrnet_bench.data.manifest import Dataset
from hdrnet_bench.data.verify import verify
from hdrnet_bench.images.files import write_png
from tests import running
from tests.conftest import Workspace, smooth_picture, wait_for_files, whole_files

NAME = "folder-retouch"
PREPARE = ("prepare", "folder", "--protocol", "retouch", "--input-dir", "in", "--workers", "2")
PAIRS = 24
ROWS = f"data/.{NAME}.building/rows/*/*.jsonl"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of pictures, small enough to be quick and so many that there is a midst; and the
    digest of what is made of them when nothing comes between."""
    root = tmp_path_factory.mktemp("undisturbed")
    (root / "in").mkdir()
    for number in range(PAIRS):
        write_png(root / "in" / f"{number}.png", smooth_picture(number, 240, 320))
    return root / "in", Workspace(root).json(*PREPARE)["digest"]


def nothing_runs(group: int) -> bool:
    """Whether all processes of the group have ended, waited for as long as the kernel takes."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def kept(folder: Path) -> int:
    return len(whole_files(folder, ROWS))


@pytest.mark.fault("signals")
def test_stopped_at_any_moment_it_ends_says_what_is_kept_and_goes_on(
    workspace: Workspace,
    undisturbed: tuple[Path, str],
    record_property: Callable[[str, Any], None],
) -> None:
    """The terminal's Ctrl-C, which reaches every process, and SIGTERM, to the first alone: when it
    has begun, while the workers are starting, and in the midst."""
    folder, (pictures, digest) = workspace.path, undisturbed
    shutil.copytree(pictures, folder / "in")
    started = f"data/.{NAME}.lock"
    moments = [
        (signal.SIGINT, started, 0.05),
        (signal.SIGTERM, started, random.uniform(0.05, 0.6)),
        (signal.SIGINT, ROWS, 0.0),
    ]
    for number, sign, seconds in moments:
        before = kept(folder)
        process = running.start(folder, *PREPARE)
        wait_for_files(process, folder, sign, before + 1 if sign == ROWS else 1)
        time.sleep(seconds)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        begun = time.monotonic()
        out, errors = running.ended(process)
        assert time.monotonic() - begun < 15  # not a pair's time, on a busy machine
        assert process.returncode == 128 + number, (moments, errors)
        assert "Traceback" not in errors
        assert out == ""
        assert nothing_runs(process.pid)
        assert not list(folder.rglob(".tmp-*"))
        text = re.sub(r"\s+", " ", errors)
        said = re.search(r"(\d+) of 24 pairs are kept; run the same command again to go on", text)
        assert said, errors
        assert int(said[1]) == kept(folder) >= before
    # Ctrl-C is the first process's to answer: a worker is not even ended by it while it imports.
    process = running.start(folder, *PREPARE)
    while process.poll() is None:
        for worker in running.workers(process.pid):
            os.kill(worker, signal.SIGINT)
        time.sleep(0.02)
    _, errors = running.ended(process)
    assert process.returncode == 0, errors
    assert Dataset(folder / "data" / NAME).header.digest == digest
    assert names_in(folder / "data") == {NAME}
    record_property("faults", len(moments) + 1)


@pytest.mark.fault("kills")
def test_a_worker_that_is_killed_is_one_line_and_killed_itself_the_next_run_sweeps(
    workspace: Workspace,
    undisturbed: tuple[Path, str],
    record_property: Callable[[str, Any], None],
) -> None:
    """A worker: as the kernel does when memory runs out."""
    folder, (pictures, digest) = workspace.path, undisturbed
    shutil.copytree(pictures, folder / "in")
    process = running.start(folder, *PREPARE)
    wait_for_files(process, folder, ROWS, 1)
    os.kill(running.workers(process.pid)[0], signal.SIGKILL)
    _, errors = running.ended(process)
    assert process.returncode == 3, errors
    assert "Traceback" not in errors
    assert "a worker process died" in errors
    assert nothing_runs(process.pid)
    assert not list(folder.rglob(".tmp-*"))

    process = running.start(folder, *PREPARE)
    wait_for_files(process, folder, ROWS, kept(folder) + 1)
    process.kill()
    running.ended(process)
    assert nothing_runs(process.pid)
    made = kept(folder)
    leftover = folder / f"data/.{NAME}.building/dataset/test/input/.tmp-0-1-2.png"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_bytes(b"half")
    report = workspace.json(*PREPARE)
    assert (report["cost"]["pairs"], report["digest"]) == (PAIRS - made, digest)
    assert verify(Dataset(folder / "data" / NAME)).status == "identical"
    assert names_in(folder / "data") == {NAME}
    assert not list(folder.rglob(".tmp-*"))
    record_property("faults", 2)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
