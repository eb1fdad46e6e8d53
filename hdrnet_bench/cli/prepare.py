"""The command `prepare`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, UsageError, near_matches
from ..files import json_value, read_text
from . import completion
from .console import err, next_step, report_values
from .next_steps import after_prepare
from .notes import note_counts, print_notes, rejection_counts, rejections_text
from .options import DryRun, Json, Overwrite, Quiet
from .progress import progress, transfer_progress
from .sources import Preparation, SourceOptions, preparation_of

if TYPE_CHECKING:
    from ..data.manifest import Row
    from ..prepare.schedule import Fetching


_WHICH = "Which pictures"
_HERE = "From files that are here"
_LICENCES = "Licences (fivek, ppr10k)"
_DOWNLOADS = "Downloads (fivek, hdrplus)"


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="demo, folder, fivek, hdrplus, synthetic-hdrplus, bsds500 or ppr10k.",
            autocompletion=completion.sources,
        ),
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="What the pairs are (`hdrbench protocols` lists them). By default demo: retouch; "
            "fivek: libraw; hdrplus: hdrnet; bsds500: local-laplacian; ppr10k: 360p; folder: a "
            "name of your own, or an operator's, which makes targets.",
            rich_help_panel=_WHICH,
            autocompletion=completion.protocols,
        ),
    ] = None,
    expert: Annotated[
        str | None,
        typer.Option(
            metavar="LETTER",
            help="Whose edit is the target. fivek: a to e, by default c; ppr10k: a to c, by "
            "default a.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="fivek, hdrplus: of the pictures, one that the protocol names; by default its "
            "first.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="fivek, hdrplus, ppr10k: so many pictures, of every split some.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="fivek, hdrplus, ppr10k: only the ids that this file lists.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    subset: Annotated[
        bool,
        typer.Option(
            "--subset",
            help="hdrplus: the subset of 153 bursts, which is the default.",
            rich_help_panel=_WHICH,
        ),
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="hdrplus: the full set, as far as LTMNet's lists go.",
            rich_help_panel=_WHICH,
        ),
    ] = False,
    source_dir: Annotated[
        list[Path] | None,
        typer.Option(
            "--source-dir",
            "--source",
            metavar="DIR",
            help="fivek, hdrplus: a copy of its files, fivek's repeatable, or an extracted pack of "
            "Lightroom's renderings (`hdrbench protocols zeng-srgb`); folder: with input/, "
            "output/, perhaps filelist.txt; synthetic-hdrplus: photographs or DNGs; bsds500: the "
            "extracted archive; ppr10k: its extracted pictures and masks, repeatable.",
            rich_help_panel=_HERE,
        ),
    ] = None,
    input_dir: Annotated[
        Path | None,
        typer.Option(
            "--input-dir",
            metavar="DIR",
            help="folder, fivek: the inputs.",
            rich_help_panel=_HERE,
        ),
    ] = None,
    target_dir: Annotated[
        Path | None,
        typer.Option(
            "--target-dir",
            metavar="DIR",
            help="folder, fivek: the targets, of the same names.",
            rich_help_panel=_HERE,
        ),
    ] = None,
    split_list: Annotated[
        list[str] | None,
        typer.Option(
            "--split-list",
            metavar="SPLIT=FILE",
            help="folder: a published split, FILE lists ids or file names; repeatable. test= is "
            "needed; the rest is training, or left out where there is train=.",
            rich_help_panel=_HERE,
        ),
    ] = None,
    all_test: Annotated[
        bool,
        typer.Option(
            "--all-test",
            help="folder: every pair is a test picture, to score what needs no training here.",
            rich_help_panel=_HERE,
        ),
    ] = False,
    accept_licence: Annotated[
        bool,
        typer.Option(
            "--accept-licence",
            help="Accept the source's licences without asking.",
            rich_help_panel=_LICENCES,
        ),
    ] = False,
    keep_raw: Annotated[
        bool,
        typer.Option(
            "--keep-raw",
            help="Keep downloaded files in data/raw/SOURCE.",
            rich_help_panel=_DOWNLOADS,
        ),
    ] = False,
    connections: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            metavar="N",
            help="Downloads at once; by default 6.",
            rich_help_panel=_DOWNLOADS,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url",
            metavar="URL",
            help="A mirror of the server.",
            rich_help_panel=_DOWNLOADS,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes that make pairs; by default as many as cores."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Dask cluster that sees the same folders makes the pairs instead.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    write_lock: Annotated[
        bool, typer.Option("--write-lock", help="Also write the lock into manifests/.")
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
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
        split_list=split_list,
        all_test=all_test,
    )
    preparation = preparation_of(source, options, quiet)
    plan, tasks = preparation.plan, preparation.tasks
    directory = paths.data_dir() / plan.name
    existing = replacing.existing_dataset(plan, paths.data_dir(), overwrite=overwrite)
    problems = [preparation.problem(task) for task in tasks]
    good = [task for task, problem in zip(tasks, problems, strict=True) if not problem]
    pairs = {s: sum(t.split == s for t in good) for s in manifest.SPLITS}
    if dry_run:
        left_out = [{"stage": problem[0]} for problem in problems if problem]
        report = {
            "dataset": plan.name,
            "directory": str(directory),
            "would prepare": existing is None,
            "pairs": pairs,
            **({"left out": rejection_counts(left_out)} if left_out or as_json else {}),
            "would write lock": write_lock,
        }
        report_values(report | ({} if existing else preparation.estimate(quiet)), as_json)
        return
    if not existing:
        preparation.before()
    with _progress_of(preparation, quiet) as (step, fetching):
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
    planned = {split: sum(task.split == split for task in tasks) for split in manifest.SPLITS}
    lacking = {s: f"{header.counts[s]} of {n}" for s, n in planned.items() if header.counts[s] < n}
    if lacking and source in protocols.SOURCES:
        text = ", ".join(f"{split} {count}" for split, count in lacking.items())
        err.print(f"not all pictures that were chosen of protocol {plan.protocol} are made: {text}")
    if cost and cost.unusable:
        raise DataError(
            f"{directory} is made, without {len(cost.unusable)} of {len(tasks)} pairs whose files "
            f"the server has wrong: {cost.unusable[0]}; --overwrite tries them again"
        )
    if not (quiet or as_json) and (following := after_prepare(header)):
        next_step(following)


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
def _progress_of(
    preparation: Preparation, quiet: bool
) -> Iterator[tuple[Callable[[], None], Fetching | None]]:
    """A bar of the pairs, with the bytes that come where they are fetched."""
    title, count = f"prepare {preparation.plan.name}", len(preparation.tasks)
    if preparation.fetching is None:
        with progress(title, count, quiet) as step:
            yield step, None
        return
    with transfer_progress(title, count, quiet) as transfer:
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
