"""From made pairs to a whole dataset, which has not its name yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ..data.card import CARD, card_text
from ..data.manifest import SPLITS, Header, Row, rows_digest, write_rows
from ..errors import StorageError
from ..files import json_line, json_text, sync, write_text
from . import SOURCES, protocols
from .command import prepare_command
from .replacing import HEADER, METADATA, REJECTED, foreign_files
from .schedule import in_threads
from .staging import DATASET, Made, Plan, is_by_the_way, tool_versions

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
        for name in (row.input_file_name, row.target_file_name):
            (staging / DATASET / row.split / name).unlink(missing_ok=True)
        rejections.append(
            {"id": row.id, "split": row.split, "stage": "duplicate", "reason": reason}
        )
    return remaining, sorted(rejections, key=order)


def finish(plan: Plan, rows: list[Row], rejections: list[dict[str, str]], folder: Path) -> Header:
    """Write the splits' rows, what is left out, the card, and last, once all else is on the disk,
    the header."""
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
    paper = protocols.load_source(plan.source).paper if plan.source in protocols.SOURCES else None
    write_text(folder / CARD, card_text(header, rows, _command(plan), paper))
    # Many at once: a journal takes them together.
    in_threads(sync, [path for path in folder.rglob("*") if not is_by_the_way(path)], _SYNCS)
    write_text(folder / HEADER, json_text(header.model_dump()), durable=True)
    return header


def _command(plan: Plan) -> str | None:
    """The command line that prepares such a dataset, without what is of this machine alone: where
    the files lie. None where no command does."""
    settings, source, protocol = plan.settings, plan.source, plan.protocol
    if source == "folder":
        folders: dict[object, str] = {
            "computed": "--input-dir DIR",
            "names": "--input-dir DIR --target-dir DIR",
            "filelist": "--source-dir DIR",
        }
        splits = [f" --split-list {split}=FILE" for split in settings.get("split_lists_sha256", ())]
        splits += [" --all-test"] if settings.get("splits") == "all test" else []
        where = folders.get(settings.get("pairing"), "")
        return prepare_command(source, protocol, folders="".join([where, *splits]))
    if source == "synthetic-hdrplus":
        own = "files_sha256" in settings
        return prepare_command(source, protocol, folders="--source-dir DIR" if own else "")
    if source in protocols.SOURCES:
        return _of_published(plan)
    return prepare_command(source, protocol) if source in SOURCES else None


def _of_published(plan: Plan) -> str:
    """With what was chosen of a published dataset."""
    settings = plan.settings
    size, subset = settings.get("size"), settings.get("subset")
    command = prepare_command(
        plan.source,
        plan.protocol,
        folders=protocols.rendering_options(plan.source, plan.protocol, size and size["name"]),
        expert=settings.get("expert"),
        part=settings.get("part"),
        size=size and size["name"],
    )
    if not subset:
        return command
    first = subset.removeprefix("first")
    return f"{command} {f'--limit {first}' if first != subset else '--ids FILE'}"
