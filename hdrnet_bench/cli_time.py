"""`hdrbench time`: the forward pass, the slicing kernels, training steps."""

from __future__ import annotations

from typing import Annotated

import typer

from .cli_options import Device, DryRun, Json
from .console import (
    choose_device,
    err,
    out,
    parse_size,
    print_table,
    progress,
    report_values,
)
from .errors import UsageError
from .files import json_text


def register(app: typer.Typer) -> None:
    app.command("time")(time_command)


def time_command(
    target: Annotated[
        str | None,
        typer.Argument(help="A run; by default the paper's network, untrained, nothing written."),
    ] = None,
    size: Annotated[
        list[str] | None, typer.Option("--size", metavar="WxH", help="Resolution; repeatable.")
    ] = None,
    budget: Annotated[
        float, typer.Option(min=0.0, help="Seconds of repeats for each resolution.")
    ] = 10.0,
    kernels: Annotated[
        bool,
        typer.Option("--kernels", help="Time the slicing kernels against plain torch and a copy."),
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="With --kernels: plain torch under torch.compile too.")
    ] = False,
    save: Annotated[
        bool, typer.Option("--save", help="With --kernels: write results/kernels-<device>.json.")
    ] = False,
    training: Annotated[
        bool,
        typer.Option("--training", help="Time training steps, native against plain torch."),
    ] = False,
    device: Device = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Time the forward pass per resolution: median, 5th and 95th percentile."""
    if training:
        if target or device or kernels or size:
            raise UsageError("--training times steps on the CPU: nothing else goes with it")
        from .cli_train import time_steps

        time_steps(dry_run, as_json)
        return
    if kernels:
        if target:
            raise UsageError("--kernels times the slicing kernels alone: no run with it")
        _time_kernels(size, choose_device(device), compiled, save, dry_run, as_json)
        return
    if compiled or save:
        raise UsageError("--compile and --save go with --kernels")
    from .recipe import EvaluationSpec
    from .runs import finished_runs

    runs = finished_runs(target, err.print) if target is not None else []
    if len(runs) > 1:
        known = ", ".join(str(run.directory) for run in runs)
        raise UsageError(f"{target} has several runs, time one: {known}")
    spec = runs[0].recipe.evaluation if runs else EvaluationSpec()
    sizes = [parse_size(text) for text in size] if size else list(spec.resolutions)
    where = choose_device(device)

    from .environment import describe, device_slug
    from .evaluate import method_id, recipe_id
    from .model import HDRNet
    from .model_file import read_model
    from .results import Timing, result_folder, write_result
    from .slicing import backend_name
    from .timing import time_model

    path = None
    if runs:
        model, _ = read_model(runs[0].model_path, where)
        method = method_id(runs[0])
        folder = result_folder(runs[0].recipe.label, method.name, method.run)
        path = folder / f"timing-{device_slug(where)}.json"
    else:
        model = HDRNet().eval()
    if dry_run:
        would = {"sizes": [f"{w}x{h}" for w, h in sizes], "would write": path and str(path)}
        report_values(would, as_json)
        return
    environment = describe()
    with progress("time", len(sizes)) as step:
        rows = time_model(model, sizes, where, budget, step)
    if path:
        write_result(
            path,
            Timing(
                recipe=recipe_id(runs[0].recipe),
                method=method,
                device=where,
                backend=backend_name(where),
                rows=rows,
                environment=environment,
            ),
        )
    if as_json:
        print(json_text([row.model_dump() for row in rows]), end="")
        return
    cells = [
        [
            f"{row.width}x{row.height}",
            row.part,
            *(f"{t:.1f} ms" for t in (row.median_ms, row.p5_ms, row.p95_ms)),
            str(row.repeats),
        ]
        for row in rows
    ]
    print_table(["resolution", "part", "median", "p5", "p95", "repeats"], cells)
    out.print(f"on {environment.machine()}")


def _time_kernels(
    size: list[str] | None, device: str, compiled: bool, save: bool, dry_run: bool, as_json: bool
) -> None:
    """`hdrbench time --kernels`."""
    from .environment import describe, device_slug
    from .kernel_timing import GUIDES, SIZES, time_kernels
    from .paths import results_dir
    from .report.tables import KERNELS_NOTE, kernel_notes, kernel_rows
    from .results import KernelTiming, write_result

    sizes = {text: parse_size(text) for text in size} if size else SIZES
    path = results_dir() / f"kernels-{device_slug(device)}.json" if save else None
    if dry_run:
        report_values({"sizes": list(sizes), "would write": path and str(path)}, as_json)
        return
    environment = describe()
    with progress("time --kernels", len(sizes) * len(GUIDES)) as step:
        rows = list(time_kernels(sizes, device, compiled, step))
    timing = KernelTiming(device=device, rows=rows, environment=environment)
    if path:
        write_result(path, timing)
    if as_json:
        print(json_text([row.model_dump() for row in rows]), end="")
        return
    print_table(*kernel_rows(timing))
    for note in [KERNELS_NOTE, *kernel_notes(timing)]:
        out.print(f"  {note}")
    out.print(f"on {environment.machine()}")
