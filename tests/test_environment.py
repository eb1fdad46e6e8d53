"""What a result says of the machine and the day it was measured on."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from hdrnet_bench import environment
from hdrnet_bench.environment import Environment, describe, revision
from hdrnet_bench.result_timing import NetworkTiming, read_machines
from tests.report.fixtures import made_up


def test_the_day_is_noted() -> None:
    before = datetime.now(UTC).date().isoformat()
    assert before <= (describe().date or "") <= datetime.now(UTC).date().isoformat()


def test_files_without_a_day_are_read_and_no_other_text_is_one() -> None:
    content = made_up.environment().model_dump()
    del content["date"]
    assert Environment.model_validate(content).date is None
    assert Environment.model_validate(content | {"date": "2017-07-30"}).date == "2017-07-30"
    for text in ("yesterday", "2017-07-30T12:00", ""):
        with pytest.raises(ValidationError, match="date"):
            Environment.model_validate(content | {"date": text})


def test_a_page_says_the_version_where_no_commit_is_known() -> None:
    content = made_up.environment().model_dump()
    assert Environment.model_validate(content | {"commit": "abc"}).commit_text == "abc"
    without = Environment.model_validate(content | {"commit": None, "package": "1.2.3"})
    assert without.commit_text == "none known (version 1.2.3)"


def test_another_day_and_load_go_on_with_a_file_another_commit_does_not(tmp_path: Path) -> None:
    made_up.network(tmp_path)
    ((_, timing),) = read_machines(tmp_path)
    assert isinstance(timing, NetworkTiming)

    def on(**changed: object) -> NetworkTiming:
        environment = timing.environment.model_copy(update=changed)
        return timing.model_copy(update={"environment": environment})

    assert on(date="2017-07-31", load=9.0).continues(timing)
    assert not on(commit="f" * 12).continues(timing)


def git(folder: Path, *arguments: str) -> None:
    names = ("-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_a_commit_and_each_reason_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    package = tmp_path / "hdrnet_bench"
    package.mkdir()
    none = revision(package)
    assert (none.commit, none.wrong) == (None, False)
    assert none.why == "an installed package, no checkout: its version says what it is"
    (tmp_path / "pyproject.toml").touch()
    (package / "slicing/kernels").mkdir(parents=True)
    (package / "slicing/kernels/slice_cpu.cpp").touch()
    assert revision(package).why.startswith("sources, no checkout")  # of an sdist

    git(tmp_path, "init")
    assert revision(package) == (None, "a checkout without a commit yet", True)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "first")
    clean = revision(package)
    assert len(clean.commit or "") == 12
    assert clean[1:] == ("", False)
    (tmp_path / "notes").touch()  # which is nothing that counts
    assert revision(package) == clean
    (package / "new.py").touch()
    assert revision(package).commit == f"{clean.commit}-dirty"

    head = tmp_path / ".git/HEAD"
    content = head.read_text()
    head.write_text("nonsense")
    broken = revision(package)
    assert (broken.commit, broken.wrong) == (None, True)
    assert broken.why.startswith("git fails: not a git repository")
    head.write_text(content)
    monkeypatch.setenv("PATH", str(package))
    assert revision(package) == (None, "a checkout, but git is not installed", True)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            "echo \"fatal: detected dubious ownership in repository at '$PWD'\" >&2; exit 128",
            "the checkout is another user's, and git refuses it: "
            "`git config --global --add safe.directory '{top}'` trusts it",
        ),
        ("exit 1", "git fails: no reason given"),
        ("echo \"fatal: $LC_ALL\" >&2; exit 1", "git fails: C"),
        ("sleep 5", "git did not answer within 0.3 s"),
        # What cannot be told clean is not taken for clean.
        ("test $3 = rev-parse && echo abc || { echo index file corrupt >&2; exit 128; }",
         "git fails: index file corrupt"),
    ],
)  # fmt: skip
def test_what_git_says_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    top = tmp_path / "a checkout"
    (top / ".git").mkdir(parents=True)
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setattr(environment, "_GIT_S", 0.3 if "sleep" in script else 10)
    assert revision(top / "hdrnet_bench") == (None, says.format(top=top), True)


def test_a_git_that_cannot_be_run_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "git").write_text("no program")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision(tmp_path / "hdrnet_bench").why == "git cannot be run: Exec format error"


HELD = "from hdrnet_bench.environment import peak_memory_mib as peak; print(peak())"
LARGE = f"""
import subprocess, sys
large = b"x" * (400 << 20)
print(subprocess.check_output([sys.executable, "-c", {HELD!r}], text=True))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to measure with")
def test_a_small_process_that_a_large_one_starts_has_its_own_most_memory() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True)
    assert 5 < float(done.stdout) < 200, done.stderr
