"""How many cores this process has, and who else wants them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..cgroups import cpu_quota
from ..environment import cores, cpu_name
from .finding import Finding

# How many threads there are, where they run and how they wait: of OpenMP, its two libraries, MKL
# and OpenBLAS.
VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_SPINCOUNT"),
    *("GOMP_CPU_AFFINITY", "KMP_BLOCKTIME", "KMP_AFFINITY", "MKL_NUM_THREADS"),
    "OPENBLAS_NUM_THREADS",
)
# Of the machine's cores, what others may take before times are bent.
_BUSY = 0.25


class Processor(NamedTuple):
    """allowed: cores that the scheduler may give this process. quota: how many cores' time its
    control group has; None without a limit. threads: of torch. load: the average of a minute."""

    name: str
    machine: int
    allowed: int
    quota: float | None
    threads: int
    load: float | None
    variables: Mapping[str, str]

    @property
    def cores(self) -> float:
        """What this process can have at a time."""
        return self.allowed if self.quota is None else min(self.allowed, self.quota)


def read_processor(root: Path = Path("/")) -> Processor:
    """root: where /proc and /sys are looked for."""
    import torch

    machine = os.cpu_count() or 1
    return Processor(
        cpu_name(),
        machine,
        cores() or machine,
        cpu_quota(root),
        torch.get_num_threads(),
        os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        {name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def findings(processor: Processor) -> Iterator[Finding]:
    yield Finding("cores", "ok", f"{processor.name}; {_cores_text(processor)}")
    yield _threads(processor)
    if processor.load is not None:
        yield _load(processor.load, processor.machine)
    yield _variables(processor.variables, max(1, int(processor.cores)))


def _cores_text(processor: Processor) -> str:
    if processor.quota is not None and processor.quota < processor.allowed:
        return (
            f"the time of {processor.quota:g} of the machine's {processor.machine} cores (its "
            "control group's limit)"
        )
    if processor.allowed < processor.machine:
        return f"{processor.allowed} of the machine's {processor.machine} cores (affinity)"
    return f"all {processor.machine} cores" if processor.machine > 1 else "its one core"


def _threads(processor: Processor) -> Finding:
    threads, fair = processor.threads, max(1, int(processor.cores))
    said = f"torch computes with {threads} thread{'' if threads == 1 else 's'}"
    # Part of a core is as good as none to a thread of its own.
    if threads <= fair:
        return Finding("threads", "ok", said)
    return Finding(
        "threads",
        "warning",
        f"{said}, and this process has {processor.cores:g} cores: they wait for each other",
        f"`export OMP_NUM_THREADS={fair}`",
    )


def _load(load: float, cores: int) -> Finding:
    said = f"load average {load:.2f} on {cores} core{'' if cores == 1 else 's'}"
    if load <= _BUSY * cores:
        return Finding("load", "ok", said)
    return Finding(
        "load",
        "warning",
        f"{said}: others compute here, so that times come out too long",
        "measure times on a quiet machine; `hdrbench time` notes the load in its result",
    )


def _variables(variables: Mapping[str, str], cores: int) -> Finding:
    if not variables:
        return Finding("OpenMP and MKL", "ok", "no variable of theirs is set")
    said = ", ".join(f"{name}={value}" for name, value in variables.items())
    counts = {n: _count(variables[n]) for n in variables if n.endswith("_NUM_THREADS")}
    unheeded = [name for name, count in counts.items() if count is None]
    more = [name for name, count in counts.items() if count is not None and count > cores]
    faults = [f"{name} is no number of threads, and goes unheeded" for name in unheeded]
    faults += [f"{name} is more than the {cores} that this process has" for name in more]
    if not faults:
        return Finding("OpenMP and MKL", "ok", said)
    return Finding(
        "OpenMP and MKL",
        "warning",
        f"{said}; {', '.join(faults)}",
        f"`unset {' '.join([*unheeded, *more])}`",
    )


def _count(value: str) -> int | None:
    """A number of threads, or the first of a list of them, as OpenMP takes for nested regions;
    None for what is neither."""
    words = [word.strip() for word in value.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        return None
    return int(words[0])
