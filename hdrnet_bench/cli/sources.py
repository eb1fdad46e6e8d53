"""From the options of `prepare` to what is prepared, source by source."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .. import addresses
from ..errors import DataError, UsageError
from .accepting import ask
from .console import err
from .progress import progress

if TYPE_CHECKING:
    from ..prepare.build import Maker, Review
    from ..prepare.fetch.download import Downloads
    from ..prepare.protocol_models import FiveKProtocol
    from ..prepare.schedule import Fetching
    from ..prepare.sources import fivek, hdrplus
    from ..prepare.staging import Plan, Task


class Preparation(NamedTuple):
    """What is to be made. `fetching` opens what brings files here, given what counts bytes;
    `problem` is the stage and the reason for which it is known that a task will be left out."""

    plan: Plan
    tasks: list[Task]
    maker: Maker
    review: Review = lambda rows: {}
    fetching: Callable[[Callable[[int], None]], AbstractContextManager[Fetching]] | None = None
    estimate: Callable[[bool], dict[str, Any]] = lambda quiet: {}
    before: Callable[[], None] = lambda: None
    problem: Callable[[Task], tuple[str, str] | None] = lambda task: None


class SourceOptions(NamedTuple):
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
    subset: bool
    full: bool
    split_list: list[str] | None = None
    all_test: bool = False


_COMMON = {"protocol", "size", "limit", "ids", "source_dir", "base_url", "connections", "keep_raw"}
_TAKES = {
    "demo": {"protocol"},
    "folder": {"protocol", "source_dir", "input_dir", "target_dir", "split_list", "all_test"},
    "synthetic-hdrplus": {"protocol", "source_dir"},
    "fivek": _COMMON | {"expert", "input_dir", "target_dir", "accept_licence"},
    "hdrplus": _COMMON | {"subset", "full"},
    "bsds500": {"protocol", "source_dir"},
    "ppr10k": {"protocol", "expert", "limit", "ids", "source_dir", "accept_licence"},
}


def preparation_of(source: str, options: SourceOptions, quiet: bool = False) -> Preparation:
    """What is to be made. quiet: without progress of what has to be read to say so.

    Raises UsageError for options that the source does not take.
    """
    for name, value in options._asdict().items():
        if value not in (None, False) and name not in _TAKES[source]:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is not for source {source}")
    sources: dict[str, Callable[[SourceOptions], Preparation]] = {
        "demo": _demo,
        "folder": partial(_folder, quiet=quiet),
        "fivek": partial(_fivek, quiet=quiet),
        "hdrplus": _hdrplus,
        "synthetic-hdrplus": partial(_synthetic_hdrplus, quiet=quiet),
        "bsds500": partial(_bsds500, quiet=quiet),
        "ppr10k": _ppr10k,
    }
    return sources[source](options)


def _only_source_dir(options: SourceOptions, of: str) -> Path | None:
    """The folder, where one was given. Raises UsageError where there are several."""
    folders = options.source_dir or []
    if len(folders) > 1:
        raise UsageError(f"{of}: give --source-dir once")
    return folders[0] if folders else None


def _demo(options: SourceOptions) -> Preparation:
    from ..prepare.sources import demo

    plan = demo.plan("retouch" if options.protocol is None else options.protocol)
    return Preparation(plan, demo.tasks(plan.protocol), demo.make)


def _folder(options: SourceOptions, quiet: bool) -> Preparation:
    from ..prepare.sources import folder, folder_pairs, folder_splits

    source_dir = _only_source_dir(options, "source folder")
    where = folder_pairs.folders(source_dir, options.input_dir, options.target_dir)
    lists = folder_splits.read_lists(options.split_list or [])
    counted = partial(progress, "hash the pictures", quiet=quiet)
    plan, tasks = folder.plan_and_tasks(
        options.protocol, where, lists, all_test=options.all_test, counted=counted
    )
    return Preparation(plan, tasks, folder.make, folder.duplicates, problem=_problem)


def _problem(task: Task) -> tuple[str, str] | None:
    """Of sources whose payloads say why they are no pair."""
    problem: tuple[str, str] | None = task.payload.problem
    return problem


def _synthetic_hdrplus(options: SourceOptions, quiet: bool) -> Preparation:
    from ..prepare.sources import synthetic_hdrplus

    source = _only_source_dir(options, "source synthetic-hdrplus")
    counted = partial(progress, "hash the pictures", quiet=quiet)
    plan, tasks = synthetic_hdrplus.plan_and_tasks(options.protocol, source, counted)
    make, duplicates = synthetic_hdrplus.make, synthetic_hdrplus.duplicates
    return Preparation(plan, tasks, make, duplicates, problem=_problem)


def _bsds500(options: SourceOptions, quiet: bool) -> Preparation:
    from ..prepare.sources import bsds500

    source = _only_source_dir(options, "source bsds500")
    counted = partial(progress, "hash the photographs", quiet=quiet)
    plan, tasks = bsds500.plan_and_tasks(options.protocol, source, counted)
    return Preparation(plan, tasks, bsds500.make)


def _ppr10k(options: SourceOptions) -> Preparation:
    from ..files import sha256_text
    from ..prepare import protocols
    from ..prepare.choosing import check_name
    from ..prepare.sources import ppr10k

    name = ppr10k.DEFAULT_PROTOCOL if options.protocol is None else options.protocol
    protocol = protocols.load_protocol("ppr10k", name)
    source = protocols.load_source("ppr10k")
    check_name(protocol.name, "expert", options.expert, protocol.experts)
    if not options.source_dir:
        raise UsageError(
            f"source ppr10k needs --source-dir DIR, an extracted copy of it, which is got by hand: "
            f"`hdrbench protocols {name}` says what is needed and where it is published"
        )
    files = ppr10k.find_files(options.source_dir)
    choice = ppr10k.choose(
        protocol, source, files, expert=options.expert, limit=options.limit, ids=options.ids
    )
    plan, tasks = ppr10k.plan(choice, source, files), ppr10k.tasks(choice, source, files)
    for line in ppr10k.lacking(choice, source, files):
        err.print(line)

    def licence() -> None:
        ask(source, sha256_text(source.terms), options.accept_licence, lambda: plan.licence)

    return Preparation(plan, tasks, ppr10k.make, before=licence, problem=_problem)


def _fivek(options: SourceOptions, quiet: bool) -> Preparation:
    from .. import paths
    from ..prepare import protocols, staging
    from ..prepare.choosing import check_name
    from ..prepare.fetch import download, fetching
    from ..prepare.sources import fivek, fivek_download, fivek_index, fivek_packs

    name = "libraw" if options.protocol is None else options.protocol
    protocol = protocols.load_protocol("fivek", name)
    source = protocols.load_source("fivek")
    check_name(protocol.name, "expert", options.expert, list(protocol.experts))
    check_name(protocol.name, "size", options.size, list(protocol.sizes))
    _check_way(options, protocol)
    base_url = options.base_url or source.base_url
    folders = options.source_dir or []
    renderings = None
    if protocol.of_renderings and folders:
        renderings = fivek_packs.find_folders(folders[0], protocol, options.size)
        places = fivek_packs.folders_of_lists(folders[0])
        fivek_packs.keep_lists(protocol, source, places)
    elif options.input_dir and options.target_dir:
        renderings = fivek_packs.RenderingFolders(options.input_dir, options.target_dir)
        folders = list(renderings)
        places = [place for folder in folders for place in (folder, folder.parent)]
        fivek_packs.keep_lists(protocol, source, places)
    pictures = fivek_index.read_index(source, base_url, folders)
    choice = fivek.choose(
        protocol, source, pictures,
        expert=options.expert, size=options.size, limit=options.limit, ids=options.ids,
    )  # fmt: skip
    if renderings:
        files, digest = fivek.find_renderings(
            choice, *renderings, lambda count: progress(f"hash {choice.name}", count, quiet)
        )
        plan = fivek.plan(choice, source, digest)
        found = {role: str(folder) for role, folder in renderings._asdict().items()}
        tasks = fivek.tasks(choice, pictures, files)
        return Preparation(
            plan, tasks, fivek.make, estimate=lambda quiet: {"folders": found}, problem=_problem
        )
    plan = fivek.plan(choice, source)
    if folders:
        files = fivek.find_files(choice, pictures, folders)
        tasks = fivek.tasks(choice, pictures, files)
        return Preparation(plan, tasks, fivek.make, problem=_problem)
    remote = fivek_download.Remote(source, base_url, _raw_folder(options, plan))
    files = fivek_download.remote_files(choice, pictures, remote)
    tasks = fivek.tasks(choice, pictures, files)
    connections = options.connections or download.CONNECTIONS

    def opened(step: Callable[[int], None]) -> AbstractContextManager[Fetching]:
        def bring(downloads: Downloads, job: fivek.FiveKJob) -> None:
            remote.bring(downloads, job, step)

        return fetching.fetching(
            remote.folder, connections, options.keep_raw, bring, fivek_download.files
        )

    def estimate(quiet: bool) -> dict[str, Any]:
        jobs = [task.payload for task in staging.unfinished_tasks(plan, tasks, paths.data_dir())]
        missing = [p for job in jobs for p in fivek_download.files(job) if not p.exists()]
        with progress("sizes", len(missing), quiet) as step:
            return fetching.estimate(
                missing, lambda d, path: [remote.size(d, path)], connections, step
            ).report()

    def licences() -> None:
        text = partial(fivek_index.licence_texts, source, base_url)
        ask(source, fivek_index.terms(source), options.accept_licence, text)

    return Preparation(plan, tasks, fivek.make, fetching=opened, estimate=estimate, before=licences)


def _raw_folder(options: SourceOptions, plan: Plan) -> Path:
    """Where fetched files lie: for good where they are kept, else with what is being made."""
    from .. import paths
    from ..prepare import staging

    lasting = paths.data_dir() / "raw" / plan.source
    hidden = staging.staging_folder(plan, paths.data_dir()) / staging.RAW
    return (lasting if options.keep_raw else hidden).absolute()


def _hdrplus(options: SourceOptions) -> Preparation:
    from .. import paths
    from ..prepare import protocols, staging
    from ..prepare.fetch import download, fetching
    from ..prepare.sources import hdrplus, hdrplus_bucket

    if options.subset and options.full:
        raise UsageError("--subset and --full: give one of them")
    copy = _only_source_dir(options, "source hdrplus")
    part: Literal["subset", "full"] = "full" if options.full else "subset"
    name = "hdrnet" if options.protocol is None else options.protocol
    protocol = protocols.load_protocol("hdrplus", name)
    source = protocols.load_source("hdrplus")
    burst_set = source.parts[part]
    _check_address(options, copy is not None)
    if copy and options.base_url:
        raise UsageError("--base-url goes with downloading")
    local = hdrplus.local_folder(copy, source, part) if copy else None
    base_url = options.base_url or source.base_url
    # Where a burst's files come to lie is known once the plan is, and the plan by the bursts.
    bucket = hdrplus_bucket.Bucket(source, base_url, burst_set, Path())
    bursts = None
    if hdrplus.needs_bursts(protocol, source, part):
        if local:
            bursts = hdrplus.local_bursts(local, source)
        else:
            with download.Downloads() as downloads:
                bursts = bucket.bursts(downloads)
        if not bursts:
            raise DataError(
                f"no burst is in {local or f'{addresses.shown(base_url)} ({burst_set.prefix})'}"
            )
        if len(bursts) < burst_set.bursts:
            err.print(f"{len(bursts)} bursts are there, of {burst_set.bursts} that are stated")
    choice = hdrplus.choose(
        protocol, source, part, bursts, size=options.size, limit=options.limit, ids=options.ids
    )
    plan = hdrplus.plan(choice, source)
    if local:
        tasks = hdrplus.tasks(choice, source, local)
        return Preparation(
            plan, tasks, hdrplus.make, problem=lambda task: hdrplus.problem(task.payload)
        )
    raw = _raw_folder(options, plan)
    bucket = bucket._replace(folder=raw / burst_set.prefix)
    tasks = hdrplus.tasks(choice, source, bucket.folder)
    connections = options.connections or download.CONNECTIONS

    def opened(step: Callable[[int], None]) -> AbstractContextManager[Fetching]:
        def bring(downloads: Downloads, job: hdrplus.HdrplusJob) -> None:
            bucket.bring(downloads, job, step)

        return fetching.fetching(raw, connections, options.keep_raw, bring, hdrplus.burst_files)

    def estimate(quiet: bool) -> dict[str, Any]:
        jobs = [task.payload for task in staging.unfinished_tasks(plan, tasks, paths.data_dir())]
        with progress("sizes", len(jobs), quiet) as step:
            return fetching.estimate(jobs, bucket.sizes, connections, step).report()

    return Preparation(plan, tasks, hdrplus.make, fetching=opened, estimate=estimate)


def _check_way(options: SourceOptions, protocol: FiveKProtocol) -> None:
    """Files come one way: from the server, from a copy, from a pack, or from two folders."""
    rendered = options.input_dir or options.target_dir
    if protocol.of_renderings:
        if options.source_dir and rendered:
            raise UsageError(
                f"protocol {protocol.name}: give --source-dir with a pack, or --input-dir and "
                "--target-dir, not both"
            )
        _only_source_dir(options, f"protocol {protocol.name}")
        if rendered and not (options.input_dir and options.target_dir):
            lacking, there = "--target-dir", "--input-dir"
            if options.target_dir:
                lacking, there = there, lacking
            raise UsageError(
                f"protocol {protocol.name}: {there} alone is half of each pair: {lacking} is "
                "missing, the folder of the other half"
            )
        if not options.source_dir and not rendered:
            raise UsageError(_ways_to_renderings(protocol, options.size))
    elif rendered:
        raise UsageError(
            f"protocol {protocol.name} makes its pictures from FiveK's own files: --source-dir "
            "DIR, or nothing to download them"
        )
    _check_address(options, bool(rendered or options.source_dir))


def _ways_to_renderings(protocol: FiveKProtocol, size: str | None) -> str:
    """Where a user gets the pictures that a protocol takes, in a line."""
    size = size or next(iter(protocol.sizes))
    ways = [
        f"get {pack.name} ({next(iter(pack.downloads.values()))}), extract it and give "
        "--source-dir with its folder"
        for pack in protocol.packs
        if pack.downloads and size in pack.folders
    ]
    then = ", convert the inputs to CIE XYZ" if protocol.input.space == "xyz" else ""
    ways.append(
        f"export two collections with Adobe Lightroom{then} and give --input-dir and --target-dir "
        "with their folders"
    )
    return (
        f"protocol {protocol.name} takes pictures that Lightroom rendered: {'; or '.join(ways)} "
        f"(`hdrbench protocols {protocol.name}` has all addresses, collections and settings)"
    )


def _check_address(options: SourceOptions, local: bool) -> None:
    if local:
        for given, option in (
            (options.connections, "--connections"),
            (options.keep_raw, "--keep-raw"),
            (options.accept_licence, "--accept-licence"),
        ):
            if given:
                raise UsageError(f"{option} goes with downloading")
    if options.base_url and (problem := addresses.fault(options.base_url)):
        raise UsageError(f"--base-url {addresses.shown(options.base_url)!r}: {problem}")
