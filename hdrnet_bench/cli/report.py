"""The command `report`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError, UsageError
from .console import err, out, print_json
from .options import DryRun, Json

_NAMED = 3  # files that a line names


def report(
    insert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also put tables between this file's <!-- results --> marks."
        ),
    ] = None,
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Also make report-private.html, for your own eyes: every picture of every method "
            "and size, also those that may not be passed on.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing: say whether the report is up to date."),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace also what no report wrote, or was changed since it did."
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make README.md, tables/, figures/ and report.html in results/ from the result files alone.

    report.html shows the best method's pictures of each dataset, at one size.

    Replaces and removes only what results/report.json says that a report wrote.
    """
    from ..paths import results_dir
    from ..report import PAGE, build_report, outdated

    if check:
        if private or dry_run or overwrite:
            raise UsageError("--check writes nothing: neither --private, --overwrite nor --dry-run")
        old = outdated(results_dir(), insert)
        if as_json:
            print_json({"outdated": old})
        if old:
            command = shlex.join(
                ["hdrbench", "report", *(["--insert", str(insert)] if insert else [])]
            )
            raise DataError(f"not what the results give: {', '.join(old)}; run `{command}`")
        return
    report = build_report(
        results_dir(), insert, dry_run=dry_run, private=private, overwrite=overwrite, log=err.print
    )
    if as_json:
        print_json(
            {kind: [str(path) for path in paths] for kind, paths in report._asdict().items()}
        )
        return
    wrote, removed = ("would write", "would remove") if dry_run else ("wrote", "removed")
    page = results_dir() / PAGE
    others = f" and {len(report.files) - 1} more files (--json lists them)"
    out.print(f"{wrote} {page}{others if len(report.files) > 1 else ''}")
    for path in report.replaced:
        out.print(f"{wrote} {path} in place of a file that no report wrote")
    if report.removed:
        names = ", ".join(str(path) for path in report.removed[:_NAMED])
        more = f" and {len(report.removed) - _NAMED} more" if len(report.removed) > _NAMED else ""
        out.print(f"{removed} {names}{more}: of the last report, and not of this one")
    for path in report.left:
        err.print(
            f"{path} is of the last report, not of this one, and was changed since: it is left"
        )
