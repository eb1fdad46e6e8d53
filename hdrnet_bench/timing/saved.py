"""The untrained network's times on disk: sizes of several commands in one file."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from ..locks import locked
from ..result_timing import NetworkTiming, SizeTiming, read_machine
from ..results import write_result


def saved_network(path: Path) -> NetworkTiming | None:
    """What is there; None where there is nothing. Raises DataError where it is something else."""
    if not path.exists():
        return None
    timing = read_machine(path)
    if not isinstance(timing, NetworkTiming):
        raise DataError(f"{path} is no timing of a network: move or remove it")
    return timing


def save_size(path: Path, timing: NetworkTiming) -> str | None:
    """Put a timing's one size beside what is there of the same network, device and installation,
    else in its place. Returns what is no longer there for it, None where nothing was lost."""
    lock = path.with_name(f".{path.stem}.lock")
    # Another process that saves is done in no time: what it wrote is read next.
    with locked(lock, f"another process is writing {path}", waiting=lambda busy: None):
        return _save_size(path, timing)


def _save_size(path: Path, timing: NetworkTiming) -> str | None:
    (size,) = timing.sizes
    lost, old = None, saved_network(path)
    if old is not None and timing.continues(old):
        timing = timing.added_to(old)
        gone = old.backends_of(size.key) - {row.backend for row in size.rows}
        if gone:
            lost = (
                f"{path.name}: {', '.join(sorted(gone))} of {_named(size)} was timed in another "
                "run and is no longer there"
            )
    elif old is not None:
        lost = (
            f"{path.name} begins anew: what was there is of another commit or installation "
            f"({old.environment.commit}, {len(old.sizes)} sizes)"
        )
    write_result(path, timing)
    return lost


def _named(size: SizeTiming) -> str:
    row = size.rows[0]
    return f"{row.width}x{row.height} {row.dtype}"
