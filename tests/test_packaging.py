"""The wheel carries what the tool needs, and works from another directory."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, clean_environment


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    # Built from a copy: setuptools writes its build/ and egg-info beside the sources.
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    names = ("hdrnet_bench", "recipes", "manifests")
    for name in names:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = "-m pip wheel --no-deps --no-build-isolation --quiet --wheel-dir"
    done = subprocess.run(
        [sys.executable, *command.split(), str(folder), str(source)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_wheel_holds_recipes_locks_and_templates(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "recipes").glob("*.yaml"):
        assert f"hdrnet_bench/shipped/recipes/{path.name}" in names
    for path in (ROOT / "manifests").glob("*.json*"):
        assert f"hdrnet_bench/shipped/manifests/{path.name}" in names
    assert "hdrnet_bench/report/templates/report.html.j2" in names
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "hdrnet_bench").rglob("*.py")}
    assert modules <= names
    assert not any(name.startswith(("tests/", "results/", "recipes/")) for name in names)


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
