"""How much memory this process may still have, and whether it ran out."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .cgroups import groups, system_text

_UNLIMITED = 1 << 60  # what cgroups of version 1 have for none is above it
_DROPPED = ("inactive_file", "active_file", "slab_reclaimable")
# Of torch, its workers and CUDA's libraries, of C++, of the system and of its loader of libraries.
_LACKS = re.compile(
    "can't allocate|cannot allocate memory|out of memory|not enough memory|bad_alloc"
    "|_alloc_failed|failed to map segment",
    re.IGNORECASE,
)


def lack_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in one of the ways in which Python, torch and the system say so."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own
        return True
    return isinstance(error, RuntimeError | ImportError) and bool(_LACKS.search(str(error)))


def available(root: Path = Path("/")) -> int:
    """Bytes of memory that are free or would be made free: the machine's, or less where the
    process stands in a group with a limit (a container, a job). Where nothing tells, the machine's
    memory.

    root: where /proc and /sys are looked for.
    """
    free = _of_machine("MemAvailable", root)
    if free is None:
        free = total(root)
    left = [max(0, most - used) for most, used in _limits(root)]
    return min([_UNLIMITED if free is None else free, *left])


def total(root: Path = Path("/")) -> int | None:
    """Bytes of memory that the machine has; None where nothing tells."""
    if (stated := _of_machine("MemTotal", root)) is not None:
        return stated
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def limit(root: Path = Path("/")) -> int | None:
    """Bytes that the tightest group around this process may have; None without a limit."""
    return min((most for most, _ in _limits(root)), default=None)


def high_water_mib(root: Path = Path("/")) -> float | None:
    """The most MiB that this process has held since it began its program (or since its mark was set
    back, see Linux's clear_refs); None where no /proc tells.

    getrusage does not tell it on Linux: its figure outlives the start of another program, so a
    small process started by a large one has the large one's.

    root: where /proc is looked for.
    """
    kib = _kib("VmHWM", root / "proc/self/status")
    return None if kib is None else kib / 2**10


def _of_machine(key: str, root: Path) -> int | None:
    kib = _kib(key, root / "proc/meminfo")
    return None if kib is None else kib * 2**10


def _kib(key: str, path: Path) -> int | None:
    match = re.search(rf"^{key}:\s*(\d+) kB", system_text(path), re.MULTILINE)
    return int(match[1]) if match else None


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of each group around this process that has a limit, in bytes."""
    for folder, version in groups("memory", root):
        most, used = (
            _number(folder / name)
            for name in (
                ("memory.max", "memory.current")
                if version == 2
                else ("memory.limit_in_bytes", "memory.usage_in_bytes")
            )
        )
        if most is not None and used is not None and most < _UNLIMITED:
            yield most, used - _cached(folder)


def _cached(group: Path) -> int:
    """Bytes that the group's limit counts and that would be dropped: of files that were read."""
    lines = (line.split() for line in system_text(group / "memory.stat").splitlines())
    values = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
    return max(
        sum(values.get(f"{prefix}{kind}", 0) for kind in _DROPPED) for prefix in ("", "total_")
    )


def _number(path: Path) -> int | None:
    text = system_text(path).strip()
    return int(text) if text.isdecimal() else None
