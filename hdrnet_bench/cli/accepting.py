"""Asking for the acceptance of the terms that a dataset comes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from ..errors import UsageError
from .console import err

if TYPE_CHECKING:
    from ..prepare.source_models import Source


def ask(source: Source, terms: str, given: bool, text: Callable[[], str]) -> None:
    """The user accepts a dataset's terms: by the option, earlier, or asked now.

    Args:
        terms: what prepare/acceptance.py remembers of them.
        given: whether --accept-licence was.
        text: of them, shown before asking.

    Raises UsageError where they are not accepted, or nobody can be asked.
    """
    from ..prepare import acceptance

    if given:
        acceptance.accept(source, terms)
    if acceptance.is_accepted(source, terms):
        return
    err.print_text(text())
    if not sys.stdin.isatty():
        raise UsageError(
            f"the licences of {source.title} must be accepted: read them above, then give "
            "--accept-licence"
        )
    if not typer.confirm("Do you accept these licences?", err=True):
        raise UsageError("nothing is prepared without the licences' acceptance")
    acceptance.accept(source, terms)
