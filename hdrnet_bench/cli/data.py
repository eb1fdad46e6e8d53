"""Commands that check datasets: verify, compare-datasets."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import DataError
from . import completion
from .console import err, out, print_json
from .options import DryRun, Json, Overwrite, Quiet, Wide
from .progress import progress
from .tables import Column, print_table

_DatasetName = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="A prepared dataset, by name or directory.",
        autocompletion=completion.datasets,
    ),
]


def verify(
    dataset: _DatasetName,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Re-hash every picture and compare with the dataset's rows and its committed lock."""
    from ..data import verify as verification
    from ..data.manifest import open_dataset

    opened = open_dataset(dataset)
    with progress(f"verify {opened.header.name}", len(opened.rows), quiet) as step:
        result = verification.verify(opened, step)
    if as_json:
        print_json(result.as_json())
    else:
        lock = "no lock known" if result.lock == "unknown" else f"lock {result.lock}"
        out.print(f"{result.dataset}: {result.status} ({result.pictures} pictures, {lock})")
        for problem in result.problems:
            out.print(
                f"  {problem.kind}: {problem.split}/{problem.id}: {problem.what}", markup=False
            )
    if result.status != "identical":
        raise typer.Exit(DataError.exit_code)


def describe(
    dataset: _DatasetName,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Write a dataset's card and Croissant metadata, and say what they still lack.

    prepare writes both. Of a dataset from before, or once another version says more of it, they are
    written here; a file that you have edited stays as it is, unless you say --overwrite.
    """
    from ..data.manifest import open_dataset
    from ..prepare.describing import describe as described

    result = described(open_dataset(dataset), overwrite=overwrite, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "files": {str(path): state for path, state in result.files.items()},
                "lacking": result.lacking,
                "outdated": result.outdated,
            }
        )
        return
    for path, state in result.files.items():
        said = f"would be {state}" if dry_run and state == "written" else state
        out.print_text(f"{path}: {said}{', it is left' if state == 'edited' else ''}")
    if result.outdated:
        err.print(
            "croissant.json was edited and is of other rows or files than the dataset's: move it "
            "away and describe again, then put your words into the new one"
        )
    if result.lacking:
        out.print_text(
            "What Croissant or NeurIPS 2026 requires and croissant.json has not, for whoever "
            f"publishes the dataset to write into it: {', '.join(result.lacking)}"
        )


def compare_datasets(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A prepared dataset, by name or directory.",
            autocompletion=completion.datasets,
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="Another preparation of the same protocol.",
            autocompletion=completion.datasets,
        ),
    ],
    worst: Annotated[int, typer.Option(min=1, metavar="N", help="How many pictures to list.")] = 10,
    wide: Wide = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """How far two preparations of one protocol are apart, picture by picture."""
    from ..data.compare import compare
    from ..data.manifest import open_dataset

    a, b = open_dataset(first), open_dataset(second)
    with progress("compare-datasets", len(a.rows), quiet) as step:
        result = compare(a, b, step)
    if as_json:
        print_json(result.as_json())
        return
    out.print_text(result.summary())
    rows = [
        [f"{d.split}/{d.id}", d.role, d.what or f"{d.psnr:.2f} dB", str(d.largest or "–")]
        for d in result.differences[:worst]
    ]
    if rows:
        columns = [
            *(Column("picture"), Column("side", 2)),
            Column("PSNR between the two", number=True),
            Column("largest, of 255", number=True),
        ]
        print_table(columns, rows, wide)
