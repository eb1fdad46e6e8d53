"""The control groups that this process stands in, those of a container or a job, with limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Group(NamedTuple):
    """A group's folder, and the version (1 or 2) of the interface that its files have."""

    folder: Path
    version: int


def groups(controller: str, root: Path = Path("/")) -> Iterator[Group]:
    """The groups around this process that a controller, as "memory", counts it in.

    root: where /proc and /sys are looked for.
    """
    for line in system_text(root / "proc/self/cgroup").splitlines():
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        # Inside a container the name may be that of outside: then the top is the container's own.
        own = top / name.lstrip("/")
        for folder in {top, own, *(p for p in own.parents if p.is_relative_to(top))}:
            yield Group(folder, 1 if controllers else 2)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """How many cores' time this process may take, by the tightest group; None without a limit."""
    quotas = []
    for folder, version in groups("cpu", root):
        if version == 2:
            words = system_text(folder / "cpu.max").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [word for name in names for word in system_text(folder / name).split()]
        # "max" and -1 are no limit.
        if len(words) == 2 and all(word.isdecimal() and int(word) for word in words):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def system_text(path: Path) -> str:
    """A file of /proc or /sys; "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
