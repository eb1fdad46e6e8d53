"""What pairs are made of, from a server: fetched, kept until the pair is made, and let go."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import filelock

from ...errors import DataError
from ..schedule import Fetching
from .download import Downloads, NotThere

Job = TypeVar("Job")


@contextmanager
def fetching(
    folder: Path,
    connections: int,
    keep: bool,
    bring: Callable[[Downloads, Job], None],
    files: Callable[[Job], Iterable[Path]],
) -> Iterator[Fetching]:
    """How a pair's files come into `folder`; unless `keep`, they go when the pair is made.

    Args:
        folder: no two processes fetch into it at once.
        connections: how many there are at once.
        keep: leave the files where they are.
        bring: fetches a pair's files; NotThere leaves the pair out.
        files: those of them that may be here.

    Raises DataError where another process fetches into the same folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        downloads = stack.enter_context(Downloads(connections))
        try:
            stack.enter_context(filelock.FileLock(folder / ".lock", blocking=False))
        except filelock.Timeout:
            raise DataError(f"another process is fetching into {folder}") from None

        def brought(job: Job) -> Job:
            try:
                bring(downloads, job)
            except NotThere:
                release(job)
                raise
            return job

        def release(job: Job) -> None:
            if not keep:
                for path in files(job):
                    path.unlink(missing_ok=True)

        # The files of a pair come one after the other.
        yield Fetching(brought, release, downloads.stop, connections)


class Estimate(NamedTuple):
    """What would be fetched. `unsized` files have sizes that the server does not say."""

    files: int
    bytes: int
    unsized: int
    not_there: list[str]

    def report(self) -> dict[str, object]:
        fetch = {"files": self.files, "bytes": self.bytes, "unsized": self.unsized}
        return {"would fetch": fetch, "not there": self.not_there}


Item = TypeVar("Item")


def estimate(
    items: Sequence[Item],
    ask: Callable[[Downloads, Item], Sequence[int | str | None]],
    connections: int,
    step: Callable[[], None],
) -> Estimate:
    """Ask the server about everything that is not here yet.

    Args:
        items: what is asked about, each at once.
        ask: for each file of an item its size, None where the server does not say it, or the name
            of what is not there.
        connections: how many items are asked about at once.
        step: called after each item.
    """
    with (
        concurrent.futures.ThreadPoolExecutor(connections) as threads,
        Downloads(connections) as downloads,
    ):

        def asked(item: Item) -> Sequence[int | str | None]:
            try:
                return ask(downloads, item)
            finally:
                step()

        answers = [answer for found in threads.map(asked, items) for answer in found]
    sizes = [answer for answer in answers if isinstance(answer, int)]
    missing = [answer for answer in answers if isinstance(answer, str)]
    there = len(answers) - len(missing)
    return Estimate(there, sum(sizes), there - len(sizes), missing)
