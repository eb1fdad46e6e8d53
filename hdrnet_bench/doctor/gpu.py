"""The GPU: what is there, what the driver can do, what torch was built for, what runs on it."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..cgroups import system_text
from .finding import Finding

_NVIDIA = "0x10de"  # of PCI
_DISPLAY = "0x03"  # classes that begin so: display controllers, also those without a display
_SMI_S = 10
_TORCH = "install another build of torch (https://pytorch.org/get-started/locally/)"

Version = tuple[int, int]


class Gpu(NamedTuple):
    """devices: as torch sees them. built_for: torch's version of CUDA, or of ROCm, as text; None
    where it was built for the CPU alone. driver: its version; None without one. driver_cuda: the
    newest CUDA that it runs. present: whether there is an NVIDIA device at all. visible:
    CUDA_VISIBLE_DEVICES."""

    devices: tuple[str, ...] = ()
    built_for: str | None = None
    driver: str | None = None
    driver_cuda: Version | None = None
    present: bool = False
    visible: str | None = None


def read_gpu(root: Path = Path("/")) -> Gpu:
    """root: where /proc, /sys and /dev are looked for."""
    import torch

    hip = torch.version.hip
    devices = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            major, minor = torch.cuda.get_device_capability(index)
            size = torch.cuda.get_device_properties(index).total_memory / 2**30
            name = torch.cuda.get_device_name(index)
            devices.append(f"{name}, {size:.0f} GiB, compute capability {major}.{minor}")
    driver = driver_version(root)
    return Gpu(
        tuple(devices),
        f"ROCm {hip}" if hip else torch.version.cuda and f"CUDA {torch.version.cuda}",
        driver,
        _driver_cuda(),
        driver is not None or has_device(root),
        os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def driver_version(root: Path = Path("/")) -> str | None:
    """Of the kernel's module, or, where it is not this kernel's (WSL), by nvidia-smi."""
    text = system_text(root / "proc/driver/nvidia/version")
    if match := re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)*)\s", text):
        return match[1]
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=_SMI_S,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    first = done.stdout.split("\n")[0].strip()
    return first if done.returncode == 0 and re.fullmatch(r"[\d.]+", first) else None


def _driver_cuda() -> Version | None:
    """The driver's own library knows, also where no device can be used."""
    try:
        library, version = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
        if library.cuDriverGetVersion(ctypes.byref(version)) != 0 or version.value <= 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10


def has_device(root: Path = Path("/")) -> bool:
    """Whether there is an NVIDIA device, with or without its driver."""
    if any((root / "dev").glob("nvidia[0-9]*")):
        return True
    for folder in (root / "sys/bus/pci/devices").glob("*"):
        maker, kind = (system_text(folder / name).strip() for name in ("vendor", "class"))
        if maker == _NVIDIA and kind.startswith(_DISPLAY):
            return True
    return False


def findings(gpu: Gpu) -> Iterator[Finding]:
    yield device_finding(gpu)
    if gpu.devices:
        yield _kernels()


def device_finding(gpu: Gpu) -> Finding:
    """What torch sees, and where it sees nothing, the first reason that explains it."""
    built = f"torch is built for {gpu.built_for or 'the CPU alone'}"
    driver = "no driver" if gpu.driver is None else f"driver {gpu.driver}"
    if gpu.driver_cuda:
        driver += f", which runs CUDA {_shown(gpu.driver_cuda)}"
    if gpu.devices:
        return Finding("device", "ok", f"{'; '.join(gpu.devices)}; {driver}; {built}")
    if not gpu.present:
        return Finding("device", "missing", f"no NVIDIA GPU: everything runs on the CPU; {built}")
    here = "an NVIDIA GPU is here"
    if gpu.built_for is None:
        return Finding(
            "device", "warning", f"{here} ({driver}), and {built}", f"{_TORCH}, one for CUDA"
        )
    if gpu.driver is None and gpu.driver_cuda is None:
        return Finding(
            "device", "warning", f"{here}, and its driver is not loaded", "install NVIDIA's driver"
        )
    wanted = _version(gpu.built_for)
    if wanted and gpu.driver_cuda and gpu.driver_cuda[0] < wanted[0]:
        return Finding(
            "device",
            "warning",
            f"{driver}: too old, {built}",
            f"update the driver, or {_TORCH}, one for CUDA {gpu.driver_cuda[0]}",
        )
    if gpu.visible is not None and not re.match(r"\s*(\d|GPU-|MIG-)", gpu.visible):
        return Finding(
            "device",
            "warning",
            f"{here}, and CUDA_VISIBLE_DEVICES={gpu.visible} hides it",
            "`unset CUDA_VISIBLE_DEVICES`",
        )
    return Finding(
        "device",
        "warning",
        f"{here} ({driver}; {built}), and torch sees none",
        "see what `nvidia-smi` says; a container must be started with its GPU (docker: --gpus all)",
    )


def _kernels() -> Finding:
    """Compiles and runs one."""
    from ..slicing import cuda_launch

    try:
        reason = cuda_launch.why_not(None)
    except Exception as error:
        # Nothing that a machine lacks: it is here to be shown, where else it ends a command.
        text = (str(error) or type(error).__name__).splitlines()[0]
        return Finding("slicing kernels", "warning", f"a fault of theirs: {text}", "report it")
    if reason:
        return Finding(
            "slicing kernels", "missing", f"{reason}; slicing on CUDA is plain torch, and slow"
        )
    return Finding("slicing kernels", "ok", "compiled and run")


def _version(text: str) -> Version | None:
    match = re.match(r"CUDA (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _shown(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
