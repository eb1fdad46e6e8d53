"""The machine's clock, power and load, read between repeats and never set.

Nothing where the machine does not say: RAPL's counters are often root's alone, and CUDA's need the
package nvidia-ml-py.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..result_timing import MachineState

EVERY_S = 0.5
_FREQUENCIES = "devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
_PACKAGES = "class/powercap/intel-rapl:[0-9]*"

Reading = Callable[[], float | None]


class Watch:
    """Collects readings; `look` takes one at most every EVERY_S seconds."""

    def __init__(self, device: torch.device) -> None:
        self._next = 0.0
        self._clock, self._power = _on_cuda(device) if device.type == "cuda" else _on_cpu()
        self._clocks: list[float] = []
        self._powers: list[float] = []
        self._loads: list[float] = []

    def look(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if now < self._next and not at_once:
            return
        self._next = now + EVERY_S
        for values, read in (
            (self._clocks, self._clock),
            (self._powers, self._power),
            (self._loads, _load),
        ):
            value = read()
            if value is not None:
                values.append(value)

    def state(self) -> MachineState:
        return MachineState(
            clock_mhz=_range(self._clocks), power_w=_range(self._powers), load=_range(self._loads)
        )


def _range(values: list[float]) -> tuple[float, float] | None:
    return (round(min(values), 2), round(max(values), 2)) if values else None


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _on_cpu(
    system: Path = Path("/sys"), cpuinfo: Path = Path("/proc/cpuinfo")
) -> tuple[Reading, Reading]:
    """MHz of the fastest core (others may idle), and watts of all packages since the last look."""
    frequencies = sorted(system.glob(_FREQUENCIES))
    # A package is intel-rapl:N; what has two colons is a part of one.
    packages = [p for p in sorted(system.glob(_PACKAGES)) if p.name.count(":") == 1]
    last: dict[Path, tuple[float, int]] = {}

    def clock() -> float | None:
        try:
            if frequencies:
                return max(int(path.read_text()) for path in frequencies) / 1e3
            text = cpuinfo.read_text()
            mhz = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)
        except (OSError, ValueError):
            return None
        return max(map(float, mhz), default=None)

    def power() -> float | None:
        watts = []
        try:
            for package in packages:
                energy = int((package / "energy_uj").read_text())
                around = int((package / "max_energy_range_uj").read_text())
                now = time.monotonic()
                before = last.get(package)
                last[package] = now, energy
                if before is not None and now > before[0]:
                    watts.append((energy - before[1]) % around / 1e6 / (now - before[0]))
        except (OSError, ValueError, ZeroDivisionError):
            return None
        return sum(watts) if watts else None

    return clock, power


def _on_cuda(device: torch.device) -> tuple[Reading, Reading]:
    """MHz of the multiprocessors and watts of the board, by NVML."""
    try:
        import pynvml

        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except Exception:  # no package, no library, no right to ask, a part of a device
        return (lambda: None), (lambda: None)

    def asked(question: Callable[[], int], unit: float) -> float | None:
        try:
            return question() / unit
        except pynvml.NVMLError:
            return None

    return (
        lambda: asked(lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM), 1),
        lambda: asked(lambda: pynvml.nvmlDeviceGetPowerUsage(handle), 1e3),
    )
