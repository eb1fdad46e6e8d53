"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Report as JSON on standard output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress; errors, warnings and results stay.")
]
Wide = Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Device = Annotated[
    str | None, typer.Option(help="Torch device; by default CUDA where it is there, else CPU.")
]
