"""The wheel carries what the tool needs, and works from another directory."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, clean_environment


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build from: setuptools writes its build/ and egg-info beside the sources."""
    copy = tmp_path_factory.mktemp("sources") / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("hdrnet_bench", "recipes", "manifests", "results/published"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def make_wheel(source: Path, folder: Path, environment: dict[str, str]) -> Path:
    command = "-m pip wheel --no-deps --no-build-isolation --quiet --wheel-dir"
    done = subprocess.run(
        [sys.executable, *command.split(), str(folder), str(source)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheel(sources, tmp_path_factory.mktemp("wheel"), clean_environment())


def test_wheel_holds_recipes_locks_and_templates(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "recipes").glob("*.yaml"):
        assert f"hdrnet_bench/shipped/recipes/{path.name}" in names
    for path in (ROOT / "manifests").glob("*.json*"):
        assert f"hdrnet_bench/shipped/manifests/{path.name}" in names
    for path in (ROOT / "results" / "published").glob("*.csv"):
        assert f"hdrnet_bench/shipped/results/published/{path.name}" in names
    for path in (ROOT / "hdrnet_bench" / "report" / "templates").iterdir():
        assert f"hdrnet_bench/report/templates/{path.name}" in names
    for path in (ROOT / "hdrnet_bench" / "slicing" / "kernels").glob("*.cu"):
        assert f"hdrnet_bench/slicing/kernels/{path.name}" in names
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "hdrnet_bench").rglob("*.py")}
    assert modules <= names
    if shutil.which("g++") or shutil.which("clang++"):
        assert any(name.startswith("hdrnet_bench/slicing/_native") for name in names)
    assert not any(name.startswith(("tests/", "results/", "recipes/")) for name in names)


def test_without_a_compiler_it_installs_and_says_so(sources: Path, tmp_path: Path) -> None:
    environment = clean_environment() | {"CC": "/bin/false", "CXX": "/bin/false"}
    copy = tmp_path / "source"
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    built = make_wheel(copy, tmp_path, environment)
    assert not any("_native" in name for name in zipfile.ZipFile(built).namelist())
    site = tmp_path / "site"
    zipfile.ZipFile(built).extractall(site)
    done = subprocess.run(
        [sys.executable, "-m", "hdrnet_bench", "doctor", "--json"],
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "install a C++ compiler" in done.stdout
    assert done.stderr.count("slicing is slow here") == 1


def test_installed_tool_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    work = tmp_path / "work"
    work.mkdir()
    environment = clean_environment() | {"PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hdrnet_bench", *arguments],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "demo-retouch" in run("recipes")
    run("prepare", "demo")
    assert "lock identical" in run("verify", "demo-retouch")
