"""Commands that make and check datasets: prepare, verify, compare-datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, UsageError, near_matches
from ..files import json_value, read_text
from .console import err, out, print_json, report_values
from .notes import note_counts, print_notes, rejection_counts, rejections_text
from .options import DryRun, Json, Overwrite
from .progress import progress, transfer_progress
from .sources import Preparation, SourceOptions, preparation_of
from .tables import print_table, report_rows

if TYPE_CHECKING:
    from ..data.manifest import Row
    from ..prepare.schedule import Fetching


def register(app: typer.Typer) -> None:
    app.command()(prepare)
    app.command()(verify)
    app.command("compare-datasets")(compare_datasets)


def prepare(
    source: Annotated[
        str, typer.Argument(help="demo, folder, fivek, hdrplus or synthetic-hdrplus")
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="What the pairs are (see `recipes --protocols`). demo: retouch; fivek: libraw; "
            "hdrplus: hdrnet; folder: a name of your own, or an operator's, which makes targets.",
        ),
    ] = None,
    expert: Annotated[
        str | None, typer.Option(help="fivek: whose edit is the target, a to e; by default c.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="fivek, hdrplus: a size of the protocol; by default its first."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="fivek, hdrplus: so many pictures, of every split some."),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="fivek, hdrplus: only the ids that this file lists.")
    ] = None,
    source_dir: Annotated[
        list[Path] | None,
        typer.Option(
            "--source",
            "--source-dir",
            help="fivek, hdrplus: a copy of its files, fivek's repeatable; folder: with input/, "
            "output/, perhaps filelist.txt; synthetic-hdrplus: photographs or DNGs.",
        ),
    ] = None,
    input_dir: Annotated[
        Path | None, typer.Option("--input-dir", help="folder, fivek: where the inputs are.")
    ] = None,
    target_dir: Annotated[
        Path | None, typer.Option("--target-dir", help="folder, fivek: the targets.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="fivek, hdrplus: a mirror of its server.")
    ] = None,
    connections: Annotated[
        int | None, typer.Option(min=1, max=64, help="Downloads at once; by default 6.")
    ] = None,
    keep_raw: Annotated[
        bool, typer.Option("--keep-raw", help="Keep downloaded files in data/raw/SOURCE.")
    ] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="fivek: accept its licences without asking.")
    ] = False,
    subset: Annotated[
        bool, typer.Option("--subset", help="hdrplus: the subset of 153 bursts, which is default.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="hdrplus: the full set, as far as LTMNet's lists go.")
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
    from .. import paths
    from ..data import manifest
    from ..prepare import SOURCES, build, protocols, replacing
    from ..prepare.schedule import cluster

    if source not in SOURCES:
        raise UsageError(f"unknown source {source!r}: {near_matches(source, SOURCES)}")
    if scheduler and workers:
        raise UsageError("--scheduler brings its own workers: leave --workers out")
    options = SourceOptions(
        protocol=protocol,
        expert=expert,
        size=size,
        limit=limit,
        ids=ids,
        source_dir=source_dir,
        input_dir=input_dir,
        target_dir=target_dir,
        base_url=base_url,
        connections=connections,
        keep_raw=keep_raw,
        accept_licence=accept_licence,
        subset=subset,
        full=full,
    )
    preparation = preparation_of(source, options)
    plan, tasks = preparation.plan, preparation.tasks
    directory = paths.data_dir() / plan.name
    existing = replacing.existing_dataset(plan, paths.data_dir(), overwrite=overwrite)
    pairs = {s: sum(t.split == s for t in tasks) for s in manifest.SPLITS}
    if dry_run:
        report = {
            "dataset": plan.name,
            "directory": str(directory),
            "would prepare": existing is None,
            "pairs": pairs,
            "would write lock": write_lock,
        }
        report_values(report | ({} if existing else preparation.estimate()), as_json)
        return
    if not existing:
        preparation.before()
    with _progress_of(preparation) as (step, fetching):
        header, cost = build.build(
            plan,
            tasks,
            preparation.maker,
            paths.data_dir(),
            workers=workers,
            overwrite=overwrite,
            review=preparation.review,
            step=step,
            fetching=fetching,
            open_pool=(lambda pairs: cluster(scheduler)) if scheduler else None,
            note=err.print,
        )
    rows = manifest.Dataset(directory).rows
    if write_lock:
        manifest.write_lock(Path("manifests"), header, rows)
    notes = note_counts(note for row in rows for note in _notes_of(row))
    rejections = _rejections(directory) if header.counts["rejected"] else []
    report = {
        "dataset": header.name,
        "directory": str(directory),
        "prepared": "now" if cost else "before, with the same settings; nothing to do",
        "pairs": {split: header.counts[split] for split in (*manifest.SPLITS, "rejected")},
        "rejections": rejection_counts(rejections) if as_json else None,
        "digest": header.digest,
        "cost": _cost(cost),
        "notes": notes if as_json else None,
    }
    report_values({k: v for k, v in report.items() if as_json or v is not None}, as_json)
    print_notes(notes, "each pair's are in its row")
    if header.counts["rejected"]:
        stages = f" ({rejections_text(rejections)})" if rejections else ""
        err.print(f"{header.counts['rejected']} rejected{stages}: see {directory}/rejected.jsonl")
        if not cost:
            err.print("what was left out is tried again with --overwrite")
    lacking = {s: f"{header.counts[s]} of {n}" for s, n in pairs.items() if header.counts[s] < n}
    if lacking and source in protocols.SOURCES:
        text = ", ".join(f"{split} {count}" for split, count in lacking.items())
        err.print(f"not all pictures of protocol {plan.protocol}: {text}")
    if cost and cost.unusable:
        raise DataError(
            f"{directory} is made, without {len(cost.unusable)} of {len(tasks)} pairs whose files "
            f"the server has wrong: {cost.unusable[0]}; --overwrite tries them again"
        )


def _notes_of(row: Row) -> list[str]:
    """What was noted of a pair's pictures: of both together, or of each by its role. A stranger's
    dataset may have something else there."""
    notes = json_value(row.measured).get("notes")
    lists = notes.values() if isinstance(notes, dict) else [notes]
    return [n for one in lists if isinstance(one, list) for n in one if isinstance(n, str)]


def _rejections(directory: Path) -> list[dict[str, str]]:
    """What was left out, with stage and reason; nothing where the list is gone, or, as is said,
    where it is broken."""
    path = directory / "rejected.jsonl"
    try:
        listed = [json_value(line) for line in read_text(path).split("\n") if line]
        return [{key: str(one[key]) for key in ("id", "stage", "reason")} for one in listed]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError, DataError) as error:
        err.print(f"{path} is not what was left out: {error or type(error).__name__}")
        return []


@contextmanager
def _progress_of(preparation: Preparation) -> Iterator[tuple[Callable[[], None], Fetching | None]]:
    """A bar of the pairs, with the bytes that come where they are fetched."""
    title, count = f"prepare {preparation.plan.name}", len(preparation.tasks)
    if preparation.fetching is None:
        with progress(title, count) as step:
            yield step, None
        return
    with transfer_progress(title, count) as transfer:
        with preparation.fetching(transfer.received) as fetching:
            yield transfer.picture, fetching


def _cost(cost: Any) -> dict[str, Any] | None:
    if cost is None:
        return None
    efficiency = cost.parallel_efficiency
    return {
        "pairs": cost.pairs,
        "seconds": round(cost.seconds, 2),
        "cpu seconds": round(cost.cpu_seconds, 2),
        "workers": cost.workers,
        "parallel efficiency": round(efficiency, 3) if efficiency else None,
        "most MiB of a worker": round(cost.worker_memory_mib),
    }


def list_protocols(name: str | None, as_json: bool) -> None:
    """`hdrbench recipes --protocols [NAME]`."""
    from ..prepare import protocols
    from ..prepare.sources import demo, folder, synthetic_hdrplus

    listed = [
        {"source": source, "protocol": protocol, "summary": summary}
        for source, summaries in (
            ("demo", demo.protocols()),
            ("folder", folder.protocols()),
            ("synthetic-hdrplus", synthetic_hdrplus.protocols()),
        )
        for protocol, summary in summaries.items()
    ]
    published: list[dict[str, Any]] = [
        {"source": name_of_source}
        | protocols.description(one, protocols.load_source(name_of_source))
        for name_of_source in protocols.SOURCES
        for one in protocols.all_protocols(name_of_source)
    ]
    if name is not None:
        matches = [one for one in published if one["protocol"] == name]
        if not matches:
            names = [one["protocol"] for one in published]
            raise UsageError(f"unknown protocol {name!r}: {near_matches(name, names)}")
        report_values(matches[0], as_json)
        return
    if as_json:
        print_json(listed + published)
        return
    for one in published:
        summary = one["summary"]
        if not one["runnable"]:
            summary += f" Cannot be prepared: {one['reason']}."
        elif not str(one["needs"]).startswith("Nothing"):
            summary += f" Needs: {one['needs']}"
        listed.append({"source": one["source"], "protocol": one["protocol"], "summary": summary})
    report_rows(listed, as_json)


def verify(
    dataset: Annotated[str, typer.Argument(help="Name of a prepared dataset, or its directory.")],
    as_json: Json = False,
) -> None:
    """Re-hash every picture and compare with the dataset's rows and its committed lock."""
    from ..data import verify as verification
    from ..data.manifest import open_dataset

    opened = open_dataset(dataset)
    with progress(f"verify {opened.header.name}", len(opened.rows)) as step:
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


def compare_datasets(
    first: Annotated[str, typer.Argument(help="A prepared dataset, by name or directory.")],
    second: Annotated[str, typer.Argument(help="Another preparation of the same protocol.")],
    worst: Annotated[int, typer.Option(min=1, help="How many pictures to list.")] = 10,
    as_json: Json = False,
) -> None:
    """How far two preparations of one protocol are apart, picture by picture."""
    from ..data.compare import compare
    from ..data.manifest import open_dataset

    a, b = open_dataset(first), open_dataset(second)
    with progress("compare-datasets", len(a.rows)) as step:
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
        print_table(["picture", "side", "PSNR between the two", "largest, of 255"], rows)
