"""Commands that install more: they work where they are said."""

import importlib.metadata
import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from hdrnet_bench import install
from hdrnet_bench.doctor.packages import EXTRAS
from tests.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OPTIONAL = PYPROJECT["project"]["optional-dependencies"]


def arguments(advice: str) -> list[str]:
    """What pip is given in a command in backquotes."""
    assert re.fullmatch(r"`[^`]+`", advice), advice
    words = shlex.split(advice.strip("`"))
    return words[words.index("install") + 1 :]


def test_in_a_checkout_it_is_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert arguments(install.install_advice("onnx")) == ["-e", ".[onnx]"]
    assert arguments(install.repeat_advice()) == ["-e", "."]
    monkeypatch.chdir(tmp_path)
    assert arguments(install.install_advice("onnx", "a[b]")) == ["-e", f"{ROOT}[onnx]", "a[b]"]
    monkeypatch.chdir("/")  # which every path lies below
    (_, where) = arguments(install.install_advice("onnx"))
    assert Path(where.removesuffix("[onnx]")).resolve() == ROOT.resolve()


@pytest.mark.parametrize("extra", EXTRAS)
def test_beside_a_wheel_it_is_the_packages(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "checkout", lambda: None)
    # As of the sources, which an installation may be older than.
    requires = [f'{package}; extra == "{name}"' for name in OPTIONAL for package in OPTIONAL[name]]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy>=1", *requires])
    assert arguments(install.install_advice(extra)) == OPTIONAL[extra]
    assert install.repeat_advice() == "install hdrnet-bench again"


def test_without_metadata_it_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(install, "checkout", lambda: None)
    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert "its extra onnx needs" in install.install_advice("onnx")


def test_an_extra_s_packages_are_its_own() -> None:
    requirements = [
        "numpy>=1.26",
        'a<2,>=1.0; extra == "cuda"',
        "b[c]>=1; sys_platform == 'linux' and extra == 'cuda'",
        'd; extra == "cuda2"',
        'e; extra == "dev"',
    ]
    assert install.extra_packages(requirements, "cuda") == ["a<2,>=1.0", "b[c]>=1"]
    assert install.extra_packages(requirements, "other") == []


def test_every_extra_that_is_advised_is_one() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "hdrnet_bench").rglob("*.py"))
    advised = set(re.findall(r"""install_advice\(["'](\w+)["']""", text)) | EXTRAS.keys()
    assert {"onnx", "tf1", "heif", "cuda", "distributed"} == advised
    assert advised <= OPTIONAL.keys()


def test_sources_are_known_by_what_no_wheel_has(tmp_path: Path) -> None:
    assert install.checkout() == ROOT
    package = tmp_path / "hdrnet_bench"
    kernels = package / "slicing/kernels"
    kernels.mkdir(parents=True)
    assert install.checkout(package) is None
    (tmp_path / "pyproject.toml").touch()  # another's, which some packages leave there
    assert install.checkout(package) is None
    (kernels / "slice_cpu.cpp").touch()
    assert install.checkout(package) == tmp_path


def test_the_pip_is_that_of_the_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def program(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(install, "checkout", lambda: None)
    monkeypatch.setattr(sys, "executable", str(program("venv/bin/python")))
    monkeypatch.setenv("PATH", str(program("other/pip").parent))

    def pip() -> str:
        return install._pip_program()

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert pip() == "pip"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert pip() == "venv/bin/python -m pip"
    beside = program("venv/bin/pip")
    assert pip() == "venv/bin/pip"
    monkeypatch.chdir("venv/bin")
    assert pip() == "./pip"
    (tmp_path / "other folder").mkdir()
    monkeypatch.chdir(tmp_path / "other folder")
    assert pip() == str(beside)
    monkeypatch.setenv("PATH", str(beside.parent))
    assert pip() == "pip"
