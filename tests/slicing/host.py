"""The CUDA kernels on the CPU: their own source, built with the stand-in for the device."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hdrnet_bench.slicing.cuda import THREADS, Number
from hdrnet_bench.slicing.cuda_launch import KERNELS

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")


def build(source: Path, output: Path, kernels: Path = KERNELS, *flags: str) -> Path:
    assert COMPILER
    command = [COMPILER, "-std=c++17", "-O2", "-shared", "-fPIC", "-ffp-contract=off"]
    host = ["-Wno-unknown-pragmas", '-DHDRBENCH_HOST="cuda_host.h"', f"-I{HERE}", f"-I{kernels}"]
    made = subprocess.run(
        [*command, *host, *flags, str(source), "-o", str(output), "-ldl"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    return output


class HostKernels(TorchDispatchMode):
    """Runs kernels thread by thread, and raises AssertionError for what a device might not
    forgive: see cuda_host.h. `seed` shuffles blocks and threads.

    As a context it notes every tensor that torch makes, and the kernels may touch those alone.
    """

    def __init__(self, library: Path, seed: int = 0) -> None:
        super().__init__()
        self._library = ctypes.CDLL(str(library))
        self._library.host_run.restype = ctypes.c_char_p
        self._library.host_kernels.restype = ctypes.c_char_p
        self._library.host_announce.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self.seed = seed
        self.watched: list[Tensor] = []
        self.launches: list[str] = []

    def watch(self, *tensors: Tensor) -> None:
        self.watched += tensors

    def skip_barrier(self, file: str, line: int) -> None:
        """Leave out the barrier at that place; line 0 leaves none out."""
        self._library.host_skip_barrier(file.encode(), line)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        if "empty" in function.__name__:
            for tensor in tensors:  # what is read before it is written shows
                tensor.fill_(torch.nan if tensor.is_floating_point() else 77)
        self.watched += tensors
        return result

    def argument_bytes(self) -> dict[str, list[int]]:
        lines = self._library.host_kernels().decode().splitlines()
        return {name: [int(n) for n in sizes] for name, *sizes in map(str.split, lines)}

    def __call__(
        self, kernel: str, blocks: tuple[int, int, int], shared_bytes: int, arguments: list[Number]
    ) -> None:
        expected = self.argument_bytes()[kernel]
        assert [ctypes.sizeof(a) for a in arguments] == expected, kernel
        self.launches.append(kernel)
        pointers = [ctypes.cast(ctypes.pointer(a), ctypes.c_void_p) for a in arguments]
        self._library.host_forget()
        for tensor in self.watched:
            storage = tensor.untyped_storage()
            self._library.host_announce(storage.data_ptr(), storage.nbytes())
        error = self._library.host_run(
            kernel.encode(),
            (ctypes.c_int * 3)(*blocks),
            THREADS,
            shared_bytes,
            (ctypes.c_void_p * len(pointers))(*pointers),
            self.seed,
        )
        assert error is None, f"{kernel}: {error.decode()}"
