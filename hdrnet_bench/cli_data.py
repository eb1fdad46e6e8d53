"""Commands that make and check datasets: prepare, verify, compare-datasets; cli.py has them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .cli_options import DryRun, Json, Overwrite
from .console import err, out, print_table, progress, report_rows, report_values, transfer_progress
from .errors import DataError, UsageError, near_matches
from .files import json_text

if TYPE_CHECKING:
    from .prepare.build import Maker, Plan, Review, Task
    from .prepare.schedule import Fetching


def register(app: typer.Typer) -> None:
    app.command()(prepare)
    app.command()(verify)
    app.command("compare-datasets")(compare_datasets)


class _Work(NamedTuple):
    """What is to be made. `fetching` opens what brings files here, given what counts bytes."""

    plan: Plan
    tasks: list[Task]
    maker: Maker
    review: Review = lambda rows: {}
    fetching: Callable[[Callable[[int], None]], AbstractContextManager[Fetching]] | None = None
    estimate: Callable[[], dict[str, Any]] = dict
    before: Callable[[], None] = lambda: None


class _Options(NamedTuple):
    """The options that not every source has, by their names."""

    protocol: str | None
    expert: str | None
    size: str | None
    limit: int | None
    ids: Path | None
    source_dir: list[Path] | None
    input_dir: Path | None
    target_dir: Path | None
    base_url: str | None
    connections: int | None
    keep_raw: bool
    accept_licence: bool


_TAKES = {
    "demo": {"protocol"},
    "folder": {"protocol", "source_dir", "input_dir", "target_dir"},
    "synthetic-hdrplus": {"protocol", "source_dir"},
    "fivek": set(_Options._fields),
}


def prepare(
    source: Annotated[str, typer.Argument(help="demo, folder, fivek or synthetic-hdrplus")],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="What the pairs are (see `recipes --protocols`). demo: retouch; fivek: libraw; "
            "folder: a name of your own, or an operator's, which makes the targets.",
        ),
    ] = None,
    expert: Annotated[
        str | None, typer.Option(help="fivek: whose edit is the target, a to e; by default c.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="fivek: a size of the protocol; by default its first.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="fivek: so many pictures, of every split some.")
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="fivek: only the ids that this file lists, a line each.")
    ] = None,
    source_dir: Annotated[
        list[Path] | None,
        typer.Option(
            "--source",
            "--source-dir",
            help="fivek: a copy of its files, repeatable; folder: with input/, output/, perhaps "
            "filelist.txt; synthetic-hdrplus: photographs or DNGs, in place of the demo's.",
        ),
    ] = None,
    input_dir: Annotated[
        Path | None, typer.Option("--input-dir", help="folder, fivek: where the inputs are.")
    ] = None,
    target_dir: Annotated[
        Path | None, typer.Option("--target-dir", help="folder, fivek: the targets.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="fivek: a mirror of its server.")
    ] = None,
    connections: Annotated[
        int | None, typer.Option(min=1, max=64, help="fivek: downloads at once; by default 6.")
    ] = None,
    keep_raw: Annotated[
        bool, typer.Option("--keep-raw", help="fivek: keep downloaded files in data/raw/fivek.")
    ] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="fivek: accept its licences without asking.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask cluster that sees the same folders, to make pairs."),
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
    from .prepare import SOURCES, build
    from .prepare.schedule import cluster

    if source not in SOURCES:
        raise UsageError(f"unknown source {source!r}: {near_matches(source, SOURCES)}")
    if scheduler and workers:
        raise UsageError("--scheduler brings its own workers: leave --workers out")
    options = _Options(
        protocol, expert, size, limit, ids, source_dir, input_dir, target_dir, base_url,
        connections, keep_raw, accept_licence,
    )  # fmt: skip
    for name, value in options._asdict().items():
        if value not in (None, False) and name not in _TAKES[source]:
            option = "source" if name == "source_dir" else name.replace("_", "-")
            raise UsageError(f"--{option} is not for source {source}")
    work = {
        "demo": _demo, "folder": _folder, "fivek": _fivek, "synthetic-hdrplus": _synthetic_hdrplus
    }[source](options)  # fmt: skip
    plan, tasks = work.plan, work.tasks
    directory = paths.data_dir() / plan.name
    there = build.prepared(plan, paths.data_dir(), overwrite=overwrite)
    wanted = {s: sum(t.split == s for t in tasks) for s in manifest.SPLITS}
    if dry_run:
        report = {
            "dataset": plan.name,
            "directory": str(directory),
            "would make": not there,
            "pairs": wanted,
            "would write lock": write_lock,
        }
        report_values(report | ({} if there else work.estimate()), as_json)
        return
    if not there:
        work.before()
    with _progress_of(work) as (step, fetching):
        header, effort = build.build(
            plan,
            tasks,
            work.maker,
            paths.data_dir(),
            workers=workers,
            overwrite=overwrite,
            review=work.review,
            step=step,
            fetching=fetching,
            open_pool=(lambda pairs: cluster(scheduler)) if scheduler else None,
        )
    if write_lock:
        dataset = manifest.Dataset(directory)
        manifest.write_lock(Path("manifests"), header, dataset.rows)
    report = {
        "dataset": header.name,
        "directory": str(directory),
        "prepared": "now" if effort else "before, with the same settings; nothing to do",
        "pairs": {split: header.counts[split] for split in (*manifest.SPLITS, "rejected")},
        "digest": header.digest,
        "effort": _effort(effort),
    }
    report_values({k: v for k, v in report.items() if as_json or v is not None}, as_json)
    if header.counts["rejected"]:
        err.print(f"{header.counts['rejected']} rejected: see {directory}/rejected.jsonl")
        if not effort:
            err.print("what was left out is tried again with --overwrite")
    lacking = {s: f"{header.counts[s]} of {n}" for s, n in wanted.items() if header.counts[s] < n}
    if lacking and source == "fivek":
        text = ", ".join(f"{split} {count}" for split, count in lacking.items())
        err.print(f"not all pictures of protocol {plan.protocol}: {text}")


@contextmanager
def _progress_of(work: _Work) -> Iterator[tuple[Callable[[], None], Fetching | None]]:
    """A bar of the pairs, with the bytes that come where they are fetched."""
    title = f"prepare {work.plan.name}"
    if work.fetching is None:
        with progress(title, len(work.tasks)) as step:
            yield step, None
        return
    with transfer_progress(title, len(work.tasks)) as transfer:
        with work.fetching(transfer.received) as fetching:
            yield transfer.picture, fetching


def _effort(effort: Any) -> dict[str, Any] | None:
    if effort is None:
        return None
    ideal = effort.times_ideal
    return {
        "pairs": effort.pairs,
        "seconds": round(effort.seconds, 2),
        "cpu seconds": round(effort.cpu_seconds, 2),
        "workers": effort.workers,
        "times the ideal": round(ideal, 3) if ideal else None,
        "most MiB of a worker": round(effort.worker_memory_mib),
    }


def _demo(options: _Options) -> _Work:
    from .prepare import demo

    plan = demo.plan("retouch" if options.protocol is None else options.protocol)
    return _Work(plan, demo.tasks(plan.protocol), demo.make)


def _folder(options: _Options) -> _Work:
    from .prepare import folder

    if options.source_dir and len(options.source_dir) > 1:
        raise UsageError("source folder: give --source-dir once")
    source_dir = options.source_dir[0] if options.source_dir else None
    where = folder.folders(source_dir, options.input_dir, options.target_dir)
    plan, tasks = folder.plan_and_tasks(options.protocol, where)
    return _Work(plan, tasks, folder.make, folder.duplicates)


def _synthetic_hdrplus(options: _Options) -> _Work:
    from .prepare import synthetic_hdrplus

    if options.source_dir and len(options.source_dir) > 1:
        raise UsageError("source synthetic-hdrplus: give --source once")
    source = options.source_dir[0] if options.source_dir else None
    plan, tasks = synthetic_hdrplus.plan_and_tasks(options.protocol, source)
    return _Work(plan, tasks, synthetic_hdrplus.make, synthetic_hdrplus.duplicates)


def _fivek(options: _Options) -> _Work:
    from . import paths
    from .prepare import build, download, fivek, fivek_download, fivek_index, protocols

    name = "libraw" if options.protocol is None else options.protocol
    protocol = protocols.load_protocol("fivek", name)
    source = protocols.load_source("fivek")
    _check_way(options, protocol.of_renderings, protocol.name, protocol.needs)
    base_url = options.base_url or source.base_url
    folders = options.source_dir or []
    pictures = fivek_index.read_index(source, base_url, folders)
    choice = fivek.choose(
        protocol, source, pictures,
        expert=options.expert, size=options.size, limit=options.limit, ids=options.ids,
    )  # fmt: skip
    if options.input_dir and options.target_dir:
        found, digest = fivek.find_renderings(choice, options.input_dir, options.target_dir)
        plan = fivek.plan(choice, source, digest)
        return _Work(plan, fivek.tasks(choice, pictures, found), fivek.make)
    plan = fivek.plan(choice, source)
    if folders:
        found = fivek.find_files(choice, pictures, folders)
        return _Work(plan, fivek.tasks(choice, pictures, found), fivek.make)
    hidden = build.staging_folder(plan, paths.data_dir()) / build.RAW
    kept = paths.data_dir() / "raw" / "fivek"
    remote = fivek_download.Remote(
        source, base_url, (kept if options.keep_raw else hidden).absolute()
    )
    found = fivek_download.remote_files(choice, pictures, remote)
    tasks = fivek.tasks(choice, pictures, found)
    connections = options.connections or download.CONNECTIONS

    @contextmanager
    def fetching(step: Callable[[int], None]) -> Iterator[Fetching]:
        with fivek_download.fetching(remote, connections, options.keep_raw, step) as way:
            yield way

    def estimate() -> dict[str, Any]:
        jobs = [task.payload for task in build.unmade(plan, tasks, paths.data_dir())]
        with progress("sizes", 2 * len(jobs)) as step:
            found = fivek_download.estimate(jobs, remote, connections, step)
        return {
            "would fetch": {"files": found.files, "bytes": found.bytes, "unsized": found.unsized},
            "not there": found.not_there,
        }

    def licences() -> None:
        if options.accept_licence:
            fivek_index.accept(source)
        if fivek_index.is_accepted(source):
            return
        err.print(fivek_index.licence_texts(source, base_url), markup=False, highlight=False)
        if not sys.stdin.isatty():
            raise UsageError(
                f"the licences of {source.title} must be accepted: read them above, then give "
                "--accept-licence"
            )
        if not typer.confirm("Do you accept these licences?", err=True):
            raise UsageError("nothing is fetched without the licences' acceptance")
        fivek_index.accept(source)

    return _Work(plan, tasks, fivek.make, fetching=fetching, estimate=estimate, before=licences)


def _check_way(options: _Options, of_renderings: bool, name: str, needs: str) -> None:
    """Files come one way: from the server, from a copy, or as renderings in two folders."""
    rendered = options.input_dir or options.target_dir
    if of_renderings:
        if not (options.input_dir and options.target_dir) or options.source_dir:
            raise UsageError(
                f"protocol {name} takes renderings, by --input-dir and --target-dir; it needs: "
                f"{needs}"
            )
    elif rendered:
        raise UsageError(
            f"protocol {name} makes its pictures from FiveK's own files: --source DIR, or nothing "
            "to download them"
        )
    if rendered or options.source_dir:
        for given, option in (
            (options.connections, "--connections"),
            (options.keep_raw, "--keep-raw"),
            (options.accept_licence, "--accept-licence"),
        ):
            if given:
                raise UsageError(f"{option} goes with downloading")
    if options.base_url and not re.match(r"https?://[^/]", options.base_url):
        raise UsageError(f"--base-url {options.base_url!r}: an address begins with https://")


def list_protocols(name: str | None, as_json: bool) -> None:
    """`hdrbench recipes --protocols [NAME]`."""
    from .prepare import demo, folder, protocols, synthetic_hdrplus

    found = [
        {"source": source, "protocol": protocol, "summary": summary}
        for source, known in (
            ("demo", demo.protocols()),
            ("folder", folder.protocols()),
            ("synthetic-hdrplus", synthetic_hdrplus.protocols()),
        )
        for protocol, summary in known.items()
    ]
    source = protocols.load_source("fivek")
    fivek = [protocols.described(one, source) for one in protocols.all_protocols("fivek")]
    if name is not None:
        chosen = [one for one in fivek if one["protocol"] == name]
        if not chosen:
            names = [one["protocol"] for one in fivek]
            raise UsageError(f"unknown protocol {name!r}: {near_matches(name, names)}")
        report_values({"source": "fivek", **chosen[0]}, as_json)
        return
    if as_json:
        print(json_text(found + [{"source": "fivek", **one} for one in fivek]), end="")
        return
    for one in fivek:
        summary = one["summary"]
        if not one["runnable"]:
            summary += f" Cannot be prepared: {one['reason']}."
        elif not str(one["needs"]).startswith("Nothing"):
            summary += f" Needs: {one['needs']}"
        found.append({"source": "fivek", "protocol": one["protocol"], "summary": summary})
    report_rows(found, as_json)


def verify(
    dataset: Annotated[str, typer.Argument(help="Name of a prepared dataset, or its directory.")],
    as_json: Json = False,
) -> None:
    """Re-hash every picture and compare with the dataset's rows and its committed lock."""
    from . import verify as verification
    from .manifest import open_dataset

    opened = open_dataset(dataset)
    with progress(f"verify {opened.header.name}", len(opened.rows)) as step:
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


def compare_datasets(
    first: Annotated[str, typer.Argument(help="A prepared dataset, by name or directory.")],
    second: Annotated[str, typer.Argument(help="Another preparation of the same protocol.")],
    worst: Annotated[int, typer.Option(min=1, help="How many pictures to list.")] = 10,
    as_json: Json = False,
) -> None:
    """How far two preparations of one protocol are apart, picture by picture."""
    from .compare_datasets import compare
    from .manifest import open_dataset

    a, b = open_dataset(first), open_dataset(second)
    with progress("compare-datasets", len(a.rows)) as step:
        result = compare(a, b, step)
    if as_json:
        print(json_text(result.as_json()), end="")
        return
    out.print(result.summary())
    rows = [
        [f"{d.split}/{d.id}", d.role, d.what or f"{d.psnr:.2f} dB", str(d.largest or "–")]
        for d in result.differences[:worst]
    ]
    if rows:
        print_table(["picture", "side", "PSNR between the two", "largest, of 255"], rows)
