"""Which pictures FiveK has, and under which licences.

FiveK's archive lists the file names of each licence class. Together the lists are all its pictures.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ...addresses import shown
from ...errors import DataError, StorageError
from ...files import read_bytes, sha256_bytes, sha256_text
from ...paths import cache_dir
from ..fetch.cached import cached_content, in_cache
from ..fetch.download import SMALL, Downloads, file_url
from ..source_models import FiveKSource, Licence
from .source_files import readable


class FiveKPicture(NamedTuple):
    """id: a0001, say. name: of its files, without suffix. licence: its class."""

    id: str
    name: str
    licence: str


def read_index(source: FiveKSource, base_url: str, folders: list[Path]) -> dict[str, FiveKPicture]:
    """All pictures by id: from lists in the folders or beside them, from the cache, or from the
    server.

    Raises DataError where a list cannot be had, or is not the pinned one.
    """
    pictures: dict[str, FiveKPicture] = {}
    for licence in source.licences:
        for name in _names(licence, base_url, folders):
            id_ = id_of(name)
            if id_ is None or id_ in pictures:
                raise DataError(f"{licence.names}: {name!r} has no id of its own")
            pictures[id_] = FiveKPicture(id_, name, licence.id)
    return dict(sorted(pictures.items()))


def _names(licence: Licence, base_url: str, folders: list[Path]) -> list[str]:
    file_name = Path(licence.names).name
    for folder in folders:
        for path in (folder / file_name, folder / licence.names, folder.parent / file_name):
            if path.is_file():
                with readable(path):
                    return _read_names(path, licence, str(path))
    cache = cache_dir() / f"{licence.names_sha256}.names"
    url = file_url(base_url, licence.names)
    with in_cache(cache):
        if cache.is_file():
            try:
                return _read_names(cache, licence, str(cache))
            except DataError:
                cache.unlink()  # half a list, say, of which only the server can make a whole one
        with Downloads(retries=2) as downloads:
            try:
                downloads.fetch(url, cache, limits=SMALL)
            except StorageError:
                raise
            except DataError as error:
                beside = f"into {folders[0]}, beside it, or " if folders else ""
                raise DataError(
                    f"{error}; or put {file_name} of FiveK {beside}at {cache}"
                ) from None
        try:
            return _read_names(cache, licence, shown(url))
        except DataError:
            cache.unlink()  # a server's error page, say: the next run is to fetch it again
            raise


def _read_names(path: Path, licence: Licence, origin: str) -> list[str]:
    """The names of a licence's list, sorted. Raises DataError for another list than the pinned
    one."""
    content = read_bytes(path, SMALL.size)
    text = content.decode("utf-8", "replace")
    names = sorted({line.strip() for line in text.splitlines()} - {""})
    # By its names first: a mirror may have the same list with other line ends.
    has_names = sha256_text("".join(f"{name}\n" for name in names)) == licence.names_sha256
    if not has_names and sha256_bytes(content) != licence.file_sha256:
        raise DataError(
            f"{origin} is not the list of {licence.count} names that is pinned: its {len(names)} "
            f"names differ; take {licence.names} from FiveK's own server"
        )
    return names


def licence_texts(source: FiveKSource, base_url: str) -> str:
    """The licences' texts, for a user to read; for one that cannot be fetched, its address."""
    texts = []
    for licence in source.licences:
        url = file_url(base_url, licence.text)
        try:
            text = cached_content(url, licence.text_sha256).decode(errors="replace")
        except DataError:
            text = f"(the text could not be fetched: read {shown(url)})\n"
        texts.append(f"{licence.id}, {licence.count} pictures:\n\n{text}")
    return f"{source.title}: {source.terms}.\n\n" + "\n".join(texts)


def terms(source: FiveKSource) -> str:
    """The digests of all texts: a text that changes is to be accepted anew."""
    return "".join(f"{licence.text_sha256}\n" for licence in source.licences)


def id_of(name: str) -> str | None:
    """a0001 of a0001-jmac_DSC1459; None for a name that does not begin so."""
    match = re.match(r"(a\d{4})(?!\d)", name)
    return match[1] if match else None
