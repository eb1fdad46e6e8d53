"""FiveK's files on its server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..fetch.download import Downloads, NotThere, quoted
from ..protocol_models import FiveKSide, FiveKSource
from .fivek import FiveKChoice, FiveKJob, PairFiles
from .fivek_index import FiveKPicture


class Remote(NamedTuple):
    """Where the files of a choice lie: on the server, and here once fetched."""

    source: FiveKSource
    base_url: str
    folder: Path

    def place(self, side: FiveKSide, picture: FiveKPicture, expert: str) -> str:
        return self.source.files[side.source].format(name=picture.name, expert=expert)

    def url(self, path: Path) -> str:
        return quoted(self.base_url, path.relative_to(self.folder).as_posix())

    def bring(self, downloads: Downloads, job: FiveKJob, step: Callable[[int], None]) -> None:
        """Fetch a pair's two files."""
        for path in files(job):
            try:
                downloads.fetch(self.url(path), path, step=step)
            except NotThere:
                place = path.relative_to(self.folder).as_posix()
                raise NotThere(f"the server has no {place}") from None

    def size(self, downloads: Downloads, path: Path) -> int | str | None:
        """Of a file that is not here yet; its address where it is not there either."""
        try:
            return downloads.size(self.url(path))
        except NotThere:
            return self.url(path)


def remote_files(
    choice: FiveKChoice, pictures: dict[str, FiveKPicture], remote: Remote
) -> dict[str, PairFiles]:
    """Where each pair's files will be once they are fetched."""
    sides = (choice.protocol.input, choice.protocol.target)
    found = {}
    for id_ in choice.splits:
        both = [remote.folder / remote.place(s, pictures[id_], choice.expert) for s in sides]
        found[id_] = PairFiles(both[0], both[1])
    return found


def files(job: FiveKJob) -> list[Path]:
    return [path for path in (job.files.input, job.files.target) if path is not None]
