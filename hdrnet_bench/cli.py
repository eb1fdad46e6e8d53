"""The command line: thin commands over the modules that do the work.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 ok, 1 a bug of ours, 2 usage,
3 data or model file missing, unreadable or failing verification, 4 missing capability, 5
regression, 130 interrupted. Heavy imports stand inside the commands, so that help is quick.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .errors import CapabilityError, DataError, HdrbenchError, UsageError, near_matches
from .files import json_text

if TYPE_CHECKING:
    from .evaluate import Judgement
    from .manifest import Split
    from .recipe import Recipe
    from .results import Evaluation

app = typer.Typer(
    help="Prepare photo-enhancement data, train HDRNet on it, measure quality and speed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Report as JSON on standard output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Device = Annotated[
    str | None, typer.Option(help="Torch device; by default CUDA where it is there, else CPU.")
]


def main() -> None:
    """Entry point of `hdrbench` and of `python -m hdrnet_bench`."""
    try:
        app()
    except HdrbenchError as error:
        err.print(f"hdrbench: {' '.join(str(error).split())}", style="bold red", markup=False)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        sys.exit(0)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from .environment import package_version

        print(package_version())
        raise typer.Exit


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help="demo")],
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="What the pairs are; demo: retouch.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default as many as cores.")
    ] = None,
    overwrite: Overwrite = False,
    write_lock: Annotated[
        bool, typer.Option("--write-lock", help="Also write the lock into manifests/.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Prepare a dataset: pictures, rows with their hashes, header. Interrupted, it goes on."""
    from . import manifest, paths
    from .prepare import build, demo

    if source != "demo":
        raise UsageError(f"unknown source {source!r}: {near_matches(source, ['demo'])}")
    plan = demo.plan(protocol or "retouch")
    tasks = demo.tasks(plan.protocol)
    directory = paths.data_dir() / plan.name
    if dry_run:
        counts = {s: sum(t.split == s for t in tasks) for s in manifest.SPLITS}
        _report({"dataset": plan.name, "directory": str(directory), "pairs": counts}, as_json)
        return
    with _progress(f"prepare {plan.name}", len(tasks)) as step:
        header, made = build.build(
            plan,
            tasks,
            demo.make,
            paths.data_dir(),
            workers=workers,
            overwrite=overwrite,
            step=step,
        )
    if write_lock:
        dataset = manifest.Dataset(directory)
        manifest.write_lock(Path("manifests"), header, dataset.rows)
    report = {
        "dataset": header.name,
        "directory": str(directory),
        "prepared": "now" if made else "before, with the same settings; nothing to do",
        "pairs": {split: header.counts[split] for split in (*manifest.SPLITS, "rejected")},
        "digest": header.digest,
    }
    _report(report, as_json)
    if header.counts["rejected"]:
        err.print(f"{header.counts['rejected']} rejected: see {directory}/rejected.jsonl")


@app.command()
def verify(
    dataset: Annotated[str, typer.Argument(help="Name of a prepared dataset, or its directory.")],
    as_json: Json = False,
) -> None:
    """Re-hash every picture and compare with the dataset's rows and its committed lock."""
    from . import verify as verification
    from .manifest import open_dataset

    opened = open_dataset(dataset)
    with _progress(f"verify {opened.header.name}", len(opened.rows)) as step:
        result = verification.verify(opened, step)
    if as_json:
        print(json_text(result.as_json()), end="")
    else:
        lock = "no lock known" if result.lock == "unknown" else f"lock {result.lock}"
        out.print(f"{result.dataset}: {result.status} ({result.pictures} pictures, {lock})")
        for problem in result.problems:
            out.print(
                f"  {problem.kind}: {problem.split}/{problem.id}: {problem.what}", markup=False
            )
    if result.status != "identical":
        raise typer.Exit(DataError.exit_code)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or path of a recipe file.")],
    seed: Annotated[
        int | None, typer.Option(min=0, help="One seed; by default each of the recipe's.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the run; by default seed-<seed>.")
    ] = None,
    device: Device = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train a recipe. Shows loss and PSNR; writes checkpoints, log and environment."""
    from .manifest import open_dataset
    from .recipe import load_recipe
    from .runs import new_run_directory

    loaded = load_recipe(recipe)
    seeds = [seed] if seed is not None else list(loaded.training.seeds)
    if run and len(seeds) > 1:
        raise UsageError(f"--run names one run, the recipe has seeds {seeds}: add --seed")
    directories = [new_run_directory(loaded, one, run) for one in seeds]
    for directory in directories:
        if directory.exists() and not overwrite:
            raise UsageError(f"{directory} is there: name another --run, or --overwrite this one")
    dataset = open_dataset(loaded.dataset.name, loaded.dataset.prepare_command)
    where = _device(device)
    if dry_run:
        plan = {
            "recipe": loaded.name,
            "runs": [str(directory) for directory in directories],
            "device": where,
            "pairs": dataset.header.counts,
            "steps": loaded.training.steps,
        }
        _report(plan, as_json)
        return

    from .train import train as run_training

    summaries = []
    for one, directory in zip(seeds, directories, strict=True):
        with _training_progress(f"{loaded.name} seed {one}", loaded.training.steps) as report:
            summaries.append(
                run_training(
                    loaded,
                    dataset,
                    directory,
                    seed=one,
                    device=where,
                    overwrite=overwrite,
                    report=report,
                )
            )
    if as_json:
        print(json_text(summaries), end="")
        return
    for summary in summaries:
        psnr = summary["validation_psnr"]
        out.print(
            f"{summary['run']}: {summary['steps']} steps in {summary['seconds']:.0f} s; "
            f"validation PSNR {psnr['last']:.2f} dB at the end, {psnr['best']:.2f} dB at best"
        )


@app.command("eval")
def evaluate(
    target: Annotated[
        str | None, typer.Argument(help="A run directory, RECIPE/RUN or a recipe; by default all.")
    ] = None,
    baseline: Annotated[
        Literal["identity"] | None,
        typer.Option(help="Judge only this baseline, on TARGET's (a recipe's) data."),
    ] = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option()] = "test",
    device: Device = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Measure again what is up to date.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Judge runs beside the identity baseline; measures what has no up-to-date result."""
    jobs = _judgements(target, baseline, split)

    from .evaluate import judge, up_to_date
    from .results import Evaluation, read_result

    todo = [job for job in jobs if overwrite or not up_to_date(job)]
    if dry_run:
        _report({"would measure": [str(job.path) for job in todo]}, as_json)
        return
    for job in todo:
        with _progress(f"eval {job.title}", len(job.dataset.split(split))) as step:
            judge(job, _device(device), step)
    results = [r for job in jobs if isinstance(r := read_result(job.path), Evaluation)]
    if as_json:
        print(json_text([result.model_dump(mode="json") for result in results]), end="")
    else:
        _print_evaluations(results)


def _judgements(target: str | None, baseline: str | None, split: Split) -> list[Judgement]:
    """What eval's arguments ask for: the identity baseline of each recipe first, then its runs."""
    from .manifest import open_dataset
    from .recipe import load_recipe
    from .runs import resolve_runs

    recipes: dict[str, Recipe] = {}
    if baseline:
        if target is None:
            raise UsageError("--baseline needs a recipe: hdrbench eval RECIPE --baseline identity")
        runs = []
        recipe = load_recipe(target)
        recipes[recipe.name] = recipe
    else:
        runs = resolve_runs(target)
        if not runs:
            raise DataError("there is no run to evaluate: `hdrbench train RECIPE` first")
        for run in runs:
            recipes.setdefault(run.recipe.name, run.recipe)

    from .evaluate import judgement

    jobs = []
    for name, recipe in recipes.items():
        dataset = open_dataset(recipe.dataset.name, recipe.dataset.prepare_command)
        jobs.append(judgement(recipe, dataset, split, None))
        jobs += [judgement(r.recipe, dataset, split, r) for r in runs if r.recipe.name == name]
    return jobs


def _print_evaluations(results: list[Evaluation]) -> None:
    from .metric_specs import METRICS
    from .report.tables import cell

    names = [name for name in METRICS if any(name in result.metrics for result in results)]
    rows = []
    for result in results:
        cells = [cell(name, result.metrics.get(name)) for name in names]
        n = str(result.metrics["psnr"].n)
        rows.append([result.recipe.name, result.method.name, result.method.run, n, *cells])
    _print_table(["recipe", "method", "run", "n", *(METRICS[n].label for n in names)], rows)
    reasons = {s.reason for r in results for s in r.metrics.values() if s.reason}
    for reason in sorted(reasons):
        out.print(f"  {reason}", markup=False)
    baselines = {r.recipe.name: r for r in results if r.method.name == "identity"}
    for result in results:
        base = baselines.get(result.recipe.name)
        if base is None or result is base:
            continue
        here, there = result.metrics["psnr"].mean, base.metrics["psnr"].mean
        if here is not None and there is not None:
            out.print(
                f"{result.recipe.name}, {result.method.name} {result.method.run}: "
                f"PSNR {here:.2f} dB, identity {there:.2f} dB: {here - there:+.2f} dB"
            )


@app.command("time")
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
    device: Device = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Time the forward pass per resolution: median, 5th and 95th percentile."""
    from .recipe import EvaluationSpec
    from .runs import resolve_runs

    runs = resolve_runs(target) if target else []
    if len(runs) > 1:
        known = ", ".join(str(run.directory) for run in runs)
        raise UsageError(f"{target} has several runs, time one: {known}")
    spec = runs[0].recipe.evaluation if runs else EvaluationSpec()
    sizes = [_parse_size(text) for text in size] if size else list(spec.resolutions)
    where = _device(device)

    from .environment import describe, device_slug, machine_line
    from .evaluate import method_id, recipe_id
    from .model import HDRNet
    from .model_file import read_model
    from .results import Timing, result_folder, write_result
    from .timing import time_model

    path = None
    if runs:
        runs[0].finished_header()
        model, _ = read_model(runs[0].model_path, where)
        method = method_id(runs[0])
        folder = result_folder(runs[0].recipe.name, method.name, method.run)
        path = folder / f"timing-{device_slug(where)}.json"
    else:
        model = HDRNet().eval()
    if dry_run:
        _report({"sizes": [f"{w}x{h}" for w, h in sizes], "would write": str(path)}, as_json)
        return
    environment = describe()
    with _progress("time", len(sizes)) as step:
        rows = time_model(model, sizes, where, budget, step)
    if path:
        write_result(
            path,
            Timing(
                recipe=recipe_id(runs[0].recipe),
                method=method,
                device=where,
                backend="reference",
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
    _print_table(["resolution", "part", "median", "p5", "p95", "repeats"], cells)
    out.print(f"on {machine_line(environment)}", markup=False)


@app.command()
def report(
    insert: Annotated[
        Path | None,
        typer.Option(help="Also put the tables between this file's <!-- results --> marks."),
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make results/README.md, figures/ and report.html from the result files alone."""
    from .paths import results_dir
    from .report import build_report

    written = build_report(results_dir(), insert, dry_run=dry_run)
    if as_json:
        print(json_text([str(path) for path in written]), end="")
    else:
        for path in written:
            out.print(f"{'would write' if dry_run else 'wrote'} {path}", markup=False)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe whole.")] = None,
    protocols: Annotated[
        bool, typer.Option("--protocols", help="List sources and protocols instead.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The list as recipes/README.md has it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List and explain recipes, or the protocols of the data they need."""
    from . import recipe as recipe_module

    if protocols:
        from .prepare import demo

        rows = [
            {"source": "demo", "protocol": p, "summary": s} for p, s in demo.protocols().items()
        ]
        _report_rows(rows, as_json)
        return
    if name:
        loaded = recipe_module.load_recipe(name)
        if as_json:
            print(json_text(loaded.model_dump(mode="json") | {"digest": loaded.digest}), end="")
        else:
            out.print(loaded.yaml(), end="", markup=False)
            out.print(f"# data: {loaded.dataset.prepare_command}")
        return
    loaded_all = [recipe_module.parse_recipe(p) for p in recipe_module.recipe_paths().values()]
    if markdown:
        print(recipe_module.markdown_list(loaded_all), end="")
        return
    rows = [
        {
            "recipe": r.name,
            "dataset": r.dataset.name,
            "model": r.model.variant,
            "summary": r.summary,
        }
        for r in loaded_all
    ]
    _report_rows(rows, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine can do, and what to do about the rest."""
    from .doctor import examine

    _report_rows(examine(), as_json)


def _report(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json_text(values), end="")
        return
    for key, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        if isinstance(value, list):
            value = ", ".join(map(str, value)) or "nothing"
        out.print(f"{key}: {value}", markup=False)


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    """Aligned columns, never shortened or wrapped, whatever the terminal's width."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for number, row in enumerate([header, *rows]):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print(line.rstrip(), style="bold" if number == 0 else None, markup=False)


def _report_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A line for each row: its first values, then, indented, the last one."""
    if as_json:
        print(json_text(rows), end="")
        return
    for row in rows:
        *first, last = row.values()
        out.print("  ".join(str(value) for value in first), style="bold", markup=False)
        out.print(f"    {last}", markup=False)


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def _training_progress(title: str, steps: int) -> Iterator[Callable[[Any], None]]:
    """A bar with the loss and PSNR of the last steps, and a line for each validation."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[now]}"), console=err
    ) as bar:
        task = bar.add_task(title, total=steps, now="")
        smooth = 0.0

        def report(progress: Any) -> None:
            nonlocal smooth
            smooth = progress.psnr if progress.step == 1 else 0.95 * smooth + 0.05 * progress.psnr
            bar.update(task, advance=1, now=f"loss {progress.loss:.5f}  PSNR {smooth:.2f} dB")
            if progress.validation_psnr is not None:
                err.print(
                    f"step {progress.step}/{steps}: training PSNR {smooth:.2f} dB, "
                    f"validation PSNR {progress.validation_psnr:.2f} dB"
                )

        yield report


def _device(wanted: str | None) -> str:
    """The device to use. Raises CapabilityError where CUDA is asked for and not there."""
    if wanted is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        raise UsageError(f"device {wanted!r}: use cpu, cuda or cuda:N")
    import torch

    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise CapabilityError(
            "no CUDA device here (torch.cuda.is_available() is false): use --device cpu"
        )
    return wanted


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or min(int(match[1]), int(match[2])) < 8:
        raise UsageError(f"size {text!r}: write WIDTHxHEIGHT in pixels, at least 8x8, as 1920x1080")
    return int(match[1]), int(match[2])
