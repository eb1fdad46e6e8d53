"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

MODEL = "A .safetensors file, a run directory, RECIPE/RUN, or a recipe with one finished run"

Json = Annotated[bool, typer.Option("--json", help="Report as JSON on standard output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress; errors, warnings and results stay.")
]
Wide = Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE", help="cpu, cuda or cuda:N; by default CUDA where it is there, else CPU."
    ),
]
SplitOption = Annotated[
    Literal["train", "validation", "test"],
    typer.Option("--split", metavar="NAME", help="train, validation or test."),
]
