"""Which of a protocol's pictures are meant: all, so many, or those that a file lists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from ..data.manifest import SPLITS, Split
from ..errors import DataError, UsageError, near_matches
from ..files import json_line, sha256_text


def check_known(protocol: str, what: str, value: str | None, known: Collection[str]) -> None:
    """Raises UsageError for a value that the protocol does not have."""
    if value is not None and value not in known:
        raise UsageError(
            f"protocol {protocol} has no {what} {value!r}: {near_matches(value, known)}"
        )


def dataset_name(
    source: str, protocol: str, kind: str, size: str, sizes: Collection[str], subset: str | None
) -> str:
    """<source>-<protocol>-<kind>[-<size>][-<subset>]; the first of the sizes is not said."""
    named = [] if size == next(iter(sizes)) else [size]
    return "-".join([source, protocol, kind, *named, *([subset] if subset else [])])


def part_of(
    splits: dict[str, Split],
    limit: int | None,
    ids: Path | None,
    id_of: Callable[[str], str | None],
) -> tuple[dict[str, Split], str | None]:
    """The split of each chosen id, and a name for what is chosen; None for all.

    Args:
        splits: of all ids.
        limit: so many of them.
        ids: a file that lists them.
        id_of: the id that a file name begins with.

    Raises UsageError where the options do not fit together or the ids do not exist.
    """
    if limit is not None and ids is not None:
        raise UsageError("--limit and --ids: give one of them")
    chosen, name = set(splits), None
    if limit is not None and limit < len(splits):
        chosen, name = _first_by_hash(splits, limit), f"first{limit}"
    if ids is not None:
        chosen = _read_ids(ids, splits, id_of)
        name = f"ids-{sha256_text(json_line(sorted(chosen)))[:8]}"
    return {id_: split for id_, split in splits.items() if id_ in chosen}, name


def _read_ids(
    path: Path, known: Mapping[str, object], id_of: Callable[[str], str | None]
) -> set[str]:
    """The ids that a file lists, a line each: as they are, or a file name that begins so.

    Raises DataError for a file that cannot be read, UsageError for ids that the protocol lacks.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    names = [line for line in lines if line and not line.startswith("#")]
    ids = {name: id_of(name) for name in names}
    strange = [name for name, id_ in ids.items() if id_ not in known]
    if strange or not names:
        what = f"{strange[0]!r} is no id of this protocol" if strange else "it lists nothing"
        raise UsageError(f"{path}: {what}; a line is an id as {min(known, default='a0001')}")
    return {id_ for id_ in ids.values() if id_ is not None}


def _first_by_hash(splits: Mapping[str, Split], count: int) -> set[str]:
    """`count` ids in the order of their hash, with at least one of every split.

    Raises UsageError where that is not possible.
    """
    order = sorted(splits, key=sha256_text)
    first = {split: next((i for i in order if splits[i] == split), None) for split in SPLITS}
    needed = [id_ for id_ in first.values() if id_ is not None]
    if count < len(needed):
        raise UsageError(f"--limit {count}: at least {len(needed)}, one picture of each split")
    rest = [id_ for id_ in order if id_ not in needed]
    return {*needed, *rest[: count - len(needed)]}
