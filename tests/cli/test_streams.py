"""stdout and stderr that are closed, full or unread, and a process that may have little."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Workspace

REPORTS = (["recipes"], ["recipes", "--json"], ["--help"], ["--version"], ["recipes", "identity"])


@pytest.mark.fault("streams and limits")
@pytest.mark.parametrize("arguments", REPORTS, ids=" ".join)
def test_a_full_stdout_is_one_line(workspace: Workspace, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = workspace.process(*arguments, stdout=full)
    assert done.returncode == 3
    assert done.stderr == "hdrbench: stdout cannot be written: No space left on device\n"


@pytest.mark.fault("streams and limits")
@pytest.mark.parametrize("arguments", REPORTS, ids=" ".join)
def test_a_reader_that_has_gone_is_no_error_of_ours(
    workspace: Workspace, arguments: list[str]
) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = workspace.process(*arguments, stdout=theirs)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.fault("streams and limits")
@pytest.mark.parametrize("closed", [1, 2])
def test_streams_that_are_closed(workspace: Workspace, closed: int) -> None:
    """Nothing is written into the file that gets the descriptor's number."""
    done = workspace.process("recipes", "--json", preexec_fn=lambda: os.close(closed))
    assert done.returncode == 0
    if closed == 2:
        assert json.loads(done.stdout)[0]["recipe"]


@pytest.mark.fault("streams and limits")
@pytest.mark.parametrize("gone", [False, True])
def test_work_goes_on_where_nobody_reads_its_messages(tiny: Workspace, gone: bool) -> None:
    """A run whose terminal was closed, or whose log is on a full disk."""
    ours, theirs = os.pipe()
    os.close(ours)
    full = os.open("/dev/full", os.O_WRONLY)
    done = tiny.process("train", "tiny.yaml", "--json", stderr=theirs if gone else full)
    os.close(theirs)
    os.close(full)
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["steps"] == 6
    assert (tiny.path / "runs/tiny/seed-0/last.safetensors").exists()


@pytest.mark.fault("streams and limits")
def test_an_error_keeps_its_code_where_stdout_fails(workspace: Workspace) -> None:
    with Path("/dev/full").open("w") as full:
        done = workspace.process("verify", "nothing", stdout=full)
    assert done.returncode == 3
    assert "is not prepared" in done.stderr
    with Path("/dev/full").open("w") as full:
        assert workspace.process("nonsense", stdout=full).returncode == 2


@pytest.mark.fault("streams and limits")
def test_a_current_directory_that_was_removed(workspace: Workspace) -> None:
    gone = workspace.path / "gone"
    gone.mkdir()
    there = Workspace(gone)
    done = there.process("recipes", preexec_fn=lambda: shutil.rmtree(gone))
    assert done.returncode == 3
    assert done.stderr == ("hdrbench: the current directory has been removed: go to another one\n")


def few_files(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.fault("streams and limits")
def test_few_open_files(trained: Workspace) -> None:
    """A soft limit is lifted; under a hard one that leaves too little, nothing is begun."""
    done = trained.process("verify", "demo-tiny", preexec_fn=few_files(20, 4096))
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["demo-tiny:", "identical"])
    done = trained.process("train", "tiny.yaml", "--run=few", preexec_fn=few_files(20, 20))
    assert done.returncode == 4
    assert done.stderr == (
        "hdrbench: this process may have only 20 files open at once: `ulimit -n 1024` first\n"
    )
    assert not (trained.path / "runs/tiny/few").exists()


@pytest.mark.fault("streams and limits")
@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "folder", "--protocol=retouch", "--input-dir=some", "--workers=2"],
        ["train", "tiny.yaml", "--run=few", "--workers=2"],
        ["eval", "tiny", "--overwrite"],
        ["enhance", "tiny/seed-0", "data/demo-tiny/train/input", "out"],
        ["report"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_fewest_open_files_that_are_accepted_suffice(
    trained: Workspace, arguments: list[str]
) -> None:
    """Or one line says that they do not."""
    from hdrnet_bench.cli.app import FEWEST_OPEN_FILES

    limit = few_files(FEWEST_OPEN_FILES, FEWEST_OPEN_FILES)
    if arguments[0] == "prepare":
        (trained.path / "some").mkdir()
        for path in (trained.path / "data/demo-tiny").glob("*/input/*.png"):
            shutil.copy(path, trained.path / "some")
    if arguments[0] == "enhance":
        arguments = ["enhance", "runs/tiny/seed-0", *arguments[2:]]
    if arguments[0] == "report":
        assert trained.run("eval", "tiny").returncode == 0
    done = trained.process(*arguments, preexec_fn=limit)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.fault("streams and limits")
@pytest.mark.parametrize("mib", [500, 3000])
def test_too_little_memory_for_the_libraries_is_one_line(workspace: Workspace, mib: int) -> None:
    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))

    done = workspace.process("doctor", preexec_fn=little)
    assert done.returncode == 4
    assert done.stderr.startswith("hdrbench: there is not enough memory: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.fault("names and texts")
@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["verify", "a\x1b[2J\x9bx"], {}),
        (["verify", "demo"], {"HDRBENCH_DATA": "x\x1b]0;title\x07y"}),
        (["recipes", "x\x1b[2J"], {}),
        (["eval", "x\u202e"], {}),
        (["train", "x\x1b[2J.yaml"], {}),
        (["enhance", "no\x1b[2Jmodel", "a.png", "b.png"], {}),
        (["prepare", "folder", "--source-dir", "x\x1b[2J"], {}),
        (["report"], {"HDRBENCH_RESULTS": "x\x1b[2J"}),
    ],
)
def test_no_code_of_the_terminal_comes_from_outside(
    workspace: Workspace, arguments: list[str], environment: dict[str, str]
) -> None:
    done = workspace.run(*arguments, env=environment)
    assert done.returncode in (2, 3)
    assert not set("\x1b\x9b\x07\u202e") & set(done.stdout + done.stderr)
    assert any(spelt in done.stderr for spelt in ("\\x1b", "\\u202e")), done.stderr


@pytest.mark.fault("names and texts")
def test_json_on_stdout_is_the_same_value_and_harmless(workspace: Workspace) -> None:
    folder = workspace.path / "in"
    (folder / "input").mkdir(parents=True)
    name = "x\x9b2J\u2028y"
    done = workspace.run("prepare", "demo", "--dry-run", "--json", env={"HDRBENCH_DATA": name})
    assert json.loads(done.stdout)["directory"] == f"{name}/demo-retouch"
    assert "\x9b" not in done.stdout
