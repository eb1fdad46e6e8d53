"""Whether the servers that files come from can be reached, and what is in the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import NameResolutionError

from ..connections import Session, first_cause, request, session, shortened
from ..errors import HdrbenchError
from .finding import Finding

PATIENCE_S = 8.0  # of all servers together


class Server(NamedTuple):
    """what: comes from it. url: of something that is there."""

    what: str
    url: str


class Answer(NamedTuple):
    """seconds: until the answer's head was there. problem: "" where it was a good one. proxied:
    whether the environment names a proxy for it."""

    seconds: float
    problem: str
    proxied: bool


def servers() -> list[Server]:
    """Where `prepare`, LPIPS and the Hub's commands fetch from."""
    from huggingface_hub import constants

    from ..metrics.lpips import BACKBONES
    from ..prepare.protocols import load_source

    fivek, hdrplus = load_source("fivek"), load_source("hdrplus")
    bucket = hdrplus.listing.format(bucket=hdrplus.bucket)
    lists = next(iter(fivek.lists.values()))
    return [
        Server("FiveK", fivek.base_url),
        Server("HDR+", f"{hdrplus.base_url.rstrip('/')}/{bucket}?maxResults=1"),
        Server("lists of pictures", lists.url),
        Server("LPIPS's weights", BACKBONES["alex"].url),
        Server("the Hub", constants.ENDPOINT),
    ]


def ask(targets: Sequence[Server], patience_s: float = PATIENCE_S) -> list[Answer]:
    """All at once: an answer for each."""
    began = time.monotonic()
    answers: dict[Server, Answer] = {}
    sessions = {target: session() for target in targets}
    # As daemons: a name that is looked up cannot be called back.
    threads = [
        threading.Thread(target=_ask, args=(target, sessions[target], answers), daemon=True)
        for target in targets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, began + patience_s - time.monotonic()))
    in_time = dict(answers)
    for connection in sessions.values():
        connection.end()
    late = f"no answer within {patience_s:g} s"
    return [
        in_time.get(target) or Answer(patience_s, late, is_proxied(target.url))
        for target in targets
    ]


def _ask(target: Server, connection: Session, answers: dict[Server, Answer]) -> None:
    began = time.monotonic()
    try:
        with request(connection, "GET", target.url) as response:
            status, reason = response.status_code, shortened(response.reason or "")
        problem = "" if status < 400 else f"it answers HTTP {status} {reason}".rstrip()
    except (HdrbenchError, requests.RequestException, OSError) as error:
        problem = problem_of(error)
    except ValueError as error:
        problem = f"it is no address: {error}"
    answers[target] = Answer(time.monotonic() - began, problem, is_proxied(target.url))


def is_proxied(url: str) -> bool:
    try:
        return select_proxy(url, get_environ_proxies(url)) is not None
    except ValueError:  # no address
        return False


def problem_of(error: Exception) -> str:
    """Which of the steps to an answer failed: name, proxy, connection, TLS or the answer itself."""
    if isinstance(error, HdrbenchError):
        return str(error)
    cause = first_cause(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy: {cause}"
    if any(isinstance(one, NameResolutionError) for one in _chain(error)):
        return f"its name is not known here: {cause}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS: {cause}"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection: it does not answer"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return "a connection, and no answer on it"
    return f"no connection: {cause}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it wraps: urllib3 keeps that in `reason`, requests in its arguments."""
    todo, seen = [error], set()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        wrapped = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        todo += [inner for inner in wrapped if isinstance(inner, BaseException)]


def findings(targets: Sequence[Server], answers: Sequence[Answer]) -> Iterator[Finding]:
    for target, answer in zip(targets, answers, strict=True):
        through = ", through the environment's proxy" if answer.proxied else ""
        if not answer.problem:
            yield Finding(target.what, "ok", f"answered in {answer.seconds:.2f} s{through}")
            continue
        yield Finding(
            target.what,
            "warning",
            f"{_host(target.url)}: {answer.problem} ({answer.seconds:.1f} s{through})",
            _advice(answer),
        )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return shortened(url)


def _advice(answer: Answer) -> str:
    if answer.problem.startswith("TLS"):
        return "a proxy that opens TLS has a certificate of its own: REQUESTS_CA_BUNDLE names it"
    if answer.proxied:
        return "HTTPS_PROXY, HTTP_PROXY and NO_PROXY say which proxy is asked"
    if answer.problem.startswith(("no ", "its name")):
        return "where only a proxy leads out, HTTPS_PROXY names it"
    return ""
