"""The command `protocols`: which pictures, rendered how, split how."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from ..errors import UsageError, near_matches
from . import completion
from .console import report_values
from .options import Json
from .tables import report_groups


def protocols(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show this one whole, of FiveK or HDR+.",
            autocompletion=completion.protocols,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what `prepare` can make, or show one protocol whole.

    A protocol says which pictures there are, rendered how, at what size, and split how.
    """
    list_protocols(name, as_json)


def list_protocols(name: str | None, as_json: bool) -> None:
    """`hdrbench protocols [NAME]`."""
    from ..prepare.listing import protocol_rows

    rows = protocol_rows()
    if name is not None:
        # Of two of a name, the published one: there is more to say of it.
        found = sorted((row for row in rows if row["protocol"] == name), key=len)
        if not found:
            raise UsageError(f"unknown protocol {name!r}: {_hint(name, rows)}")
        report_values(found[-1], as_json)
        return
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        shown = row if as_json else {"protocol": row["protocol"], "text": _text(row)}
        groups.setdefault(f"prepare {row['source']}", []).append(shown)
    report_groups(groups, "protocol", "text", as_json)


def _text(row: dict[str, Any]) -> str:
    """Of a row of the list: the summary, and what a published protocol needs."""
    summary = str(row["summary"])
    if not row.get("runnable", True):
        return f"{summary} Cannot be prepared: {row['reason']}."
    if str(row.get("needs", "Nothing")).startswith("Nothing"):
        return summary
    # Its first words: `protocols NAME` shows all of it.
    return f"{summary} Needs: {re.split('[:.] ', str(row['needs']))[0]}."


def _hint(name: str, rows: list[dict[str, Any]]) -> str:
    from ..recipe import recipe_paths

    if name in recipe_paths():
        return f"it is a recipe: `hdrbench recipes {name}`"
    return near_matches(name, (row["protocol"] for row in rows))
