"""An unfinished download: what is known of the file, and which of its bytes are here."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import requests
from pydantic import BaseModel, ConfigDict

from ...files import write_text


class ExpectedFile(NamedTuple):
    """What is known of a file before it is fetched; None for what is not."""

    sha256: str | None
    md5: str | None
    size: int | None

    def contradiction(self, path: Path) -> str:
        """What is wrong with the file at `path`; "" where all is as expected."""
        if self.size not in (None, path.stat().st_size):
            return f"expected {self.size} bytes, found {path.stat().st_size}"
        for name, expected in (("sha256", self.sha256), ("md5", self.md5)):
            if expected is not None:
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, name).hexdigest()
                if digest != expected:
                    return f"expected {name} {expected}, found {digest}"
        return ""


class Note(BaseModel):
    """`<name>.part.json`: what the server said of the file whose first bytes are here.

    validator: for If-Range, with which the server sends the rest only of that very file.
    size: of the whole file; None where the server did not state it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    validator: str | None
    size: int | None


class Part:
    """The two files beside `path` while it is fetched from `url`: its first bytes, and the note on
    whose they are."""

    def __init__(self, path: Path, url: str) -> None:
        self.url = url
        self.path = path.with_name(f"{path.name}.part")
        self.note_path = path.with_name(f"{path.name}.part.json")

    def length(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> Note | None:
        """The note; None where there is none, it cannot be read, or it is of another address."""
        try:
            note = Note.model_validate_json(self.note_path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return note if note.url == self.url else None

    def begin(self, note: Note) -> None:
        """The bytes that come next are of this note. Those that are here are removed first: under
        it they would pass for the file's own."""
        self.drop()
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
            and int(first[1]) == self.length()
            and total_length(response) in (None, note.size)
            and validator(response) in (None, note.validator)
        )


def validator(response: requests.Response) -> str | None:
    """What tells one version of a file from another: its ETag where that is a strong one, else its
    date. A weak ETag (W/"...") may stay the same when bytes change."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def total_length(response: requests.Response) -> int | None:
    """The length of the whole file in the header Content-Range."""
    return number(response.headers.get("Content-Range", "").rpartition("/")[2])


def number(text: str | None) -> int | None:
    """A header's number; None where the header is missing or holds something else."""
    return int(text) if text and re.fullmatch(r"[0-9]+", text) else None
