"""An unfinished download: what is known of the file, and which of its bytes are here."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

import requests
from pydantic import BaseModel, ConfigDict, Field

from ...addresses import shown
from ...errors import DataError, StorageError
from ...files import open_regular, read_bytes, write_text

_NOTE_BYTES = 1 << 16
# What may be sent back to a server as its own word (If-Range): it would be refused as a header
# with line ends in it, say. Nothing is lost without it but the bytes that came so far.
_VALIDATOR = r"^[\x20-\x7e]{1,256}$"


class ExpectedFile(NamedTuple):
    """What is known of a file before it is fetched; None for what is not."""

    sha256: str | None
    md5: str | None
    size: int | None

    def contradiction(self, path: Path) -> str:
        """What is wrong with the file at `path`; "" where all is as expected. Raises OSError where
        it cannot be read."""
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if self.size not in (None, size):
                return f"expected {self.size} bytes, found {size}"
            for name, expected in (("sha256", self.sha256), ("md5", self.md5)):
                if expected is not None:
                    stream.seek(0)
                    digest = hashlib.file_digest(stream, name).hexdigest()
                    if digest != expected:
                        return f"expected {name} {expected}, found {digest}"
        return ""


class Note(BaseModel):
    """`<name>.part.json`: what the server said of the file whose first bytes are here.

    url: as it may be shown: without the user's password.
    validator: for If-Range, with which the server sends the rest only of that very file.
    size: of the whole file; None where the server did not state it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    validator: str | None = Field(pattern=_VALIDATOR)
    size: int | None = Field(ge=0, lt=10**18)


def is_there(path: Path) -> bool:
    """Whether there is such a file. Raises StorageError where something else is in its place, as a
    pipe, which would be waited for: that says nothing of the file that is to be fetched."""
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is not a regular file; move it away")
    return path.exists()


class Part:
    """The two files beside `path` while it is fetched from `url`: its first bytes, and the note on
    whose they are."""

    def __init__(self, path: Path, url: str) -> None:
        self.url = shown(url)
        self.path = path.with_name(f"{path.name}.part")
        self.note_path = path.with_name(f"{path.name}.part.json")

    def length(self) -> int:
        """Raises StorageError where something else is in its place."""
        return self.path.stat().st_size if is_there(self.path) else 0

    def note(self) -> Note | None:
        """The note; None where there is none, it cannot be read, or it is of another address."""
        try:
            note = Note.model_validate_json(read_bytes(self.note_path, _NOTE_BYTES))
        except (FileNotFoundError, ValueError, DataError):
            return None
        return note if note.url == self.url else None

    def begin(self, validator: str | None, size: int | None) -> None:
        """The bytes that come next are of a file of which the server says this. Those that are here
        are removed first: under its note they would pass for the file's own."""
        self.drop()
        note = Note(url=self.url, validator=validator, size=size)
        write_text(self.note_path, note.model_dump_json())

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)

    def continues_with(self, response: requests.Response, note: Note) -> bool:
        """Whether a 206 has the missing rest of this very file: some servers ignore If-Range and
        send a rest of whatever the file is now."""
        first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        return (
            first is not None
            and number(first[1]) == self.length()
            and total_length(response) in (None, note.size)
            and validator(response) in (None, note.validator)
        )


def validator(response: requests.Response) -> str | None:
    """What tells one version of a file from another: its ETag where that is a strong one, else its
    date. A weak ETag (W/"...") may stay the same when bytes change."""
    etag = response.headers.get("ETag", "")
    text = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    return text if re.fullmatch(_VALIDATOR, text) else None


def total_length(response: requests.Response) -> int | None:
    """The length of the whole file in the header Content-Range."""
    return number(response.headers.get("Content-Range", "").rpartition("/")[2])


def number(text: str | None) -> int | None:
    """A header's number; None where the header is missing, or holds something else: no file has a
    size of more digits."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None
