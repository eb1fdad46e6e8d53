"""The files of pairs, from a server: fetched, kept until the pair is made, then removed."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from ...locks import locked
from ..schedule import Fetching
from .download import Downloads, NotFound

Job = TypeVar("Job")


@contextmanager
def fetching(
    folder: Path,
    connections: int,
    keep: bool,
    bring: Callable[[Downloads, Job], None],
    files: Callable[[Job], Iterable[Path]],
) -> Iterator[Fetching]:
    """How each pair's files are fetched into `folder`, and removed once the pair is made.

    Args:
        folder: where they go. One that keeps them is locked, so that no two processes fetch into
            it at once; another one is in what is being made, which has a lock of its own.
        connections: how many there are at once.
        keep: leave the files where they are.
        bring: fetches a pair's files; where it raises NotFound, the pair is left out.
        files: the files of a pair that may have been fetched.

    Raises DataError where another process fetches into the same folder.
    """
    with ExitStack() as stack:
        downloads = stack.enter_context(Downloads(connections))
        if keep:
            busy = f"another process is fetching into {folder}"
            # Beside the folder: some file systems remove none in which a file is open.
            stack.enter_context(locked(folder.with_name(f".{folder.name}.lock"), busy))

        def bring_files(job: Job) -> Job:
            try:
                bring(downloads, job)
            except NotFound:  # the pair is left out: nothing else will release what came of it
                release(job)
                raise
            return job

        def release(job: Job) -> None:
            if not keep:
                for path in files(job):
                    path.unlink(missing_ok=True)

        # As many pairs at once as connections: the files of a pair are fetched one by one.
        yield Fetching(bring_files, release, downloads.stop, connections)


class Estimate(NamedTuple):
    """What would be fetched.

    unsized: how many of the files have a size that the server does not state; `bytes` lacks theirs.
    missing: the names of what the server does not have.
    """

    files: int
    bytes: int
    unsized: int
    missing: list[str]

    def report(self) -> dict[str, object]:
        fetch = {"files": self.files, "bytes": self.bytes, "unsized": self.unsized}
        return {"would fetch": fetch, "not there": self.missing}


Item = TypeVar("Item")


def estimate(
    items: Sequence[Item],
    ask: Callable[[Downloads, Item], Sequence[int | str | None]],
    connections: int,
    step: Callable[[], None],
) -> Estimate:
    """Ask the server about all files that are to be fetched.

    Args:
        items: files, or pairs of several files.
        ask: for each file of an item its size, None where the server does not state it, or the name
            of what the server does not have.
        connections: how many items are asked about at once.
        step: called after each item.
    """
    with (
        concurrent.futures.ThreadPoolExecutor(connections) as threads,
        Downloads(connections) as downloads,
    ):

        def ask_and_step(item: Item) -> Sequence[int | str | None]:
            try:
                return ask(downloads, item)
            finally:
                step()

        per_item = threads.map(ask_and_step, items)
        answers = [answer for item_answers in per_item for answer in item_answers]
    sizes = [answer for answer in answers if isinstance(answer, int)]
    missing = [answer for answer in answers if isinstance(answer, str)]
    files = len(answers) - len(missing)
    return Estimate(files, sum(sizes), files - len(sizes), missing)
