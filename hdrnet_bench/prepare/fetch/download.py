"""Fetching files over HTTP: several at once, resumed where they broke off, and checked.

What is on its way lies beside the file: the bytes so far in `<name>.part`, and in
`<name>.part.json` whose bytes they are, so that a later process can go on with them too. A file
that has its own name is whole.
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

CONNECTIONS = 6  # as many as FiveK's server was seen to gain from
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 30.0
LONGEST_PAUSE_S = 60.0
CHUNK = 1 << 18  # a connection that is reset loses less than this

T = TypeVar("T")


class NotThere(DataError):
    """The server says that there is no such file (404, 410)."""


class Unreachable(DataError):
    """Refused, or no answer, or no whole file, in as many tries as were allowed."""


class Stopped(Exception):
    """This fetch ended because Downloads.stop was called."""


class _Passing(Exception):
    """What another try may well mend. `pause_s`: the pause that the server asks for."""

    def __init__(self, reason: str, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class Downloads:
    """A pool of connections that fetches files; one for many threads, and a context manager.

    Leaving the context stops what still runs, so a pool of threads is to be entered before it.

    Args:
        connections: how many there are at once; further fetches wait. FiveK's server was seen to
            give 15 MB/s on one, 51 MB/s on six.
        retries: further tries after one that brought nothing new.
        pause_s: longest pause before the first of them; it doubles with each, up to a minute,
            and its length is drawn evenly from zero up, so that clients do not come in step.
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
        # Cookies would be shared between threads, and nothing here needs one.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = f"hdrnet-bench/{version('hdrnet-bench')}"
        # What is kept, counted and hashed are the file's own bytes.
        self._session.headers["Accept-Encoding"] = "identity"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """End all fetches, from any thread: they raise Stopped and keep what they have.

        At once, but for a connection that is being made or whose server has not yet begun to
        answer: that one ends when it does, or at its time-out.
        """
        self._stopped.set()
        with self._lock:
            for response in self._open:
                # Wakes a thread that waits for bytes. ValueError: it has just got the last ones.
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

        A file that is there already counts where nothing known contradicts it, and is replaced
        where something does. No two threads or processes may fetch to the same path at once.

        Args:
            url: its address, http or https, percent-encoded (see `quoted`).
            path: where it goes; missing folders are made.
            sha256, md5: its digests, lower-case hexadecimal.
            size: its length in bytes.
            step: called with the count of the bytes that came, again and again.

        Raises:
            NotThere: the server has no such file.
            Unreachable: it could not be had in the allowed number of tries; what came is kept.
            DataError: the server refuses it, or has another file than the one that was meant.
            UsageError: `url` is no address.
            OSError: it cannot be written, the disk being full, say; what came is kept.
            Stopped: `stop` was called; what came is kept.
        """
        meant = ExpectedFile(sha256, md5, size)
        if path.exists() and not meant.contradiction(path):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Part(path, url)
        for _ in range(2):  # a file that differs may have been damaged on its way
            self._persist(url, lambda: self._receive(url, part, meant, step), part.length)
            wrong = meant.contradiction(part.path)
            if not wrong:
                part.path.replace(path)
                part.note_path.unlink(missing_ok=True)
                return
            part.drop()
        raise DataError(
            f"{url} for {path} is another file than the one that was meant, twice: {wrong}; "
            "take it from another server, or see whether it was replaced there"
        )

    def _receive(
        self, url: str, part: Part, meant: ExpectedFile, step: Callable[[int], None]
    ) -> None:
        """One try to get all that is missing of a file."""
        note, have = part.note(), part.length()
        if note and have and note.size == have:
            return
        resumable = note and have and (note.validator or meant.sha256 or meant.md5)
        if not note or not resumable or have > (note.size or have):
            part.drop()
            note, have = None, 0
        headers = {"Range": f"bytes={have}-"} if note else {}
        if note and note.validator:
            headers["If-Range"] = note.validator
        with self._answer("GET", url, headers) as response:
            status = response.status_code
            if status == 416 and note and total_length(response) == have:
                return  # its length had not been known before
            if status == 206 and note and part.continued_by(response, note):
                mode, whole = "ab", note.size
            elif status == 200:
                mode, whole = "wb", response.raw.length_remaining
                if whole is not None and meant.size not in (None, whole):
                    raise DataError(f"{url} has {whole} bytes, and {meant.size} were expected")
                part.begin(Note(url=url, validator=validator(response), size=whole))
            else:
                part.drop()
                raise _Passing(f"the server answered {status} to a request for a range")
            with part.path.open(mode) as stream:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    # Also because what is read from a TLS socket that was shut is not the file.
                    self._end_if_stopped()
                    stream.write(chunk)
                    step(len(chunk))
        self._end_if_stopped()
        if whole is not None and part.length() != whole:
            raise _Passing(f"the connection ended after {part.length()} of {whole} bytes")

    @contextmanager
    def _answer(self, method: str, url: str, headers: dict[str, str]) -> Iterator[Response]:
        """An answer that can be used; what speaks against it is raised."""
        try:
            response = self._session.request(
                method, url, headers=headers, stream=True, allow_redirects=True,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )  # fmt: skip
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _Passing(_innermost(error)) from error
        except ValueError as error:  # requests' errors about an address are ValueErrors too
            raise UsageError(f"{url} cannot be fetched: {error}") from None
        except requests.RequestException as error:
            raise DataError(f"{url} cannot be fetched: {error}") from None
        with response:
            _raise_for_status(response, url, method)
            with self._lock:
                self._open.add(response)
            try:
                self._end_if_stopped()
                yield response
            except urllib3.exceptions.HTTPError as error:
                raise _Passing(_innermost(error)) from error
            finally:
                with self._lock:
                    self._open.discard(response)

    def _persist(self, url: str, attempt: Callable[[], T], got: Callable[[], int]) -> T:
        """Try until it succeeds; a try that got further than any before starts the count anew."""
        failures, most = 0, got()
        while True:
            try:
                with self._slots:
                    self._end_if_stopped()
                    return attempt()
            except _Passing as error:
                reason, pause_s = str(error), error.pause_s
            self._end_if_stopped()
            failures, most = (1 if got() > most else failures + 1), max(most, got())
            if failures > self.retries:
                raise Unreachable(
                    f"{url} cannot be fetched: {reason} (try {failures}); look at the network and "
                    "the address, then run the same command again: it goes on from what is here"
                )
            drawn = random.uniform(0, self.pause_s * 2 ** (failures - 1))
            self._stopped.wait(min(max(drawn, pause_s), LONGEST_PAUSE_S))

    def _end_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise Stopped


def _raise_for_status(response: Response, url: str, method: str) -> None:
    status, answer = response.status_code, f"{response.status_code} {response.reason}"
    if status in (404, 410):
        raise NotThere(f"{url} is not there: the server answered {answer}")
    if method == "HEAD" and status in (405, 501):  # it does not tell sizes
        return
    if status in (408, 429) or status >= 500:
        pause_s = None
        with contextlib.suppress(urllib3.exceptions.InvalidHeader):
            pause_s = urllib3.Retry().get_retry_after(response.raw)
        raise _Passing(f"the server answered {answer}", pause_s or 0.0)
    if status not in (200, 206, 416):
        raise Unreachable(f"{url} cannot be fetched: the server answered {answer}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DataError(f"{url} comes in another encoding than the file's own; use another server")


def _innermost(error: BaseException) -> str:
    """The first cause: requests and urllib3 wrap it in layers that say less."""
    kinds = (OSError, HTTPException, urllib3.exceptions.HTTPError)
    while isinstance(error.__context__, kinds):
        error = error.__context__
    return str(error) or type(error).__name__


def quoted(base_url: str, path: str) -> str:
    """The address of `path`, as a server's file system has it, below `base_url`."""
    return f"{base_url.rstrip('/')}/{quote(path.lstrip('/'))}"


def cached(url: str, sha256: str) -> bytes:
    """A small file's content, from the cache or else its address; DataError without either."""
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
