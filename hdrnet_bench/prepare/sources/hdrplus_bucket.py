"""The HDR+ dataset's bucket in Google Cloud Storage: what its JSON API lists, and its objects."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlencode

from pydantic import BaseModel, Field

from ...addresses import shown
from ...connections import shortened
from ...errors import DataError, first_fault
from ...files import json_value
from ..fetch.download import PAGE, BadFile, Downloads, NotFound, Unreachable, file_url
from ..source_models import BurstSet, HdrplusSource
from .hdrplus import (
    HdrplusJob,
    burst_id,
    read_reference_frame,
    reference_frame,
    required_places,
)

# The largest folder of the bucket has 3,640 bursts, the largest burst some dozen files; a page has
# 1,000 entries.
MOST_PAGES, MOST_ENTRIES = 100, 100_000


class Object(NamedTuple):
    """An object in one of its generations: replacing it makes another one.

    md5: hexadecimal; None where the bucket states none, as of objects that were composed of others,
    or something else in its place.
    """

    name: str
    size: int
    md5: str | None
    generation: int


class _Item(BaseModel):
    # The bounds are Google's: of names, and of 64-bit numbers.
    name: str = Field(max_length=1024)
    size: int = Field(ge=0, lt=2**63)
    generation: int = Field(ge=0, lt=2**63)
    md5Hash: str | None = None


class _Page(BaseModel):
    """The part of a page of the listing that is used. `kind` tells it from an error, which comes as
    an answer too."""

    kind: Literal["storage#objects"]
    items: list[_Item] = []
    prefixes: list[Annotated[str, Field(max_length=1024)]] = []
    nextPageToken: str | None = Field(default=None, max_length=4096)


class Bucket(NamedTuple):
    """The bucket, and the folder that a part's files are fetched into: below it they have the
    places that they have below the part's prefix."""

    source: HdrplusSource
    base_url: str
    part: BurstSet
    folder: Path

    def url(self, item: Object) -> str:
        """The address of this very generation, whose MD5 the listing stated."""
        place = self.source.objects.format(bucket=self.source.bucket, name=item.name)
        return f"{file_url(self.base_url, place)}?generation={item.generation}"

    def bursts(self, downloads: Downloads) -> list[str]:
        """The ids of all bursts of the part, in order. Raises as `listing`."""
        folder = f"{self.part.prefix}/{Path(self.source.files.rgb2rgb).parts[0]}/"
        _, prefixes = self.listing(downloads, folder)
        return sorted(burst_id(prefix.removeprefix(folder).rstrip("/")) for prefix in prefixes)

    def burst(self, downloads: Downloads, id_: str) -> dict[str, Object]:
        """The objects of a burst by their place below the part's prefix.

        Raises NotFound where one that every pair needs is missing, and as `listing`.
        """
        places = required_places(self.source.files, id_)
        folders = sorted({f"{self.part.prefix}/{Path(place).parent}/" for place in places})
        items = [item for folder in folders for item in self.listing(downloads, folder)[0]]
        objects = {item.name.removeprefix(f"{self.part.prefix}/"): item for item in items}
        missing = [place for place in places if place not in objects]
        if missing:
            raise NotFound(f"the server has no {', '.join(missing)}")
        return objects

    def listing(self, downloads: Downloads, prefix: str) -> tuple[list[Object], list[str]]:
        """The objects in a folder, and the prefixes of the folders in it, of all pages.

        Raises Unreachable where there is no such bucket, an answer is no page of a listing, or the
        listing does not end, which says nothing of the bursts.
        """
        deadline = time.monotonic() + PAGE.seconds
        place = self.source.listing.format(bucket=self.source.bucket)
        objects: list[Object] = []
        prefixes: list[str] = []
        tokens: set[str] = set()
        token = None
        while True:
            query = {"prefix": prefix, "delimiter": "/"} | ({"pageToken": token} if token else {})
            url = f"{file_url(self.base_url, place)}?{urlencode(query)}"
            where = shown(file_url(self.base_url, place)) + f"?{urlencode({'prefix': prefix})}"
            try:
                limits = PAGE._replace(seconds=deadline - time.monotonic())
                page = _Page.model_validate(json_value(downloads.read(url, limits)))
            except NotFound:
                raise Unreachable(f"{where} is not there: no bucket's listing") from None
            except ValueError as error:  # no JSON, or no page
                reason = first_fault(error)
                raise Unreachable(f"{where} is no bucket's listing: {reason}") from None
            except BadFile as error:  # of this page, not of a burst's file
                raise Unreachable(str(error)) from None
            objects += [_object(item) for item in page.items]
            prefixes += page.prefixes
            token = page.nextPageToken or None
            if token is None:
                return objects, prefixes
            if token in tokens:
                page_name = shortened(repr(token))
                raise Unreachable(
                    f"{where}: the listing goes in a circle, page {page_name} comes again"
                )
            tokens.add(token)
            if len(tokens) >= MOST_PAGES or len(objects) + len(prefixes) > MOST_ENTRIES:
                entries = f"{len(objects) + len(prefixes):,} entries on {len(tokens)} pages"
                raise Unreachable(f"{where}: the listing does not end: {entries} so far")

    def bring(self, downloads: Downloads, job: HdrplusJob, step: Callable[[int], None]) -> None:
        """Fetch what a burst's pair needs, checked against its MD5 and size.

        Raises NotFound where something of it is missing, before anything is fetched.
        """
        objects = self.burst(downloads, job.id)

        def fetch(place: str) -> Path:
            item, path = objects[place], job.folder / place
            if item.md5 is None:
                raise NotFound(f"the server states no MD5 of {place}")
            try:
                downloads.fetch(self.url(item), path, md5=item.md5, size=item.size, step=step)
            except NotFound:
                raise NotFound(f"the server has no {place} as it was listed") from None
            return path

        frame = fetch(job.files.reference_frame.format(id=job.id))
        for place in required_places(job.files, job.id):
            fetch(place)
        try:
            shading = job.files.shading.format(id=job.id, frame=read_reference_frame(frame))
        except DataError:
            return  # making the pair will say what is wrong with it
        if shading in objects:
            fetch(shading)

    def sizes(self, downloads: Downloads, job: HdrplusJob) -> list[int | str | None]:
        """Of the files of a burst that are not fetched yet; where one is missing or faulty, a line
        that says so, for the list of what is missing."""
        try:
            objects = self.burst(downloads, job.id)
            # Which lens shading map belongs to the pair is only in this file: it is read already.
            frame_file = objects[job.files.reference_frame.format(id=job.id)]
            text = downloads.read(self.url(frame_file)).decode(errors="replace")
        except (NotFound, BadFile) as error:
            return [f"{job.id}: {error}"]
        places = required_places(job.files, job.id)
        try:
            frame = reference_frame(text, frame_file.name)
            shading = job.files.shading.format(id=job.id, frame=frame)
            places += [shading] if shading in objects else []
        except DataError:
            pass  # as in `bring`
        return [objects[place].size for place in places if not (job.folder / place).exists()]


def _object(item: _Item) -> Object:
    try:
        md5 = base64.b64decode(item.md5Hash or "", validate=True).hex()
    except ValueError:
        md5 = ""
    is_md5 = re.fullmatch(r"[0-9a-f]{32}", md5) is not None
    return Object(item.name, item.size, md5 if is_md5 else None, item.generation)
