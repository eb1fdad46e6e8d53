"""What a result was measured on and with: versions, commit, processor, load.

No host name, no user, no path: results are published.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .version import __version__


class Environment(BaseModel):
    """The machine and the installation, as `describe` gives them and every result file has them.

    date: of the measurement, in UTC, as 2017-07-30; None in files of versions that noted none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    package: str
    commit: str | None
    python: str
    torch: str
    platform: str
    cpu: str
    cores: int | None
    threads: int
    memory_gib: int | None
    gpu: str | None
    load: float | None
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None

    def machine(self) -> str:
        """One line that names the machine and what was installed on it."""
        gpu = f", {self.gpu}" if self.gpu else ""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib} GiB{gpu}; "
            f"Python {self.python}, torch {self.torch}"
        )


def describe() -> Environment:
    """This machine and installation, today."""
    import torch

    return Environment(
        package=__version__,
        commit=commit(),
        python=sys.version.split()[0],
        torch=torch.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        cpu=cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        threads=torch.get_num_threads(),
        memory_gib=_memory_gib(),
        gpu=gpu_name(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        date=datetime.now(UTC).date().isoformat(),
    )


def commit() -> str | None:
    """The checkout's commit, "-dirty" where files differ; None outside a checkout."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        run = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
        return run.stdout.strip() if run.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        dirty = git("status", "--porcelain", "--", "hdrnet_bench", "recipes", "pyproject.toml")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{head}{'-dirty' if dirty else ''}" if head else None


def cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else platform.machine()


def gpu_name() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def device_slug(device: str) -> str:
    """A device's name in a form fit for a file name: timing-<slug>.json."""
    name = gpu_name() if device.startswith("cuda") else cpu_name()
    name = re.sub(r"\((r|tm)\)|@.*|processor|cpu", "", (name or device).lower())
    return f"{device.split(':')[0]}-{re.sub(r'[^a-z0-9]+', '-', name).strip('-')}"


def peak_memory_mib() -> float:
    """This process's largest resident memory so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB on Linux.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _memory_gib() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError, AttributeError):
        return None
