import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hdrnet_bench.result_timing import MachineState, combined
from hdrnet_bench.timing import state as timing_state
from hdrnet_bench.timing.state import Watch


def write(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


def test_clock_and_power_of_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(timing_state.time, "monotonic", lambda: now)
    cores = [tmp_path / f"devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq" for n in (0, 1)]
    write(cores[0], 800_000)
    write(cores[1], 3_200_000)
    packages = [tmp_path / f"class/powercap/intel-rapl:{n}" for n in (0, 1)]
    for package in packages:
        write(package / "energy_uj", 5_000_000)
        write(package / "max_energy_range_uj", 10_000_000)
    # A part of the first package, which counts its energy already.
    write(tmp_path / "class/powercap/intel-rapl:0:0/energy_uj", 1)
    clock, power = timing_state._on_cpu(tmp_path)
    assert clock() == 3200.0
    assert power() is None  # nothing to compare with yet
    now += 2
    write(packages[0] / "energy_uj", 9_000_000)  # 4 J in 2 s
    write(packages[1] / "energy_uj", 1_000_000)  # 6 J: the counter went around
    assert power() == pytest.approx(5.0)


def test_what_the_machine_does_not_say_is_none(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    clock, power = timing_state._on_cpu(nothing, nothing)
    assert (clock(), power()) == (None, None)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\ncpu MHz\t\t: 2793.438\ncpu MHz\t\t: 1200.5\n")
    clock, _ = timing_state._on_cpu(nothing, cpuinfo)
    assert clock() == 2793.438


def test_clock_and_power_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    def no_power(handle: str) -> int:
        raise NVMLError

    cuda = torch.device("cuda")
    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: f"handle of {uuid}",
        nvmlDeviceGetClockInfo=lambda handle, kind: {("handle of GPU-12-ab", 1): 1980}[
            handle, kind
        ],
        nvmlDeviceGetPowerUsage=lambda handle: {"handle of GPU-12-ab": 312_500}[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    properties = SimpleNamespace(uuid="12-ab")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    clock, power = timing_state._on_cuda(cuda)
    assert (clock(), power()) == (1980.0, 312.5)
    nvml.nvmlDeviceGetPowerUsage = no_power
    assert (clock(), power()) == (1980.0, None)
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    clock, power = timing_state._on_cuda(cuda)
    assert (clock(), power()) == (None, None)


def test_lowest_and_highest_of_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = iter([3000.0, 2000.0, 2500.0])
    monkeypatch.setattr(timing_state, "_on_cpu", lambda: (lambda: next(clocks), lambda: None))
    watch = Watch(torch.device("cpu"))
    for _ in range(3):
        watch.look(at_once=True)
    watch.look()  # too soon after the last
    assert watch.state().clock_mhz == (2000.0, 3000.0)
    assert watch.state().power_w is None
    other = MachineState(clock_mhz=(1000.0, 2500.0), power_w=(10.0, 20.0), load=None)
    nothing = MachineState(clock_mhz=None, power_w=None, load=None)
    both = combined([watch.state(), other, nothing])
    assert (both.clock_mhz, both.power_w) == ((1000.0, 3000.0), (10.0, 20.0))
    assert combined([nothing]) == nothing
