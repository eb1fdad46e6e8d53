"""`hdrbench time`: the forward pass here; kernels and training steps in time_parts.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..stopping import says_when_stopped
from . import completion
from .console import choose_device, err, report_values
from .contributions import check_timing, contribute_result
from .model_argument import model_file
from .options import (
    MODEL,
    Contribute,
    Device,
    DryRun,
    Json,
    MethodName,
    Onnx,
    OnnxMultiple,
    OnnxRange,
    Quiet,
    Wide,
    onnx_settings,
)
from .progress import progress
from .time_plan import make_plan
from .timings import print_network

if TYPE_CHECKING:
    from ..model_names import ModelSource
    from ..timing.job import Measurement


BUDGET_S = 10.0


def time_command(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help=f"{MODEL}; by default the paper's network, untrained.",
            autocompletion=completion.models,
        ),
    ] = None,
    resolution: Annotated[
        list[str] | None,
        typer.Option(
            "--resolution",
            metavar="WxH",
            help="Of the picture, repeatable. By default from 480p to 48 megapixels, and the "
            "recipe's.",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="native, reference (plain torch) or compiled (torch.compile, which takes minutes: "
            "only when asked for); repeatable. By default native and reference; on a CPU plain "
            "torch takes minutes at the largest sizes.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures at a time.")] = 1,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype",
            metavar="TYPE",
            help="Of the pictures: float32 (default), float16, bfloat16, uint8; repeatable without "
            "a run. Weights are float32.",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="SECONDS",
            help="Seconds of repeats for each resolution; by default 10.",
            show_default=False,
        ),
    ] = None,
    kernels: Annotated[
        bool,
        typer.Option("--kernels", help="Time the slicing kernels against plain torch and a copy."),
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="With --kernels: plain torch under torch.compile too.")
    ] = False,
    save: Annotated[
        bool,
        typer.Option(
            "--save",
            help="Write network-<device>.json to results/, where sizes and types timed before on "
            "the same device and version stay; with --kernels kernels-<device>.json, with "
            "--training training-<device>.json. A run's times are written always.",
        ),
    ] = False,
    training: Annotated[
        bool,
        typer.Option(
            "--training",
            help="Time training steps: in parts, native against plain torch, and as many a second "
            "as the loop takes with several data workers.",
        ),
    ] = False,
    onnx: Onnx = None,
    name: MethodName = None,
    onnx_range: OnnxRange = "0..1",
    onnx_multiple: OnnxMultiple = 1,
    contribute: Contribute = False,
    device: Device = None,
    dry_run: DryRun = False,
    wide: Wide = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Time the network per resolution, whole and in parts, beside a copy of the same picture.

    Repeats go on until the median's 95 % interval (by order statistics) is narrower than 2 %, or
    the budget is spent; at least six of each. "guide + slice + apply" writes into a result that is
    there already where the fused kernel serves; "whole" makes a fresh one. On a CPU each resolution
    has a process of its own: running out of memory ends that row, not the run. Errors are against
    float64; for uint8 in levels.
    """
    from ..model_names import find_model

    of_the_network = bool(target or backend or batch != 1 or dtype or budget is not None or onnx)
    settings = onnx_settings(onnx, onnx_range, onnx_multiple)
    if name is not None and onnx is None:
        raise UsageError("--name goes with --onnx")
    if contribute:
        of_run = target is not None and (onnx is not None or find_model(target).kind == "run")
        if not (save or of_run):
            raise UsageError("--contribute copies a result file: give a run, or --save")
        check_timing(dry_run)
    if training:
        if of_the_network or kernels or compiled or resolution:
            raise UsageError("--training times steps: only --device and --save go with it")
        from .time_parts import time_steps

        written = time_steps(choose_device(device), save, dry_run, quiet, wide, as_json)
        contribute_result(written, contribute)
        return
    if kernels:
        if of_the_network:
            raise UsageError(
                "--kernels times the slicing kernels alone: no run, --onnx, --backend, --batch, "
                "--budget or --dtype with it"
            )
        from .time_parts import time_kernels

        written = time_kernels(
            resolution, choose_device(device), compiled, save, dry_run, quiet, wide, as_json
        )
        contribute_result(written, contribute)
        return
    if compiled:
        raise UsageError("--compile goes with --kernels; of the network it is --backend compiled")
    dtypes = list(dict.fromkeys(dtype or ["float32"]))
    budget = BUDGET_S if budget is None else budget
    if onnx is not None:
        if save:
            raise UsageError("--save is for the untrained network: --onnx with a RECIPE is written")
        if len(dtypes) > 1:
            raise UsageError(f"--dtype {' and '.join(dtypes)}: --onnx is timed with one")
        from .time_onnx import time_onnx

        written = time_onnx(
            *(onnx, settings, name, target, resolution, backend, batch, dtypes[0], budget, device),
            *(dry_run, quiet, wide, as_json),
        )
        contribute_result(written, contribute)
        return
    source = None if target is None else find_model(target)
    if source is None or source.kind != "run":
        written = _time_network(
            *(source, resolution, backend, batch, dtypes, budget, device),
            *(save, dry_run, quiet, wide, as_json),
        )
        contribute_result(written, contribute)
        return
    if save:
        raise UsageError("a run's times are written always: leave --save out")
    if len(dtypes) > 1:
        raise UsageError(f"--dtype {' and '.join(dtypes)}: a run is timed with one")
    written = _time_run(
        source, resolution, backend, batch, dtypes[0], budget, device, dry_run, quiet, wide, as_json
    )
    contribute_result(written, contribute)


def _time_run(
    source: ModelSource,
    size: list[str] | None,
    backend: list[str] | None,
    batch: int,
    dtype: str,
    budget: float,
    device: str | None,
    dry_run: bool,
    quiet: bool,
    wide: bool,
    as_json: bool,
) -> Path | None:
    """`hdrbench time RUN`. Returns what it wrote, as its neighbours do."""
    from ..runs import open_run

    assert source.path is not None
    run = open_run(source.path.parent)
    run.finished_header()
    model_file(source, quiet or as_json)

    from ..environment import device_slug
    from ..evaluation.score import method_id, recipe_id
    from ..results import result_folder
    from ..timing.network import SIZES, picture_type
    from .time_method import Written, time_method

    pictures = picture_type(dtype)
    usual = {*SIZES.values(), *run.recipe.evaluation.resolutions}
    plan = make_plan(size, usual, backend, batch, budget, device)
    method = method_id(run)
    folder = result_folder(run.recipe.label, method.name, method.run)
    path = folder / f"timing-{device_slug(plan.device)}.json"
    if dry_run:
        report_values(plan.values([dtype], path), as_json)
        return None
    written = Written(path, recipe_id(run.recipe), method)
    return time_method(run.model_path, plan, pictures, budget, written, quiet, wide, as_json)


def _time_network(
    source: ModelSource | None,
    size: list[str] | None,
    backend: list[str] | None,
    batch: int,
    dtypes: list[str],
    budget: float,
    device: str | None,
    save: bool,
    dry_run: bool,
    quiet: bool,
    wide: bool,
    as_json: bool,
) -> Path | None:
    """`hdrbench time`: the paper's network, or a model of no run, whose times are only shown."""
    if source and save:
        raise UsageError("--save is for the untrained network: a file's times are only shown")
    from ..config import HDRNetConfig
    from ..environment import describe, device_slug
    from ..paths import results_dir
    from ..result_timing import NetworkTiming, SizeTiming
    from ..timing.network import SAVED, SIZES, picture_type, time_model
    from ..timing.saved import save_size, saved_network

    # Nothing is downloaded to say what would be done.
    there = source is not None and not (dry_run and source.path is None)
    model = model_file(source, quiet or as_json)[0] if source and there else None
    pictures = [picture_type(dtype) for dtype in dtypes]
    usual = [SIZES[name] for name in SAVED] if save else SIZES.values()
    plan = make_plan(size, usual, backend, batch, budget, device)
    path = results_dir() / f"network-{device_slug(plan.device)}.json" if save else None
    if dry_run:
        report_values(plan.values(dtypes, path), as_json)
        return None
    if path:  # not to fail after minutes of timing
        path.parent.mkdir(parents=True, exist_ok=True)
        saved_network(path)
    config, environment = HDRNetConfig(), describe()

    total = len(plan.sizes) * len(pictures)
    done: list[Measurement] = []

    def keep(measured: Measurement) -> None:
        """At once: a run that is stopped keeps what it has."""
        if path:
            size = SizeTiming(rows=measured.rows, copies=measured.copies, state=measured.state)
            timing = NetworkTiming(
                device=plan.device, config=config, sizes=[size], environment=environment
            )
            if lost := save_size(path, timing):
                err.print(lost)
        done.append(measured)

    def kept() -> str:
        if path:
            return f"{len(done)} of {total} sizes are in {path}"
        if done:
            print_network(done, environment, wide, as_json)
        return f"{len(done)} of {total} sizes were timed; --save keeps them in a file"

    with says_when_stopped(kept), progress("time", total, quiet) as step:
        measured = [
            time_model(
                model or config,
                plan.sizes,
                plan.device,
                backends=plan.backends,
                batch=batch,
                dtype=kind,
                budget_s=budget,
                step=step,
                on_size=keep,
            )
            for kind in pictures
        ]
    print_network(measured, environment, wide, as_json)
    return path
