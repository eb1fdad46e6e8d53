"""What this machine can do, and what to do about the rest."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import NamedTuple

from .. import environment
from ..paths import data_dir, results_dir, runs_dir


class Finding(NamedTuple):
    capability: str
    there: str
    detail: str


def examine() -> list[dict[str, str]]:
    """Rows of capability, yes or no, and either the detail or what to do."""
    import torch

    from ..files import sha256_file
    from ..metrics.lpips import BACKBONES, check_backbone
    from ..slicing import cpu, cuda_launch

    machine = environment.describe()
    gpu = machine.gpu
    kernels = cuda_launch.why_not(None)
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    findings = [
        Finding("package", "yes", f"{machine.package}, commit {machine.commit or 'unknown'}"),
        Finding("processor", "yes", machine.machine()),
        Finding(
            "native slicing",
            "yes" if cpu.LIBRARY else "no",
            "CPU library in use"
            if cpu.LIBRARY
            else f"{cpu.REASON}; until then slicing is plain torch, and slow",
        ),
        Finding(
            "CUDA",
            "yes" if gpu else "no",
            gpu
            or (
                "torch is built for CUDA "
                f"{torch.version.cuda or '(no: install a CUDA build)'}, but sees no device: "
                "everything runs on the CPU"
            ),
        ),
        Finding(
            "CUDA slicing",
            "no" if kernels else "yes",
            f"{kernels}; slicing on CUDA would be plain torch" if kernels else "kernels in use",
        ),
        *(
            Finding(
                f"LPIPS weights, {backbone.label}",
                "no" if check_backbone(net) else "yes",
                f"put {backbone.url} (SHA-256 {backbone.sha256_start}…) at {backbone.path}, or "
                "give it to `hdrbench eval --lpips-weights FILE`; until then it is null"
                if check_backbone(net)
                else f"{backbone.path}, SHA-256 {sha256_file(backbone.path)}",
            )
            for net, backbone in BACKBONES.items()
        ),
        *(
            Finding(
                capability,
                "no" if missing else "yes",
                f"{', '.join(missing)} not installed: pip install 'hdrnet-bench[{extra}]'"
                if missing
                else "installed",
            )
            for capability, extra, packages in (
                ("export to ONNX", "onnx", ("onnx", "onnxscript")),
                ("import-tf1", "tf1", ("tensorflow",)),
                ("HEIC pictures", "heif", ("pillow_heif",)),
            )
            for missing in [[name for name in packages if find_spec(name) is None]]
        ),
        Finding(
            "browser",
            "yes" if browser else "no",
            browser or "only for looking at report.html here: install Chromium",
        ),
    ]
    for label, folder, variable in (
        ("data", data_dir(), "HDRBENCH_DATA"),
        ("runs", runs_dir(), "HDRBENCH_RUNS"),
        ("results", results_dir(), "HDRBENCH_RESULTS"),
    ):
        detail = f"{folder} ({variable} moves it)"
        findings.append(Finding(label, "yes" if folder.is_dir() else "not yet", detail))
    return [finding._asdict() for finding in findings]


_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
