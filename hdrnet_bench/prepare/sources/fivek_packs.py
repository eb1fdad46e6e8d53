"""Packs: renderings of a protocol as somebody publishes them, in the folder that a download was
extracted into.

Which folders hold inputs and targets is in the protocol's file. They are looked for in the folder
that the user names and two levels below it, since some extract into a folder of its own and some
archives have one more; capitals and spaces in their names do not count (one pack is described both
as `expertC` and as `Expert C`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from ...errors import DataError, StorageError, UsageError
from ...files import read_bytes, sha256_bytes
from ..choosing import check_name
from ..fetch.cached import keep_content
from ..fetch.download import SMALL
from ..protocol_models import FiveKProtocol, PackFolders
from ..protocols import pinned_lists, protocols_of_renderings
from ..source_models import FiveKSource
from .source_files import folders_in, is_regular, readable

_LEVELS = 2  # below the folder that the user names
_MOST_NAMES = 8  # that a message lists
_OF_MACOS = "__MACOSX"  # in archives made there: a copy of the folders, with no pictures in it


class RenderingFolders(NamedTuple):
    """Where a protocol's inputs and targets lie."""

    input: Path
    target: Path


def find_folders(pack: Path, protocol: FiveKProtocol, size: str | None) -> RenderingFolders:
    """Where inputs and targets of a size lie in an extracted pack.

    Args:
        size: a name in protocol.sizes; None for the first.

    Raises UsageError where the protocol has no such size, or no pack with known folders has it;
    DataError where the folders are not in the pack, or there are several that might be meant;
    StorageError where one of them, or the pack, cannot be listed.
    """
    check_name(protocol.name, "size", size, list(protocol.sizes))
    size = size or next(iter(protocol.sizes))
    layouts = _layouts(protocol, size)
    if not layouts:
        raise UsageError(
            f"protocol {protocol.name}, size {size}: no published pack is known whose folders "
            "--source-dir could find; --input-dir and --target-dir say them"
        )
    if not pack.is_dir():
        advice = "it is to be extracted first" if pack.exists() else "look at --source-dir"
        raise DataError(f"there is no folder {pack}: {advice}")
    tops, unlisted = _tops(pack)
    whole = [sides for layout in layouts if all(sides := _sides(tops, layout))]
    if not whole and unlisted:
        raise unlisted
    if not whole:
        raise DataError(_not_found(pack, tops, protocol, size))
    inputs, targets = (sorted(set().union(*side)) for side in zip(*whole, strict=True))
    for role, found in (("inputs", inputs), ("targets", targets)):
        if len(found) > 1:
            raise DataError(
                f"{pack}: the folder of {role} may be {' or '.join(map(str, found))}: give "
                "--source-dir the one pack that is meant, or --input-dir and --target-dir"
            )
    return RenderingFolders(inputs[0], targets[0])


def keep_lists(protocol: FiveKProtocol, source: FiveKSource, folders: Iterable[Path]) -> None:
    """Put the published lists that lie in these folders where they would come to lie when fetched,
    so that nothing is fetched. The SHA-256 tells which they are: a list of the same name that
    somebody has changed is passed over."""
    names = {PurePosixPath(urlsplit(entry.url).path).name for entry in source.lists.values()}
    paths = (folder / name for folder in folders for name in sorted(names))
    content_of = {sha256_bytes(content): content for content in _contents(paths)}
    for name in pinned_lists(protocol, source):
        entry = source.lists[name]
        parts = [content_of.get(source.lists[part].sha256) for part in entry.parts]
        whole = b"".join(part for part in parts if part is not None)
        for content in (content_of.get(entry.sha256), whole):
            if content is not None and sha256_bytes(content) == entry.sha256:
                keep_content(content)
                break


def _contents(paths: Iterable[Path]) -> list[bytes]:
    """Of those paths that are files as small as lists are."""
    contents = []
    for path in paths:
        with readable(path):
            if not os.path.lexists(path) or not is_regular(path):
                continue
            try:
                contents.append(read_bytes(path, SMALL.size))
            except StorageError:
                raise
            except DataError:  # too large for a list
                continue
    return contents


def _layouts(protocol: FiveKProtocol, size: str) -> list[PackFolders]:
    return [pack.folders[size] for pack in protocol.packs if size in pack.folders]


def folders_of_lists(pack: Path) -> list[Path]:
    """Where in a pack the published lists may lie. Raises StorageError where that is not known."""
    return _tops(pack)[0]


def _tops(pack: Path) -> tuple[list[Path], StorageError | None]:
    """The folder itself and those below it that may be the top of a pack; and what the system said
    of the first that it does not list, which may be somebody else's."""
    tops, unlisted = [pack], None
    level = folders_in(pack)
    for _ in range(_LEVELS):
        below: list[Path] = []
        for folder in level:
            if folder.name == _OF_MACOS:
                continue
            try:
                below += folders_in(folder)
            except StorageError as error:
                unlisted = unlisted or error
                continue
            tops.append(folder)
        level = below
    return tops, unlisted


def _sides(tops: Sequence[Path], layout: PackFolders) -> tuple[list[Path], list[Path]]:
    return _places(tops, layout.input), _places(tops, layout.target)


def _places(tops: Sequence[Path], place: str) -> list[Path]:
    """The folders of that place below the tops: each once, and none that lies in another, as the
    pictures of that one are all of them."""
    found = {path.resolve(): path for top in reversed(tops) for path in _below(top, place)}
    return [path for real, path in sorted(found.items()) if not set(real.parents) & set(found)]


def _below(top: Path, place: str) -> list[Path]:
    level = [top]
    for name in PurePosixPath(place).parts:
        level = [path for each in level for path in folders_in(each) if _is(path.name, name)]
    return level


def _is(name: str, wanted: str) -> bool:
    return name.replace(" ", "").casefold() == wanted.replace(" ", "").casefold()


def _not_found(pack: Path, tops: Sequence[Path], protocol: FiveKProtocol, size: str) -> str:
    """What was looked for, what is there, and what it looks like."""
    lacking = " and no folder ".join(
        place
        for layout in _layouts(protocol, size)
        for place in (layout.input, layout.target)
        if not _places(tops, place)
    )
    like = [
        f"--protocol {other.name} --size {name}"
        for other in protocols_of_renderings(skip_faulty=True)
        for name in other.sizes
        for layout in _layouts(other, name)
        if all(_sides(tops, layout))
    ]
    hint = f"; its folders are those of {' or '.join(like)}" if like else ""
    return (
        f"{pack} is no pack of protocol {protocol.name}, size {size}: there is no folder {lacking} "
        f"in it or up to {_LEVELS} levels below; it has {_names_in(pack)}{hint}; --input-dir and "
        "--target-dir say the folders by hand"
    )


def _names_in(folder: Path) -> str:
    with readable(folder):
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) + more) or "nothing"
