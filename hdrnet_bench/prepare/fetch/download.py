"""Fetching files over HTTP: several at once, resumed where they broke off, and checked.

An unfinished download lies beside the file's place: its bytes so far in `<name>.part`, and in
`<name>.part.json` whose bytes they are, so that a later process can go on with them. A file that
has its own name is whole.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

import filelock
import requests
import urllib3
from requests import Response
from requests.adapters import HTTPAdapter

from ...errors import DataError, UsageError
from ...paths import cache_dir
from .partial import ExpectedFile, Note, Part, number, total_length, validator

CONNECTIONS = 6  # FiveK's server gave no more on further ones
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 30.0
LONGEST_PAUSE_S = 60.0
# Bytes that are written at once: a connection that is reset loses less than these.
CHUNK = 1 << 18

T = TypeVar("T")


class NotFound(DataError):
    """The server says that there is no such file (404, 410)."""


class Unreachable(DataError):
    """The server refuses the file, or gave no answer or no whole file in the allowed number of
    tries. Another time it may."""


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
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
        # Cookies would be shared between threads, and no server here needs one.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = f"hdrnet-bench/{version('hdrnet-bench')}"
        # Sizes, ranges and digests are of the file's own bytes, not of a compressed body's.
        self._session.headers["Accept-Encoding"] = "identity"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """End all fetches, from any thread: they raise Stopped and keep what they have.

        At once, but for a connection that is being opened or whose server has not yet begun to
        answer: that fetch ends with the answer, or at its time-out.
        """
        self._stopped.set()
        with self._lock:
            for response in self._open:
                # Closing the response would not wake a thread that waits for its bytes; shutting
                # its socket down does. ValueError: the response has just ended.
                with contextlib.suppress(OSError, ValueError):
                    response.raw.shutdown()

    def size(self, url: str) -> int | None:
        """Bytes of the file at `url`, None where the server does not say. Raises as `fetch`."""

        def ask() -> int | None:
            with self._answer("HEAD", url, {}) as response:
                if response.status_code != 200:
                    return None
                return number(response.headers.get("Content-Length"))

        return self._persist(url, ask, lambda: 0)

    def read(self, url: str) -> bytes:
        """What a server answers, whole and in memory: for what is small. Raises as `fetch`."""

        def ask() -> bytes:
            with self._answer("GET", url, {}) as response:
                content = b"".join(response.raw.stream(CHUNK, decode_content=False))
            self._end_if_stopped()
            return content

        return self._persist(url, ask, lambda: 0)

    def fetch(
        self,
        url: str,
        path: Path,
        *,
        sha256: str | None = None,
        md5: str | None = None,
        size: int | None = None,
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
            step: called with the number of bytes of each piece that came.

        Raises:
            NotFound: the server has no such file.
            Unreachable: the server refuses it, or it did not come whole in the allowed number of
                tries; the bytes that came are kept.
            DataError: the server has another file than the expected one, or sends it in a way that
                cannot be used.
            UsageError: `url` is no address.
            OSError: it cannot be written, the disk being full, say; what came is kept.
            Stopped: `stop` was called; what came is kept.
        """
        expected = ExpectedFile(sha256, md5, size)
        if path.exists() and not expected.contradiction(path):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Part(path, url)
        for _ in range(2):  # a file that differs may have been damaged on its way
            self._persist(url, lambda: self._receive(url, part, expected, step), part.length)
            fault = expected.contradiction(part.path)
            if not fault:
                # In this order: a kill between the two leaves a note without bytes, which does no
                # harm; bytes without a note would all be fetched again.
                part.path.replace(path)
                part.note_path.unlink(missing_ok=True)
                return
            part.drop()
        raise DataError(
            f"{url} for {path} is another file than the expected one, twice: {fault}; "
            "take it from another server, or see whether it was replaced there"
        )

    def _receive(
        self, url: str, part: Part, expected: ExpectedFile, step: Callable[[int], None]
    ) -> None:
        """One try to get all that is missing of a file."""
        note, length = part.note(), part.length()
        if note and length and note.size == length:
            return
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
                return  # all of it was here already, and its length had not been stated before
            if status == 206 and note and part.continues_with(response, note):
                mode, total = "ab", note.size
            elif status == 200:  # the whole file: none was begun, or it has changed since
                mode, total = "wb", response.raw.length_remaining
                if total is not None and expected.size not in (None, total):
                    raise DataError(f"{url} has {total} bytes, and {expected.size} were expected")
                part.begin(Note(url=url, validator=validator(response), size=total))
            else:
                part.drop()
                raise _TransientError(f"the server answered {status} to a request for a range")
            with part.path.open(mode) as stream:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    # Before it is written: what comes from a TLS socket that was shut down may be
                    # no part of the file.
                    self._end_if_stopped()
                    stream.write(chunk)
                    step(len(chunk))
        # A socket that was shut down looks like a body that has ended.
        self._end_if_stopped()
        if total is not None and part.length() != total:
            raise _TransientError(f"the connection ended after {part.length()} of {total} bytes")

    @contextmanager
    def _answer(self, method: str, url: str, headers: dict[str, str]) -> Iterator[Response]:
        """An answer with a status that can be used. Errors of the connection and statuses that
        another try may mend are raised as _TransientError."""
        try:
            response = self._session.request(
                method, url, headers=headers, stream=True, allow_redirects=True,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )  # fmt: skip
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _TransientError(_first_cause(error)) from error
        except ValueError as error:  # requests' errors about an address are ValueErrors too
            raise UsageError(f"{url} cannot be fetched: {error}") from None
        except requests.RequestException as error:
            raise DataError(f"{url} cannot be fetched: {error}") from None
        with response:
            _raise_for_status(response, url, method)
            with self._lock:
                self._open.add(response)
            try:
                # Again, now that `stop` can find the response: it may have looked before.
                self._end_if_stopped()
                yield response
            except urllib3.exceptions.HTTPError as error:
                raise _TransientError(_first_cause(error)) from error
            finally:
                with self._lock:
                    self._open.discard(response)

    def _persist(self, url: str, attempt: Callable[[], T], progress: Callable[[], int]) -> T:
        """Try until it succeeds, or until so many tries in a row brought nothing new.

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
            failures = 1 if progress() > furthest else failures + 1
            furthest = max(furthest, progress())
            if failures > self.retries:
                raise Unreachable(
                    f"{url} cannot be fetched: {reason} (try {failures}); look at the network and "
                    "the address, then run the same command again: it goes on from what is here"
                )
            backoff_s = random.uniform(0, self.pause_s * 2 ** (failures - 1))
            # Not in the slot, so that other fetches go on; and `stop` ends the pause.
            self._stopped.wait(min(max(backoff_s, pause_s), LONGEST_PAUSE_S))

    def _end_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise Stopped


def _raise_for_status(response: Response, url: str, method: str) -> None:
    """Raise for every status but those that `_receive` and `size` know what to do with."""
    status, answer = response.status_code, f"{response.status_code} {response.reason}"
    if status in (404, 410):
        raise NotFound(f"{url} is not there: the server answered {answer}")
    if method == "HEAD" and status in (405, 501):  # a server that has no HEAD states no sizes
        return
    if status in (408, 429) or status >= 500:
        pause_s = None
        with contextlib.suppress(urllib3.exceptions.InvalidHeader):
            pause_s = urllib3.Retry().get_retry_after(response.raw)
        raise _TransientError(f"the server answered {answer}", pause_s or 0.0)
    if status not in (200, 206, 416):
        raise Unreachable(f"{url} cannot be fetched: the server answered {answer}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DataError(f"{url} comes in another encoding than the file's own; use another server")


def _first_cause(error: BaseException) -> str:
    """What went wrong first: requests and urllib3 wrap it in layers that say less."""
    network_errors = (OSError, HTTPException, urllib3.exceptions.HTTPError)
    while isinstance(error.__context__, network_errors):
        error = error.__context__
    return str(error) or type(error).__name__


def file_url(base_url: str, path: str) -> str:
    """The percent-encoded address of `path`, as the server's file system has it, at `base_url`."""
    return f"{base_url.rstrip('/')}/{quote(path.lstrip('/'))}"


def cached_content(url: str, sha256: str) -> bytes:
    """A small file's content, from the cache, or from its address and into the cache.

    Raises DataError where neither has it.
    """
    path = cache_dir() / sha256
    try:
        if not path.is_file() or ExpectedFile(sha256, None, None).contradiction(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(f"{path}.lock"), Downloads(retries=2) as downloads:
                downloads.fetch(url, path, sha256=sha256)
        return path.read_bytes()
    except DataError as error:
        raise DataError(f"{error}; or get that file otherwise and put it at {path}") from None
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; HDRBENCH_CACHE puts the cache elsewhere"
        ) from None
