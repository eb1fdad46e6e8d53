"""`hdrbench doctor`: what it shows, on one machine, this one."""

import getpass
import os
import platform
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hdrnet_bench import paths
from hdrnet_bench.doctor import network, private
from hdrnet_bench.errors import UsageError
from tests.conftest import Workspace, clean_environment
from tests.file_server import serve

GROUPS = ["Installation", "Processor", "GPU", "Native code", "Memory", "Files", "Extras"]


def test_all_that_it_finds_as_json(tiny: Workspace) -> None:
    found = tiny.json("doctor", "tiny.yaml")
    findings = found["findings"]
    assert list(dict.fromkeys(finding["group"] for finding in findings)) == GROUPS
    assert {finding["state"] for finding in findings} <= {"ok", "warning", "missing"}
    assert all(finding["text"] and finding["what"] for finding in findings)
    by_name = {finding["what"]: finding for finding in findings}
    assert {"training tiny", "dataset demo-tiny", "native slicing", "threads"} <= by_name.keys()
    assert by_name["dataset demo-tiny"]["state"] == "ok"
    assert found["environment"]["python"] == found["versions"]["Python"]
    # It leaves nothing behind.
    assert {path.name for path in tiny.path.iterdir()} == {"data", "tiny.yaml"}


def test_it_says_what_is_wrong_and_ends_well(workspace: Workspace) -> None:
    Path("file").touch()
    done = workspace.run("doctor", env={"HDRBENCH_RUNS": "file"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    place = lines.index("  warning  runs: file is a file, where a folder must be")
    assert lines[place + 1].strip() == "-> mend that, or set HDRBENCH_RUNS to another folder"
    counts = re.fullmatch(r"(\d+) looked at: (\d+) with a warning, (\d+) missing", lines[-1])
    assert counts
    states = [line[:9].strip() for line in lines]
    assert [states.count(s) for s in ("warning", "missing")] == [
        int(n) for n in counts.groups()[1:]
    ]
    assert [line for line in lines if line in GROUPS] == GROUPS


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["doctor", "nope"], "unknown recipe 'nope'"),
        (["doctor", "--json", "--report"], "--report or --json, not both"),
    ],
)
def test_wrong_words_are_one_line(workspace: Workspace, arguments: list[str], says: str) -> None:
    assert says in workspace.fails(2, *arguments)


def test_servers_are_asked_only_where_that_is_asked_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.path / "file").touch()
    with serve(workspace.path) as server:
        targets = [network.Server(name, f"{server.url}/{name}") for name in ("file", "none")]
        monkeypatch.setattr(network, "servers", lambda: targets)
        assert "Network" not in workspace.run("doctor").stdout
        assert not server.requests
        findings = workspace.json("doctor", "--network")["findings"]
    states = [finding["state"] for finding in findings if finding["group"] == "Network"]
    assert states == ["ok", "warning"]


def test_eighty_columns_are_enough(workspace: Workspace) -> None:
    """But for what is one word, or a command to copy."""
    script = (
        "import fcntl, struct, termios\n"
        "fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('4H', 25, 80, 0, 0))\n"
        "import sys; sys.argv = ['hdrbench', 'doctor']\n"
        "from hdrnet_bench.cli import main; main()"
    )
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in clean_environment().items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=workspace.path, env=environment | {"TERM": "dumb"},
        stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # Linux's end of it
        pass
    os.close(ours)
    assert process.wait(60) == 0
    lines = re.sub(r"\x1b\[[\d;]*m", "", said.decode()).splitlines()
    assert GROUPS[0] in lines
    long = [line for line in lines if len(line) > 80]
    whole = re.compile(r"( *|.*-> )(`[^`]*`|\S+)[,;:.]?")
    assert not [line for line in long if not whole.fullmatch(line)], long
    assert max(len(line) for line in lines) > 60


def test_a_report_names_neither_machine_nor_user(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = workspace.path / "homes/mallory"
    home.mkdir(parents=True)
    environment = {
        "HOME": str(home), "USER": "mallory", "LOGNAME": "mallory", "TORCH_HOME": "",
        "XDG_CACHE_HOME": "", "HDRBENCH_DATA": "/nowhere/mallory/made-up-host/data",
        "HDRBENCH_RUNS": str(home / "runs"), "HDRBENCH_RESULTS": "x```y\x1b[2J",
    }  # fmt: skip
    monkeypatch.setattr(platform, "node", lambda: "made-up-host.example.org")
    done = workspace.run("doctor", "--report", env=environment)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert text.startswith("```text\nInstallation\n")
    assert text.endswith("```\n")
    assert text.count("```") == 2
    assert "\x1b" not in text
    assert "~/runs" in text
    assert "~/.cache/hdrbench" in text
    assert "/nowhere/USER/HOST/data" in text
    for name in ("mallory", "made-up-host", str(home), str(Path.home())):
        assert name not in text
    assert getpass.getuser() not in re.findall(r"(?<=/)[\w.-]+", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/homes/mallory/x", "~/x"),
        ("/homes/mallory", "~"),
        ("/mnt/homes/mallory/x", "/mnt/homes/USER/x"),
        ("(/homes/mallory/x)", "(~/x)"),
        ("/homes/mallory2/x", "/homes/mallory2/x"),
        ("/homes/mallory.old/x", "/homes/mallory.old/x"),
        ("/scratch/mallory/x and /mallory", "/scratch/USER/x and /USER"),
        ("mallory alone", "mallory alone"),
        ("on a.b.org and a", "on HOST and HOST"),
        ("data", "data"),
    ],
)
def test_names_are_left_out_where_they_stand_for_somebody(
    monkeypatch: pytest.MonkeyPatch, text: str, shown: str
) -> None:
    monkeypatch.setenv("HOME", "/homes/mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    monkeypatch.setattr(platform, "node", lambda: "a.b.org")
    assert private.without_names(text) == shown


def test_a_user_without_a_name_or_home_has_none_to_leave_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(private, "_user", lambda: "")
    assert private.without_names("/homes/mallory/x") == "/homes/mallory/x"
    monkeypatch.delenv("HDRBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(UsageError, match="HDRBENCH_CACHE says where caches go"):
        paths.cache_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert paths.cache_dir() == Path("/caches/hdrbench")
