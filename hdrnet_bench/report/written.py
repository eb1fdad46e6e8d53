"""report.json: what the last report wrote, so that nothing else is ever replaced or removed; and
writing a report whole or not at all.

The page for its maker's own eyes has a list of its own, report-private.json: report.json, which
goes where the results go, says nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, ValidationError

from ..errors import DataError, StorageError, UsageError, first_fault
from ..files import (
    atomic_path,
    json_text,
    open_regular,
    read_bytes,
    read_json,
    sha256_bytes,
    sweep,
    unreadable,
    write_text,
)
from ..result_ids import Record
from ..stopping import asked_to_stop
from .published import FOLDER

MANIFEST, PRIVATE_MANIFEST = "report.json", "report-private.json"
FIGURES, TABLES = "figures", "tables"
# Made on demand alone: a report without it leaves the one that is there, and its list.
PRIVATE_PAGE = "report-private.html"
_NAMED = 5  # files that a refusal names

# No other file is a report's, whatever a manifest says. Older versions made PNG and JPEG.
_Name = Annotated[
    str,
    Field(
        pattern=r"^((published/)?README\.md|report(-private)?\.html"
        r"|figures/[A-Za-z0-9][A-Za-z0-9._-]*\.(svg|png|jpg|webp)"
        r"|tables/[A-Za-z0-9][A-Za-z0-9._-]*\.(csv|tex))$"
    ),
]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(Record):
    """The SHA-256 of each file as the last report wrote it, by its path in the results directory.

    before: those that were there, of any report, when one was about to replace them; in the file
    only while it does, so that what one that is killed in the middle leaves is known as well.
    """

    schema_version: Literal[1] = 1
    kind: Literal["report"] = "report"
    files: dict[_Name, _Digest] = Field({})
    before: dict[_Name, _Digest] = Field({})

    def lists(self, name: str, digest: str) -> bool:
        return digest in (self.files.get(name), self.before.get(name))


class Manifests(NamedTuple):
    """The list of the report, and that of the page for its maker's own eyes, which versions before
    had in the first."""

    shown: Manifest
    private: Manifest

    def lists(self, name: str, digest: str) -> bool:
        return any(manifest.lists(name, digest) for manifest in self)

    @property
    def names(self) -> set[str]:
        return {name for manifest in self for name in (*manifest.files, *manifest.before)}


class Plan(NamedTuple):
    """What a report does to a folder; paths relative to it.

    files: all that it is made of. replaced: those that no report wrote as they are, and that are
    replaced all the same. removed: files of the last report that this one does not have. left:
    such that were changed since. missing: of the files, those that are to be written.
    """

    files: list[str]
    replaced: list[str]
    removed: list[str]
    left: list[str]
    missing: list[str]


def read_manifests(folder: Path) -> Manifests:
    """Empty ones where there are none. Raises DataError where one is broken."""
    return Manifests(_read(folder / MANIFEST), _read(folder / PRIVATE_MANIFEST))


def _read(path: Path) -> Manifest:
    if not path.is_symlink() and not path.exists():
        return Manifest()
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(
            f"{path} is no list of a report's files ({first_fault(error)}): remove it, and the "
            "next report replaces only files that are as it would write them"
        ) from None


def plan(folder: Path, files: Mapping[str, bytes], *, overwrite: bool) -> Plan:
    """What writing these files would do.

    Raises UsageError where one of them would replace what no report wrote, or what was changed
    since, unless `overwrite`; and where the folders of figures and tables are elsewhere.
    """
    _check_folders(folder)
    known = read_manifests(folder)
    foreign, missing = [], []
    for name, content in files.items():
        path = folder / name
        digest = digest_of(path)
        if digest == sha256_bytes(content):
            continue
        missing.append(name)
        if digest is not None and not known.lists(name, digest):
            foreign.append(name)
    if foreign and not overwrite:
        shown = ", ".join(str(folder / name) for name in foreign[:_NAMED])
        more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
        raise UsageError(
            f"not written by a report, or changed since: {shown}{more}; nothing was written. Move "
            f"them away, or replace them: `hdrbench report --overwrite`{_once(folder)}"
        )
    removed: list[str] = []
    left: list[str] = []
    for name in sorted(known.names - {*files, PRIVATE_PAGE}):
        digest = digest_of(folder / name)
        if digest is not None:
            (removed if known.lists(name, digest) else left).append(name)
    return Plan(list(files), foreign, removed, left, missing)


def _once(folder: Path) -> str:
    if (folder / MANIFEST).exists():
        return ""
    return f" (needed once where a version that made no {MANIFEST} wrote them)"


def _check_folders(folder: Path) -> None:
    """Raises UsageError where a report's folder would not be its own."""
    for path in (folder / FIGURES, folder / TABLES):
        if path.is_symlink():
            raise UsageError(
                f"{path} is a link to another folder, whose files are not a report's: remove the "
                "link"
            )
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file, where a report has a folder: move it away")


def digest_of(path: Path) -> str | None:
    """A file's SHA-256; None where there is none; a word that is no digest where it is no regular
    file, or a link, which is never a report's, nor is what lies in a linked folder of papers'
    figures."""
    if path.is_symlink() or (path.parent.name == FOLDER and path.parent.is_symlink()):
        return "a link"
    try:
        with open_regular(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except (DataError, IsADirectoryError):
        return "no file"
    except OSError as error:
        raise unreadable(path, error) from None


def write(
    folder: Path,
    planned: Plan,
    files: Mapping[str, bytes],
    others: Mapping[Path, bytes],
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write the files that are missing, and others elsewhere; remove those that are to go.

    Everything is written under temporary names first, so that a full disk, a signal or a kill
    leaves the last report as it is.

    Args:
        done: is called once all is written, before a signal can arrive.

    Raises what `asked_to_stop` has for a signal that came while the files got their names.
    """
    written = (*others, *(folder / name for name in files))
    for path in {folder / FIGURES, folder / TABLES, *(path.parent for path in written)}:
        sweep(path)
    before = read_manifests(folder)
    digests = {name: sha256_bytes(content) for name, content in files.items()}
    # What is there and is a report's, whichever one's: where several are killed in turn, it is
    # neither of the last nor of the one before.
    there = {name: digest_of(folder / name) for name in before.names}
    known = {name: sha for name, sha in there.items() if sha and before.lists(name, sha)}
    if PRIVATE_PAGE in known:
        digests = {PRIVATE_PAGE: known[PRIVATE_PAGE]} | digests
    after = _manifests(digests)
    todo = {folder / name: files[name] for name in planned.missing}
    todo |= {path: content for path, content in others.items() if read_bytes(path) != content}
    if not todo and not planned.removed and before == after:
        return
    with ExitStack() as writing:
        for path, content in todo.items():
            try:
                temporary = writing.enter_context(atomic_path(path, durable=path in others))
                temporary.write_bytes(content)
            except OSError as error:
                raise StorageError(
                    f"{path} cannot be written: {error.strerror or error}; the report was not "
                    "changed"
                ) from None
        with asked_to_stop() as stop:
            # First which files are a report's, then the files: of one that is killed in between,
            # the next one knows all.
            try:
                _write_manifests(folder, _manifests(digests, known))
                writing.close()
                for name in planned.removed:
                    (folder / name).unlink(missing_ok=True)
                _write_manifests(folder, after)
            except OSError as error:
                raise StorageError(
                    f"the report in {folder} cannot be replaced: {error.strerror or error}; "
                    "another `hdrbench report` makes it whole"
                ) from None
            done()
    if stop:
        raise stop.stop()


def _manifests(files: Mapping[str, str], before: Mapping[str, str] | None = None) -> Manifests:
    """Each file, by its digest, in the list that it belongs to."""

    def of(private: bool) -> Manifest:
        parts = [
            {name: sha for name, sha in some.items() if (name == PRIVATE_PAGE) is private}
            for some in (files, before or {})
        ]
        return Manifest(files=parts[0], before=parts[1])

    return Manifests(of(private=False), of(private=True))


def _write_manifests(folder: Path, manifests: Manifests) -> None:
    # The private one first: what the other one of an older version lists has its place then.
    private = folder / PRIVATE_MANIFEST
    if manifests.private.files or manifests.private.before:
        _write_manifest(private, manifests.private)
    else:
        private.unlink(missing_ok=True)
    _write_manifest(folder / MANIFEST, manifests.shown)


def _write_manifest(path: Path, manifest: Manifest) -> None:
    content = manifest.model_dump(mode="json")
    if not manifest.before:
        del content["before"]
    write_text(path, json_text(content), durable=True)
