"""How much memory this process may still have, and whether it ran out."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

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
    return min([_of_machine(root), *_of_groups(root)])


def _of_machine(root: Path) -> int:
    match = re.search(r"^MemAvailable:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    if match:
        return int(match[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return _UNLIMITED


def _of_groups(root: Path) -> Iterator[int]:
    """What is left in each group around this process that has a limit."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "memory"):
            continue
        second = controllers == ""
        top = root / "sys/fs/cgroup" / controllers
        limit, used = (
            ("memory.max", "memory.current")
            if second
            else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        # Inside a container the name may be that of outside: then the top is the container's own.
        group = top / name.lstrip("/")
        for folder in {top, group, *(p for p in group.parents if p.is_relative_to(top))}:
            most, now = _number(folder / limit), _number(folder / used)
            if most is not None and now is not None and most < _UNLIMITED:
                yield max(0, most - now + _cached(folder))


def _cached(group: Path) -> int:
    """Bytes that the group's limit counts and that would be dropped: of files that were read."""
    lines = (line.split() for line in _text(group / "memory.stat").splitlines())
    values = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
    return max(
        sum(values.get(f"{prefix}{kind}", 0) for kind in _DROPPED) for prefix in ("", "total_")
    )


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
