"""Fetching files over HTTP: several at once, resumed where they broke off, and checked.

An unfinished download lies beside the file's place: its bytes so far in `<name>.part`, and in
`<name>.part.json` whose bytes they are, so that a later process can go on with them. A file that
has its own name is whole.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self, TypeVar
from urllib.parse import quote

import requests
import urllib3
from requests import Response

from ...addresses import shown
from ...connections import BadRedirect, first_cause, pieces, request, session, shortened
from ...errors import DataError
from .partial import ExpectedFile, Part, is_there, number, total_length, validator

CONNECTIONS = 6  # FiveK's server gave no more on further ones
LONGEST_PAUSE_S = 60.0
# Bytes that are written at once: a connection that is reset loses less than these.
CHUNK = 1 << 18
# A try that brings less gets no further: a server that sends a byte with each could go on for ever.
LEAST_PROGRESS = 1 << 16

T = TypeVar("T")


class Limits(NamedTuple):
    """What a file of a kind may have and take at most, whatever its server says.

    size: bytes. seconds: for all tries together, or, where that is longer, as long as all its bytes
    take at `pace` bytes per second.
    """

    size: int
    seconds: float
    pace: float = math.inf

    def deadline(self, start: float, size: int | None) -> float:
        """For a file of so many bytes; of None, of the most that it may have."""
        return start + max(self.seconds, (self.size if size is None else size) / self.pace)


# The largest pictures here, 16-bit TIFFs of FiveK, have 120 MB; those of the largest cameras there
# are, of 150 megapixels, 0.9 GB. How long they take, the network decides, within reason.
PICTURE = Limits(1 << 31, 3600.0, pace=20_000)
# Lists of names and texts of licences: the largest has 150 kB.
SMALL = Limits(1 << 26, 600.0)
# A page of a listing: 1,000 entries of about 1 kB. The time is the whole listing's.
PAGE = Limits(1 << 24, 600.0)


class NotFound(DataError):
    """The server says that there is no such file (404, 410)."""


class Unreachable(DataError):
    """The server refuses the file, or gave no answer or no whole file in the allowed number of
    tries. Another time it may."""


class BadFile(DataError):
    """The server has the file, but another one than was expected: of other bytes, or longer than
    such a file can be."""


class Stopped(Exception):
    """The fetch ended because Downloads.stop was called."""


class _TransientError(Exception):
    """What another try may well mend. `pause_s`: the pause that the server asks for."""

    def __init__(self, reason: str, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class Downloads:
    """A pool of connections that fetches files. One serves many threads; it is a context manager.

    Leaving the context stops all fetches. A pool of threads that fetches has to be entered first,
    so that it is left last: it waits for its threads, which end when their fetches are stopped.

    Args:
        connections: how many there are at once; further fetches wait. FiveK's server was seen to
            give 15 MB/s on one, 51 MB/s on six.
        retries: further tries after one that brought nothing new.
        pause_s: longest pause before the first of them; it doubles with each, up to a minute,
            and each is a random share of that, so that clients that failed together do not come
            back together.
    """

    def __init__(
        self, connections: int = CONNECTIONS, retries: int = 6, pause_s: float = 1.0
    ) -> None:
        self.retries, self.pause_s = retries, pause_s
        self._slots = threading.BoundedSemaphore(connections)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Response] = set()
        self._session = session(connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """End all fetches, from any thread: they raise Stopped and keep what they have.

        At once, also where a server is silent; but while a host's name is looked up or a connection
        to it is being made, the fetch ends with that, or at its time-out (CONNECT_TIMEOUT_S).
        """
        self._stopped.set()
        self._session.end()
        with self._lock:
            for response in self._open:
                # Closing the response would not wake a thread that waits for its bytes; shutting
                # its socket down does. ValueError, RuntimeError: the response has just ended.
                with contextlib.suppress(OSError, ValueError, RuntimeError):
                    response.raw.shutdown()

    def size(self, url: str) -> int | None:
        """Bytes of the file at `url`, None where the server does not say. Raises as `fetch`."""

        def ask() -> int | None:
            with self._answer("HEAD", url, {}) as response:
                if response.status_code != 200:
                    return None
                return number(response.headers.get("Content-Length"))

        return self._persist(url, ask, lambda: 0, time.monotonic() + SMALL.seconds)

    def read(self, url: str, limits: Limits = SMALL) -> bytes:
        """What a server answers, whole and in memory: for what is small. Raises as `fetch`."""
        deadline = time.monotonic() + limits.seconds

        def ask() -> bytes:
            content = bytearray()
            with self._answer("GET", url, {}) as response:
                for piece in self._body(url, response, deadline):
                    content += piece
                    if len(content) > limits.size:
                        raise BadFile(_over(url, len(content), limits))
            return bytes(content)

        return self._persist(url, ask, lambda: 0, deadline)

    def fetch(
        self,
        url: str,
        path: Path,
        *,
        sha256: str | None = None,
        md5: str | None = None,
        size: int | None = None,
        limits: Limits = PICTURE,
        step: Callable[[int], None] = lambda n: None,
    ) -> None:
        """Put the file at `url` at `path`, whole and checked.

        A file that exists at `path` is kept where its size and digests are as given, and replaced
        where they are not. No two threads or processes may fetch to the same path at once.

        Args:
            url: its address, http or https, percent-encoded (see `file_url`).
            path: where it goes; missing folders are made.
            sha256, md5: its digests, lower-case hexadecimal.
            size: its length in bytes.
            limits: of its kind, which hold whatever its server says.
            step: called with the number of bytes of each piece that came.

        Raises:
            NotFound: the server has no such file.
            Unreachable: the server refuses it, or it did not come whole in the allowed number of
                tries; the bytes that came are kept.
            BadFile: the server has another file than the expected one, or one over its limit.
            UsageError: `url` is no address.
            StorageError: something that is no file is in the file's place.
            OSError: it cannot be written, the disk being full, say; what came is kept.
            Stopped: `stop` was called; what came is kept.
        """
        expected = ExpectedFile(sha256, md5, size)
        if is_there(path) and not expected.contradiction(path):
            return
        if size is not None and size > limits.size:
            raise BadFile(_over(url, size, limits))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Part(path, url)
        start = time.monotonic()
        for _ in range(2):  # a file that differs may have been damaged on its way
            fault = self._persist(
                url,
                lambda: self._receive(url, part, expected, limits, start, step),
                part.length,
                limits.deadline(start, size),
            ) or expected.contradiction(part.path)
            if not fault:
                # In this order: a kill between the two leaves a note without bytes, which does no
                # harm; bytes without a note would all be fetched again.
                part.path.replace(path)
                part.note_path.unlink(missing_ok=True)
                return
            part.drop()
        raise BadFile(
            f"{shown(url)} is another file than the expected one, twice: {fault}; take it from "
            "another server, or see whether it was replaced there"
        )

    def _receive(
        self, url: str, part: Part, expected: ExpectedFile, limits: Limits, start: float,
        step: Callable[[int], None],
    ) -> str:  # fmt: skip
        """One try to get all that is missing of a file. Returns what is wrong with what came; ""
        where nothing is, as far as is seen without its digest."""
        note, length = part.note(), part.length()
        if note and length and note.size == length:
            return ""
        # Bytes of two versions of a file must not be joined. Either the server compares the version
        # (its validator, by If-Range), or a digest of the whole shows it afterwards.
        resumable = note and length and (note.validator or expected.sha256 or expected.md5)
        if not note or not resumable or length > (note.size or length):
            part.drop()
            note, length = None, 0
        headers = {"Range": f"bytes={length}-"} if note else {}
        if note and note.validator:
            headers["If-Range"] = note.validator
        with self._answer("GET", url, headers) as response:
            status = response.status_code
            if status == 416 and note and total_length(response) == length:
                return ""  # all of it was here already, and its length had not been stated before
            if status == 206 and note and part.continues_with(response, note):
                mode, total = "ab", note.size
            elif status == 200:  # the whole file: none was begun, or it has changed since
                mode, total, length = "wb", response.raw.length_remaining, 0
                if total is not None and expected.size not in (None, total):
                    raise BadFile(
                        f"{shown(url)} has {total} bytes, and {expected.size} were expected"
                    )
                if total is not None and total > limits.size:
                    raise BadFile(_over(url, total, limits))
                part.begin(validator(response), total)
            else:
                part.drop()
                raise _TransientError(f"the server answered {status} to a request for a range")
            end = min(n for n in (total, expected.size, limits.size) if n is not None)
            deadline = limits.deadline(start, total if total is not None else expected.size)
            with part.path.open(mode) as stream:
                for piece in self._body(url, response, deadline):
                    length += len(piece)
                    if length > end:
                        return f"over {end} bytes came"
                    stream.write(piece)
                    step(len(piece))
        if total is not None and length != total:
            raise _TransientError(f"the connection ended after {length} of {total} bytes")
        return ""

    def _body(self, url: str, response: Response, deadline: float) -> Iterator[bytes]:
        """The body as it comes. Raises Unreachable at the deadline."""
        for piece in pieces(response, CHUNK):
            # Before it is used: what comes from a TLS socket that was shut down may be no part of
            # the file.
            self._end_if_stopped()
            if time.monotonic() > deadline:
                raise _unreachable(url, "the server takes too long")
            yield piece
        # A socket that was shut down looks like a body that has ended.
        self._end_if_stopped()

    @contextmanager
    def _answer(self, method: str, url: str, headers: dict[str, str]) -> Iterator[Response]:
        """An answer with a status that can be used. Errors of the connection and statuses that
        another try may mend are raised as _TransientError."""
        try:
            response = request(self._session, method, url, headers)
        except BadRedirect as error:
            raise Unreachable(str(error)) from None
        except requests.RequestException as error:
            raise _TransientError(first_cause(error)) from error
        with response:
            with self._lock:
                self._open.add(response)
            try:
                # Now that `stop` can find the response: it may have looked before. And before the
                # head is used: one that was shut down may be half of one.
                self._end_if_stopped()
                _raise_for_status(response, url, method)
                yield response
            except urllib3.exceptions.HTTPError as error:
                raise _TransientError(first_cause(error)) from error
            finally:
                with self._lock:
                    self._open.discard(response)

    def _persist(
        self, url: str, attempt: Callable[[], T], progress: Callable[[], int], deadline: float
    ) -> T:
        """Try until it succeeds, until so many tries in a row brought nothing new, or until the
        deadline.

        A try that got further than all before starts the count anew: a large file over a bad
        connection may take any number of them. `progress`: how many bytes there are.
        """
        failures, furthest = 0, progress()
        while True:
            try:
                with self._slots:
                    self._end_if_stopped()
                    return attempt()
            except _TransientError as error:
                reason, pause_s = str(error), error.pause_s
            self._end_if_stopped()
            here = progress()
            failures = 1 if here >= furthest + LEAST_PROGRESS else failures + 1
            furthest = max(furthest, here)
            if failures > self.retries or time.monotonic() > deadline:
                raise _unreachable(url, f"{reason} (try {failures})")
            backoff_s = random.uniform(0, self.pause_s * 2 ** (failures - 1))
            # Not in the slot, so that other fetches go on; and `stop` ends the pause.
            self._stopped.wait(min(max(backoff_s, pause_s), LONGEST_PAUSE_S))

    def _end_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise Stopped


def _unreachable(url: str, reason: str) -> Unreachable:
    return Unreachable(
        f"{shown(url)} cannot be fetched: {reason}; look at the network and the address, then run "
        "the same command again: it goes on from what is here"
    )


def _over(url: str, size: int, limits: Limits) -> str:
    return f"{shown(url)} has {size:,} bytes or more: such a file has {limits.size:,} at most"


def _raise_for_status(response: Response, url: str, method: str) -> None:
    """Raise for every status but those that `_receive` and `size` know what to do with."""
    status, where = response.status_code, shown(url)
    answer = f"{status} {shortened(response.reason or '')}".strip()
    if status in (404, 410):
        raise NotFound(f"{where} is not there: the server answered {answer}")
    if method == "HEAD" and status in (405, 501):  # a server that has no HEAD states no sizes
        return
    if status in (408, 429) or status >= 500:
        raise _TransientError(f"the server answered {answer}", _pause_s(response))
    if status not in (200, 206, 416):
        raise Unreachable(f"{where} cannot be fetched: the server answered {answer}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Unreachable(
            f"{where} comes in another encoding than the file's own; use another server"
        )


def _pause_s(response: Response) -> float:
    """For how long the server asks not to be asked; 0 where it says nothing that can be read."""
    # Besides urllib3's own error: a number of thousands of digits, a year that no clock has.
    with contextlib.suppress(urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        pause_s = urllib3.Retry().get_retry_after(response.raw)
        return min(pause_s or 0.0, LONGEST_PAUSE_S)
    return 0.0


def file_url(base_url: str, path: str) -> str:
    """The percent-encoded address of `path`, as the server's file system has it, at `base_url`."""
    return f"{base_url.rstrip('/')}/{quote(path.lstrip('/'))}"
