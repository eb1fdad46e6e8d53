"""Which of a protocol's pictures a dataset has: all, so many, or those that a file lists."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from ..data.manifest import SPLITS, Split
from ..errors import DataError, UsageError, near_matches
from ..files import json_line, read_bytes, sha256_text, unreadable
from ..paths import LONGEST_NAME, NAME
from .protocol_models import Protocol


def check_name(protocol: str, kind: str, name: str | None, names: Collection[str]) -> None:
    """Raises UsageError for the name of an expert or a size, say, that the protocol does not have;
    None stands for the default."""
    if name is not None and name not in names:
        raise UsageError(f"protocol {protocol} has no {kind} {name!r}: {near_matches(name, names)}")


def check_own_name(protocol: str) -> None:
    """Raises UsageError for a protocol's name that no recipe could have in its dataset's."""
    if not re.fullmatch(NAME, protocol) or len(protocol) > LONGEST_NAME:
        raise UsageError(
            f"--protocol {protocol[:40]!r}: such a name has small letters, digits and '-', at most "
            f"{LONGEST_NAME} of them"
        )


def dataset_name(
    source: str, protocol: Protocol, variant: str, size: str, subset: str | None
) -> str:
    """<source>-<protocol>-<variant>[-<size>][-<subset>]; the variant is FiveK's expert or HDR+'s
    part. The first of the protocol's sizes, the default, is left out."""
    optional = [None if size == next(iter(protocol.sizes)) else size, subset]
    return "-".join([source, protocol.name, variant, *(word for word in optional if word)])


def choose_ids(
    splits: dict[str, Split],
    limit: int | None,
    ids: Path | None,
    id_of: Callable[[str], str | None],
) -> tuple[dict[str, Split], str | None]:
    """The split of each chosen id, and a name for the choice; None where all ids are chosen.

    Args:
        splits: the split of each id that there is.
        limit: so many of them, chosen by the hash of the id.
        ids: a file that lists those to choose.
        id_of: the id that a file name begins with.

    Raises UsageError where the options do not fit together or the ids do not exist.
    """
    if limit is not None and ids is not None:
        raise UsageError("--limit and --ids: give one of them")
    choice, name = set(splits), None
    if limit is not None and limit < len(splits):
        choice, name = _first_by_hash(splits, limit), f"first{limit}"
    if ids is not None:
        choice = _read_ids(ids, splits, id_of)
        name = f"ids-{sha256_text(json_line(sorted(choice)))[:8]}"
    return {id_: split for id_, split in splits.items() if id_ in choice}, name


def _read_ids(
    path: Path, splits: Mapping[str, Split], id_of: Callable[[str], str | None]
) -> set[str]:
    """The ids that a file lists, one a line: the id itself, or a file name that begins with it.

    Raises DataError for a file that cannot be read, UsageError for ids that the protocol lacks.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    # Not by `splitlines`, which takes more than line ends for such.
    lines = [line.strip() for line in io.StringIO(text, newline=None)]
    names = [line for line in lines if line and not line.startswith("#")]
    ids = {name: id_of(name) for name in names}
    unknown_names = [name for name, id_ in ids.items() if id_ not in splits]
    if unknown_names or not names:
        fault = (
            f"{unknown_names[0]!r} is no id of this protocol"
            if unknown_names
            else "it lists nothing"
        )
        example = min(splits, default="a0001")
        raise UsageError(f"{path}: {fault}; every line is to be an id, such as {example}")
    return {id_ for id_ in ids.values() if id_ is not None}


def _first_by_hash(splits: Mapping[str, Split], count: int) -> set[str]:
    """`count` ids in the order of their hash, with at least one of every split.

    Raises UsageError where that is not possible.
    """
    order = sorted(splits, key=sha256_text)
    first = {split: next((i for i in order if splits[i] == split), None) for split in SPLITS}
    of_each_split = [id_ for id_ in first.values() if id_ is not None]
    minimum = len(of_each_split)
    if count < minimum:
        raise UsageError(f"--limit {count}: at least {minimum}, one picture of each split")
    rest = [id_ for id_ in order if id_ not in of_each_split]
    return {*of_each_split, *rest[: count - minimum]}
