"""Which picture goes where: the inputs of `enhance` to jobs, refused before anything is written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, StorageError, UsageError
from ..images.kinds import (
    DNG,
    EIGHT_BIT,
    KINDS,
    OTHER_PICTURES,
    SIXTEEN_BIT,
    SUFFIXES,
    Kind,
    is_picture_name,
)

NOT_READ = "of a kind that is not read"
NO_PICTURE = "not named like a picture"
NO_FILE = "named like a picture, and no file that can be read: a pipe, a device, or a broken link"
LINKED = "a link to a folder, which is not followed"
CLOSED = "a folder that cannot be read"
_READ = ", ".join((*KINDS, DNG))
# What programs and cameras write beside a picture: with it, nothing is left out.
_SIDECARS = frozenset(
    [".aae", ".acr", ".arp", ".comask", ".cos", ".dop", ".ini", ".json", ".nksc", ".on1", ".pp3",
     ".thm", ".vrd", ".xmp"]
)  # fmt: skip
_SYSTEM_FILES = ("thumbs.db",)
_MOST_NAMES, _MOST_SUFFIXES = 5, 8  # that a line lists


class EnhanceJob(NamedTuple):
    """One picture: `bits` a channel of the output, None as the input has them."""

    source: Path
    target: Path
    kind: Kind
    bits: int | None


def plan(
    inputs: Sequence[str],
    output: str,
    kind: Kind | None = None,
    bits: int | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> list[EnhanceJob]:
    """Jobs for files, folders (with all below them) and globs.

    Args:
        inputs: as the user wrote them.
        output: a file where there is one input file and it looks like a picture's name, else a
            folder.
        kind: of the outputs; by default that of each input (of `output`, where that is a file).
        bits: 8 or 16, where the kind can hold them.
        overwrite: let outputs replace what is there; never an input.
        skip_existing: let outputs be there, for `split_existing` to find.

    Raises:
        UsageError: outputs that are there, that are inputs, or that two inputs share; bits that
            the kind cannot hold; an output named like a picture that cannot be written.
        DataError: a folder or glob without a picture; files of which none is there.
        StorageError: a folder of outputs that cannot be written.
    """
    for text in (*inputs, output):
        if "\0" in text:
            raise UsageError(f"{text!r} is not the name of a file")
    target = Path(output)
    _refuse_unwritable(output)
    sources = list(_sources(inputs, target))
    named = KINDS.get(target.suffix.lower())
    single = (
        len(sources) == 1
        and not Path(inputs[0]).is_dir()
        and named is not None
        and not target.is_dir()
        and not output.endswith("/")
    )
    if single:
        if kind and kind != named:
            raise UsageError(f"{output} is a name for {named}, --format says {kind}")
        kind = named
    elif target.exists() and not target.is_dir():
        raise UsageError(f"{output} is a file, and several pictures need a folder")
    jobs = []
    for source, relative in sources:
        this = kind or _kind_of(source)
        if bits == 16 and this not in SIXTEEN_BIT:
            most = 8 if this in EIGHT_BIT else 10
            raise UsageError(
                f"{source.name} as {this}: it holds {most} bits; --format {', '.join(SIXTEEN_BIT)}"
            )
        suffix = source.suffix if KINDS.get(source.suffix.lower()) == this else SUFFIXES[this]
        place = target if single else target / relative.with_suffix(suffix)
        jobs.append(EnhanceJob(source, place, this, bits))
    if not any(os.path.exists(job.source) for job in jobs):  # noqa: PTH110 (no error for any)
        more = f" (and {len(jobs) - 1} more)" if len(jobs) > 1 else ""
        raise DataError(f"there is no file {path_text(jobs[0].source)}{more}")
    _refuse_collisions(jobs)
    if not (overwrite or skip_existing):
        _refuse_existing(jobs)
    _refuse_closed_folders(jobs)
    return jobs


def split_existing(jobs: Sequence[EnhanceJob]) -> tuple[list[EnhanceJob], list[EnhanceJob]]:
    """The jobs whose outputs are to be made, and those whose outputs are there: whole, as they are
    renamed to their names only then.

    Raises:
        UsageError: what is there is a folder, or has no content, as after a loss of power.
    """
    there = [job for job in jobs if job.target.exists()]
    for job in there:
        if not job.target.is_file() or not job.target.stat().st_size:
            what = "an empty file" if job.target.is_file() else "no file"
            raise UsageError(f"{path_text(job.target)} is there, and {what}: remove it")
    skipped = set(there)
    return [job for job in jobs if job not in skipped], there


def passed_over(inputs: Sequence[str], output: str) -> dict[Path, str]:
    """What in the inputs' folders is not enhanced, and why; but for what is hidden, and for what
    stands beside pictures to describe them."""
    others: dict[Path, str] = {}
    for folder in (path for path in map(Path, inputs) if path.is_dir()):
        for path, reason in _entries(folder, Path(output)):
            suffix = path.suffix.lower()
            if reason:
                others[path] = reason
            elif is_picture_name(path):
                if not path.is_file():
                    others[path] = NO_FILE
            elif path.is_file() and suffix in OTHER_PICTURES:
                others[path] = NOT_READ
            elif suffix not in _SIDECARS and path.name.lower() not in _SYSTEM_FILES:
                others[path] = NO_PICTURE
    return others


def passed_over_lines(others: Mapping[Path, str]) -> list[str]:
    """What `passed_over` gives, in a line for each reason: files by suffix, folders by name."""
    lines = []
    for reason in (NOT_READ, NO_FILE, CLOSED, LINKED, NO_PICTURE):
        if not (those := [path for path in others if others[path] == reason]):
            continue
        what = by_name(those) if reason in (LINKED, CLOSED) else by_suffix(those)
        lines.append(f"passed over: {what} ({reason})")
    return lines


def path_text(path: Path) -> str:
    """A path as text that can be written: names on Linux need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def by_suffix(paths: Iterable[Path]) -> str:
    """How many there are of each suffix, in words."""
    counts = Counter(path.suffix.lower() or "without suffix" for path in paths)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} {suffix}" for suffix, count in ordered[:_MOST_SUFFIXES]]
    if more := sum(count for _, count in ordered[_MOST_SUFFIXES:]):
        shown.append(f"{more} of other suffixes")
    return ", ".join(shown)


def by_name(paths: Sequence[Path]) -> str:
    """The first ones' names, and how many more there are."""
    more = f" and {len(paths) - _MOST_NAMES} more" if len(paths) > _MOST_NAMES else ""
    return ", ".join(map(path_text, paths[:_MOST_NAMES])) + more


def _refuse_unwritable(output: str) -> None:
    """A name such as x.gif means a picture. As a folder's name it would be a surprise."""
    path = Path(output)
    of_a_picture = path.suffix.lower() in (DNG, *OTHER_PICTURES)
    if of_a_picture and not path.is_dir() and not output.endswith("/"):
        raise UsageError(
            f"{output}: {path.suffix[1:].upper()} cannot be written, only {', '.join(KINDS)}; "
            "a folder of that name ends in /"
        )


def _sources(inputs: Sequence[str], output: Path) -> Iterator[tuple[Path, Path]]:
    """Each picture with its place below the output folder."""
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            entries = [entry for entry, reason in _entries(path, output) if not reason]
            pictures = [entry for entry in entries if is_picture_name(entry) and entry.is_file()]
            if not pictures:
                others = by_suffix(passed_over([text], str(output)))
                there = f"; there are {others}" if others else ""
                raise DataError(f"{text} holds no picture ({_READ}){there}")
            yield from ((p, p.relative_to(path)) for p in pictures)
            continue
        names = [text]
        if not path.exists() and has_magic(text):
            names = sorted(glob(text, recursive=True))  # noqa: PTH207 (relative or not, as it is written)
            names = [n for n in names if Path(n).is_file()]
            # What an earlier run wrote is passed over; matches that all lie there are meant.
            names = [n for n in names if not _inside(Path(n), _real(output))] or names
            if not names:
                raise DataError(f"no picture matches {text}")
        for name in names:
            if not is_picture_name(Path(name)):
                raise UsageError(f"{name} is of no known kind ({_READ})")
            yield Path(name), Path(Path(name).name)


def _entries(folder: Path, output: Path) -> list[tuple[Path, str]]:
    """All below that is no folder, in the order of names, but for what is hidden and what an
    earlier run wrote into a folder below; and the folders that are not looked into, with why."""
    # Of a folder that is its own output, each picture is refused as an input itself.
    below = _real(output) if _real(output) != _real(folder) else None
    found: list[tuple[Path, str]] = []

    def closed(error: OSError) -> None:
        path = Path(error.filename)
        if path == folder:
            raise error
        found.append((path, CLOSED))

    for root, folders, files in os.walk(folder, onerror=closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = [(name, "") for name in files if not name.startswith(".")]
        here += [(name, LINKED) for name in folders if Path(root, name).is_symlink()]
        if below and _inside(Path(root), below):
            folders.clear()
            continue
        for name, reason in here:
            path = Path(root, name)
            if not (below and path.is_symlink() and _inside(path, below)):
                found.append((path, reason))
    return sorted(found)


def _inside(path: Path, real_folder: Path) -> bool:
    return _real(path).is_relative_to(real_folder)


def _real(path: Path) -> Path:
    """Without links, but for those that go in a circle, of which `Path.resolve` makes an error."""
    return Path(os.path.realpath(path))


def _kind_of(source: Path) -> Kind:
    return KINDS.get(source.suffix.lower(), "tiff")  # a DNG


def _refuse_collisions(jobs: Sequence[EnhanceJob]) -> None:
    sources = {_real(job.source): job.source for job in jobs}
    takers: dict[Path, Path] = {}
    for job in jobs:
        place = _real(job.target)
        if place in sources:
            raise UsageError(f"{job.target} is an input itself: name another OUTPUT")
        if place in takers:
            raise UsageError(
                f"{takers[place]} and {job.source} would both become {job.target}: "
                "enhance them into two folders"
            )
        takers[place] = job.source


def _refuse_existing(jobs: Sequence[EnhanceJob]) -> None:
    if existing := [job.target for job in jobs if job.target.exists()]:
        raise UsageError(
            f"there already: {by_name(existing)}; "
            f"{'--skip-existing makes the others, ' if len(jobs) > 1 else ''}"
            "--overwrite replaces them"
        )


def _refuse_closed_folders(jobs: Sequence[EnhanceJob]) -> None:
    """Before all pictures are enhanced for nothing."""
    for folder in {job.target.parent for job in jobs}:
        there = next(one for one in (folder, *folder.parents) if one.exists())
        if not there.is_dir():
            raise StorageError(f"{path_text(there)} is a file, and outputs need a folder there")
        if not os.access(there, os.W_OK | os.X_OK):
            raise StorageError(f"{path_text(there)} is a folder that cannot be written")
