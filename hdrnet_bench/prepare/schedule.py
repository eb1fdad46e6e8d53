"""Many pairs at once: threads fetch their files, an executor makes them, and neither gets far ahead
of the other."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from ..errors import CapabilityError, DataError, StorageError, raised_in
from ..install import install_advice
from ..processes import end_with_parent, signals_kept_from_children
from ..stopping import asked_to_stop
from .fetch.download import NotFound, Unreachable


class WorkerLost(DataError):
    """A process or a cluster that makes pairs is gone."""


# So many failures to fetch, without a success between them, mean that the server is gone.
MAX_CONSECUTIVE_FAILURES = 10
# Pairs for each worker that are fetched or being made: one more than a worker makes at a time, so
# that none waits for files while the server keeps up.
PAIRS_PER_WORKER = 2


class Payload(Protocol):
    """Anything with a payload: tasks, and what tests make up."""

    @property
    def payload(self) -> Any: ...


Item = TypeVar("Item", bound=Payload)
Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Fetching(NamedTuple):
    """How the files that a pair is made of are fetched.

    bring: payload -> payload for the maker, called in threads; returns once the files are here.
    release: given what `bring` returned, once the pair is made.
    stop: makes the calls of `bring` that still run end soon.
    connections: how many calls there may be at once.
    """

    bring: Callable[[Any], Any]
    release: Callable[[Any], None]
    stop: Callable[[], None]
    connections: int


class Pool(NamedTuple):
    """What makes pairs, and how many it makes at once."""

    executor: Executor
    workers: int


OpenPool = Callable[[int], AbstractContextManager[Pool]]


@contextmanager
def processes(workers: int | None, pairs: int) -> Iterator[Pool]:
    """Processes on this machine, by default as many as cores, never more than pairs.

    However the block is left, none of them goes on: an error, or being asked to stop, does not wait
    for a pair that takes a minute. Raises WorkerLost where one of them dies.
    """
    count = max(1, min(workers or os.cpu_count() or 1, pairs))
    # Spawned, not forked: the parent may hold threads (progress bar, torch), whose locks a fork
    # would copy as they are, with nobody to release them.
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    try:
        with concurrent.futures.ProcessPoolExecutor(count, context, initializer=_begin) as pool:
            try:
                yield Pool(pool, count)
            except BaseException:
                for process in multiprocessing.active_children():
                    if process not in others:
                        process.kill()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise WorkerLost(
            "a worker process died, perhaps because memory ran out; fewer --workers need less"
        ) from None


def _begin() -> None:
    """In a new worker, which was started by `submit` with SIGINT and SIGTERM blocked."""
    end_with_parent()
    # Ctrl-C reaches every process: the parent alone answers. SIGTERM is how the pool ends its
    # workers once one of them has died.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    # LibRaw's threads would be more than there are cores; read when it is loaded, later.
    os.environ["OMP_NUM_THREADS"] = "1"


def submit(executor: Executor, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Hand work to an executor, which may start a process for it.

    A signal in the midst of that would leave a process that nobody knows of, and Ctrl-C, which
    reaches every process, end one that is still importing with a traceback: it waits until the
    process is started, and no process gets it.

    Raises Stopped, or KeyboardInterrupt, where a signal came meanwhile.
    """
    with asked_to_stop() as request, signals_kept_from_children():
        future = executor.submit(function, *arguments)
    if request:
        raise request.stop()
    return future


@contextmanager
def cluster(address: str) -> Iterator[Pool]:
    """The workers of a Dask cluster, which must see the same folders under the same paths.

    Raises CapabilityError without Dask, WorkerLost where the cluster cannot be reached or is lost.
    """
    try:
        from distributed import Client
    except ImportError:
        raise CapabilityError(f"--scheduler needs Dask: {install_advice('distributed')}") from None
    try:
        with Client(address, timeout="20s") as client:
            workers = sum(client.nthreads().values())
            if not workers:
                raise WorkerLost(f"the Dask cluster at {address} has no workers yet")
            yield Pool(client.get_executor(), workers)
    except Exception as error:
        if not _is_from_dask(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise WorkerLost(f"the Dask cluster at {address} failed: {reason}") from None


def _is_from_dask(error: BaseException) -> bool:
    """Whether Dask failed, and not what it was asked to run: it raises errors of its own, plain
    OSErrors about its connections, and cancels futures."""
    # An OSError may be a maker's as well, a full disk, say: the module that raised it tells.
    modules = (raised_in(error), type(error).__module__)
    is_cancellation = isinstance(error, concurrent.futures.CancelledError)
    return is_cancellation or any(module.split(".")[0] == "distributed" for module in modules)


def fetch_and_make(
    items: Sequence[Item],
    make: Callable[[Item, Any], Future[Result]],
    rejection: Callable[[Item, DataError], Result],
    workers: int,
    fetching: Fetching | None,
) -> Generator[Result, None, None]:
    """Fetch and make all items; results come as they are ready, in any order.

    A limited number is being fetched, ready or being made at a time, so that disk and memory hold
    few of them.

    Args:
        items: what is to be made.
        make: hands an item with its payload to an executor.
        rejection: the result of an item that the server does not have (NotFound), or has wrong
            (any other DataError).
        workers: how many items are made at once.
        fetching: None where all files are on this machine.

    Raises:
        Unreachable: some could not be fetched; the others are made first, unless
            MAX_CONSECUTIVE_FAILURES fail one after the other. Files that come and are wrong count
            as failures there: what sends one after the other is not the server.
        StorageError: the system keeps files from being written.
    """
    queue = iter(items)
    fetches: dict[Future[Any], Item] = {}
    makes: dict[Future[Result], Any] = {}  # with the payload that is to be released
    failures: list[Unreachable] = []
    consecutive_failures = 0
    connections = fetching.connections if fetching else 1
    # Every connection can be busy while there are still enough pairs for every worker.
    limit = PAIRS_PER_WORKER * workers + (connections if fetching else workers)
    threads = ThreadPoolExecutor(connections)
    try:
        while True:
            while len(fetches) + len(makes) < limit and (item := next(queue, None)) is not None:
                if fetching:
                    fetches[threads.submit(fetching.bring, item.payload)] = item
                else:
                    makes[make(item, item.payload)] = None
            if not fetches and not makes:
                break
            futures, _ = concurrent.futures.wait(
                [*fetches, *makes], return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in futures:
                if future in makes:
                    payload = makes.pop(future)
                    result = future.result()
                    # Only now: where making failed, a later run needs the files again.
                    if fetching:
                        fetching.release(payload)
                    yield result
                    continue
                item = fetches.pop(future)
                try:
                    payload = future.result()
                except StorageError:
                    raise
                except NotFound as error:
                    yield rejection(item, error)
                except DataError as error:
                    consecutive_failures += 1
                    if consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
                        raise Unreachable(
                            f"{consecutive_failures} fetches failed one after the other: {error}"
                        ) from None
                    if isinstance(error, Unreachable):
                        failures.append(error)
                    else:
                        yield rejection(item, error)
                else:
                    consecutive_failures = 0
                    makes[make(item, payload)] = payload
    finally:
        # In this order: the threads end only when their fetches do.
        if fetching:
            fetching.stop()
        threads.shutdown(wait=True, cancel_futures=True)
    if failures:
        raise Unreachable(f"{len(failures)} of {len(items)} could not be fetched: {failures[0]}")


def in_threads(
    function: Callable[[Argument], Result], items: Iterable[Argument], threads: int | None = None
) -> list[Result]:
    """The function's results, in order. Where one fails, or the wait for them is ended, those that
    have not begun are not."""
    pool = ThreadPoolExecutor(threads or os.cpu_count())
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
