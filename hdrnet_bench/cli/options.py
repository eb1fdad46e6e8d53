"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..result_ids import OnnxSettings, OnnxValues

OTHERS = "Other methods and bounds"

MODEL = (
    "A .safetensors file, a run or another folder with a model, RECIPE/RUN, a recipe with one "
    "finished run, a pretrained model, or OWNER/NAME on the Hub"
)

Json = Annotated[bool, typer.Option("--json", help="Report as JSON on standard output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress; errors, warnings and results stay.")
]
Wide = Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Onnx = Annotated[
    Path | None,
    typer.Option(
        "--onnx",
        metavar="FILE",
        help="Another method as an ONNX file, run by onnxruntime: a picture in, or a picture and a "
        "small copy of it, and a picture out.",
        rich_help_panel=OTHERS,
    ),
]
OnnxRange = Annotated[
    Literal["0..1", "0..255", "-1..1"],
    typer.Option(
        "--onnx-range",
        metavar="RANGE",
        help="With --onnx: what black and white are to the file: 0..1, 0..255 or -1..1. Bytes are "
        "0..255 always.",
        rich_help_panel=OTHERS,
    ),
]
OnnxMultiple = Annotated[
    int,
    typer.Option(
        "--onnx-multiple",
        min=1,
        max=4096,
        metavar="N",
        help="With --onnx: mirror pictures at the right and at the bottom until each side is a "
        "multiple of this, and cut the result.",
        rich_help_panel=OTHERS,
    ),
]
MethodName = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="What the other method is called in results.",
        rich_help_panel=OTHERS,
    ),
]
Contribute = Annotated[
    bool,
    typer.Option(
        "--contribute",
        help="Also copy the result file into contributions/, to send it: named by machine and "
        "device, with no user's or machine's name in it.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",  # typer 0.27 would take the metavar for its name
        metavar="DEVICE",
        help="cpu, cuda or cuda:N; by default CUDA where it is there, else CPU.",
    ),
]
SplitOption = Annotated[
    Literal["train", "validation", "test"],
    typer.Option("--split", metavar="NAME", help="train, validation or test."),
]


def onnx_settings(file: Path | None, values: OnnxValues, multiple: int) -> OnnxSettings:
    """Of --onnx-range and --onnx-multiple. Raises UsageError where they stand without --onnx."""
    from ..result_ids import OnnxSettings

    settings = OnnxSettings(values=values, multiple=multiple)
    if file is None and settings != OnnxSettings():
        raise UsageError("--onnx-range and --onnx-multiple go with --onnx")
    return settings
