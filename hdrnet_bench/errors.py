"""The errors a user can cause or meet, each with the exit code of the command line.

Anything else that escapes is a bug of ours: exit code 1, with its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_NAMES = 30  # that a line lists: runs and files may be thousands


class HdrbenchError(Exception):
    """Base of every error that is reported as one clear line instead of a traceback."""

    exit_code = 1


class UsageError(HdrbenchError):
    """Unknown name, impossible option or bad recipe (exit code 2)."""

    exit_code = 2


class DataError(HdrbenchError):
    """A data or model file is missing, unreadable or fails verification (exit code 3)."""

    exit_code = 3


class StorageError(DataError):
    """The system, and not what a file holds, kept it from being read or written: no permission, a
    full disk, a failing one, a file that has gone. It may pass, so that nothing is concluded from
    it about the file."""


class CapabilityError(HdrbenchError):
    """This machine lacks something; the message says what and how to get it (exit code 4)."""

    exit_code = 4


class RegressionError(HdrbenchError):
    """Something is worse than it was, by more than chance explains (exit code 5)."""

    exit_code = 5


class PeerFailed(HdrbenchError):
    """Another process of a training by several failed and says so: this one ends without a word,
    with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process of this training failed")
        self.exit_code = exit_code


def raised_in(error: BaseException) -> str:
    """The name of the module that raised it; empty where nothing tells."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name: str = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return name


def near_names(name: str, names: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Up to three names that are like an unknown one, the nearest first, or have it in them.
    cutoff: how like, of 1."""
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=3, cutoff=cutoff)
    return near or [one for one in names if len(name) > 2 and name in one][:3]


def near_matches(name: str, names: Iterable[str]) -> str:
    """'did you mean …?' for an unknown name, or the names where none is near."""
    names = sorted(names)
    if near := near_names(name, names):
        return f"did you mean {' or '.join(near)}?"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"known: {', '.join(names[:_MOST_NAMES])}{more}" if names else "none is known"


def first_fault(error: ValueError) -> str:
    """What is wrong with a value: of a pydantic ValidationError its first error, as
    "<dotted location>: <message>", without the location where it is the value as a whole; of
    another ValueError its text."""
    # Asked of the object, not of its class: pydantic is not imported for a command that needs none.
    if not hasattr(error, "errors"):
        return str(error)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    message: str = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
