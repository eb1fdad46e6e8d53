"""Addresses of files on servers: what is wrong with one, and how one may be shown or kept."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

# A name and its value in an address's query.
_PARAMETER = re.compile(r"([?&;])([^=&;#]*)=[^&;#]*")
# Such a value lets whoever has it in where one of these is a word of its name: of X-Amz-Signature,
# access_token, AWSAccessKeyId. The longer ones may also end one: apikey, authtoken.
_SECRET_WORDS = re.compile(
    "auth|authorization|creds?|credentials?|jwt|keys?|oauth|pass|passphrase|"
    "passwd|pw|pwd|secrets|sig|tokens"
)
_SECRET_ENDS = ("apikey", "accesskey", "authkey", "password", "secret", "signature", "token")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def fault(url: str) -> str:
    """Why `url` is no address that a file can be fetched from; "" where it is one."""
    parts = _split(url)
    # The reason never quotes a part of the address: that could be one of a password.
    if parts is None or re.search(r"[\x00-\x1f\x7f]", url):
        return "the address is malformed"
    if parts.scheme not in ("http", "https"):
        return "an address begins with https:// or http://"
    if not parts.hostname:
        return "the address names no host"
    return ""


def shown(url: str) -> str:
    """`url` for messages and for files: without the user's name and password, and without what in
    its query looks like a secret. Whatever it is, also where it is no address."""
    scheme, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    if fault(url):
        # Nobody knows where the password ends in it.
        rest = rest.rpartition("@")[2]
    else:
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        rest = rest[len(authority) :]
        rest = authority.rpartition("@")[2] + rest
    return _PARAMETER.sub(_without_secret, f"{scheme}{slashes}{rest}")


def _without_secret(parameter: re.Match[str]) -> str:
    words = [word.lower() for word in _WORD.findall(unquote(parameter[2]))]
    if any(_SECRET_WORDS.fullmatch(word) or word.endswith(_SECRET_ENDS) for word in words):
        return f"{parameter[1]}{parameter[2]}=…"
    return parameter[0]


def redirected(url: str, location: str) -> str:
    """The address that a redirect from `url` leads to. On the same host it goes on as the same
    user."""
    try:
        there = urljoin(url, location)
    except ValueError:
        return location  # a malformed one, as `fault` says
    old, new = _split(url), _split(there)
    if old is None or new is None or "@" in new.netloc or _origin(old) != _origin(new):
        return there
    user, at, _ = old.netloc.rpartition("@")
    return new._replace(netloc=f"{user}{at}{new.netloc}").geturl()


def is_less_secure(url: str, there: str) -> bool:
    """Whether anybody on the way could read and change what comes from `there`, but not from
    `url`."""
    return url.lower().startswith("https:") and not there.lower().startswith("https:")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read only now
    except ValueError:
        return None
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port
