"""The HDR+ dataset's bucket: what it lists through its JSON interface, and its objects."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlencode

from pydantic import BaseModel, Field, ValidationError

from ...errors import DataError
from ..fetch.download import Downloads, NotThere, quoted
from ..protocol_models import BurstSet, HdrplusSource
from .hdrplus import HdrplusJob, burst_id, needed, read_reference_frame, reference_frame


class Object(NamedTuple):
    """An object of one generation. md5: hexadecimal; None of one that was put together of parts,
    for which the bucket states none."""

    name: str
    size: int
    md5: str | None
    generation: int


class _Item(BaseModel):
    name: str
    size: int = Field(ge=0)
    generation: int = Field(ge=0)
    md5Hash: str | None = None


class _Page(BaseModel):
    """What of a page is used. An error that comes as an answer is no page."""

    kind: Literal["storage#objects"]
    items: list[_Item] = []
    prefixes: list[str] = []
    nextPageToken: str | None = None


class Bucket(NamedTuple):
    """Where the files of a part lie: in the bucket, and below `folder` once fetched."""

    source: HdrplusSource
    base_url: str
    part: BurstSet
    folder: Path

    def url(self, thing: Object) -> str:
        """Of this very generation: what is put in its place later is not it."""
        place = self.source.objects.format(bucket=self.source.bucket, name=thing.name)
        return f"{quoted(self.base_url, place)}?generation={thing.generation}"

    def bursts(self, downloads: Downloads) -> list[str]:
        """The ids of all bursts of the part, in order. Raises DataError as `listed`."""
        start = f"{self.part.prefix}/{Path(self.source.files.rgb2rgb).parts[0]}/"
        _, prefixes = self.listed(downloads, start)
        return sorted(burst_id(prefix.removeprefix(start).rstrip("/")) for prefix in prefixes)

    def burst(self, downloads: Downloads, id_: str) -> dict[str, Object]:
        """The objects of a burst by their place below the part's prefix.

        Raises NotThere where one that every pair needs is missing, DataError as `listed`.
        """
        places = needed(self.source.files, id_)
        folders = sorted({f"{self.part.prefix}/{Path(place).parent}/" for place in places})
        found = [thing for folder in folders for thing in self.listed(downloads, folder)[0]]
        objects = {thing.name.removeprefix(f"{self.part.prefix}/"): thing for thing in found}
        missing = [place for place in places if place not in objects]
        if missing:
            raise NotThere(f"the server has no {', '.join(missing)}")
        return objects

    def listed(self, downloads: Downloads, prefix: str) -> tuple[list[Object], list[str]]:
        """The objects of a folder, and the folders in it, of all pages.

        Raises DataError where the bucket is not there, or an answer is none of such a bucket's.
        """
        place = self.source.listing.format(bucket=self.source.bucket)
        objects: list[Object] = []
        prefixes: list[str] = []
        seen: set[str | None] = {None}
        token = None
        while True:
            query = {"prefix": prefix, "delimiter": "/"} | ({"pageToken": token} if token else {})
            url = f"{quoted(self.base_url, place)}?{urlencode(query)}"
            try:
                page = _Page.model_validate(json.loads(downloads.read(url)))
            except NotThere:
                raise DataError(f"{url} is not there: no bucket's listing") from None
            except (ValidationError, ValueError) as error:
                raise DataError(f"{url} is no bucket's listing: {_first(error)}") from None
            objects += [_object(item, url) for item in page.items]
            prefixes += page.prefixes
            token = page.nextPageToken or None
            if token is None:
                return objects, prefixes
            if token in seen:
                raise DataError(f"{url}: the listing goes in a circle, page {token!r} comes again")
            seen.add(token)

    def bring(self, downloads: Downloads, job: HdrplusJob, step: Callable[[int], None]) -> None:
        """Fetch what a burst's pair needs, checked against its MD5 and size.

        Raises NotThere where something of it is missing, before anything is fetched.
        """
        objects = self.burst(downloads, job.id)

        def fetch(place: str) -> Path:
            thing, path = objects[place], job.folder / place
            if thing.md5 is None:
                raise NotThere(f"the server states no MD5 of {place}")
            try:
                downloads.fetch(self.url(thing), path, md5=thing.md5, size=thing.size, step=step)
            except NotThere:
                raise NotThere(f"the server has no {place} as it was listed") from None
            return path

        frame = fetch(job.files.reference_frame.format(id=job.id))
        for place in needed(job.files, job.id):
            fetch(place)
        try:
            shading = job.files.shading.format(id=job.id, frame=read_reference_frame(frame))
        except DataError:
            return  # making the pair says what is wrong with it
        if shading in objects:
            fetch(shading)

    def sizes(self, downloads: Downloads, job: HdrplusJob) -> list[int | str | None]:
        """Of the files of a burst that are not here yet; what is missing by its name."""
        try:
            objects = self.burst(downloads, job.id)
            told = objects[job.files.reference_frame.format(id=job.id)]
            text = downloads.read(self.url(told)).decode(errors="replace")
        except NotThere as error:
            return [f"{job.id}: {error}"]
        places = needed(job.files, job.id)
        try:
            frame = reference_frame(text, told.name)
            shading = job.files.shading.format(id=job.id, frame=frame)
            places += [shading] if shading in objects else []
        except DataError:
            pass
        return [objects[place].size for place in places if not (job.folder / place).exists()]


def _object(item: _Item, url: str) -> Object:
    md5 = None
    if item.md5Hash is not None:
        try:
            md5 = base64.b64decode(item.md5Hash, validate=True).hex()
        except binascii.Error:
            md5 = ""
        if not re.fullmatch(r"[0-9a-f]{32}", md5):
            raise DataError(f"{url}: {item.md5Hash!r} of {item.name} is no MD5")
    return Object(item.name, item.size, md5, item.generation)


def _first(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'value'}: {first['msg']}"
