"""`hdrbench time`: the forward pass, the slicing kernels, training steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..files import json_text
from .console import (
    MAX_PIXELS,
    choose_device,
    err,
    out,
    parse_size,
    print_table,
    progress,
    report_values,
)
from .options import Device, DryRun, Json

if TYPE_CHECKING:
    from ..environment import Environment
    from ..timing.job import Measurement


def register(app: typer.Typer) -> None:
    app.command("time")(time_command)


def time_command(
    target: Annotated[
        str | None,
        typer.Argument(help="A run; by default the paper's network, untrained, nothing written."),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            "--size",
            metavar="WxH",
            help="Resolution; repeatable. By default from 480p to 48 megapixels, and the recipe's.",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            help="native, reference (plain torch) or compiled (torch.compile, which takes minutes: "
            "only when asked for); repeatable. By default native and reference; on a CPU plain "
            "torch takes minutes at the largest sizes.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at a time.")] = 1,
    dtype: Annotated[
        str,
        typer.Option(help="Of the pictures: float32, float16, bfloat16, uint8; weights: float32."),
    ] = "float32",
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
    """Time the network per resolution, whole and in parts, beside a copy of the same picture.

    Repeats go on until the median's 95 % interval (by order statistics) is narrower than 2 %, or
    the budget is spent; at least six of each. "guide + slice + apply" writes into a result that is
    there already where the fused kernel serves; "whole" makes a fresh one. Each resolution has a
    process of its own: running out of memory ends that row, not the run. Errors are against
    float64; for uint8 in levels.
    """
    of_the_network = bool(target or backend or batch != 1 or dtype != "float32")
    if training:
        if of_the_network or device or kernels or size:
            raise UsageError("--training times steps on the CPU: nothing else goes with it")
        from .train import time_steps

        time_steps(dry_run, as_json)
        return
    if kernels:
        if of_the_network:
            raise UsageError(
                "--kernels times the slicing kernels alone: no run, --backend, --batch or --dtype "
                "with it"
            )
        _time_kernels(size, choose_device(device), compiled, save, dry_run, as_json)
        return
    if compiled or save:
        raise UsageError("--compile and --save go with --kernels")
    _time_network(target, size, backend, batch, dtype, budget, device, dry_run, as_json)


def _time_network(
    target: str | None,
    size: list[str] | None,
    backend: list[str] | None,
    batch: int,
    dtype: str,
    budget: float,
    device: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """`hdrbench time [RUN]`."""
    from ..runs import finished_runs

    runs = finished_runs(target, err.print) if target is not None else []
    if len(runs) > 1:
        directories = ", ".join(str(run.directory) for run in runs)
        raise UsageError(f"{target} has several runs, time one: {directories}")
    if not math.isfinite(budget):
        raise UsageError(f"--budget {budget}: a number of seconds")
    where = choose_device(device)

    from ..config import HDRNetConfig
    from ..environment import describe, device_slug
    from ..evaluation.score import method_id, recipe_id
    from ..result_timing import Timing
    from ..results import result_folder, write_result
    from ..timing.network import SIZES, choose_backends, picture_type, time_model

    sizes = [parse_size(text) for text in size or ()]
    if not sizes:
        of_recipe = runs[0].recipe.evaluation.resolutions if runs else ()
        sizes = sorted({*SIZES.values(), *of_recipe}, key=lambda wh: wh[0] * wh[1])
    sizes = list(dict.fromkeys(sizes))
    for width, height in sizes:
        if batch * width * height > MAX_PIXELS:
            raise UsageError(
                f"--batch {batch} of {width}x{height} is over {MAX_PIXELS / 1e6:.0f} megapixels"
            )
    pictures = picture_type(dtype)
    backends = choose_backends(backend, where)
    path = None
    if runs:
        method = method_id(runs[0])
        folder = result_folder(runs[0].recipe.label, method.name, method.run)
        path = folder / f"timing-{device_slug(where)}.json"
    if dry_run:
        would = {
            "sizes": [f"{w}x{h}" for w, h in sizes],
            "backends": list(backends),
            "would write": path and str(path),
        }
        report_values(would, as_json)
        return
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)  # not to fail after minutes of timing
    environment = describe()
    with progress("time", len(sizes)) as step:
        measured = time_model(
            runs[0].model_path if runs else HDRNetConfig(),
            sizes,
            where,
            backends=backends,
            batch=batch,
            dtype=pictures,
            budget_s=budget,
            step=step,
        )
    if path:
        timing = Timing(
            recipe=recipe_id(runs[0].recipe),
            method=method,
            device=where,
            rows=measured.rows,
            copies=measured.copies,
            state=measured.state,
            environment=environment,
        )
        write_result(path, timing)
    if as_json:
        rows = [
            row.model_dump(mode="json") | {"megapixels_per_s": row.megapixels_per_s}
            for row in measured.rows
        ]
        print(json_text(measured.model_dump(mode="json") | {"rows": rows}), end="")
        return
    _print_measured(measured, environment)
    out.print(f"on {environment.machine()}")


def _print_measured(measured: Measurement, environment: Environment) -> None:
    from ..report.tables_time import state_text, timing_cells

    head, rows = timing_cells(measured.rows, measured.copies)
    print_table([column.heading for column in head], [[c.text for c in row] for row in rows])
    out.print("In brackets: the median's 95 % interval.")
    out.print(state_text(measured.state, environment))
    if any(row.noisy for row in measured.rows):
        out.print("noisy: the 5th and 95th percentile are more than a fifth of the median apart")


def _time_kernels(
    size: list[str] | None, device: str, compiled: bool, save: bool, dry_run: bool, as_json: bool
) -> None:
    """`hdrbench time --kernels`."""
    from ..environment import describe, device_slug
    from ..paths import results_dir
    from ..report.tables import KERNELS_NOTE, kernel_notes, kernel_rows
    from ..result_timing import KernelTiming
    from ..results import write_result
    from ..timing.kernels import GUIDES, SIZES, time_kernels

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
