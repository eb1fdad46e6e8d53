"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError, UsageError
from ..files import json_text
from .console import out
from .options import DryRun, Json


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    insert: Annotated[
        Path | None,
        typer.Option(help="Also put the tables between this file's <!-- results --> marks."),
    ] = None,
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Also make report-private.html, with pictures that may not be passed on.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing: say whether the report is up to date."),
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make README.md, tables/, figures/ and report.html in results/ from the result files alone."""
    from ..paths import results_dir
    from ..report import build_report, outdated

    if check:
        if private or dry_run:
            raise UsageError("--check writes nothing: neither --private nor --dry-run goes with it")
        old = outdated(results_dir(), insert)
        if as_json:
            print(json_text({"outdated": old}), end="")
        if old:
            raise DataError(f"not what the results give: {', '.join(old)}; run `make report`")
        return
    written = build_report(results_dir(), insert, dry_run=dry_run, private=private)
    if as_json:
        print(json_text([str(path) for path in written]), end="")
    else:
        for path in written:
            out.print(f"{'would write' if dry_run else 'wrote'} {path}")
