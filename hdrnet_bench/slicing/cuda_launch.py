"""Compiling the CUDA kernels on the user's machine, and running them on torch's stream.

NVRTC (which torch brings) compiles kernels/*.cu as one program for the device at hand, through
cuda-core (the extra `cuda`); the machine code is kept on disk by its source, options and
architecture. There is no nvcc and nothing is built when the package is installed.
"""

from __future__ import annotations

import ctypes
import functools
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .cuda import THREADS, Launch, Number

if TYPE_CHECKING:
    from cuda.core import ObjectCode

KERNELS = Path(__file__).parent / "kernels"
PROGRAM = "enhance_cuda.cu"  # includes all the others
OLDEST = (7, 5)  # compute capability


def source() -> str:
    """The program as one text: what it includes of kernels/ in its place, once each."""
    return _with_includes(PROGRAM, set())


def _with_includes(name: str, seen: set[str]) -> str:
    seen.add(name)
    lines = []
    for line in (KERNELS / name).read_text(encoding="utf-8").splitlines():
        include = re.fullmatch(r'#include "([\w.]+)"', line)
        if include is None:
            lines.append("" if line == "#pragma once" else line)
        elif include[1] not in seen:
            lines.append(_with_includes(include[1], seen))
    return "\n".join([f'#line 1 "{name}"', *lines])


def compile_kernels(architecture: str, cache: Path | None = None) -> ObjectCode:
    """Machine code for an architecture ("sm_90"), from the disk where it has been compiled before.

    Needs neither a device nor a driver. `cache` is a folder; by default cuda-core's own.
    """
    from cuda.core import Program, ProgramOptions
    from cuda.core.utils import FileStreamProgramCache

    options = ProgramOptions(arch=architecture, std="c++17", device_as_default_execution_space=True)
    program = Program(source(), "c++", options)
    try:
        kept = FileStreamProgramCache(cache)
    except OSError:  # a home that cannot be written: compile each time
        return program.compile("cubin")
    return program.compile("cubin", cache=kept)


class Kernels:
    """The compiled kernels, loaded for one device."""

    def __init__(self, architecture: str, cache: Path | None = None) -> None:
        self._code = compile_kernels(architecture, cache)
        self._found: dict[str, Any] = {}

    def on(self, stream: Any) -> Launch:
        """What runs kernels on a stream (any object with __cuda_stream__), whose device is
        current."""
        from cuda.core import LaunchConfig, launch

        def run(
            kernel: str, blocks: tuple[int, int, int], shared_bytes: int, arguments: list[Number]
        ) -> None:
            if kernel not in self._found:
                self._found[kernel] = self._code.get_kernel(kernel)
            config = LaunchConfig(grid=blocks, block=THREADS, shmem_size=shared_bytes)
            # cuda-core takes an address as a plain integer.
            values = [a.value or 0 if isinstance(a, ctypes.c_void_p) else a for a in arguments]
            launch(stream, config, self._found[kernel], *values)

        return run


@functools.cache
def _kernels(index: int) -> Kernels:
    major, minor = torch.cuda.get_device_capability(index)
    return Kernels(f"sm_{major}{minor}")


@torch.compiler.assume_constant_result
def why_not(index: int | None) -> str:
    """Why there are no kernels for a CUDA device, or "": compiles and loads them the first time."""
    return _why_not(index)


@functools.cache  # by itself it would be looked through in tracing
def _why_not(index: int | None) -> str:
    # Asked first: without a driver, cuda-core fails in ways that cannot be caught.
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    index = torch.cuda.current_device() if index is None else index
    capability = torch.cuda.get_device_capability(index)
    if capability < OLDEST:
        return f"its compute capability {capability[0]}.{capability[1]} is under 7.5"
    reason = ""
    try:
        with torch.cuda.device(index):
            _kernels(index)
    except ImportError:
        reason = "cuda-core is not installed: pip install 'hdrnet-bench[cuda]'"
    except Exception as error:  # cuda-core's and the driver's, of many kinds
        reason = f"its kernels cannot be compiled: {type(error).__name__}: {error}"
    if reason:
        warnings.warn(
            f"slicing on CUDA is slow here, in plain torch: {reason}", RuntimeWarning, stacklevel=2
        )
    return reason


def on_current_stream(device: torch.device) -> Launch:
    """Runs kernels on torch's current stream of a device, inside `torch.cuda.device(device)`."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return _kernels(index).on(torch.cuda.current_stream(index))
