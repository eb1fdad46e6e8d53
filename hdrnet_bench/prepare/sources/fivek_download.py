"""FiveK's files on its server: where each lies, and fetching a pair's two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...addresses import shown
from ...files import open_regular
from ..fetch.download import Downloads, NotFound, Unreachable, file_url
from ..protocol_models import FiveKSide
from ..source_models import FiveKSource
from .fivek import FiveKChoice, FiveKJob, PairFiles
from .fivek_index import FiveKPicture


class Remote(NamedTuple):
    """The server, and the folder that its files are fetched into: below it they have the places
    that they have on the server."""

    source: FiveKSource
    base_url: str
    folder: Path

    def place(self, side: FiveKSide, picture: FiveKPicture, expert: str) -> str:
        """Where one side of a pair lies, below the base address."""
        return self.source.files[side.source].format(name=picture.name, expert=expert)

    def url(self, path: Path) -> str:
        return file_url(self.base_url, path.relative_to(self.folder).as_posix())

    def bring(self, downloads: Downloads, job: FiveKJob, step: Callable[[int], None]) -> None:
        """Fetch a pair's two files. Raises Unreachable where a page came in place of one."""
        for path in files(job):
            place = path.relative_to(self.folder).as_posix()
            try:
                downloads.fetch(self.url(path), path, step=step)
            except NotFound:
                raise NotFound(f"the server has no {place}") from None
            # FiveK states no digests. A page says nothing of the file: it may be one of a network
            # that wants a login first, or of a server under repair, and passes.
            if _is_page(path):
                path.unlink()
                raise Unreachable(
                    f"a page of text, or nothing, came in place of {shown(self.url(path))}; see in "
                    "a browser what it says, then run the same command again"
                )

    def size(self, downloads: Downloads, path: Path) -> int | str | None:
        """Of a file that is not fetched yet, as the server states it; where the server does not
        have the file, its address, for the list of what is missing."""
        try:
            return downloads.size(self.url(path))
        except NotFound:
            return shown(self.url(path))


def remote_files(
    choice: FiveKChoice, pictures: dict[str, FiveKPicture], remote: Remote
) -> dict[str, PairFiles]:
    """Where each pair's files will be once they are fetched."""

    def path(side: FiveKSide, id_: str) -> Path:
        return remote.folder / remote.place(side, pictures[id_], choice.expert)

    protocol = choice.protocol
    return {
        id_: PairFiles(path(protocol.input, id_), path(protocol.target, id_))
        for id_ in choice.splits
    }


def _is_page(path: Path) -> bool:
    """Whether a file begins as text does, or is empty: each of FiveK's, DNGs and TIFFs, has the
    number 42 in 16 bits at its beginning, and so a zero."""
    with open_regular(path) as stream:
        return b"\0" not in stream.read(64)


def files(job: FiveKJob) -> list[Path]:
    """The files of a pair."""
    return [path for path in (job.files.input, job.files.target) if path is not None]
