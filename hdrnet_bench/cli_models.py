"""Commands that use a trained model: enhance, export, import-tf1. cli.py takes them in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from .cli_options import Device, DryRun, Json, Overwrite
from .console import choose_device, err, out, progress
from .errors import DataError, UsageError
from .files import json_text

_Model = Annotated[str, typer.Argument(help="A .safetensors file, or a run directory.")]


def register(app: typer.Typer) -> None:
    app.command()(enhance)


def enhance(
    model: _Model,
    pictures: Annotated[
        list[str], typer.Argument(metavar="INPUT… OUTPUT", help="Pictures, folders or globs.")
    ],
    kind: Annotated[
        Literal["jpeg", "png", "tiff", "webp"] | None,
        typer.Option("--format", help="Of the outputs; by default that of each input."),
    ] = None,
    bits: Annotated[
        Literal["8", "16"] | None, typer.Option(help="A channel; by default as the input.")
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")] = 95,
    untagged: Annotated[
        Literal["srgb", "linear"],
        typer.Option(help="What pictures without a colour profile are."),
    ] = "srgb",
    linearise: Annotated[
        bool,
        typer.Option(
            "--linearise", help="Give a model for linear light pictures encoded for display."
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode, and that encode.")
    ] = None,
    device: Device = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Enhance pictures with a trained model: JPEG, PNG, TIFF, WebP and DNG.

    OUTPUT is a file for one picture, else a folder. Profile, EXIF and alpha are kept.
    """
    if len(pictures) < 2:
        raise UsageError("name at least one INPUT and the OUTPUT")
    from .enhance_plan import plan

    *inputs, output = pictures
    jobs = plan(inputs, output, kind, int(bits) if bits else None, overwrite)
    if dry_run:
        would = [{"input": str(j.source), "output": str(j.target)} for j in jobs]
        if as_json:
            print(json_text(would), end="")
        else:
            for pair in would:
                out.print(f"{pair['input']} -> {pair['output']}")
        return

    from .enhance import Settings, run
    from .model_file import load_model

    network = load_model(model, choose_device(device))
    settings = Settings(untagged, linearise, quality, overwrite)
    with progress("enhance", len(jobs)) as step:
        reports = list(run(network, jobs, settings, workers, step))
    failed = [report for report in reports if report["error"]]
    if as_json:
        print(json_text(reports), end="")
    else:
        for report in reports:
            _print_enhanced(report)
    if failed:
        names = ", ".join(report["input"] for report in failed[:3])
        raise DataError(f"{len(failed)} of {len(reports)} pictures were not enhanced: {names}")


def _print_enhanced(report: dict[str, Any]) -> None:
    if report["error"]:
        err.print(f"{report['input']}: {report['error']}", style="red")
        return
    seconds = ", ".join(f"{name} {value * 1e3:.0f}" for name, value in report["seconds"].items())
    notes = f"; {'; '.join(report['notes'])}" if report["notes"] else ""
    out.print(
        f"{report['output']}: {report['width']}x{report['height']}, {report['bits']} bits; "
        f"ms: {seconds}{notes}"
    )
