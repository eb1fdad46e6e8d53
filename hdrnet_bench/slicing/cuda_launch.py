"""Compiling the CUDA kernels on the user's machine, and running them on torch's stream.

NVRTC (which torch brings) compiles kernels/*.cu for the device at hand, through cuda-core (the
extra `cuda`): four programs, each when a kernel of it is first asked for. The machine code is kept
on disk by its source, options and architecture. There is no nvcc and nothing is built when the
package is installed.
"""

from __future__ import annotations

import ctypes
import functools
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..install import install_advice
from .cuda import THREADS, Launch, Number, slice_apply

if TYPE_CHECKING:
    from cuda.core import ObjectCode

Traced = TypeVar("Traced", bound=Callable[..., Any])
KERNELS = Path(__file__).parent / "kernels"
# What the names of a program's kernels begin with: its file and the macro that asks for its kernels
# there, since files include each other.
PROGRAMS = {
    "slice_apply": ("slice_cuda.cu", "HDRBENCH_SLICE"),
    "slice_gr": ("slice_gradient_cuda.cu", "HDRBENCH_GRADIENT"),  # slice_gradient, slice_grid
    "curves": ("guide_cuda.cu", "HDRBENCH_GUIDE"),
    "enhance": ("enhance_cuda.cu", "HDRBENCH_ENHANCE"),
    "area": ("enhance_cuda.cu", "HDRBENCH_ENHANCE"),
}
SAY_AFTER_S = 1.0
OLDEST = (7, 5)  # compute capability
# What an error says where a machine lacks something, and what helps. Any other error is a fault
# and is raised: it must not pass for a machine without kernels, where everything is merely slow.
LACKS = {
    "DynamicLibNotFoundError": "a torch built for CUDA brings NVRTC",
    "invalid value for --gpu-architecture": "NVRTC is older than the GPU: a newer torch brings one",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "the driver is older than NVRTC: update it",
    "CUDA_ERROR_INVALID_IMAGE": "the driver is older than NVRTC: update it",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "the driver's parts are of different versions",
}


def source(kernel: str) -> str:
    """The program that has a kernel, as one text: what it includes of kernels/ in its place, once
    each."""
    file, macro = next(PROGRAMS[name] for name in PROGRAMS if kernel.startswith(name))
    return f"#define {macro}\n{_with_includes(file, set())}"


def _with_includes(name: str, files: set[str]) -> str:
    """A file, with the files that it includes in their places. `files` are those that the program
    has already, and grows. #line makes the compiler's messages name the file and its line."""
    files.add(name)
    lines = []
    text = (KERNELS / name).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        include = re.fullmatch(r'#include "([\w.]+)"', line)
        if include is None:
            lines.append("" if line == "#pragma once" else line)
        elif include[1] not in files:
            lines += [_with_includes(include[1], files), f'#line {number + 1} "{name}"']
    return "\n".join([f'#line 1 "{name}"', *lines])


def compile_program(text: str, architecture: str, cache: Path | None = None) -> ObjectCode:
    """Machine code for an architecture ("sm_90"), from the disk where it has been compiled before.

    Needs neither a device nor a driver. `cache` is a folder; by default cuda-core's own.
    """
    from cuda.core import Program, ProgramOptions
    from cuda.core.utils import FileStreamProgramCache

    options = ProgramOptions(arch=architecture, std="c++17", device_as_default_execution_space=True)
    program = Program(text, "c++", options)
    with _said_if_slow(f"compiling CUDA kernels for {architecture}, once: some seconds"):
        try:
            return program.compile("cubin", cache=FileStreamProgramCache(cache))
        except OSError:  # a folder that cannot be written, a full disk: compile each time
            return program.compile("cubin")


@contextmanager
def _said_if_slow(text: str) -> Iterator[None]:
    """A line for whoever waits: what is found on disk is there before it."""
    timer = threading.Timer(SAY_AFTER_S, lambda: print(f"hdrnet-bench: {text}", file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Kernels:
    """The kernels for one device, compiled when they are first run."""

    def __init__(self, device: int, architecture: str, cache: Path | None = None) -> None:
        self._device, self._architecture, self._cache = device, architecture, cache
        self._programs: dict[str, ObjectCode] = {}
        self._functions: dict[str, Any] = {}
        self._compiling = threading.Lock()

    def _function(self, kernel: str) -> Any:
        text = source(kernel)
        with self._compiling:  # autograd's threads may be first as well
            if text not in self._programs:
                self._programs[text] = compile_program(text, self._architecture, self._cache)
        return self._programs[text].get_kernel(kernel)

    def on(self, stream: int) -> Launch:
        """What runs kernels on a stream of the device, by its handle."""
        from cuda.core import Device, LaunchConfig, Stream, launch

        queue = Stream.from_handle(stream)

        def run(
            kernel: str, blocks: tuple[int, int, int], shared_bytes: int, arguments: list[Number]
        ) -> None:
            # torch's threads (autograd's among them) need not have the device's context yet.
            Device(self._device).set_current()
            if kernel not in self._functions:
                self._functions[kernel] = self._function(kernel)
            config = LaunchConfig(grid=blocks, block=THREADS, shmem_size=shared_bytes)
            # cuda-core takes an address as a plain integer.
            values = [a.value or 0 if isinstance(a, ctypes.c_void_p) else a for a in arguments]
            launch(queue, config, self._functions[kernel], *values)

        return run


@functools.cache
def _kernels(index: int) -> Kernels:
    major, minor = torch.cuda.get_device_capability(index)
    return Kernels(index, f"sm_{major}{minor}")


def constant_in_tracing(function: Traced) -> Traced:
    """torch.compile calls the function while tracing, and looks no further.

    As torch.compiler.assume_constant_result does it, which besides imports the compiler: more than
    a second at the start of every command, and most compile nothing.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant_in_tracing
def why_not(index: int | None) -> str:
    """Why there are no kernels for a CUDA device, or "": compiles and tries one the first time.

    What the others would lack is the same; what else goes wrong with a kernel is raised."""
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
        _try(torch.device("cuda", index))
    except ImportError as error:
        cuda = (torch.version.cuda or "").split(".")[0]
        reason = f"{error}: {install_advice('cuda', f'cuda-core[cu{cuda}]')}"
    except Exception as error:  # cuda-core's and the driver's, of many kinds
        text = f"{type(error).__name__}: {error}"
        help_text = next((LACKS[sign] for sign in LACKS if sign in text), None)
        if help_text is None:
            raise
        reason = f"its kernels do not run: {text.splitlines()[0]} ({help_text})"
    return reason


def _try(device: torch.device) -> None:
    """Compile, load and run a kernel, on a picture of one pixel."""
    grid = torch.ones((1, 12, 1, 1, 1), dtype=torch.float32, device=device)
    picture = torch.ones((1, 3, 1, 1), dtype=torch.float32, device=device)
    out = torch.empty_like(picture)
    with torch.cuda.device(device):
        slice_apply(on_current_stream(device), grid, picture[:, 0], picture, True, out)
    if out.tolist() != [[[[4.0]]] * 3]:  # 1 r + 1 g + 1 b + 1
        raise RuntimeError(f"a picture of ones came out as {out.flatten().tolist()}")


def on_current_stream(device: torch.device) -> Launch:
    """Runs kernels on torch's current stream of a device, inside `torch.cuda.device(device)`."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return _kernels(index).on(torch.cuda.current_stream(index).cuda_stream)
