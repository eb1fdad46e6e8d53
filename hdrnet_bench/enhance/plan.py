"""Which picture goes where: the inputs of `enhance` to jobs, refused before anything is written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, UsageError
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
NO_FILE = "named like a picture, and no file that can be read: a pipe, a device, or a broken link"
_READ = ", ".join((*KINDS, DNG))


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
) -> list[EnhanceJob]:
    """Jobs for files, folders (with all below them) and globs.

    Args:
        inputs: as the user wrote them.
        output: a file where there is one input file and it looks like a picture's name, else a
            folder.
        kind: of the outputs; by default that of each input (of `output`, where that is a file).
        bits: 8 or 16, where the kind can hold them.
        overwrite: let outputs replace what is there; never an input.

    Raises:
        UsageError: outputs that are there, that are inputs, or that two inputs share; bits that
            the kind cannot hold; an output named like a picture that cannot be written.
        DataError: a folder or glob without a picture.
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
    _refuse_collisions(jobs, overwrite)
    return jobs


def passed_over(inputs: Sequence[str], output: str) -> dict[Path, str]:
    """What in the inputs' folders is named like a picture and is not enhanced, and why."""
    others: dict[Path, str] = {}
    for folder in (path for path in map(Path, inputs) if path.is_dir()):
        for path in _entries(folder, Path(output)):
            if not path.is_file() and is_picture_name(path):
                others[path] = NO_FILE
            elif path.is_file() and path.suffix.lower() in OTHER_PICTURES:
                others[path] = NOT_READ
    return others


def path_text(path: Path) -> str:
    """A path as text that can be written: names on Linux need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def by_suffix(paths: Iterable[Path]) -> str:
    """How many there are of each suffix, in words."""
    counts = Counter(path.suffix.lower() for path in paths).most_common()
    return ", ".join(f"{n} {suffix}" for suffix, n in sorted(counts, key=lambda c: (-c[1], c[0])))


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
            pictures = [p for p in _entries(path, output) if is_picture_name(p) and p.is_file()]
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
            names = [n for n in names if not _inside(Path(n), output)] or names
            if not names:
                raise DataError(f"no picture matches {text}")
        for name in names:
            if not is_picture_name(Path(name)):
                raise UsageError(f"{name} is of no known kind ({_READ})")
            yield Path(name), Path(Path(name).name)


def _entries(folder: Path, output: Path) -> Iterator[Path]:
    """All below that is no folder, but for what is hidden and what an earlier run wrote into a
    folder below."""
    below = _real(output) != _real(folder)
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not path.is_dir() and not hidden and not (below and _inside(path, output)):
            yield path


def _inside(path: Path, output: Path) -> bool:
    return _real(path).is_relative_to(_real(output))


def _real(path: Path) -> Path:
    """Without links, but for those that go in a circle, of which `Path.resolve` makes an error."""
    return Path(os.path.realpath(path))


def _kind_of(source: Path) -> Kind:
    return KINDS.get(source.suffix.lower(), "tiff")  # a DNG


def _refuse_collisions(jobs: Sequence[EnhanceJob], overwrite: bool) -> None:
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
    existing = [str(job.target) for job in jobs if job.target.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}{more}: there already; --overwrite replaces")
