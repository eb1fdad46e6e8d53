"""`hdrbench contributions`, and what `--contribute` of eval and time does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError, UsageError
from .console import err, out, print_json
from .options import Json, Wide
from .tables import Column, print_table

if TYPE_CHECKING:
    from ..contributions import Contribution
    from ..evaluation.job import EvaluationJob


def contributions(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE…]",
            help="New ones, checked more strictly; by default all in contributions/.",
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print their JSON schema, for other tools.")
    ] = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Check contributed results, and show them by machine and device.

    A file that is named must also be of the pictures and the definitions that are committed now.
    """
    from ..contributions import FOLDER, SCHEMA, check, held_figure, machine, outdated, schema_text

    if schema:
        if files or as_json:
            raise UsageError("--schema is JSON already, and of no file: give it alone")
        out.print_text(schema_text().rstrip("\n"))
        return
    paths = files or sorted(path for path in FOLDER.glob("*.json") if path.name != SCHEMA)
    found: list[tuple[Path, Contribution]] = []
    refused: dict[Path, str] = {}
    for path in paths:
        try:
            result = check(path)
            if files and (reasons := outdated(result)):
                raise DataError(f"{path}: {'; '.join(reasons)}")
        except DataError as error:
            refused[path] = str(error)
        else:
            found.append((path, result))
    found.sort(key=lambda one: (machine(one[1]), one[0]))
    if as_json:
        print_json(
            {
                "accepted": [
                    {
                        "file": str(path),
                        "machine": machine(result),
                        "date": result.environment.date,
                        "figure": held_figure(result),
                        "outdated": outdated(result),
                    }
                    for path, result in found
                ],
                "refused": {str(path): reason for path, reason in refused.items()},
            }
        )
    elif found:
        columns = [
            *(Column("machine and device"), Column("file"), Column("figure")),
            *(Column("date", 2), Column("of older data or definitions", 3)),
        ]
        rows = [
            [
                machine(result),
                path.name,
                held_figure(result),
                result.environment.date or "",
                "yes" if outdated(result) else "",
            ]
            for path, result in found
        ]
        print_table(columns, rows, wide)
    elif not refused:
        out.print(f"there are no contributions in {FOLDER}/")
    if refused:
        for reason in list(refused.values())[1:]:
            err.print(reason)
        more = f" (and {len(refused) - 1} more, see above)" if len(refused) > 1 else ""
        raise DataError(f"{next(iter(refused.values()))}{more}")


def check_evaluations(
    measured: Sequence[EvaluationJob], there: Iterable[Path], dry_run: bool
) -> None:
    """Before hours of measuring. there: the results that stay as they are. Raises DataError where
    something could not be accepted."""
    from ..contributions import Pictures, check_before

    pictures = [Pictures(job.dataset, job.leaked, job.unpaired) for job in measured]
    check_before(pictures, there, measures=bool(measured))
    _say_planned(dry_run)


def check_timing(dry_run: bool) -> None:
    """As `check_evaluations`, of times."""
    from ..contributions import check_before

    check_before()
    _say_planned(dry_run)


def _say_planned(dry_run: bool) -> None:
    from ..contributions import FOLDER

    if dry_run:
        err.print(f"would copy what is written to {FOLDER}/")


def contribute_result(path: Path | None, asked: bool) -> None:
    """Copy a result file to contributions/ where that was asked for and there is one, and say what
    it holds. Raises DataError where it cannot be accepted."""
    if not asked or path is None:
        return
    from ..contributions import contribute, held

    copied = contribute(path)
    err.print(f"{path} holds {held(copied.result)}")
    err.print(f"copied to {copied.path} (CONTRIBUTING.md says how to send it)")
