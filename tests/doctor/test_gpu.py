"""Driver, CUDA and torch: which of them is in the way."""

from pathlib import Path

import pytest

from hdrnet_bench.doctor.gpu import Gpu, device_finding, driver_version, findings, has_device
from hdrnet_bench.slicing import cuda_launch

FITTING = Gpu((), "CUDA 12.6", "550.54.14", (12, 4), present=True)


@pytest.mark.parametrize(
    ("changed", "state", "says", "advice"),
    [
        ({"devices": ("X, 80 GiB",)}, "ok", "driver 550.54.14, which runs CUDA 12.4", ""),
        ({}, "warning", "torch sees none", "nvidia-smi"),
        ({"driver_cuda": (11, 8)}, "warning", "too old, torch is built for CUDA 12.6", "CUDA 11"),
        ({"driver_cuda": (12, 0)}, "warning", "torch sees none", "--gpus all"),
        ({"built_for": None}, "warning", "torch is built for the CPU alone", "one for CUDA"),
        ({"driver": None, "driver_cuda": None}, "warning", "not loaded", "driver"),
        ({"visible": ""}, "warning", "CUDA_VISIBLE_DEVICES= hides it", "unset"),
        ({"visible": "-1"}, "warning", "CUDA_VISIBLE_DEVICES=-1 hides it", "unset"),
        ({"visible": "0"}, "warning", "torch sees none", "nvidia-smi"),
        ({"visible": "GPU-1"}, "warning", "torch sees none", "nvidia-smi"),
        ({"present": False, "driver": None}, "missing", "everything runs on the CPU", ""),
    ],
)
def test_the_first_reason_that_explains_it(
    changed: dict[str, object], state: str, says: str, advice: str
) -> None:
    finding = device_finding(FITTING._replace(**changed))
    assert finding.state == state
    assert says in finding.text
    assert advice in finding.advice
    assert bool(advice) == bool(finding.advice)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 2024\n",
            "550.54.14",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65  Release Build\n",
            "580.65",
        ),
        ("something else\n", None),
    ],
)
def test_the_driver_s_version_is_that_of_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, version: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(text)
    assert driver_version(tmp_path) == version


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo 551.86; echo 551.86", "551.86"),
        ("echo 'NVIDIA-SMI has failed'; exit 9", None),
        ("echo 'No devices were found'", None),
    ],
)
def test_where_the_kernel_has_no_module_nvidia_smi_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, version: str | None
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert driver_version(tmp_path) == version


def test_a_device_is_known_by_its_node_or_by_pci(tmp_path: Path) -> None:
    assert not has_device(tmp_path)
    device = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    for maker, kind, known in (
        ("0x10de", "0x030200", True),
        ("0x10de", "0x040300", False),  # the sound of one
        ("0x1234", "0x030000", False),
    ):
        (device / "vendor").write_text(f"{maker}\n")
        (device / "class").write_text(f"{kind}\n")
        assert has_device(tmp_path) == known
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert not has_device(tmp_path)
    (tmp_path / "dev/nvidia0").touch()
    assert has_device(tmp_path)


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        ("", "ok", "compiled and run"),
        ("there is no cuda-core", "missing", "there is no cuda-core; slicing on CUDA is plain"),
        (RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS\nmore"), "warning", "CUDA_ERROR_ILLEGAL_ADDRESS"),
    ],
)
def test_kernels_are_tried_where_there_is_a_device(
    monkeypatch: pytest.MonkeyPatch, answer: str | Exception, state: str, says: str
) -> None:
    """A fault of theirs ends other commands; here it is what is looked for."""

    def why_not(index: int | None) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(cuda_launch, "why_not", why_not)
    _, kernels = findings(FITTING._replace(devices=("X",)))
    assert kernels.state == state
    assert says in kernels.text
    assert "more" not in kernels.text
    assert len(list(findings(FITTING))) == 1
