"""tests/gpu/check.py without a GPU: limits, what is written after each part, and what is packed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.gpu import check
from tests.gpu.check import Part

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def shell(text: str, limit_s: float = 30, **options: Any) -> Part:
    return Part(limit_s, [("sh", "-c", text)], **options)


def run(tmp_path: Path, limit_s: float | None = None, **parts: Part) -> list[dict[str, Any]]:
    return check.run_parts(list(parts), parts, tmp_path / "out", tmp_path / "work", limit_s)


def verdicts(tmp_path: Path) -> dict[str, str]:
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())["parts"]
    return {row["part"]: row["verdict"] for row in rows}


def in_archive(tmp_path: Path) -> set[str]:
    with tarfile.open(tmp_path / "out" / "results.tgz") as archive:
        return {member.name for member in archive.getmembers() if member.isfile()}


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until_ended(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not runs(pid)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
@pytest.mark.parametrize("parent", ["echo began; wait", "exit 0"], ids=["hangs", "leaves it"])
def test_no_process_of_a_part_outlives_it(
    parent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "GRACE_S", 0.1)
    text = f"trap '' INT; sleep 300 & echo $! >{tmp_path}/pid; {parent}"
    began = time.monotonic()
    (row,) = run(tmp_path, long=shell(text, limit_s=1))
    assert time.monotonic() - began < 20
    assert until_ended(int((tmp_path / "pid").read_text()))
    if parent != "exit 0":
        assert (row["verdict"], row["rc"]) == ("timed out", check.TIMED_OUT)
        assert "began" in (tmp_path / "out" / "long.txt").read_text()


def test_parts_go_on_past_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = Part(30, [("sh", "-c", "echo why; exit 3"), ("no-such-tool",), ("true",)])
    rows = run(tmp_path, first=several, second=shell("true"))
    assert [row["verdict"] for row in rows] == ["failed", "passed"]
    assert rows[0]["rc"] == 3
    assert rows[0]["codes"] == [3, check.NOT_FOUND, 0]
    shown = capsys.readouterr().out
    assert "first: failed: sh -c echo why; exit 3\n    why\n" in shown
    assert "second    passed" in shown


def test_what_is_known_is_written_after_each_part(tmp_path: Path) -> None:
    out, seen = tmp_path / "out", tmp_path / "seen"
    seen.mkdir()
    first = shell('mkdir -p "$HDRBENCH_RESULTS"; echo 1 >"$HDRBENCH_RESULTS/one.json"')
    second = shell(f"cp {out}/* {seen}; echo 2 >$HDRBENCH_RESULTS/two.json; exit 1")
    run(tmp_path, first=first, second=second)
    assert verdicts(tmp_path) == {"first": "passed", "second": "failed"}
    logs = {"logs/first.txt", "logs/second.txt"}
    assert in_archive(tmp_path) == {"results/one.json", "results/two.json", *logs}
    rows = json.loads((seen / "summary.json").read_text())["parts"]
    assert [row["verdict"] for row in rows] == ["passed", "running"]
    with tarfile.open(seen / "results.tgz") as archive:
        assert {"results/one.json", "logs/first.txt"} <= set(archive.getnames())


def test_results_are_kept_after_each_command_and_from_all_parts(tmp_path: Path) -> None:
    write = 'mkdir -p "$HDRBENCH_RESULTS"; echo 1 >"$HDRBENCH_RESULTS/one.json"'
    look = f"tar -tzf {tmp_path}/out/results.tgz >{tmp_path}/seen"
    first = Part(30, [("sh", "-c", write), ("sh", "-c", look)], results="tried")
    run(tmp_path, first=first, second=shell(write))
    assert {"tried/one.json", "logs/first.txt"} <= set((tmp_path / "seen").read_text().split())
    logs = {"logs/first.txt", "logs/second.txt"}
    assert in_archive(tmp_path) == {"tried/one.json", "results/one.json", *logs}


def test_an_interrupted_part_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "run_command", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, first=shell("true"), second=shell("true"))
    assert verdicts(tmp_path) == {"first": "interrupted"}
    assert in_archive(tmp_path) == {"logs/first.txt"}


def test_every_log_is_there_and_in_the_archive(tmp_path: Path) -> None:
    parts = {f"p{i}": shell("exit 1" if i == 1 else "ls") for i in range(9)}
    run(tmp_path, **parts)
    logs = {f"{name}.txt" for name in parts}
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {"summary.json", "results.tgz", *logs}
    assert in_archive(tmp_path) == {f"logs/{name}" for name in logs}


def test_limit_over_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "GRACE_S", 0.1)
    rows = run(tmp_path, 1.0, first=shell("sleep 60"), second=shell("true"))
    assert [row["verdict"] for row in rows] == ["timed out", "not run"]
    assert rows[1]["why"] == "no time left"
    assert rows[1]["rc"]


def test_commands_of_a_part_share_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "GRACE_S", 0.1)
    commands = [("sleep", "60"), ("true",)]
    (apart,) = run(tmp_path, part=Part(2, commands, apart=True))
    assert apart["codes"] == [check.TIMED_OUT, 0]
    (together,) = run(tmp_path, part=Part(1, commands))
    assert together["codes"] == [check.TIMED_OUT, check.TIMED_OUT]


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    rows = run(
        tmp_path,
        needed=shell("true", tool="no-such-tool"),
        wished=shell("true", tool="no-such-tool", optional=True),
    )
    assert [row["verdict"] for row in rows] == ["not run", "not run"]
    assert [bool(row["rc"]) for row in rows] == [True, False]


def test_user_settings_do_not_reach_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDRBENCH_MAX_MEGAPIXELS", "1")
    run(tmp_path, part=shell("env", variables={"OWN": "yes"}))
    log = (tmp_path / "out" / "part.txt").read_text()
    assert "HDRBENCH_MAX_MEGAPIXELS" not in log
    assert f"HDRBENCH_RESULTS={tmp_path}/work/kept/results" in log
    assert "OWN=yes" in log


def test_unknown_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        check.main(["look", "tset"])
    assert caught.value.code == 2
    assert "no part tset; there are look test timing" in capsys.readouterr().err


def test_exit_code_and_a_line_for_each_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "PARTS", {"look": shell("true"), "test": shell("exit 4")})
    monkeypatch.setattr(check, "why_no_device", lambda variables: "")
    folders = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    assert check.main([*folders, "look"]) == 0
    assert check.main(folders) == 1
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [text.split(",")[0] for text in lines] == ["look      passed", "test      failed"]


def test_without_a_device_nothing_long_is_begun(tmp_path: Path) -> None:
    script = ROOT / "tests" / "gpu" / "check.py"
    folders = ("--out", tmp_path / "out", "--work", tmp_path / "work")
    done = subprocess.run(
        [sys.executable, script, "test", "kernels", *folders],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "gpu-check: torch sees no CUDA device"
    assert not (tmp_path / "out" / "test.txt").exists()


# What is packed.


def stub_wheel(folder: Path, name: str, version: str, needs: list[str]) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    text += "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", text)


def stub_download(folder: Path, python: str, needs: list[str]) -> None:
    """In place of pip: a wheel with the metadata of what is installed here, and nothing in it."""
    for need in map(Requirement, needs):
        try:
            here = metadata.distribution(need.name)
        except metadata.PackageNotFoundError:  # nvidia-ml-py, of the extra cuda
            stub_wheel(folder, need.name, "13.0", [])
            continue
        assert need.specifier.contains(here.version, prereleases=True), need
        stub_wheel(folder, need.name, here.version, here.requires or [])


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pack of such wheels, for the Python that runs."""
    monkeypatch.setattr(check, "pip_download", stub_download)
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "pack"
    (folder / "wheels").mkdir(parents=True)
    python = ".".join(map(str, sys.version_info[:2]))
    check.download(folder / "wheels", python, check.EXPECTED | check.UNUSED)
    return folder


def test_each_dependency_is_packed_or_expected_there(pack: Path) -> None:
    known = {*check.wheels(pack / "wheels"), *check.EXPECTED, *check.UNUSED}
    extra = PROJECT["optional-dependencies"]["cuda"]
    needs = [Requirement(text) for text in [*PROJECT["dependencies"], *extra]]
    names = {canonicalize_name(need.name) for need in needs}
    assert names <= known
    assert names >= check.EXPECTED
    assert {"pytest", "hypothesis", "packaging", "pydantic-core"} <= known


def imported(path: Path, everywhere: bool) -> set[str]:
    """Packages that a file imports when it is imported, or at all."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_what_is_imported_is_packed_or_expected_there(pack: Path) -> None:
    known = {*check.wheels(pack / "wheels"), *check.EXPECTED, "hdrnet-bench"}
    of_module = metadata.packages_distributions()
    package = sorted((ROOT / "hdrnet_bench").rglob("*.py"))
    gpu = [ROOT / "tests" / "conftest.py", *(ROOT / "tests" / "gpu").glob("*.py")]
    for path in [*package, *gpu]:
        for module in imported(path, everywhere=False):
            owners = {canonicalize_name(name) for name in of_module.get(module, ())}
            assert not owners or owners & known, (path, module)
        used = {module.replace("_", "-") for module in imported(path, everywhere=True)}
        # `Pairs.to_datasets` alone needs it, which nothing calls there.
        allowed = {"datasets"} if path == ROOT / "hdrnet_bench" / "data" / "load.py" else set()
        assert not used & check.UNUSED - allowed, path


def test_only_what_is_lacking_is_unpacked(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = check.installed
    other = {"pydantic": None, "pydantic-core": "0.1", "rich": "1.0", "torch": None}
    monkeypatch.setattr(
        check, "installed", lambda name: other[name] if name in other else real(name) or "13.0"
    )
    variables = check.install(pack, tmp_path)
    site = tmp_path / "site"
    assert variables["PYTHONPATH"].split(os.pathsep)[:2] == [str(ROOT), str(site)]
    unpacked = {path.name.split("-")[0] for path in site.iterdir()}
    assert unpacked == {"pydantic", "pydantic_core", "rich"}
    said = capsys.readouterr().out
    assert "neither here nor in the pack: torch" in said
    assert said.count("neither") == 1


def test_libraries_of_the_codecs_that_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "imagecodecs-1-py3-none-any.whl"
    files = {
        "imagecodecs/__init__.py": b"",
        "imagecodecs/_png.abi3.so": b"..libpng-1.so..",
        "imagecodecs/_avif.abi3.so": b"..libavif-1.so..",
        "imagecodecs.libs/libpng-1.so": b"..libz-1.so..",
        "imagecodecs.libs/libz-1.so": b"",
        "imagecodecs.libs/libavif-1.so": b"..libz-1.so..",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    check.thin_imagecodecs(path)
    assert list(tmp_path.iterdir()) == [path]
    assert set(zipfile.ZipFile(path).namelist()) == {name for name in files if "avif" not in name}


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="no checkout")
def test_packed_sources_know_their_commit(tmp_path: Path) -> None:
    check.pack_sources(tmp_path / "project.tar.gz")
    there = tmp_path / "there"
    with tarfile.open(tmp_path / "project.tar.gz") as archive:
        archive.extractall(there, filter="data")
    for name in ("tests/gpu/check.py", "tests/gpu/test_gpu.py", "recipes/demo-retouch.yaml"):
        assert (there / name).read_bytes() == (ROOT / name).read_bytes()
    assert not list((there / "results").rglob("*.jpg"))

    def git(folder: Path, *arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert git(there, "rev-parse", "HEAD") == git(ROOT, "rev-parse", "HEAD")
    git(there, "status", "--porcelain", "--", "hdrnet_bench", "recipes", "pyproject.toml")
