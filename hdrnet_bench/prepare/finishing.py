"""From made pairs to a whole dataset, which has not its name yet."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from ..data.card import CARD, card_text
from ..data.croissant import CROISSANT, croissant_text
from ..data.manifest import SPLITS, Header, Row, rows_digest, write_rows
from ..errors import StorageError
from ..files import json_line, json_text, sync, write_text
from . import SOURCES, protocols
from .command import prepare_command
from .origins import origin_of
from .replacing import HEADER, METADATA, REJECTED, foreign_files
from .schedule import in_threads
from .staging import DATASET, UNTRIED_STAGES, Made, Plan, is_by_the_way, tool_versions

_SYNCS = 16


def order(rejection: dict[str, str]) -> tuple[str, str]:
    return rejection["id"], rejection["split"]


def leave_out(
    review: Callable[[list[Row]], dict[tuple[str, str], str]],
    made: list[Made],
    rejections: list[dict[str, str]],
    staging: Path,
) -> tuple[list[Row], list[dict[str, str]]]:
    """The rows, without those that the review leaves out, whose pictures are removed and which are
    listed as rejections.

    Raises StorageError where pictures are gone that were made: a dataset without them would look
    whole.
    """
    lacking = [each.row for each in made if not each.is_whole(staging / DATASET)]
    if lacking:
        raise StorageError(
            f"the pictures of {len(lacking)} pairs have gone from {staging}, as those of "
            f"{lacking[0].split}/{lacking[0].id}"
        )
    rows = [each.row for each in made]
    reasons = review(rows)
    remaining = []
    for row in rows:
        reason = reasons.get((row.split, row.id))
        if reason is None:
            remaining.append(row)
            continue
        for name in row.file_names:
            (staging / DATASET / row.split / name).unlink(missing_ok=True)
        rejections.append(
            {"id": row.id, "split": row.split, "stage": "duplicate", "reason": reason}
        )
    return remaining, sorted(rejections, key=order)


def no_pair(plan: Plan, rejections: list[dict[str, str]]) -> str:
    """How many were left out at each stage, with one of them each. First what was wrong with
    pictures that are there: of a part of a dataset the others are missing on purpose."""
    counts = Counter(rejection["stage"] for rejection in rejections)
    first = {rejection["stage"]: rejection for rejection in reversed(rejections)}
    stages = sorted(counts, key=lambda stage: (stage in UNTRIED_STAGES, -counts[stage], stage))
    shown = [f"{s} {counts[s]} ({first[s]['id']}: {first[s]['reason']})" for s in stages]
    return f"{plan.name} has no pair; left out: {', '.join(shown) or 'none'}"


def finish(plan: Plan, rows: list[Row], rejections: list[dict[str, str]], folder: Path) -> Header:
    """Write the splits' rows, what is left out, the descriptions, and last, once all else is on the
    disk, the header."""
    for split in SPLITS:
        split_rows = [row for row in rows if row.split == split]
        if split_rows:
            write_rows(folder / split / METADATA, split_rows)
        elif (folder / split).exists():  # of which the review left nothing: without rows no split
            shutil.rmtree(folder / split)
    # Of a pair that was stopped in the midst of being made, and now is left out, say.
    for path in foreign_files(folder):
        path.unlink()
    counts: dict[str, int] = {split: sum(row.split == split for row in rows) for split in SPLITS}
    write_text(folder / REJECTED, "".join(json_line(r) + "\n" for r in rejections))
    header = Header(
        **plan._asdict(),
        tools=tool_versions(),
        counts=counts | {"rejected": len(rejections)},
        digest=rows_digest(rows),
    )
    for name, text in descriptions(header, rows).items():
        write_text(folder / name, text)
    # Many at once: a journal takes them together.
    in_threads(sync, [path for path in folder.rglob("*") if not is_by_the_way(path)], _SYNCS)
    write_text(folder / HEADER, json_text(header.model_dump()), durable=True)
    return header


def descriptions(
    header: Header, rows: list[Row], files: Mapping[str, bytes] | None = None
) -> dict[str, str]:
    """What stands beside the pictures for others, by file name: the card and croissant.json.
    files: what header and rows lie in, as `croissant_text` has it."""
    origin, command = origin_of(header), _command(header)
    return {
        CARD: card_text(header, rows, command, origin),
        CROISSANT: croissant_text(header, rows, origin, command, files),
    }


def _command(header: Header) -> str | None:
    """The command line that prepares such a dataset, without what is of this machine alone: where
    the files lie. None where no command does."""
    settings, source, protocol = header.settings, header.source, header.protocol
    if source == "folder":
        folders = {
            "computed": "--input-dir DIR",
            "names": "--input-dir DIR --target-dir DIR",
            "filelist": "--source-dir DIR",
        }
        lists = settings.get("split_lists_sha256")
        given = lists if isinstance(lists, dict) else {}
        splits = [f" --split-list {split}=FILE" for split in SPLITS if split in given]
        splits += [" --all-test"] if settings.get("splits") == "all test" else []
        where = folders.get(str(settings.get("pairing")), "")
        return prepare_command(source, protocol, folders="".join([where, *splits]))
    if source == "synthetic-hdrplus":
        own = "files_sha256" in settings
        return prepare_command(source, protocol, folders="--source-dir DIR" if own else "")
    if source in protocols.SOURCES:
        return _of_published(header)
    if source not in SOURCES:
        return None
    options = protocols.rendering_options(source, protocol, None)
    return prepare_command(source, protocol, folders=options)


def _of_published(header: Header) -> str:
    """With what was chosen of a published dataset. Settings of a dataset that was passed on may be
    anything."""
    settings = header.settings
    size, subset = settings.get("size"), settings.get("subset")
    size_name = str(size["name"]) if isinstance(size, dict) and "name" in size else None
    command = prepare_command(
        header.source,
        header.protocol,
        folders=protocols.rendering_options(header.source, header.protocol, size_name),
        expert=settings.get("expert"),
        part=settings.get("part"),
        size=size_name,
    )
    if not subset or not isinstance(subset, str):
        return command
    first = subset.removeprefix("first")
    return f"{command} {f'--limit {first}' if first != subset else '--ids FILE'}"
