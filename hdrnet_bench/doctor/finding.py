"""What is found out about a machine."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["ok", "warning", "missing"]


class Finding(NamedTuple):
    """what: a few words. text: how it is. advice: what to do about it, commands in backquotes; ""
    where there is nothing to be done.

    state: "warning" is what goes wrong or makes figures worthless, "missing" what this machine has
    not and can do without.
    """

    what: str
    state: State
    text: str
    advice: str = ""
