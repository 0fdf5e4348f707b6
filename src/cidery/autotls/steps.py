"""What a certificate is got by, as generators: they yield what is to be asked over HTTP and DNS, and how long to wait.

Their driver owns the sockets and the clock; see io/driver.py.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from cidery.errors import CideryError, RemoteProtocolError, Unavailable

T = TypeVar("T")

MAX_BODY = 128 * 1024
"""Bytes of one answer: a chain of certificates takes some 5 KiB."""
MAX_SAID = 300
"""Characters of a server's own words that are kept."""
MAX_RETRY_AFTER = 7 * 86_400.0
"""Longest wait that a server may ask for, in seconds: the longest limit of Let's Encrypt counts a week."""


class Request(NamedTuple):
    """One to make. Redirects are not followed."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Response(NamedTuple):
    """Its answer; at most MAX_BODY bytes."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    at: float
    """When it came: seconds since 1970."""


class Pause(NamedTuple):
    """Wait."""

    seconds: float


class LookUp(NamedTuple):
    """Ask for the TXT records of a name; resumed with their texts, none if nobody answers."""

    name: str


Steps = Generator[Request | Pause | LookUp, Response | tuple[str, ...] | None, T]


class NoCertificate(Unavailable):
    """Somebody whose help a certificate takes does not give it now."""

    def __init__(self, who: str, reason: str, retry_after: float = 0.0) -> None:
        """``retry_after``: seconds, as far as it was said."""
        super().__init__(who, reason, retry_after)
        self.who = who
        self.reason = reason
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.who}: {self.reason}"


class BadAnswer(RemoteProtocolError):
    """An answer that its protocol forbids."""

    def __init__(self, who: str, reason: str) -> None:
        super().__init__(who, reason)
        self.who = who
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.who} answers with {self.reason}"


def asked(request: Request) -> Steps[Response]:
    """Make a request. Raises what the driver throws in: NoCertificate for a server that does not answer."""
    response = yield request
    assert isinstance(response, Response)  # the driver's part
    return response


def looked_up(name: str) -> Steps[tuple[str, ...]]:
    """Look the TXT records of a name up."""
    texts = yield LookUp(name)
    assert isinstance(texts, tuple) and not isinstance(texts, Response)  # the driver's part
    return texts


def host_in(url: str) -> str:
    """Who a URL asks, as the Host field of the request has it: with its port, unless that is the usual one."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


def checked_url(text: object, base: str, who: str) -> str:
    """A URL that a server named; only one of its own origin is asked. Raises BadAnswer."""
    if isinstance(text, str) and 0 < len(text) <= 2048 and text.isascii() and text.isprintable() and " " not in text:
        try:
            parts, own = urlsplit(text), urlsplit(base)
            if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
                return text
        except ValueError:
            pass
        raise BadAnswer(who, f"a URL of another origin, {text[:120]!r}")
    raise BadAnswer(who, "no URL where one must be")


def json_object(body: bytes, who: str) -> dict[str, Any]:
    """Raises BadAnswer (fuzzed)."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadAnswer(who, "what is no JSON") from exc
    if not isinstance(value, dict):
        raise BadAnswer(who, "what is no JSON object")
    return value


def said(text: object) -> str:
    """A server's words, fit for a line of the log."""
    return "".join(char if char.isprintable() else " " for char in str(text)[:MAX_SAID]).strip()


def retry_after(response: Response) -> float:
    """Seconds that the server wants to be left alone; 0.0: it does not say. RFC 9110, 10.2.3."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - response.at
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def wanted_wait(error: CideryError) -> float:
    """Seconds that a failure asks for."""
    return error.retry_after if isinstance(error, NoCertificate) else 0.0
