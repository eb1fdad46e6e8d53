"""The compiler, the native library and torch.compile: what follows from what was read."""

import os
from pathlib import Path

import pytest

from hdrnet_bench.doctor import native as module
from hdrnet_bench.doctor.finding import Finding
from hdrnet_bench.doctor.native import Native, findings, is_stale
from hdrnet_bench.install import repeat_advice

V3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"})
WHOLE = Native(
    compilers={"c++": "c++ 12.2", "g++": "g++ 12.2"}, chosen=None, reason="", stale=False, v3=True,
    flags=V3 | {"sse2"}, machine="x86_64", headers=True, triton=False, cuda=False,
)  # fmt: skip


def found(what: str, **changed: object) -> Finding:
    return next(f for f in findings(WHOLE._replace(**changed)) if f.what == what)


@pytest.mark.parametrize(
    ("changed", "state", "says"),
    [
        ({}, "ok", "c++: c++ 12.2"),
        ({"compilers": {}}, "missing", "none of c++, g++, clang++"),
        ({"chosen": "icpx"}, "warning", "CXX=icpx does not run"),
        ({"chosen": "icpx", "compilers": {"icpx": "icpx 1"}}, "ok", "icpx: icpx 1"),
    ],
)
def test_the_compiler(changed: dict[str, object], state: str, says: str) -> None:
    finding = found("C++ compiler", **changed)
    assert (finding.state, says in finding.text) == (state, True)
    assert bool(finding.advice) == (state != "ok")


@pytest.mark.parametrize(
    ("changed", "state", "says"),
    [
        ({}, "ok", "by AVX2 and FMA"),
        ({"flags": WHOLE.flags - {"fma"}}, "ok", "the processor has no AVX2 with FMA"),
        ({"v3": False}, "ok", "its build has no AVX2"),
        ({"machine": "aarch64", "v3": False, "flags": frozenset()}, "ok", "built for aarch64"),
        ({"stale": True}, "warning", "older than its sources"),
        ({"reason": "it was not built", "stale": True}, "missing", "it was not built"),
    ],
)
def test_the_library(changed: dict[str, object], state: str, says: str) -> None:
    finding = found("native slicing", **changed)
    assert (finding.state, says in finding.text) == (state, True)
    assert (repeat_advice() in finding.advice) == (state != "ok")
    assert "a C++ compiler" not in finding.advice


def test_without_a_compiler_that_comes_first() -> None:
    finding = found("native slicing", reason="it was not built", compilers={})
    assert finding.advice.startswith("install a C++ compiler")


@pytest.mark.parametrize(
    ("changed", "lacking"),
    [
        ({}, ""),
        ({"compilers": {"clang++": "clang 14"}}, "g++"),
        ({"compilers": {"clang++": "clang 14"}, "chosen": "clang++"}, ""),
        ({"headers": False}, "Python's headers"),
        ({"cuda": True}, "triton"),
        ({"cuda": True, "triton": True}, ""),
    ],
)
def test_what_torch_compile_needs(changed: dict[str, object], lacking: str) -> None:
    finding = found("torch.compile", **changed)
    assert finding.state == ("missing" if lacking else "ok")
    assert finding.text.startswith(lacking)


def test_a_library_is_stale_where_a_source_of_it_is_newer(tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    library = tmp_path / "_native.cpython-311.so"
    (kernels / "a.cpp").write_text('#include <cmath>\n#include "one.h"\n')
    (kernels / "one.h").write_text('#pragma once\n#include "two.h"\n')
    for name in ("two.h", "cuda.h"):
        (kernels / name).touch()

    def change(path: Path, when: int) -> None:
        os.utime(path, (when, when))

    for path in kernels.iterdir():
        change(path, 1000)
    assert not is_stale(tmp_path)  # there is none
    library.touch()
    change(library, 1000)
    assert not is_stale(tmp_path)
    change(kernels / "cuda.h", 2000)
    assert not is_stale(tmp_path)
    for name in ("two.h", "one.h", "a.cpp"):
        change(kernels / name, 1001)
        assert is_stale(tmp_path)
        change(kernels / name, 1000)
    (kernels / "a.cpp").unlink()  # an installed package has none
    change(kernels / "one.h", 2000)
    assert not is_stale(tmp_path)


def test_a_compiler_is_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, script in (("good", "echo g++ 1.2; echo more"), ("bad", "exit 1"), ("mute", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = [module._version_of(name) for name in ("good", "good -x", "bad", "mute", "text", "none")]
    assert said == ["g++ 1.2", "g++ 1.2", "", "", "", ""]
