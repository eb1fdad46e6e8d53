"""What is in the way of a server: of this machine, which fail in their own ways."""

import socket
import time
from pathlib import Path

import pytest
import requests

from hdrnet_bench.doctor import network
from hdrnet_bench.doctor.network import Answer, Server, ask, findings
from tests.file_server import RawServer, serve, serve_raw


def closed() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def problem(url: str) -> str:
    (answer,) = ask([Server("it", url)], 5.0)
    return answer.problem


def test_a_server_that_answers_is_timed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with serve(tmp_path) as server:
        server.faults["file"].delay_s = 0.2
        (answer,) = ask([Server("it", f"{server.url}/file")], 5.0)
        assert (answer.problem, answer.proxied) == ("", False)
        assert 0.2 <= answer.seconds < 5
        assert problem(f"{server.url}/other") == "it answers HTTP 404 Not Found"
        server.faults["file"].statuses = [503]
        assert problem(f"{server.url}/file").startswith("it answers HTTP 503")


@pytest.mark.fault("servers")
def test_each_way_to_fail_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(closed()) == "no connection: [Errno 111] Connection refused"
    assert problem("http://nowhere.invalid/").startswith("its name is not known here: ")

    def no_http(server: RawServer, connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"SSH-2.0-x\r\n\r\n")

    with serve_raw(no_http) as server:
        assert problem(server.url).startswith("no connection: ")
    with serve(tmp_path) as plain:
        assert problem(plain.url.replace("http", "https")).startswith("TLS: ")
    monkeypatch.setenv("http_proxy", closed())
    (answer,) = ask([Server("it", "http://nowhere.invalid/")], 5.0)
    assert answer.problem.startswith("the proxy: ")
    assert answer.proxied
    monkeypatch.setenv("http_proxy", "http://user:secret@[")
    message = problem("http://nowhere.invalid/")
    assert message
    assert "secret" not in message


@pytest.mark.fault("servers")
def test_one_that_does_not_answer_keeps_no_other_waiting(tmp_path: Path) -> None:
    def silent(server: RawServer, connection: socket.socket, head: bytes) -> None:
        server.over.wait(20)

    (tmp_path / "file").touch()
    with serve(tmp_path) as quick, serve_raw(silent) as slow:
        began = time.monotonic()
        first, second = ask([Server("a", slow.url), Server("b", f"{quick.url}/file")], 1.0)
        assert time.monotonic() - began < 3
    assert first.problem == "no answer within 1 s"
    assert second.problem == ""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (requests.exceptions.ConnectTimeout("x"), "no connection: it does not answer"),
        (requests.exceptions.ReadTimeout("x"), "a connection, and no answer on it"),
    ],
)
def test_time_outs_are_told_apart(error: Exception, says: str) -> None:
    assert network.problem_of(error) == says


@pytest.mark.parametrize(
    ("answer", "state", "says", "advice"),
    [
        (Answer(0.2, "", False), "ok", "answered in 0.20 s", ""),
        (Answer(0.2, "", True), "ok", "through the environment's proxy", ""),
        (Answer(1, "TLS: x", False), "warning", "made.up: TLS: x", "REQUESTS_CA_BUNDLE"),
        (Answer(1, "no connection: x", False), "warning", "no connection", "HTTPS_PROXY names"),
        (Answer(1, "no connection: x", True), "warning", "no connection", "which proxy is asked"),
        (Answer(1, "it answers HTTP 503", False), "warning", "HTTP 503", ""),
    ],
)
def test_what_is_said_of_an_answer(answer: Answer, state: str, says: str, advice: str) -> None:
    (finding,) = findings([Server("it", "https://user:secret@made.up/x?token=1")], [answer])
    assert finding.state == state
    assert says in finding.text
    assert advice in finding.advice
    assert bool(finding.advice) == bool(advice)
    assert "secret" not in finding.text


def test_the_servers_are_those_that_files_come_from() -> None:
    urls = [server.url for server in network.servers()]
    assert len(set(urls)) == len(urls) == 5
    assert any("hdrplusdata" in url for url in urls)
