"""The command line that prepares a dataset."""

from __future__ import annotations

import shlex


def prepare_command(
    source: str,
    protocol: str,
    *,
    folders: str = "",
    expert: str | None = None,
    part: str | None = None,
    size: str | None = None,
) -> str:
    """As it is typed. folders: the options that say where files lie, each with DIR."""
    options = [
        folders,
        expert and f"--expert {expert}",
        part and f"--{part}",
        size and f"--size {size}",
    ]
    command = f"hdrbench prepare {source} --protocol {shlex.quote(protocol)}"
    return " ".join([command, *filter(None, options)])
