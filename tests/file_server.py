"""Servers on this machine: a folder over HTTP/1.1, with ranges, and with faults where told; and one
that sends whatever bytes a test wants."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PIECE = 10_000


class QuietServer(ThreadingHTTPServer):
    """Without a traceback for a client that leaves in mid-answer, as a stopped download does: it
    would stand in what the tests read of the command's own standard error."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class Faults:
    """What goes wrong with one file. Lists are used up, an entry with each request for it."""

    statuses: list[int] = field(default_factory=list)  # answered instead of the file
    headers: dict[str, str] = field(default_factory=dict)  # sent with every answer
    cuts: list[int] = field(default_factory=list)  # bytes of body, then the connection is cut
    holds: list[int] = field(default_factory=list)  # bytes of body, then nothing until `release`
    release: threading.Event = field(default_factory=threading.Event)
    delay_s: float = 0.0
    ranges: bool = True
    if_range: bool = True  # False: the rest of a file is sent whatever If-Range says
    validators: tuple[str, ...] = ("ETag", "Last-Modified")
    states_length: bool = True  # False: the body ends where the connection does


@dataclass(eq=False)
class Request:
    method: str
    path: str  # below the folder, decoded
    headers: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)
    status: int = 0
    sent: int = 0  # bytes of the body


class FileServer:
    """Serves `root`; what is asked of it is in `requests`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: defaultdict[str, Faults] = defaultdict(Faults)
        self.answers: dict[str, Callable[[dict[str, str]], bytes]] = {}  # to a query, by path
        self.requests: list[Request] = []
        self.connections = 0  # that were ever opened
        self.most_at_once = 0  # answers that were under way at one time
        self._active: list[Request] = []
        self._lock = threading.Lock()
        self.url = ""

    def sent(self, path: str) -> int:
        """Bytes of that file's body that were sent, in all requests together."""
        return sum(r.sent for r in self.requests if r.path == path)

    def ranges(self, path: str) -> list[str | None]:
        """The header Range of each GET of that file."""
        return [
            r.headers.get("Range") for r in self.requests if (r.method, r.path) == ("GET", path)
        ]

    def begin(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            self._active.append(request)
            self.most_at_once = max(self.most_at_once, len(self._active))

    def end(self, request: Request) -> None:
        with self._lock:
            if request in self._active:
                self._active.remove(request)


@contextmanager
def serve(root: Path) -> Iterator[FileServer]:
    files = FileServer(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def setup(self) -> None:
            super().setup()
            files.connections += 1

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path, query = unquote(parts.path).lstrip("/"), dict(parse_qsl(parts.query))
            request = Request(self.command, path, dict(self.headers), query)
            files.begin(request)
            try:
                # A client that has enough closes the connection.
                with suppress(ConnectionError):
                    self.answer(request, path)
            finally:
                files.end(request)

        do_HEAD = do_GET

        def answer(self, request: Request, path: str) -> None:
            faults = files.faults[path]
            time.sleep(faults.delay_s)
            if faults.statuses:
                self.head(request, faults.statuses.pop(0), faults.headers | {"Content-Length": "0"})
                return
            if path in files.answers:
                content = files.answers[path](request.query)
                cut = faults.cuts.pop(0) if faults.cuts else None
                self.head(request, 200, {"Content-Length": str(len(content))})
                self.body(request, content, cut, None, faults.release)
                return
            if not (files.root / path).is_file():
                self.head(request, 404, {"Content-Length": "0"})
                return
            content = (files.root / path).read_bytes()
            modified = (files.root / path).stat().st_mtime
            validators = {
                "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
                "Last-Modified": formatdate(modified, usegmt=True),
            }
            headers = {name: validators[name] for name in faults.validators} | faults.headers
            first = self.first_byte(faults, validators)
            if first is not None and first >= len(content):
                self.head(
                    request,
                    416,
                    headers | {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"},
                )
                return
            body = content[first or 0 :]
            if first is not None:
                place = f"bytes {first}-{len(content) - 1}/{len(content)}"
                headers |= {"Content-Range": place}
            if faults.states_length:
                headers |= {"Content-Length": str(len(body))}
            else:
                headers |= {"Connection": "close"}
            status = 200 if first is None else 206
            if self.command == "HEAD":
                self.head(request, status, headers)
                return
            # Taken before the client can ask again.
            cut = faults.cuts.pop(0) if faults.cuts else None
            hold = faults.holds.pop(0) if faults.holds else None
            self.head(request, status, headers)
            self.body(request, body, cut, hold, faults.release)

        def first_byte(self, faults: Faults, validators: dict[str, str]) -> int | None:
            """Where the wanted range begins, None where the whole file is to be sent."""
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range")
            changed = condition is not None and condition not in [
                validators[name] for name in faults.validators
            ]
            if not match or not faults.ranges or (changed and faults.if_range):
                return None
            return int(match[1])

        def head(self, request: Request, status: int, headers: dict[str, str]) -> None:
            request.status = status
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def body(
            self,
            request: Request,
            body: bytes,
            cut: int | None,
            hold: int | None,
            release: threading.Event,
        ) -> None:
            end = len(body) if cut is None else cut
            self.send(request, body, 0, end if hold is None else hold)
            if hold is not None:
                release.wait(30)
                self.send(request, body, hold, end)
            if cut is not None:
                self.close_connection = True

        def send(self, request: Request, body: bytes, start: int, end: int) -> None:
            for here in range(start, end, PIECE):
                there = min(here + PIECE, end)
                # Both before the client can know, and ask for the next file or how much was sent.
                if there == len(body):
                    files.end(request)
                request.sent += there - here
                try:
                    self.wfile.write(body[here:there])
                except ConnectionError:
                    request.sent -= there - here
                    raise

    server = QuietServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    files.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield files
    finally:
        for faults in files.faults.values():
            faults.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class RawServer:
    """heads: of the requests, as they came. over: set when the test is; who sends slowly waits for
    it. sent: bytes, by `pour`."""

    url: str
    heads: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    sent: int = 0

    def pour(self, connection: socket.socket, piece: bytes, pause_s: float = 0.0) -> None:
        """The same bytes for ever, or until the client leaves."""
        while not self.over.wait(pause_s) if pause_s else not self.over.is_set():
            connection.sendall(piece)
            self.sent += len(piece)


Answer = Callable[[RawServer, socket.socket, bytes], None]


@contextmanager
def serve_raw(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Each connection is read up to the end of a request's head, answered by `answer`, closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    scheme = "https" if tls else "http"
    server = RawServer(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")

    def serve_one(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.settimeout(30)
            if tls:
                connection = tls.wrap_socket(connection, server_side=True)
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    received = connection.recv(65536)
                    if not received:
                        return
                    head += received
                server.heads.append(head)
                answer(server, connection, head)

    def accept() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        # Closing alone would not wake the thread that waits for the next connection.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
