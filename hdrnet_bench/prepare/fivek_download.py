"""FiveK's files from its server: fetched, kept until their pair is made, and let go."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import filelock

from ..errors import DataError
from .download import Downloads, NotThere, quoted
from .fivek import Choice, Files, Job
from .fivek_index import Picture
from .protocols import Side, Source
from .schedule import Fetching


class Remote(NamedTuple):
    """Where the files of a choice lie: on the server, and here once fetched."""

    source: Source
    base_url: str
    folder: Path

    def place(self, side: Side, picture: Picture, expert: str) -> str:
        return self.source.files[side.source].format(name=picture.name, expert=expert)

    def url(self, path: Path) -> str:
        return quoted(self.base_url, path.relative_to(self.folder).as_posix())


def remote_files(choice: Choice, pictures: dict[str, Picture], remote: Remote) -> dict[str, Files]:
    """Where each pair's files will be once they are fetched."""
    sides = (choice.protocol.input, choice.protocol.target)
    found = {}
    for id_ in choice.splits:
        both = [remote.folder / remote.place(s, pictures[id_], choice.expert) for s in sides]
        found[id_] = Files(both[0], both[1])
    return found


@contextmanager
def fetching(
    remote: Remote, connections: int, keep: bool, step: Callable[[int], None]
) -> Iterator[Fetching]:
    """How a pair's files come here; unless `keep`, they go when the pair is made.

    Raises DataError where another process fetches into the same folder.
    """
    remote.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        downloads = stack.enter_context(Downloads(connections))
        try:
            stack.enter_context(filelock.FileLock(remote.folder / ".lock", blocking=False))
        except filelock.Timeout:
            raise DataError(f"another process is fetching into {remote.folder}") from None

        def bring(job: Job) -> Job:
            for path in _files(job):
                try:
                    downloads.fetch(remote.url(path), path, step=step)
                except NotThere:
                    release(job)
                    place = path.relative_to(remote.folder).as_posix()
                    raise NotThere(f"the server has no {place}") from None
            return job

        def release(job: Job) -> None:
            if not keep:
                for path in _files(job):
                    path.unlink(missing_ok=True)

        # Each pair is two files, one after the other.
        yield Fetching(bring, release, downloads.stop, connections)


def _files(job: Job) -> list[Path]:
    return [path for path in (job.files.input, job.files.target) if path is not None]


class Estimate(NamedTuple):
    """What would be fetched. `unsized` files have sizes that the server does not say."""

    files: int
    bytes: int
    unsized: int
    not_there: list[str]


def estimate(
    jobs: list[Job], remote: Remote, connections: int, step: Callable[[], None]
) -> Estimate:
    """Ask the server for the size of every file that is not here yet."""
    paths = [path for job in jobs for path in _files(job) if not path.exists()]
    with (
        concurrent.futures.ThreadPoolExecutor(connections) as threads,
        Downloads(connections) as downloads,
    ):

        def ask(path: Path) -> int | NotThere | None:
            try:
                return downloads.size(remote.url(path))
            except NotThere as error:
                return error
            finally:
                step()

        sizes = list(threads.map(ask, paths))
    missing = [remote.url(p) for p, s in zip(paths, sizes, strict=True) if isinstance(s, NotThere)]
    known = [size for size in sizes if isinstance(size, int)]
    unsized = len(sizes) - len(known) - len(missing)
    return Estimate(len(paths) - len(missing), sum(known), unsized, missing)
