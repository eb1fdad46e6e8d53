"""What a result was measured on and with: versions, commit, processor, load.

No host name, no user, no path: results are published.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from .install import checkout
from .memory import high_water_mib, total
from .version import __version__


class Environment(BaseModel):
    """The machine and the installation, as `describe` gives them and every result file has them.

    date: of the measurement, in UTC, as 2017-07-30; None in files of versions that noted none.
    onnxruntime: its version, where it ran the method; not in the file where it did not.
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
    onnxruntime: str | None = None

    @model_serializer(mode="wrap")
    def _without_onnxruntime(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        return {k: v for k, v in content.items() if k != "onnxruntime" or v is not None}

    @property
    def commit_text(self) -> str:
        """For pages: where no checkout ran, the version is what there is."""
        return self.commit or f"none known (version {self.package})"

    def machine(self) -> str:
        """One line that names the machine and what was installed on it."""
        gpu = f", {self.gpu}" if self.gpu else ""
        runtime = f", onnxruntime {self.onnxruntime}" if self.onnxruntime else ""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib} GiB{gpu}; "
            f"Python {self.python}, torch {self.torch}{runtime}"
        )


def describe(*, onnxruntime: bool = False) -> Environment:
    """This machine and installation, today. onnxruntime: whether it runs the method."""
    import torch

    return Environment(
        package=__version__,
        commit=commit(),
        python=sys.version.split()[0],
        torch=torch.__version__,
        platform=f"{platform.system()} {platform.machine()}",
        cpu=cpu_name(),
        cores=cores(),
        threads=torch.get_num_threads(),
        memory_gib=_memory_gib(),
        gpu=gpu_name(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        date=datetime.now(UTC).date().isoformat(),
        onnxruntime=_onnxruntime_version() if onnxruntime else None,
    )


def _onnxruntime_version() -> str:
    import onnxruntime

    version: str = onnxruntime.__version__
    return version


def commit() -> str | None:
    """The checkout's commit, "-dirty" where files differ; None where there is none to be had."""
    return revision().commit


class Revision(NamedTuple):
    """commit: as `commit` gives it. why: there is none, in words; "" where there is one.
    wrong: whether there should be one."""

    commit: str | None
    why: str = ""
    wrong: bool = False


def revision(package: Path = Path(__file__).parent) -> Revision:
    """The commit that the package at `package` is of, or why none is known."""
    top = package.parent
    if not (top / ".git").exists():
        what = "an installed package" if checkout(package) is None else "sources"
        return Revision(None, f"{what}, no checkout: its version says what it is")
    try:
        head = _git(top, "rev-parse", "--short=12", "HEAD")
        dirty = _git(top, "status", "--porcelain", "--", *_WHAT_COUNTS)
    except FileNotFoundError:
        return Revision(None, "a checkout, but git is not installed", wrong=True)
    except subprocess.TimeoutExpired:
        return Revision(None, f"git did not answer within {_GIT_S} s", wrong=True)
    except OSError as error:
        return Revision(None, f"git cannot be run: {error.strerror}", wrong=True)
    except subprocess.CalledProcessError as error:
        return Revision(None, _why_git_failed(error.stderr, top), wrong=True)
    return Revision(f"{head}{'-dirty' if dirty else ''}")


_GIT_S = 10
_WHAT_COUNTS = ("hdrnet_bench", "recipes", "pyproject.toml")


def _git(top: Path, *arguments: str) -> str:
    """What git says, in English. Raises CalledProcessError where it fails."""
    run = subprocess.run(
        ["git", "-C", str(top), *arguments], env=os.environ | {"LC_ALL": "C"}, check=True,
        capture_output=True, encoding="utf-8", errors="replace", timeout=_GIT_S,
    )  # fmt: skip
    return run.stdout.strip()


def _why_git_failed(said: str, top: Path) -> str:
    if "dubious ownership" in said:
        trust = shlex.join(["git", "config", "--global", "--add", "safe.directory", str(top)])
        return f"the checkout is another user's, and git refuses it: `{trust}` trusts it"
    if "unknown revision" in said or "Needed a single revision" in said:
        return "a checkout without a commit yet"
    reason = (said.strip().splitlines() or ["no reason given"])[0].removeprefix("fatal: ")
    return f"git fails: {reason[:200]}"


def cores() -> int | None:
    """Those that the scheduler may give this process; None where nothing tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


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
    return f"{device.split(':')[0]}-{name_slug(name or device)}"


def name_slug(name: str) -> str:
    """A processor's or GPU's name in a form fit for a file name, without what says nothing."""
    name = re.sub(r"\((r|tm)\)|@.*|processor|cpu", "", name.lower())
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def peak_memory_mib() -> float:
    """This process's largest resident memory so far; 0 where the system does not tell."""
    if (held := high_water_mib()) is not None:
        return held
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes on macOS, else KiB


def _memory_gib() -> int | None:
    memory = total()
    return None if memory is None else round(memory / 2**30)
