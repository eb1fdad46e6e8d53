"""Many pairs at once: fetched by threads, made by an executor, never far ahead of each other."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from ..errors import CapabilityError, DataError
from .fetch.download import Unreachable


class WorkerLost(DataError):
    """A process or a cluster that makes pairs is gone."""


IN_A_ROW = 10  # failures, after which the server is taken to be gone
AHEAD = 2  # pairs for each worker that may lie ready


class Payload(Protocol):
    @property
    def payload(self) -> Any: ...


Item = TypeVar("Item", bound=Payload)
Result = TypeVar("Result")


class Fetching(NamedTuple):
    """How what a pair is made of comes here.

    bring: payload -> payload for the maker, called in threads.
    release: given what `bring` returned, when the pair is done with.
    stop: makes the calls of `bring` that still run end soon.
    connections: how many calls there may be at once.
    """

    bring: Callable[[Any], Any]
    release: Callable[[Any], None]
    stop: Callable[[], None]
    connections: int


class Pool(NamedTuple):
    executor: Executor
    workers: int


OpenPool = Callable[[int], AbstractContextManager[Pool]]


@contextmanager
def processes(wanted: int | None, pairs: int) -> Iterator[Pool]:
    """Processes on this machine, by default as many as cores, never more than pairs.

    Raises WorkerLost where one of them dies.
    """
    workers = max(1, min(wanted or os.cpu_count() or 1, pairs))
    # Spawned, not forked: the parent may hold threads (progress bar, torch).
    context = multiprocessing.get_context("spawn")
    try:
        with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_begin) as pool:
            try:
                yield Pool(pool, workers)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise WorkerLost(
            "a worker process died, perhaps for want of memory; fewer --workers need less"
        ) from None


def _begin() -> None:
    """In a new worker."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches every process: workers end at once and without a word, the parent answers.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # LibRaw's threads would be more than there are cores; read when it is loaded, later.
    os.environ["OMP_NUM_THREADS"] = "1"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def cluster(address: str) -> Iterator[Pool]:
    """The workers of a Dask cluster, which must see the same folders under the same paths.

    Raises CapabilityError without Dask, WorkerLost where the cluster cannot be reached or is lost.
    """
    try:
        from distributed import Client
    except ImportError:
        raise CapabilityError(
            "--scheduler needs Dask: pip install 'hdrnet-bench[distributed]'"
        ) from None
    try:
        with Client(address, timeout="20s") as client:
            workers = sum(client.nthreads().values())
            if not workers:
                raise WorkerLost(f"the Dask cluster at {address} has no workers yet")
            yield Pool(client.get_executor(), workers)
    except Exception as error:
        if not _of_dask(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise WorkerLost(f"the Dask cluster at {address} failed: {reason}") from None


def _of_dask(error: BaseException) -> bool:
    """Dask raises errors of its own, plain OSErrors about its connections, and cancels."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_in = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    modules = (raised_in, type(error).__module__)
    cancelled = isinstance(error, concurrent.futures.CancelledError)
    return cancelled or any(module.split(".")[0] == "distributed" for module in modules)


def in_turn(
    items: Sequence[Item],
    make: Callable[[Item, Any], Future[Result]],
    refuse: Callable[[Item, Exception], Result | None],
    workers: int,
    fetching: Fetching | None,
) -> Iterator[Result]:
    """Fetch and make all items; results come as they are ready, in any order.

    A limited number is on its way at a time, so that disk and memory hold few of them.

    Args:
        items: what is to be made.
        make: hands an item with its payload to an executor.
        refuse: what stands for an item whose fetching failed so; None where it is no reason to
            leave the item out.
        workers: how many items are made at once.
        fetching: None where everything is here.

    Raises:
        Unreachable: some could not be fetched; the others are made first, unless IN_A_ROW fail one
            after the other.
    """
    waiting = iter(items)
    coming: dict[Future[Any], Item] = {}
    making: dict[Future[Result], Any] = {}
    failures: list[Unreachable] = []
    in_a_row = 0
    connections = fetching.connections if fetching else 1
    limit = AHEAD * workers + (connections if fetching else workers)
    threads = ThreadPoolExecutor(connections)
    try:
        while True:
            while len(coming) + len(making) < limit and (item := next(waiting, None)) is not None:
                if fetching:
                    coming[threads.submit(fetching.bring, item.payload)] = item
                else:
                    making[make(item, item.payload)] = None
            if not coming and not making:
                break
            done, _ = concurrent.futures.wait(
                [*coming, *making], return_when=concurrent.futures.FIRST_COMPLETED
            )
            for job in done:
                if job in making:
                    payload = making.pop(job)
                    result = job.result()
                    if fetching:
                        fetching.release(payload)
                    yield result
                    continue
                item = coming.pop(job)
                try:
                    payload = job.result()
                except Unreachable as error:
                    failures.append(error)
                    in_a_row += 1
                    if in_a_row >= IN_A_ROW:
                        raise
                except DataError as error:
                    refused = refuse(item, error)
                    if refused is None:
                        raise
                    yield refused
                else:
                    in_a_row = 0
                    making[make(item, payload)] = payload
    finally:
        if fetching:
            fetching.stop()
        threads.shutdown(wait=True, cancel_futures=True)
    if failures:
        raise Unreachable(f"{len(failures)} of {len(items)} could not be fetched: {failures[0]}")
