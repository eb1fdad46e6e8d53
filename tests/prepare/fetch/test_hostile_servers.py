"""Servers that lie, flood, dawdle or send elsewhere: each is real, on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest
import yaml

from hdrnet_bench import addresses, connections
from hdrnet_bench.errors import DataError, StorageError, UsageError
from hdrnet_bench.prepare import acceptance
from hdrnet_bench.prepare.fetch import download
from hdrnet_bench.prepare.fetch.cached import cached_content
from hdrnet_bench.prepare.fetch.download import (
    BadFile,
    Downloads,
    Limits,
    Unreachable,
)
from hdrnet_bench.prepare.protocols import load_source
from hdrnet_bench.prepare.source_models import Licence
from hdrnet_bench.prepare.sources import fivek_download, fivek_index, hdrplus_bucket
from hdrnet_bench.prepare.sources.fivek import PairFiles
from hdrnet_bench.prepare.sources.hdrplus_bucket import Bucket
from tests.conftest import ROOT, Workspace
from tests.file_server import FileServer, RawServer, serve, serve_raw
from tests.fivek_server import NAMES, make_fivek, write_source

CONTENT = bytes(range(256)) * 125  # 32,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OK = b"HTTP/1.1 200 OK\r\n"
PIECE = b"x" * 65536
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
MB = 1 << 20

fault = pytest.mark.fault("servers")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "here" / "f"


def quick(retries: int = 1) -> Downloads:
    return Downloads(retries=retries, pause_s=0.01)


def whole(extra: bytes = b"", body: bytes = CONTENT) -> bytes:
    return OK + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


@contextmanager
def saying(answer: bytes) -> Iterator[RawServer]:
    """A server that gives this answer to every request."""
    with serve_raw(lambda server, connection, head: connection.sendall(answer)) as server:
        yield server


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def one_line(error: BaseException) -> str:
    text = str(error)
    assert len(text.splitlines()) == 1
    assert len(text) < 1500
    return text


# Bodies


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


@fault
@pytest.mark.parametrize("start", [OK + b"\r\n", OK + CHUNKED], ids=["close", "chunked"])
@pytest.mark.parametrize("known", [{"size": 32_000}, {"limits": Limits(32_000, 60)}], ids=str)
def test_a_body_without_end(path: Path, start: bytes, known: dict) -> None:
    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        connection.sendall(start)
        server.pour(connection, chunk(PIECE) if CHUNKED in start else PIECE)

    with serve_raw(answer) as server, quick() as downloads, within(10):
        with pytest.raises(BadFile, match="over 32000 bytes came") as caught:
            downloads.fetch(f"{server.url}/f", path, **known)
        assert len(server.heads) == 2
        assert server.sent < 30 * MB  # what the kernel's buffers hold
        with pytest.raises(BadFile, match="such a file has 32,000 at most"):
            downloads.read(f"{server.url}/f", Limits(32_000, 60))
    one_line(caught.value)
    assert not list(path.parent.iterdir())


@fault
def test_the_rest_of_a_file_without_end(path: Path) -> None:
    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        if b"Range:" in head:
            connection.sendall(
                b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 16000-31999/32000\r\n\r\n"
            )
            server.pour(connection, PIECE)
        else:
            connection.sendall(whole(b'ETag: "1"\r\n')[: -len(CONTENT) // 2])

    with serve_raw(answer) as server, quick() as downloads, within(10):
        with pytest.raises(BadFile, match="over 32000 bytes came"):
            downloads.fetch(f"{server.url}/f", path)
    assert not list(path.parent.iterdir())


@fault
def test_sizes_that_no_such_file_has(path: Path) -> None:
    stated = OK + b"Content-Length: 99999999999999\r\n\r\nx"
    with saying(stated) as server, quick() as downloads:
        with pytest.raises(BadFile, match="99,999,999,999,999 bytes or more: such a file has"):
            downloads.fetch(f"{server.url}/f", path)
        # A listing may state such sizes too.
        with pytest.raises(BadFile, match="such a file has"):
            downloads.fetch(f"{server.url}/f", path, size=1 << 60)
        assert len(server.heads) == 1
    assert not path.parent.exists() or not list(path.parent.iterdir())


@fault
@pytest.mark.parametrize(
    "body",
    [
        b"-1\r\n" + b"x" * 100_000,
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"F" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"5\r\nhel",
        b"",
    ],
    ids=["minus one", "negative", "no number", "5,000 digits", "empty", "cut", "nothing"],
)
def test_chunks_of_absurd_sizes(path: Path, body: bytes) -> None:
    with saying(OK + CHUNKED + body) as server, quick() as downloads, within(5):
        with pytest.raises(Unreachable) as caught:
            downloads.fetch(f"{server.url}/f", path)
        assert len(server.heads) == 2
    one_line(caught.value)


@fault
@pytest.mark.parametrize("endless", [b"-1\r\n", b"", b"0\r\n"], ids=["chunk", "size", "trailers"])
def test_chunks_without_end_fill_no_memory(path: Path, endless: bytes) -> None:
    """Of a size of -1 all that comes would be read at once; lines of trailers never end."""

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        connection.sendall(OK + CHUNKED + endless)
        server.pour(connection, b"a: b\r\n" * 10_000 if endless == b"0\r\n" else PIECE)

    tracemalloc.start()
    try:
        with serve_raw(answer) as server, quick() as downloads, within(10):
            with pytest.raises(Unreachable) as caught:
                downloads.fetch(f"{server.url}/f", path)
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()
    one_line(caught.value)


@fault
def test_a_compressed_bomb_is_not_unpacked(path: Path) -> None:
    bomb = zlib.compress(bytes(100 * MB), wbits=31)
    tracemalloc.start()
    try:
        with saying(whole(b"Content-Encoding: gzip\r\n", bomb)) as server, quick() as downloads:
            with pytest.raises(Unreachable, match="encoding"):
                downloads.fetch(f"{server.url}/f", path)
            with pytest.raises(Unreachable, match="encoding"):
                downloads.read(f"{server.url}/f")
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()


@fault
def test_a_page_in_place_of_the_file(path: Path) -> None:
    with saying(whole(b"Content-Type: text/html\r\n", b"<html>Not found")) as server:
        with quick() as downloads, pytest.raises(BadFile, match="another file than the expected"):
            downloads.fetch(f"{server.url}/f", path, sha256=SHA256)
    assert not list(path.parent.iterdir())


# Headers


DIGITS = b"9" * 5000
GARBAGE = b"\x00\x1b]0;\x07\xff\xfe"


@fault
@pytest.mark.parametrize(
    ("lines", "comes"),
    [
        (b"Content-Length: " + DIGITS + b"\r\n\r\n", True),
        (b"Content-Length: -32000\r\n\r\n", True),
        (b"Content-Length: 1e9\r\n\r\n", True),
        (b"Content-Length: 5, 6\r\n\r\n", False),
        (b"Content-Length: 32000\r\nContent-MD5: =no base64=\r\n\r\n", True),
        (b"Content-Length: 32000\r\nx-goog-hash: crc32c=?,md5=" + GARBAGE + b"\r\n\r\n", True),
        (b"Content-Length: 32000\r\nETag: " + GARBAGE + b"\r\n\r\n", True),
        (b"Content-Length: 32000\r\nLast-Modified: " + DIGITS * 10 + b"\r\n\r\n", True),
        (b"Content-Length: 32000\r\nContent-Range: bytes " + DIGITS + b"-/1\r\n\r\n", True),
        (b"Content-Length: 32000\r\n: no name\r\nno colon\r\n\r\n", None),
        (b"X: " + DIGITS * 20 + b"\r\n\r\n", False),
        (b"X: 1\r\n" * 200 + b"\r\n", False),
        (b"Content-Length: 31000\r\n\r\n", False),
    ],
    ids=range(13),
)
def test_headers_that_lie(path: Path, lines: bytes, comes: bool | None) -> None:
    """Where they are only advice the file comes, else it is an error: never a bug of ours."""
    with saying(OK + lines + CONTENT) as server, quick() as downloads, within(5):
        try:
            downloads.fetch(f"{server.url}/f", path, sha256=SHA256)
            assert path.read_bytes() == CONTENT
            assert comes is not False
        except DataError as error:
            one_line(error)
            assert comes is not True
        downloads.size(f"{server.url}/f") if comes else None


@fault
@pytest.mark.parametrize(
    "range_", [b"bytes " + DIGITS + b"-1/" + DIGITS, b"bytes 16000-31999/" + DIGITS, b"", GARBAGE]
)
@pytest.mark.parametrize("etag", [b'"1\r\n 2"', b'"' + b"1" * 2000 + b'"', b'"\xff\x00"', b'"1"'])
def test_ranges_and_validators_that_lie(path: Path, range_: bytes, etag: bytes) -> None:
    """What a server says is neither believed nor sent back where it is no header's text."""

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        if b"Range:" in head:
            connection.sendall(b"HTTP/1.1 206 X\r\nContent-Range: " + range_ + b"\r\n\r\n" + PIECE)
        elif len(server.heads) == 1:
            connection.sendall(whole(b"ETag: " + etag + b"\r\n")[: -len(CONTENT) // 2])
        else:
            connection.sendall(whole())

    with serve_raw(answer) as server, quick(3) as downloads, within(5):
        downloads.fetch(f"{server.url}/f", path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


@fault
@pytest.mark.parametrize(
    "after",
    [DIGITS, b"Fri, 31 Dec 9999 23:59:59 GMT", b"Fri, 31 Dec 999999999999 23:59:59 GMT", b"-1",
     b"Fri, 99 Foo 2020 99:99:99 +9999999999", b"nan", b"1e308", GARBAGE],
)  # fmt: skip
def test_pauses_without_sense(path: Path, after: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LONGEST_PAUSE_S", 0.05)

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: " + after + b"\r\n\r\n"
        connection.sendall(busy if len(server.heads) == 1 else whole())

    with serve_raw(answer) as server, quick() as downloads, within(3):
        downloads.fetch(f"{server.url}/f", path)
    assert path.read_bytes() == CONTENT


@fault
@pytest.mark.parametrize("status", [b"404", b"403", b"503", b"999", b"-1", b"7" * 5000, b"OK"])
def test_what_a_server_says_is_cut_short(path: Path, status: bytes) -> None:
    reason = b"<b>very " * 5000
    with saying(b"HTTP/1.1 " + status + b" " + reason + b"\r\n\r\n") as server:
        with quick() as downloads, pytest.raises(DataError) as caught:
            downloads.fetch(f"{server.url}/f", path)
    one_line(caught.value)


@fault
@pytest.mark.parametrize("answer", [b"", b"\r\n" * 9, b"SSH-2.0-OpenSSH_9\r\n", GARBAGE * 999])
def test_what_is_no_http(path: Path, answer: bytes) -> None:
    with saying(answer) as server, quick() as downloads, within(5):
        with pytest.raises(Unreachable) as caught:
            downloads.fetch(f"{server.url}/f", path)
    one_line(caught.value)


# Time


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SLOWEST_S", 0.3)
    monkeypatch.setattr(connections, "HEAD_S", 0.3)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, with its key."""
    if not shutil.which("openssl"):
        pytest.skip("needs the program openssl")
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-days", "9", "-keyout", str(file), "-out", str(file.with_name("c.pem"))],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_bytes(file.read_bytes() + file.with_name("c.pem").read_bytes())
    return file


@pytest.fixture
def tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


SLOW = {
    "head": (b"", b"H"),
    "headers": (OK, b"X: 1\r\n"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (OK + b"Content-Length: 32000\r\n\r\n", b"x"),
    "body without length": (OK + b"\r\n", b"x"),
    "chunks": (OK + CHUNKED, b"1\r\nx\r\n"),
    "size of a chunk": (OK + CHUNKED, b"0"),
    "trailers": (OK + CHUNKED + b"0\r\n", b"X: 1\r\n"),
}


@fault
@pytest.mark.parametrize("where", SLOW)
def test_a_byte_now_and_then(path: Path, where: str, impatient: None) -> None:
    """Each one comes before the socket's time-out."""
    start, piece = SLOW[where]

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        connection.sendall(start)
        server.pour(connection, piece, 0.02)

    with serve_raw(answer) as server, quick() as downloads, within(3):
        with pytest.raises(Unreachable, match=r"too slowly|timed out") as caught:
            downloads.fetch(f"{server.url}/f", path)
        assert len(server.heads) == 2  # a few bytes are no progress that starts the count anew
    one_line(caught.value)


@fault
def test_a_byte_now_and_then_over_tls(path: Path, tls: ssl.SSLContext, impatient: None) -> None:
    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        connection.sendall(OK + b"Content-Length: 32000\r\n\r\n")
        server.pour(connection, b"x", 0.02)

    with serve_raw(answer, tls) as server, quick() as downloads, within(3):
        with pytest.raises(Unreachable, match=r"too slowly|timed out"):
            downloads.fetch(f"{server.url}/f", path)
        assert len(server.heads) == 2


@fault
@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 100 Continue\r\n\r\n" * 100, b"x" * 9999], ids=range(2)
)
def test_a_head_without_end_that_comes_fast(path: Path, piece: bytes) -> None:
    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        server.pour(connection, piece)

    with serve_raw(answer) as server, quick() as downloads, within(5):
        with pytest.raises(Unreachable):
            downloads.fetch(f"{server.url}/f", path)


def forward(connection: socket.socket, address: tuple[str, int], hello: bytes) -> None:
    """As a proxy does it: both ways, until the client leaves."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)

    with socket.create_connection(address) as there:
        connection.sendall(hello)
        threading.Thread(target=copy, args=(there, connection), daemon=True).start()
        copy(connection, there)


def use_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, url)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def socks(answer: bytes) -> Iterator[str]:
    """A proxy of SOCKS 5 that connects to addresses of IPv4 (after 0) or refuses (after 5)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection, connection.makefile("rb") as asked:
                _, methods = asked.read(2)
                asked.read(methods)
                connection.sendall(b"\x05\x00")
                assert asked.read(4) == b"\x05\x01\x00\x01"
                host, port = socket.inet_ntoa(asked.read(4)), int.from_bytes(asked.read(2), "big")
                hello = b"\x05" + answer + b"\x00\x01" + bytes(6)
                forward(connection, (host, port), hello) if answer == b"\x00" else (
                    connection.sendall(hello)
                )

        def accept() -> None:
            with contextlib.suppress(OSError):  # the listener is closed
                while True:
                    threading.Thread(target=serve_one, args=listener.accept()[:1]).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@fault
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_through_a_socks_proxy_it_is_the_same(
    path: Path, tls: ssl.SSLContext, impatient: None, secure: bool, scheme: str,
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    pytest.importorskip("socks")
    record_property("faults", 3)

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        if b" /slow " in head:
            connection.sendall(OK + b"Content-Length: 32000\r\n\r\n")
            server.pour(connection, b"x", 0.02)
        if b" /silent " in head:
            server.over.wait(30)
        connection.sendall(whole())

    with serve_raw(answer, tls if secure else None) as server:
        with socks(b"\x00") as proxy:
            use_proxy(monkeypatch, f"{scheme}://user:geheim@{proxy}")
            with quick(0) as downloads:
                downloads.fetch(f"{server.url}/f", path)
                assert path.read_bytes() == CONTENT
                with within(3), pytest.raises(Unreachable, match=r"too slowly|timed out"):
                    downloads.fetch(f"{server.url}/slow", path.with_name("g"))
            monkeypatch.setattr(connections, "HEAD_S", 30)
            with ThreadPoolExecutor() as pool, quick(0) as downloads, within(3):
                fetch = pool.submit(downloads.read, f"{server.url}/silent")
                while not server.heads[-1].startswith(b"GET /silent "):
                    time.sleep(0.01)
                downloads.stop()
                with pytest.raises(download.Stopped):
                    fetch.result()
        with socks(b"\x05") as proxy, quick(0) as downloads:
            use_proxy(monkeypatch, f"{scheme}://user:geheim@{proxy}")
            with pytest.raises(Unreachable, match="refused") as caught:
                downloads.read(f"{server.url}/f")
        assert "geheim" not in one_line(caught.value)
        with quick(0) as downloads, pytest.raises(Unreachable, match="refused") as caught:
            downloads.read(f"{server.url}/f")  # nobody is there any more
        assert "geheim" not in one_line(caught.value)


@fault
@pytest.mark.parametrize(
    "proxy",
    ["http://user:geheim@host:99999", "http://user:geheim@", "socks5://user:geheim@",
     "socks5://user:geheim@host:99999", "http://user:ge#heim@h", "http://user:ge/heim@h",
     "user:geheim@h:1:2", "http://u:geheim@[::1", "http://u:geheim\u6f22@127.0.0.1:1",
     "geheim://user:geheim@h", "geheim9://u:geheim@h:1"],
    ids=range(11),
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_no_address(
    scheme: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_proxy(monkeypatch, proxy)
    with quick(0) as downloads:
        with pytest.raises(UsageError, match="the address or the proxy's is malformed") as caught:
            downloads.read(f"{scheme}://example.com/f")
    assert one_line(caught.value).startswith(f"{scheme}://example.com/f cannot be fetched: ")


@fault
@pytest.mark.parametrize("proxy", ["http://", "http://:80", "socks5://", "http://host:99999"])
def test_a_proxy_without_a_host(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_proxy(monkeypatch, proxy)
    with quick(0) as downloads, pytest.raises(UsageError) as caught:
        downloads.read("https://example.com/f")
    one_line(caught.value)


@fault
@pytest.mark.parametrize("is_slow", [False, True])
def test_through_a_proxy_it_is_the_same(
    path: Path, tls: ssl.SSLContext, impatient: None, is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        connection.sendall(OK + b"Content-Length: 32000\r\n\r\n")
        if is_slow:
            server.pour(connection, b"x", 0.02)
        connection.sendall(CONTENT)

    def tunnel(server: RawServer, connection: socket.socket, head: bytes) -> None:
        host, _, port = head.split()[1].decode().partition(":")
        forward(connection, (host, int(port)), b"HTTP/1.1 200 Connected\r\n\r\n")

    with serve_raw(answer, tls) as server, serve_raw(tunnel) as proxy, quick(0) as downloads:
        use_proxy(monkeypatch, proxy.url)
        if is_slow:
            with within(3), pytest.raises(Unreachable, match=r"too slowly|timed out"):
                downloads.fetch(f"{server.url}/f", path)
        else:
            downloads.fetch(f"{server.url}/f", path)
            assert path.read_bytes() == CONTENT
        assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:")


def test_a_slow_client_is_not_a_slow_server(path: Path, impatient: None) -> None:
    """Only waiting for the server counts, not the time that passes."""
    big = CONTENT * 40

    with saying(whole(body=big)) as server, quick(0) as downloads:
        downloads.fetch(f"{server.url}/f", path, step=lambda n: time.sleep(0.2))
    assert path.read_bytes() == big


@fault
def test_a_try_that_brings_a_few_bytes_brings_nothing(path: Path) -> None:
    """A server could send a byte with each, for ever."""
    state = {"here": 0}

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        here, state["here"] = state["here"], state["here"] + 10
        if b"Range:" in head:
            connection.sendall(
                b'HTTP/1.1 206 X\r\nETag: "1"\r\nContent-Range: bytes %d-/32000\r\n'
                b"Content-Length: %d\r\n\r\n" % (here, 32_000 - here)
            )
        else:
            connection.sendall(OK + b'ETag: "1"\r\nContent-Length: 32000\r\n\r\n')
        connection.sendall(CONTENT[here : here + 10])

    with serve_raw(answer) as server, quick(4) as downloads, within(5):
        with pytest.raises(Unreachable, match="try 5"):
            downloads.fetch(f"{server.url}/f", path)
        assert len(server.heads) == 5
    assert (path.parent / "f.part").read_bytes() == CONTENT[:50]


@fault
def test_a_small_file_has_a_time_in_all(path: Path) -> None:
    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        connection.sendall(OK + CHUNKED)
        server.pour(connection, chunk(b"x" * 100), 0.02)

    with serve_raw(answer) as server, quick(99) as downloads, within(5):
        for get in (
            lambda: downloads.read(f"{server.url}/f", Limits(MB, 0.2)),
            lambda: downloads.fetch(f"{server.url}/f", path, limits=Limits(MB, 0.2)),
        ):
            with pytest.raises(Unreachable, match="takes too long"):
                get()


@fault
@pytest.mark.parametrize("stated", [True, False])
def test_a_picture_has_a_time_in_all(
    path: Path, stated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its size, where anybody says it: else by the most that such a file may have."""

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        connection.sendall(OK + (b"Content-Length: 32000\r\n" if stated else b"") + b"\r\n")
        server.pour(connection, b"x" * 10, 0.02)

    monkeypatch.setattr(download, "CHUNK", 10)
    limits = Limits(MB if stated else 32_000, 0.1, pace=64_000)
    with serve_raw(answer) as server, quick(99) as downloads, within(4):
        with pytest.raises(Unreachable, match="takes too long"):
            downloads.fetch(f"{server.url}/f", path, limits=limits)
    start, known = 100.0, 120 << 20
    assert download.PICTURE.deadline(start, 1000) == start + 3600
    assert download.PICTURE.deadline(start, known) == start + known / 20_000
    assert download.PICTURE.deadline(start, None) == start + (1 << 31) / 20_000


# Redirects


def found(location: str, body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@fault
@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/f", "data:text/plain,x", "http://127.0.0.1:99999/f",
     "http://127.0.0.1:port/f", "http://[::1/f", "http://", "http:///f", "//", "http://a..b/f",
     "http://" + "a" * 300 + "/f", "javascript:x", "http://\x1b[31m/f", "gopher://\u202e/"],
    ids=range(14),
)  # fmt: skip
def test_a_redirect_to_no_address_is_the_servers_mistake(path: Path, location: str) -> None:
    with saying(found(location)) as server, quick(0) as downloads, within(5):
        for get in (downloads.read, downloads.size, lambda url: downloads.fetch(url, path)):
            with pytest.raises(Unreachable, match=server.url) as caught:
                get(f"{server.url}/f")
            is_web = location.startswith(("http", "/"))
            assert is_web or "an address begins with https://" in one_line(caught.value)


@fault
def test_redirects_in_a_ring(path: Path) -> None:
    with saying(found("/f?again")) as server, quick() as downloads, within(5):
        with pytest.raises(Unreachable, match="over 10 redirects"):
            downloads.fetch(f"{server.url}/f", path)
        assert len(server.heads) == 11


@fault
@pytest.mark.parametrize("is_bomb", [False, True])
def test_a_redirects_body_is_not_read(path: Path, is_bomb: bool) -> None:
    """It may be without end, or unpack to more than memory holds."""
    bomb = zlib.compress(bytes(50 * MB), wbits=31)

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        if not head.startswith(b"GET /f "):
            connection.sendall(whole())
            return
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n")
        if is_bomb:
            connection.sendall(b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb))
            connection.sendall(bomb)
        else:
            connection.sendall(b"\r\n")
            server.pour(connection, PIECE)

    tracemalloc.start()
    try:
        with serve_raw(answer) as server, quick(0) as downloads, within(5):
            downloads.fetch(f"{server.url}/f", path)
            assert server.sent < 30 * MB
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()
    assert path.read_bytes() == CONTENT


@fault
def test_https_is_not_left(path: Path, tls: ssl.SSLContext) -> None:
    with saying(whole()) as plain:

        def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
            there = "/there" if b" /secure " in head else f"{plain.url}/f"
            connection.sendall(whole() if b" /there " in head else found(there))

        with serve_raw(answer, tls) as server, quick(0) as downloads:
            downloads.fetch(f"{server.url}/secure", path)
            assert path.read_bytes() == CONTENT
            path.unlink()
            with pytest.raises(Unreachable, match="https is not left"):
                downloads.fetch(f"{server.url}/insecure", path)
        assert plain.heads == []


# Passwords


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:secret@host:8/a@b/c?generation=1", "https://host:8/a@b/c?generation=1"),
        ("https://secret@host/f", "https://host/f"),
        ("https://u:se/cret@host/f", "https://host/f"),
        ("https://u:sec#ret@host/f", "https://host/f"),
        ("https://u:secret@host:port/f", "https://host:port/f"),
        ("https://u:secret@[::1/f", "https://[::1/f"),
        ("u:secret@host/f", "host/f"),
        ("https:/u:secret@host/f", "host/f"),
        ("https://u:sec\nret@host/f", "https://host/f"),
        ("https://h/f?a=1&X-Amz-Signature=secret&b=2", "https://h/f?a=1&X-Amz-Signature=…&b=2"),
        ("https://h/f?access_token=secret#x", "https://h/f?access_token=…#x"),
        (
            "https://h/f?AWSAccessKeyId=secret&sig=s;apikey=t",
            "https://h/f?AWSAccessKeyId=…&sig=…;apikey=…",
        ),
        (
            "https://h/f?a%5Fke%79=secret&API-KEY=s&to.Token2=t",
            "https://h/f?a%5Fke%79=…&API-KEY=…&to.Token2=…",
        ),
        (
            "https://h/f?design=a&author=b&compass=c&monkey=d",
            "https://h/f?design=a&author=b&compass=c&monkey=d",
        ),
        ("https://host/f", "https://host/f"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, expected: str) -> None:
    assert addresses.shown(url) == expected


def test_a_redirect_keeps_the_user_on_the_same_host_alone() -> None:
    go = addresses.redirected
    assert go("http://u:p@h/a/b", "c") == "http://u:p@h/a/c"
    assert go("http://u:p@h/a", "http://h:80/c") == "http://u:p@h:80/c"
    for other in ("http://other/c", "https://h/c", "http://h:81/c", "//other/c"):
        assert "u:p" not in go("http://u:p@h/a", other)
    assert go("http://u:p@h/a", "http://v@h/c") == "http://v@h/c"


@fault
def test_a_password_is_used_and_never_told(
    path: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told: list[str] = []
    with saying(b"") as gone:
        pass
    answers = [
        b"HTTP/1.1 404 No\r\n\r\n", b"HTTP/1.1 403 No\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n", b"",
        found("/f"), found("ftp://x/"), whole(b"Content-Encoding: br\r\n"), whole(body=b"other"),
        OK + b"Content-Length: 9999999999999\r\n\r\n",
    ]  # fmt: skip
    record_property("faults", len(answers) + 3)
    for answer in answers:
        with saying(answer) as server, quick(0) as downloads:
            url = f"{server.url}/f".replace("://", "://user:geheim@")
            with pytest.raises(DataError) as caught:
                downloads.fetch(url, path, sha256=SHA256)
            told.append(str(caught.value))
            assert all(b"Authorization: Basic dXNlcjpnZWhlaW0=" in head for head in server.heads)
    with quick(0) as downloads:
        for url in (gone.url, "http://127.0.0.1:x", "ftp://127.0.0.1"):
            with pytest.raises((DataError, UsageError)) as error:
                downloads.fetch(url.replace("://", "://user:geheim@"), path)
            told.append(str(error.value))
    assert all("127.0.0.1" in text and "geheim" not in text for text in told)
    # What is kept of an unfinished file goes on all the same.
    with saying(whole(b'ETag: "1"\r\n')[:-100]) as server, quick(0) as downloads:
        url = f"{server.url}/f".replace("://", "://user:geheim@")
        with pytest.raises(Unreachable):
            downloads.fetch(url, path)
        note = json.loads((path.parent / "f.part.json").read_text())
        assert note["url"] == f"{server.url}/f"
        with pytest.raises(Unreachable):
            downloads.fetch(url, path)
        assert b"Range: bytes=31900-" in server.heads[-1]


# Listings

PAGE = {"kind": "storage#objects"}
ITEM = {"name": "p/n", "size": "1", "generation": "1"}


def listed(**entries: object) -> bytes:
    return json.dumps(PAGE | entries).encode()


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[tuple[FileServer, Bucket]]:
    source = load_source("hdrplus")
    with serve(tmp_path) as server:
        yield server, Bucket(source, server.url, source.parts["subset"], tmp_path)


@fault
@pytest.mark.parametrize(
    "page",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"kind": "storage#objects", "items": ' + b"[" * 100_000,
        b"\xff\xfe\x00",
        b'{"kind": "storage#objects", "items": [{"size": ' + DIGITS + b"}]}",
        b"NaN",
        b"null",
        b"[]",
        b'"storage#objects"',
        listed(items={}),
        listed(items=[[]]),
        listed(items=[None]),
        listed(items=[ITEM | {"size": -1}]),
        listed(items=[ITEM | {"size": "1" * 30}]),
        listed(items=[ITEM | {"generation": "../../etc"}]),
        listed(items=[ITEM | {"name": 5}]),
        listed(items=[ITEM | {"name": "n" * 2000}]),
        listed(items=[ITEM | {"md5Hash": 5}]),
        listed(prefixes="abc"),
        listed(prefixes=[1]),
        listed(nextPageToken=[]),
        listed(nextPageToken="t" * 9999),
        b" " * (17 * MB),
    ],
    ids=range(23),
)
def test_listings_that_are_none(bucket: tuple[FileServer, Bucket], page: bytes) -> None:
    server, listing = bucket
    server.answers["storage/v1/b/hdrplusdata/o"] = lambda query: page
    # A burst is not left out for it.
    with quick() as downloads, within(5), pytest.raises(Unreachable) as caught:
        listing.listing(downloads, "p/")
    assert "/o" in one_line(caught.value)


@fault
@pytest.mark.parametrize(
    ("entries", "reason"),
    [({}, "does not end: 0 entries on 9 pages"), ({"prefixes": ["p/a"] * 50_000}, "on 3 pages")],
    ids=["pages", "entries"],
)
def test_a_listing_without_end(
    bucket: tuple[FileServer, Bucket], entries: dict, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdrplus_bucket, "MOST_PAGES", 9)
    server, listing = bucket
    tokens = iter(range(10**9))
    server.answers["storage/v1/b/hdrplusdata/o"] = lambda query: listed(
        nextPageToken=str(next(tokens)), **entries
    )
    with quick() as downloads, within(10), pytest.raises(DataError, match=reason) as caught:
        listing.listing(downloads, "p/")
    one_line(caught.value)


@fault
def test_a_slow_listing_has_a_time_in_all(
    bucket: tuple[FileServer, Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdrplus_bucket, "PAGE", Limits(MB, 0.5))
    server, listing = bucket
    tokens = iter(range(10**9))
    server.faults["storage/v1/b/hdrplusdata/o"].delay_s = 0.1
    server.answers["storage/v1/b/hdrplusdata/o"] = lambda query: listed(
        nextPageToken=str(next(tokens))
    )
    with quick(99) as downloads, within(3), pytest.raises(Unreachable, match="takes too long"):
        listing.listing(downloads, "p/")


# The cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("HDRBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/f").write_bytes(CONTENT)
    with serve(tmp_path / "served") as server:
        yield server


@pytest.mark.fault("kills")
@pytest.mark.parametrize("half", [b"", CONTENT[:999], CONTENT[:-1] + b"?"])
def test_a_cached_file_that_is_not_whole_is_mended(
    cache: Path, files: FileServer, half: bytes
) -> None:
    (cache / SHA256).write_bytes(half)
    (cache / f"{SHA256}.part").write_bytes(half)
    assert cached_content(f"{files.url}/f", SHA256) == CONTENT
    assert (cache / SHA256).read_bytes() == CONTENT


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize("name", [SHA256, f"{SHA256}.part", f"{SHA256}.part.json"])
def test_a_pipe_in_the_cache_is_not_waited_for(cache: Path, files: FileServer, name: str) -> None:
    os.mkfifo(cache / name)
    with within(5):
        if name.endswith("json"):
            assert cached_content(f"{files.url}/f", SHA256) == CONTENT
        else:
            with pytest.raises(DataError, match=f"{name} is not a regular file; move it"):
                cached_content(f"{files.url}/f", SHA256)


@pytest.mark.fault("hostile datasets")
@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b"\xff", b" " * 99_999, b'{"url": 5}',
     b'{"url": "u", "validator": "a\\r\\nX: 1", "size": 40000}',
     b'{"url": "u", "validator": null, "size": ' + DIGITS + b"}"],
    ids=range(6),
)  # fmt: skip
def test_a_note_that_somebody_changed_is_no_note(
    path: Path, files: FileServer, text: bytes
) -> None:
    path.parent.mkdir()
    url = f"{files.url}/f"
    path.with_name("f.part").write_bytes(b"other")
    path.with_name("f.part.json").write_bytes(text.replace(b'"u"', json.dumps(url).encode()))
    with quick(0) as downloads:
        downloads.fetch(url, path)
    assert path.read_bytes() == CONTENT
    assert files.ranges("f") == [None]


@pytest.mark.fault("full disks")
def test_no_place_for_a_cached_file(cache: Path, files: FileServer) -> None:
    """The kernel refuses to write further, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageError, match="HDRBENCH_CACHE puts the cache") as caught:
            cached_content(f"{files.url}/f", SHA256)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    one_line(caught.value)
    assert cached_content(f"{files.url}/f", SHA256) == CONTENT


@pytest.mark.fault("I/O errors")
def test_a_cache_that_cannot_be_locked_is_said(
    cache: Path, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object, **keywords: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    with pytest.raises(StorageError, match=r"cannot be locked.*HDRBENCH_CACHE puts the cache"):
        cached_content(f"{files.url}/f", SHA256)


CACHED = """
import sys
from hdrnet_bench.prepare.fetch.cached import cached_content
sys.stdout.buffer.write(cached_content(*sys.argv[1:]))
"""


@pytest.mark.fault("several at once")
def test_two_processes_fetch_a_cached_file_once(cache: Path, files: FileServer) -> None:
    files.faults["f"].delay_s = 0.5
    command = [sys.executable, "-c", CACHED, f"{files.url}/f", SHA256]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ)
        for _ in range(3)
    ]
    assert [process.communicate()[0] for process in processes] == [CONTENT] * 3
    assert len(files.requests) == 1


# FiveK's lists and pictures


@pytest.mark.fault("kills")
@pytest.mark.parametrize("half", [b"", b"a0001-x\na00", bytes(65 * MB)], ids=range(3))
def test_a_cached_list_that_is_not_whole_is_mended(
    cache: Path, files: FileServer, half: bytes
) -> None:
    (files.root / "names.txt").write_bytes(b"a0001-x\r\na0002-y\r\n")
    digest = hashlib.sha256(b"a0001-x\na0002-y\n").hexdigest()
    licence = Licence(
        id="l", text="t", text_sha256="0" * 64, names="names.txt", file_sha256="0" * 64,
        names_sha256=digest, count=2,
    )  # fmt: skip
    source = load_source("fivek").model_copy(update={"licences": [licence]})
    (cache / f"{digest}.names").write_bytes(half)
    index = fivek_index.read_index(source, files.url, [])
    assert list(index) == ["a0001", "a0002"]
    assert len(files.requests) == 1
    assert fivek_index.read_index(source, files.url, []) == index
    assert len(files.requests) == 1


@pytest.mark.fault("kills")
@pytest.mark.parametrize("half", [b"\xff\xfe", b"0" * 99_999, b""])
def test_a_half_remembered_acceptance_is_none(cache: Path, half: bytes) -> None:
    source = load_source("fivek")
    acceptance.place(source).write_bytes(half)
    assert not acceptance.is_accepted(source, fivek_index.terms(source))
    acceptance.accept(source, fivek_index.terms(source))
    assert acceptance.is_accepted(source, fivek_index.terms(source))


@fault
@pytest.mark.parametrize(
    "page", [b"<html>Not found", b"\n<?xml version", b'{"error": 404}', b"Back at noon", b""]
)
def test_a_page_in_place_of_a_picture(tmp_path: Path, files: FileServer, page: bytes) -> None:
    (files.root / "in").write_bytes(b"II*\0" + CONTENT)
    (files.root / "out").write_bytes(page)
    folder = tmp_path / "raw"
    remote = fivek_download.Remote(load_source("fivek"), files.url, folder)
    job = SimpleNamespace(files=PairFiles(folder / "in", folder / "out"))
    with quick() as downloads, pytest.raises(Unreachable, match=r"a page .*in place of"):
        remote.bring(downloads, job, lambda n: None)
    assert [p.name for p in folder.iterdir()] == ["in"]


@fault
def test_a_password_in_base_url_is_told_to_nobody(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LONGEST_PAUSE_S", 0.01)
    (workspace.path / "served").mkdir()
    make_fivek(workspace.path / "served")
    with serve(workspace.path / "served") as server:
        write_source(server.root, server.url, workspace.path)
        url = server.url.replace("://", "://user:geheim@")
        command = ["prepare", "fivek", "--accept-licence", "--workers", "1", "--limit", "4"]
        for name in NAMES.values():
            server.faults[f"img/dng/{name}.dng"].cuts = [9000] + [0] * 99
            server.faults[f"img/tiff16_c/{name}.tif"].statuses = [404]

        def told(*more: str) -> str:
            done = workspace.run(*command, *more, env={"HDRBENCH_CACHE": "cache"})
            return done.stdout + done.stderr

        missing = told("--base-url", url, "--dry-run", "--json")
        malformed = told("--base-url", f"{url}:x")
        failed = told("--base-url", url, "--keep-raw")
        authorised = [r.path for r in server.requests if "Authorization" in r.headers]
    assert any(path.endswith(".dng") for path in authorised)
    assert f"{server.url}/img/tiff16_c/" in missing
    assert "malformed" in malformed
    assert f"{server.url}/img/dng/" in failed
    notes = list(workspace.path.rglob("*.part.json"))
    assert notes
    kept = [p.read_text("latin-1") for p in workspace.path.rglob("*") if p.is_file()]
    assert not any("geheim" in text for text in [missing, malformed, failed, *kept])


@pytest.mark.fault("hostile recipes and models")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "file:///etc"),
        ("base_url", "http://h:port/"),
        ("files", {"dng": "../../{name}.dng"}),
        ("files", {"dng": "/etc/{name}"}),
        ("files", {"dng": "{name.__class__}"}),
        ("files", {"dng": "{other}"}),
        ("files", {"dng": "{0}"}),
        ("files", {"dng": "{name"}),
    ],
    ids=range(8),
)
def test_a_source_that_leads_elsewhere(workspace: Workspace, key: str, value: object) -> None:
    folder = workspace.path / "recipes/protocols/fivek"
    folder.mkdir(parents=True)
    source = yaml.safe_load((ROOT / "recipes/protocols/fivek/source.yaml").read_text())
    (folder / "source.yaml").write_text(yaml.safe_dump(source | {key: value}))
    with pytest.raises(UsageError, match=rf"source\.yaml.*{key}") as caught:
        load_source("fivek")
    one_line(caught.value)


# The weights of LPIPS


@fault
@pytest.mark.parametrize("what", ["flood", "drip", "other", "busy", "redirect", "fifo", "proxy"])
def test_weights_of_lpips_that_do_not_come(
    tmp_path: Path, what: str, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    import hdrnet_bench.metrics.lpips  # noqa: F401  (the name in the package is the function)

    lpips = sys.modules["hdrnet_bench.metrics.lpips"]

    def answer(server: RawServer, connection: socket.socket, head: bytes) -> None:
        if what == "flood":
            connection.sendall(OK + b"\r\n")
            server.pour(connection, PIECE)
        elif what == "drip":
            connection.sendall(OK + b"\r\n")
            server.pour(connection, b"x", 0.02)
        else:
            busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
            connection.sendall({"busy": busy, "redirect": found("file:///etc/passwd")}.get(
                what, whole()))  # fmt: skip

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(lpips, "_MOST_BYTES", MB)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    if what == "fifo":
        os.mkfifo(lpips.BACKBONES["alex"].path)
    if what == "proxy":
        use_proxy(monkeypatch, "http://")
    with serve_raw(answer) as server, within(5):
        monkeypatch.setattr(lpips.Backbone, "url", f"{server.url}/f")
        reason = lpips.fetch_backbone()
        assert server.sent < 30 * MB
    assert ("is not a regular file" if what == "fifo" else "is not on this machine") in reason
    assert [p.is_fifo() for p in folder.iterdir()] == [True] * (what == "fifo")
