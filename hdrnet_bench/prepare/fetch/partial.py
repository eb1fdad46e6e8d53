"""A file on its way over HTTP: what is known of it, and what of it is here already."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import requests
from pydantic import BaseModel, ConfigDict

from ...files import write_text


class ExpectedFile(NamedTuple):
    """What is known of a file before it comes."""

    sha256: str | None
    md5: str | None
    size: int | None

    def contradiction(self, path: Path) -> str:
        """What is wrong with the file at `path`; nothing where all is as it should be."""
        if self.size not in (None, path.stat().st_size):
            return f"expected {self.size} bytes, found {path.stat().st_size}"
        for name, expected in (("sha256", self.sha256), ("md5", self.md5)):
            if expected is not None:
                with path.open("rb") as stream:
                    found = hashlib.file_digest(stream, name).hexdigest()
                if found != expected:
                    return f"expected {name} {expected}, found {found}"
        return ""


class Note(BaseModel):
    """What the server said of the file whose first bytes are here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    validator: str | None  # for If-Range: the server sends a rest only of that very file
    size: int | None


class Part:
    """The two files beside `path` while it is on its way from `url`."""

    def __init__(self, path: Path, url: str) -> None:
        self.url = url
        self.path = path.with_name(f"{path.name}.part")
        self.note_path = path.with_name(f"{path.name}.part.json")

    def length(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> Note | None:
        try:
            note = Note.model_validate_json(self.note_path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return note if note.url == self.url else None

    def begin(self, note: Note) -> None:
        """Bytes of this note come now; those of another go first, so that they never have it."""
        self.drop()
        write_text(self.note_path, note.model_dump_json())

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)

    def continued_by(self, response: requests.Response, note: Note) -> bool:
        """Whether a 206 is the missing rest of this file: servers that ignore If-Range exist."""
        first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        return (
            first is not None
            and int(first[1]) == self.length()
            and total_length(response) in (None, note.size)
            and validator(response) in (None, note.validator)
        )


def validator(response: requests.Response) -> str | None:
    """The strong ETag, or else the date: a weak ETag says nothing of single bytes."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def total_length(response: requests.Response) -> int | None:
    """The length of the whole file in the header Content-Range."""
    return number(response.headers.get("Content-Range", "").rpartition("/")[2])


def number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]+", text) else None
