"""The command `verify-export`: are these pictures the published rendering?"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError, UsageError
from . import completion
from .console import err, next_step, out, print_json, report_values
from .options import DryRun, Json, Overwrite, Quiet, Wide
from .progress import progress
from .tables import Column, print_table

if TYPE_CHECKING:
    from ..fingerprints.check import Examined, Picture
    from ..fingerprints.comparison import Comparison
    from ..fingerprints.picture import Side
    from ..fingerprints.reference import Reference
    from ..images.photo import Photo
    from ..prepare.protocol_models import FiveKProtocol

_WHERE, _WRITING = "Where the pictures are", "To contribute fingerprints"
_MOST_THREADS = 8
_OF_A_THREAD = 1 << 30  # bytes; a picture of 12 megapixels takes a third of it


def verify_export(
    protocol: Annotated[
        str,
        typer.Argument(
            metavar="PROTOCOL",
            help="Of FiveK, one of Lightroom's renderings: zeng-srgb, dpe, upe, …",
            autocompletion=completion.protocols,
        ),
    ],
    source_dir: Annotated[
        Path | None,
        typer.Option(
            "--source-dir",
            "--source",
            metavar="DIR",
            help="An extracted pack, as `prepare fivek` takes it.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    input_dir: Annotated[
        Path | None,
        typer.Option(
            "--input-dir",
            metavar="DIR",
            help="The inputs; either side alone will do.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    target_dir: Annotated[
        Path | None,
        typer.Option("--target-dir", metavar="DIR", help="The targets.", rich_help_panel=_WHERE),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of the pictures, one that the protocol names; by default its first.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Fingerprints of the published pictures; by default those in manifests/ and those "
            "that come with the tool.",
        ),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, metavar="N", help="How many pictures to list.")] = 10,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Write the fingerprints of these pictures into manifests/fingerprints/.",
            rich_help_panel=_WRITING,
        ),
    ] = False,
    origin: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Where these pictures come from, in your words; goes with --write.",
            rich_help_panel=_WRITING,
        ),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    wide: Wide = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare an export or a pack with the published rendering, and say what differs.

    A fingerprint has a picture's size, statistics and a hash, and no pixels. A few pictures are
    enough to find wrong settings before all are exported.
    """
    from ..fingerprints import reference as references
    from ..fingerprints.check import examine
    from ..fingerprints.comparison import compared
    from ..prepare import protocols
    from ..prepare.choosing import check_name, dataset_name
    from ..prepare.command import prepare_command
    from ..prepare.schedule import in_threads

    of = protocols.load_protocol("fivek", protocol)
    if not of.of_renderings:
        names = [one.name for one in protocols.protocols_of_renderings(skip_faulty=True)]
        raise UsageError(
            f"protocol {protocol} makes its pictures here, as `hdrbench verify` checks them; "
            f"verify-export is for what Lightroom exports: {', '.join(names)}"
        )
    check_name(protocol, "size", size, list(of.sizes))
    size = size or next(iter(of.sizes))
    dataset = dataset_name("fivek", of, of.experts[0], size, None)
    if (origin is None) == write:
        raise UsageError("--write and --origin TEXT go together: say where the pictures come from")
    if origin is not None and not (origin.strip() and len(origin) <= references.LONGEST_ORIGIN):
        raise UsageError(f"--origin: some words, at most {references.LONGEST_ORIGIN} characters")
    place = references.place(dataset)
    if write and place.exists() and not overwrite:
        raise UsageError(f"{place} is there already: --overwrite replaces it")
    pictures, unclear = _pictures(of, size, source_dir, input_dir, target_dir)
    if write and unclear:
        raise DataError(f"nothing is written: {unclear[0]}")
    # What is written is no comparison, unless one is asked for.
    reference = None if write and not against else _reference(of, dataset, size, against)
    if dry_run:
        report = {
            "dataset": dataset,
            "pictures": {s: sum(p.side == s for p in pictures) for s in ("input", "target")},
            "against": str(reference.path) if reference else None,
            "would write": str(place) if write else None,
        }
        report_values({k: v for k, v in report.items() if as_json or v is not None}, as_json)
        return
    with progress(f"verify-export {dataset}", len(pictures), quiet) as step:

        def look(picture: Picture) -> Examined:
            side = of.input if picture.side == "input" else of.target
            refusal = partial(_refusal, of, size, picture.side)
            examined = examine(picture, reference, refusal, side.space == "srgb")
            step()
            return examined

        found = in_threads(look, pictures, _threads())
    collection = of.lightroom and of.input.space == "srgb" and of.lightroom.input_collection
    result = compared(dataset, reference, found, collection or None)
    if write:
        assert origin is not None
        if result.unfit:
            raise DataError(f"nothing is written: {result.unfit[0]}")
        references.write_reference(
            place,
            [one.print for one in found if one.print],
            dataset=dataset,
            protocol=of.name,
            protocol_version=of.version,
            size=size,
            origin=origin,
        )
    if as_json:
        wrote = {"wrote": str(place) if write else None}
        print_json(result.as_json() | {"unclear": unclear} | wrote)
    else:
        _show(result, unclear, worst, wide)
    if write:
        next_step(f"look into {place}; CONTRIBUTING.md says how to send it", as_json or quiet)
        return
    if not result.compared and not result.unfit:
        raise DataError(_nothing_compared(dataset, reference))
    if not result.agrees or unclear:
        raise typer.Exit(DataError.exit_code)
    options = {"source": source_dir, "input": input_dir, "target": target_dir}
    given = " ".join(f"--{o}-dir {shlex.quote(str(d))}" for o, d in options.items() if d)
    if source_dir or (input_dir and target_dir):
        named = size if size != next(iter(of.sizes)) else None
        command = prepare_command("fivek", of.name, folders=given, size=named)
        next_step(f"`{command}`", as_json or quiet)


def _refusal(
    protocol: FiveKProtocol, size: str, side: Side, path: Path, photo: Photo
) -> str | None:
    """Why `prepare` would leave a picture out; None where it takes it."""
    from ..prepare.build import RejectedPair
    from ..prepare.sources import fivek

    of_side = protocol.input if side == "input" else protocol.target
    try:
        fivek.check_rendering(of_side, protocol.sizes[size], path, photo, side)
    except RejectedPair as rejection:
        return str(rejection.args[1]).removeprefix(f"{path.name}: ")
    return None


def _nothing_compared(dataset: str, reference: Reference | None) -> str:
    if reference is not None:
        return f"nothing was compared: none of these pictures is in {reference.path}"
    return (
        f"kinds, sizes, depths and profiles are those of the protocol; whether these are the "
        f"published pictures cannot be said: no fingerprints of {dataset} are known here, "
        "--against FILE names some; who has the published pictures writes them with --write"
    )


def _threads() -> int:
    from ..environment import cores
    from ..memory import available

    return max(1, min(cores() or 1, _MOST_THREADS, available() // _OF_A_THREAD))


def _pictures(
    protocol: FiveKProtocol,
    size: str,
    source_dir: Path | None,
    input_dir: Path | None,
    target_dir: Path | None,
) -> tuple[list[Picture], list[str]]:
    """The pictures by the ids that their names begin with, and what is unclear about others.

    Raises UsageError for folders that do not go together, DataError where no picture is in them.
    """
    from ..fingerprints.check import Picture
    from ..prepare.sources import fivek, fivek_packs
    from ..prepare.sources.folder_pairs import check_apart

    if (source_dir is None) == (input_dir is None and target_dir is None):
        raise UsageError("give --source-dir PACK, or --input-dir or --target-dir or both")
    if source_dir is not None:
        input_dir, target_dir = fivek_packs.find_folders(source_dir, protocol, size)
    if input_dir and target_dir:
        check_apart(input_dir, target_dir)
    pictures, unclear = [], []
    sides: tuple[tuple[Side, Path | None], ...] = (("input", input_dir), ("target", target_dir))
    for side, folder in sides:
        if folder is None:
            continue
        read, unread = fivek.renderings_below(folder)
        if not read:
            kinds = ", ".join(fivek.RENDERING_KINDS)
            raise DataError(f"{folder} has no picture a0001… of the kinds {kinds}")
        for id_, paths in sorted(read.items()):
            if len(paths) > 1:
                named = fivek.named(paths, [folder])
                unclear.append(f"{side} {id_}: several files, {named}")
            else:
                pictures.append(Picture(id_, side, paths[0]))
        for id_, paths in sorted(unread.items()):
            if id_ not in read:
                unclear.append(f"{side} {id_}: {paths[0].name} is of no kind that is read")
    return pictures, unclear


def _reference(
    protocol: FiveKProtocol, dataset: str, size: str, against: Path | None
) -> Reference | None:
    """The fingerprints to compare with, where some are known. Raises DataError where they are of
    something else."""
    from ..fingerprints import reference as references

    known = references.read_reference(against) if against else references.find_reference(dataset)
    if known is None:
        return None
    is_of = known.header.protocol, known.header.protocol_version, known.header.size
    if is_of != (protocol.name, protocol.version, size):
        raise DataError(
            f"{known.path} is of protocol {is_of[0]} version {is_of[1]}, size {is_of[2]}; "
            f"{protocol.name} version {protocol.version}, size {size} is wanted"
        )
    return known


def _show(of: Comparison, unclear: Sequence[str], worst: int, wide: bool) -> None:
    if of.reference:
        out.print(f"{of.dataset} beside {of.reference.path}: {of.reference.header.origin}", hang=2)
    for side, counts in of.counts.items():
        shown = [f"{n} {what}" for what, n in counts.items() if n and what != "pictures"]
        told = f"; {', '.join(shown)}" if of.reference else ""
        out.print(f"{side}: {counts['pictures']} pictures{told}", hang=2)
        for one in of.summaries:
            if one.side == side:
                out.print(f"  {one.pictures} of {one.compared}: {one.what}; {one.advice}", hang=4)
    for line in unclear:
        err.print(line)
    differing = [one for one in of.diagnoses if one.findings]
    if differing and worst:
        rows = [[o.id, o.side, "; ".join(f.what for f in o.findings)] for o in differing[:worst]]
        print_table([Column("picture"), Column("side"), Column("what differs", 2)], rows, wide)
    if len(differing) > worst:
        out.print(f"and {len(differing) - worst} more: --worst or --json")
