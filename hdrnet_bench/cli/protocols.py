"""The command `protocols`: which pictures, rendered how, split how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError, near_matches, near_names
from ..metric_specs import PUBLISHED
from . import completion
from .console import next_step, out, report_values
from .options import Json, Overwrite, Wide
from .published import print_published_on, published_rows
from .tables import report_groups

_SPACES = {"srgb": "sRGB", "prophoto": "ProPhoto RGB"}


def protocols(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show this one whole; of a source's name, list its protocols.",
            autocompletion=lambda: [*completion.protocols(), *completion.sources()],
        ),
    ] = None,
    lightroom: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Put the plug-in there that exports FiveK from Adobe Lightroom as the protocols "
            "want it.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List what `prepare` can make, or show one protocol whole.

    A protocol says which pictures there are, rendered how, at what size, and split how.
    """
    if lightroom is not None and name is not None:
        raise UsageError("--lightroom writes all protocols' presets: it goes without NAME")
    if wide and name is None:
        raise UsageError("--wide is for the figures that `hdrbench protocols NAME` shows")
    if lightroom is not None:
        _write_plugin(lightroom, overwrite, as_json)
        return
    if overwrite:
        raise UsageError("--overwrite is for --lightroom")
    list_protocols(name, as_json, wide)


def _write_plugin(folder: Path, overwrite: bool, as_json: bool) -> None:
    from ..prepare.lightroom import write_plugin

    written = write_plugin(folder, overwrite=overwrite)
    said = {"plug-in": str(written.path.resolve()), "presets": written.presets}
    report_values(said | ({"unchanged": True} if written.unchanged else {}), as_json)
    next_step(
        "in Lightroom Classic, File > Plug-in Manager > Add takes this folder; with fivek.lrcat "
        "open, Library > Plug-in Extras > Export FiveK for hdrbench exports",
        quiet=as_json,
    )


def list_protocols(name: str | None, as_json: bool, wide: bool = False) -> None:
    """`hdrbench protocols [NAME]`."""
    from ..prepare.listing import protocol_rows

    rows = protocol_rows()
    of_source = [row for row in rows if row["source"] == name]
    if name is not None and not of_source:
        # Of two of a name, the published one: there is more to say of it.
        found = sorted((row for row in rows if row["protocol"] == name), key=len)
        if not found:
            raise UsageError(f"unknown protocol {name!r}: {_hint(name, rows)}")
        row = found[-1]
        figures = [row for row in published_rows() if row.protocol == name]
        if as_json:
            published = {"published figures": [one.model_dump() for one in figures]}
            report_values(row | (published if figures else {}), as_json)
        else:
            _print_protocol(row)
            print_published_on(name, figures, wide)
        return
    if wide and name is not None:
        raise UsageError(f"--wide is for the figures of one protocol: {name} is a source")
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in of_source or rows:
        shown = row if as_json else {"protocol": row["protocol"], "text": _text(row)}
        groups.setdefault(f"prepare {row['source']}", []).append(shown)
    report_groups(groups, "protocol", "text", as_json)


def _print_protocol(row: dict[str, Any]) -> None:
    """All that is said of a protocol, but for keys that say nothing of this one."""
    for key, value in row.items():
        if key == "packs":
            for number, pack in enumerate(value, start=1):
                _print_pack(number, pack)
        elif key == "lightroom" and value is not None:
            report_values({key: _export_text(value)}, as_json=False)
        elif key == "measured as" and value is not None:
            metrics = (f"{value}.{name}" for name in PUBLISHED[value].values)
            report_values({key: ", ".join(metrics)}, as_json=False)
        elif value is not None and value != []:
            report_values({key: value}, as_json=False)


def _print_pack(number: int, pack: dict[str, Any]) -> None:
    """A line for each address, folder and note, so that they can be read and copied."""
    out.print(f"pack {number}: {pack['name']}", hang=4)
    places = {"described": pack["described"]} | pack["downloads"]
    for where, address in places.items():
        out.print(f"  {where}: {address}", hang=2)
    for size, folders in pack["folders"].items():
        text = f"inputs in {folders['input']}, targets in {folders['target']}"
        out.print(f"  {size}: {text}", hang=2)
    if not pack["folders"]:
        out.print("  folders: not known", hang=2)
    for line in (f"amount: {pack['amount']}", *pack["notes"]):
        out.print(f"  {line}", hang=2)


def _export_text(export: dict[str, Any]) -> str:
    """How Lightroom exports both sides, in the words of its dialog."""
    sides = []
    for side in ("input", "target"):
        file = export[side]
        quality = [f"quality {file['quality']}"] if "quality" in file else []
        words = [file["format"].upper(), *quality, _SPACES[file["space"]]]
        text = ", ".join([*words, f"{file['bit_depth']} bits"])
        sides.append(f"{side} from collection {export[f'{side}_collection']}: {text}")
    return "; ".join(sides)


def _text(row: dict[str, Any]) -> str:
    """Of a row of the list: the summary, and what a published protocol needs."""
    summary = str(row["summary"])
    if not row.get("runnable", True):
        return f"{summary} Cannot be prepared: {row['reason']}."
    if str(row.get("needs", "Nothing")).startswith("Nothing"):
        return summary
    # Its first words: `protocols NAME` shows all of it.
    return f"{summary} Needs: {re.split('[:.] ', str(row['needs']))[0].rstrip('.')}."


def _hint(name: str, rows: list[dict[str, Any]]) -> str:
    from ..recipe import recipe_paths

    if name in recipe_paths():
        return f"it is a recipe: `hdrbench recipes {name}`"
    # NAME is none: it stands for a name of a user's own.
    names = {row["protocol"] for row in rows} - {"NAME"}
    if not near_names(name, names) and (sources := near_names(name, {r["source"] for r in rows})):
        return f"did you mean {' or '.join(sources)}?"
    return near_matches(name, names)
