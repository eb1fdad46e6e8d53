"""How much memory this process may still have."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 1 << 60  # what cgroups of version 1 have for none is above it


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
    """Bytes of files that the group's limit counts and that would be dropped."""
    found = re.findall(r"^(?:total_)?inactive_file (\d+)$", _text(group / "memory.stat"), re.M)
    return max(map(int, found), default=0)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
