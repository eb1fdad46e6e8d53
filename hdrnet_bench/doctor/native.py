"""What compiles here: the native library of the slicing kernels, and torch.compile."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ..cgroups import system_text
from ..errors import DataError
from ..files import read_bytes
from ..install import repeat_advice
from .finding import Finding

_COMPILERS = ("c++", "g++", "clang++")
_VERSION_S = 10
# Of x86-64-v3, for which the library has a build of its own (kernels/simd.h), what /proc/cpuinfo
# calls them.
_V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
_GET_COMPILER = "install a C++ compiler (Debian, Ubuntu: `apt install g++`)"


class Native(NamedTuple):
    """compilers: name to the first line of what its --version says, in the order in which they are
    looked for. chosen: $CXX. reason: why the library is not in use, "" where it is. stale: whether
    sources are newer than it. v3: whether the library has a build for AVX2. flags: of the
    processor. machine: its architecture. headers: whether Python's are there. triton: whether it is
    installed, and cuda whether torch sees a device."""

    compilers: dict[str, str]
    chosen: str | None
    reason: str
    stale: bool
    v3: bool
    flags: frozenset[str]
    machine: str
    headers: bool
    triton: bool
    cuda: bool


def read_native() -> Native:
    import torch

    from ..slicing import cpu

    chosen = os.environ.get("CXX") or None
    names = [*([chosen] if chosen else []), *_COMPILERS]
    folder = Path(cpu.__file__).parent
    return Native(
        {name: said for name in names if (said := _version_of(name))},
        chosen,
        cpu.REASON,
        is_stale(folder),
        _has_v3(folder),
        _flags(),
        platform.machine(),
        (Path(sysconfig.get_path("include")) / "Python.h").is_file(),
        find_spec("triton") is not None,
        torch.cuda.is_available(),
    )


def _version_of(compiler: str) -> str:
    """ "" where there is none that runs."""
    words = compiler.split()  # CXX may be "ccache g++"
    program = shutil.which(words[0]) if words else None
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *words[1:], "--version"],
            capture_output=True, encoding="utf-8", errors="replace", timeout=_VERSION_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""


def is_stale(folder: Path) -> bool:
    """Whether the newest library in slicing/ is older than one of its sources; an installed package
    has none of them."""
    sources = set((folder / "kernels").glob("*.cpp"))
    libraries = list(folder.glob("_native*"))
    if not sources or not libraries:
        return False
    new = sources
    while new:  # other headers there are CUDA's
        included = (re.findall(r'^#include "([\w.]+)"', system_text(p), re.MULTILINE) for p in new)
        new = {folder / "kernels" / name for names in included for name in names} - sources
        sources = sources | new
    return max(map(_changed, sources)) > max(map(_changed, libraries))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _has_v3(folder: Path) -> bool:
    """GCC names functions by what they were built for."""
    try:
        return any(b"arch_x86_64_v3" in read_bytes(path) for path in folder.glob("_native*"))
    except (OSError, DataError):
        return False


def _flags() -> frozenset[str]:
    match = re.search(r"^flags\s*:(.*)$", system_text(Path("/proc/cpuinfo")), re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def findings(native: Native) -> Iterator[Finding]:
    yield _compiler(native)
    yield _library(native)
    yield _torch_compile(native)


def _compiler(native: Native) -> Finding:
    if native.chosen and native.chosen not in native.compilers:
        return Finding(
            "C++ compiler",
            "warning",
            f"CXX={native.chosen} does not run",
            "`unset CXX`, or name another",
        )
    if not native.compilers:
        return Finding("C++ compiler", "missing", f"none of {', '.join(_COMPILERS)}", _GET_COMPILER)
    name, said = next(iter(native.compilers.items()))
    return Finding("C++ compiler", "ok", f"{name}: {said}")


def _library(native: Native) -> Finding:
    slow = "slicing on the CPU is plain torch, and slow"
    if native.reason:
        again = repeat_advice()
        advice = again if native.compilers else f"{_GET_COMPILER}, then {again}"
        return Finding("native slicing", "missing", f"{native.reason}; until then {slow}", advice)
    if native.stale:
        return Finding(
            "native slicing", "warning", "the library is older than its sources", repeat_advice()
        )
    return Finding("native slicing", "ok", f"the library is in use{_instructions(native)}")


def _instructions(native: Native) -> str:
    if native.machine not in ("x86_64", "AMD64"):
        return f", built for {native.machine}"
    if native.v3 and native.flags >= _V3:
        return ", by AVX2 and FMA"
    missing = "the processor has no AVX2 with FMA" if native.v3 else "its build has no AVX2"
    return f", by the instructions of every x86-64: {missing}"


def _torch_compile(native: Native) -> Finding:
    needs = "the backend compiled of `hdrbench time`, and training.compile"
    # torch takes g++ where CXX names none.
    lacking = [] if native.compilers.keys() & {native.chosen, "g++"} else ["g++"]
    lacking += [] if native.headers else ["Python's headers (Python.h)"]
    lacking += ["triton"] if native.cuda and not native.triton else []
    if not lacking:
        return Finding("torch.compile", "ok", "what it needs is here")
    return Finding(
        "torch.compile",
        "missing",
        f"{' and '.join(lacking)}, for {needs}",
        "install them (Debian, Ubuntu: `apt install g++ python3-dev`"
        + ("; `pip install triton`)" if "triton" in lacking else ")"),
    )
