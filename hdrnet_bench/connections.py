"""HTTP with servers that are not trusted: none can keep a client waiting, fill its memory, or send
it to where it never wanted to go.

Time-outs of sockets alone do not do that: they begin anew with each byte. Here what http.client
reads of a connection goes through `_Paced`, which counts the bytes and the time that passes in
waiting for them, from the first byte of the head to the last of the body.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.request import getproxies
from weakref import WeakKeyDictionary

import requests
import urllib3
from requests import Response
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader, InvalidProxyURL

from .addresses import fault, is_less_secure, redirected, shown
from .errors import DataError, UsageError
from .version import __version__

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 30.0
# Of an answer's head, with what may come before it (100 Continue, any number of times).
HEAD_BYTES, HEAD_S = 1 << 18, 60.0
# A body that comes more slowly than this many bytes in so many seconds of waiting, 1 kB/s, never
# comes: a picture would take half a day.
SLOWEST_BYTES, SLOWEST_S = 1 << 16, 60.0
# What a chunked body has beside its content, for each piece of it: sizes of chunks, trailers.
FRAMING_BYTES = 1 << 16
MOST_REDIRECTS = 10
# Of what a server says: a line of it is enough.
TEXT_LENGTH = 200


class BadRedirect(DataError):
    """The server sends the client to where it does not go."""


class _Paced(io.RawIOBase):
    """A connection's bytes: a bounded number of them, and a bounded time of waiting."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw, self._connection = raw, connection
        self._left, self._patience_s = HEAD_BYTES, HEAD_S
        self._in_body, self._came = False, 0

    def begin_body(self) -> None:
        self._in_body, self._patience_s = True, SLOWEST_S
        self.allow(0)

    def allow(self, content: int) -> None:
        """So many bytes of content may come next."""
        self._left = content + FRAMING_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._left <= 0:
            raise OSError("the server sends bytes without end that are no part of a file")
        if self._patience_s <= 0:
            raise TimeoutError("the server sends too slowly")
        self._connection.settimeout(min(READ_TIMEOUT_S, self._patience_s))
        start = time.monotonic()
        # Only waiting counts: a client that is slow itself, or was put to sleep, is patient.
        count = self._raw.readinto(buffer)
        self._patience_s -= time.monotonic() - start
        self._left -= count or 0
        self._came += count or 0
        if self._in_body and self._came >= SLOWEST_BYTES:
            self._came, self._patience_s = 0, SLOWEST_S
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    """http.client's own, which reads at a pace."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.paced = _Paced(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self.paced)

    def begin(self) -> None:
        super().begin()
        self.paced.begin_body()


class _Lines:
    """The sockets of open connections, so that another thread can end what is waited for on them:
    a TLS handshake, or an answer's head."""

    def __init__(self) -> None:
        # Pools that are collected close their connections, perhaps while this very lock is held.
        self._lock = threading.RLock()
        self._sockets: WeakKeyDictionary[object, socket.socket] = WeakKeyDictionary()
        self._ended = False

    def add(self, connection: object, line: socket.socket) -> None:
        with self._lock:
            # A copy, of the same connection: TLS takes the socket itself apart.
            self._sockets[connection] = line.dup()
            if self._ended:
                self.end()

    def discard(self, connection: object) -> None:
        with self._lock:
            if line := self._sockets.pop(connection, None):
                line.close()

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for line in list(self._sockets.values()):
                with contextlib.suppress(OSError):  # the server has ended it
                    line.shutdown(socket.SHUT_RDWR)


class _Connection(urllib3.connection.HTTPConnection):
    """What `_Adapter` puts before a pool's own class of connections."""

    response_class = _Answer
    _lines: _Lines

    def _new_conn(self) -> socket.socket:
        line = super()._new_conn()
        self._lines.add(self, line)
        return line

    def close(self) -> None:
        """Also called where the server ends a connection with its answer, which reads on: whoever
        reads that has the answer."""
        self._lines.discard(self)
        super().close()


class _Adapter(HTTPAdapter):
    def __init__(self, lines: _Lines, connections: int) -> None:
        self._lines = lines
        super().__init__(pool_maxsize=connections)

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        try:
            pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        except TypeError:  # of a proxy without a host
            raise InvalidProxyURL("the proxy's address is malformed") from None
        own = pool.ConnectionCls  # of HTTP, HTTPS, or either through a SOCKS proxy
        if not issubclass(own, _Connection):
            pool.ConnectionCls = type(own.__name__, (_Connection, own), {"_lines": self._lines})
        return pool


class Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self.lines = _Lines()

    def end(self) -> None:
        """From any thread: whatever waits for a handshake or for an answer's head fails at once,
        and so does, as soon as it is connected, what is connected later."""
        self.lines.end()

    def get_redirect_target(self, resp: Response) -> None:
        """None: requests would read a redirect's body into memory, however long, and decode it.
        `request` follows redirects."""
        return


def session(connections: int = 1) -> Session:
    """A session for `request`, which keeps up to so many connections open."""
    made = Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter(made.lines, connections))
    # Cookies would be shared between threads, and no server here needs one.
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    made.headers["User-Agent"] = f"hdrnet-bench/{__version__}"
    # Sizes, ranges and digests are of the file's own bytes, not of a compressed body's.
    made.headers["Accept-Encoding"] = "identity"
    return made


def request(
    session: requests.Session, method: str, url: str, headers: dict[str, str] | None = None
) -> Response:
    """The answer to a request, redirects followed, its body not yet read (see `pieces`).

    Raises:
        UsageError: `url` is no address, or that of the proxy is none.
        BadRedirect: a redirect leads to no address, from a secure one to an insecure one, or to too
            many others.
        requests.RequestException: no answer came, or none that is HTTP.
    """
    here = url
    for hop in range(MOST_REDIRECTS + 1):
        if problem := fault(here):
            raise _no_address(url, here, problem, hop)
        try:
            response = session.request(
                method, here, headers=headers, stream=True, allow_redirects=False,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )  # fmt: skip
        except InvalidHeader:
            raise  # the server's
        except ValueError as error:  # what requests and the codecs of host names say of addresses
            # They quote it, or a part of it: a password in it, or in a proxy's, is not to be shown.
            has_user = any("@" in address for address in (here, *getproxies().values()))
            malformed = "the address or the proxy's is malformed"
            problem = malformed if has_user else shortened(str(error))
            raise _no_address(url, here, problem, hop) from None
        location = response.headers.get("Location")
        if response.status_code not in (301, 302, 303, 307, 308) or not location:
            return response
        response.close()
        # http.client takes headers for Latin-1; those that are no ASCII are UTF-8.
        there = redirected(here, location.encode("latin-1", "replace").decode("utf-8", "replace"))
        if is_less_secure(here, there):
            raise _no_address(url, there, "https is not left for something less secure", 1)
        here = there
    raise BadRedirect(f"{shown(url)} cannot be fetched: over {MOST_REDIRECTS} redirects")


def _no_address(url: str, here: str, problem: str, hop: int) -> DataError | UsageError:
    if hop == 0:
        return UsageError(f"{shown(url)} cannot be fetched: {problem}")
    return BadRedirect(
        f"{shown(url)} cannot be fetched: the server redirects to {shortened(shown(here))}, and "
        f"{problem}"
    )


def pieces(response: Response, size: int) -> Iterator[bytes]:
    """The body of an answer of `request` as it comes, in pieces of up to `size` bytes.

    Raises urllib3.exceptions.HTTPError where it comes too slowly, ends too soon or is no HTTP.
    """
    # The names under which urllib3 keeps http.client's answer, also for requests.
    answer: Any = response.raw._original_response
    paced: _Paced = answer.paced
    stream = response.raw.stream(size, decode_content=False)
    while True:
        paced.allow(size)
        try:
            piece = next(stream, None)
        except (ValueError, AttributeError) as error:  # as of a chunk of -5 bytes
            raise urllib3.exceptions.ProtocolError(f"the body is no HTTP: {error}") from error
        if piece is None:
            return
        yield piece


def first_cause(error: BaseException) -> str:
    """What went wrong first: requests and urllib3 wrap it in layers that say less."""
    network_errors = (OSError, HTTPException, urllib3.exceptions.HTTPError)
    while isinstance(error.__context__, network_errors):
        error = error.__context__
    return shortened(str(error)) or type(error).__name__


def shortened(text: str) -> str:
    """One line of what a server says, which may be of any length."""
    line = " ".join(text[: 4 * TEXT_LENGTH].split())
    return line if len(line) <= TEXT_LENGTH else f"{line[:TEXT_LENGTH]}…"
