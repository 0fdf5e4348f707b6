"""One remote pinning service over HTTP.

The key goes to the service's own origin and nowhere else: a redirect to another one is refused.

Spec: https://ipfs.github.io/pinning-services-api-spec/ (1.0.0)
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode, urljoin, urlsplit

from cidery.errors import InvalidInput, LimitExceeded, NotFound, Unavailable
from cidery.host_names import http_connector
from cidery.pinning.records import (
    BadAnswer,
    Failure,
    Query,
    RemotePin,
    Results,
    decode_failure,
    decode_results,
    decode_status,
)
from cidery.version import __version__

if TYPE_CHECKING:
    import aiohttp

AGENT = f"cidery/{__version__}"
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
"""Longest wait for the next bytes of an answer."""
ANSWER_SECONDS = 60.0
"""Longest answer."""
MAX_ANSWER = 4 << 20
"""Bytes of one answer: PAGE pins with the most that a name, hints and metadata usually hold."""
PAGE = 100
"""Pins asked for at a time; a service may send up to 1000, which would be one long answer."""
MAX_PAGES = 100_000
"""Most answers of one list: ten million pins."""
MAX_REDIRECTS = 3
_KEEPS_METHOD = (307, 308)
_REDIRECTS = (301, 302, 303, *_KEEPS_METHOD)


class ServiceRefused(Unavailable):
    """A service answered that it will not."""

    def __init__(self, status: int, phrase: str, failure: Failure | None) -> None:
        super().__init__(status, phrase, failure)
        self.status = status
        self.phrase = phrase
        self.failure = failure

    def __str__(self) -> str:
        if self.failure is None:
            return f"remote pinning service returned http error {self.status}: {self.phrase}"
        told = f"reason: {_quoted(self.failure.reason)}, details: {_quoted(self.failure.details)}"
        return f"{told}: {self.status} {self.phrase}"


class KeyRefused(ServiceRefused, InvalidInput):
    """The same, because it does not accept the key."""


class NoSuchRequest(ServiceRefused, NotFound):
    """The same, because what it is asked about is not there."""


class ServiceUnreachable(Unavailable):
    """No answer came."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"empty response from remote pinning service: {self.reason}"


class RedirectRefused(Unavailable):
    """Following it would send the key elsewhere."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.origin = origin

    def __str__(self) -> str:
        return (
            f"the service redirects to {self.origin}, which would be sent the key; if that is right, "
            "remove the service and add it at that address"
        )


class EndlessPages(LimitExceeded):
    """A list that does not come to an end, or not on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the list of the remote pinning service {self.reason}; what came before is shown"


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


class HttpPinningService:
    """An asynchronous context manager. All methods raise ServiceRefused, KeyRefused, NoSuchRequest, ServiceUnreachable,
    RedirectRefused, BadAnswer; all are cancel-safe, although a request that was sent may take effect."""

    def __init__(self, endpoint: str, key: str) -> None:
        """``endpoint``: a URL without a final slash."""
        self._endpoint = endpoint
        self._headers = {
            "Authorization": f"Bearer {key}",
            "User-Agent": AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # so that the bytes that come are those that are counted
        }
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp  # 250 ms that other commands do not need

        limits = aiohttp.ClientTimeout(ANSWER_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=IDLE_SECONDS)
        self._session = aiohttp.ClientSession(
            timeout=limits,
            connector=http_connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def page(self, query: Query, *, limit: int = PAGE, before: str = "") -> Results:
        """The newest pins that match. ``before``: only those created earlier."""
        parameters = urlencode(query.parameters(limit=limit, before=before), quote_via=quote)
        return decode_results(await self._request("GET", f"/pins?{parameters}"))

    async def every(self, query: Query) -> AsyncGenerator[RemotePin, None]:
        """All pins that match, the newest first, in constant memory. Raises EndlessPages too.

        Those that come meanwhile are not among them.
        """
        for part in query.parts():
            before, matching, seen = "", 0, 0
            last = None
            for number in range(MAX_PAGES):
                results = await self.page(part, before=before)
                matching = matching if number else results.matching
                for pin in results.pins:
                    yield pin
                seen += len(results.pins)
                if results.matching == len(results.pins):
                    break
                if seen > matching:
                    raise EndlessPages(f"has more than the {matching} pins that it spoke of")
                oldest = results.pins[-1].created
                if last is not None and oldest[:2] >= last:
                    raise EndlessPages("does not go on: it repeats what was created at the same time or later")
                last, before = oldest[:2], oldest.text
            else:
                raise EndlessPages(f"has more than {MAX_PAGES} pages")

    async def add(self, pin: bytes) -> RemotePin:
        """Ask for a pin, as encode_pin() makes it."""
        return decode_status(await self._request("POST", "/pins", pin))

    async def get(self, request_id: str) -> RemotePin:
        """The state of a request."""
        return decode_status(await self._request("GET", f"/pins/{quote(request_id, safe='')}"))

    async def replace(self, request_id: str, pin: bytes) -> RemotePin:
        """Ask for a pin in place of another one, which keeps what both share; the answer has a new id."""
        return decode_status(await self._request("POST", f"/pins/{quote(request_id, safe='')}", pin))

    async def remove(self, request_id: str) -> None:
        """Remove a pin."""
        await self._request("DELETE", f"/pins/{quote(request_id, safe='')}")

    async def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        import aiohttp

        try:
            async with self._answered(method, path, body) as answer:
                data = await _whole(answer)
                if 200 <= answer.status < 300:
                    return data
                raise _refusal(answer.status, answer.reason or "", decode_failure(data))
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            raise ServiceUnreachable(reason_of(exc)) from exc

    @asynccontextmanager
    async def _answered(self, method: str, path: str, body: bytes | None) -> AsyncIterator[aiohttp.ClientResponse]:
        from yarl import URL

        assert self._session is not None  # entered
        url = self._endpoint + path
        headers = dict(self._headers) | ({"Content-Type": "application/json"} if body is not None else {})
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=_proxy(url),
            ) as answer:
                follows = _REDIRECTS if method == "GET" else _KEEPS_METHOD
                if answer.status not in follows or "Location" not in answer.headers:
                    yield answer
                    return
                url = _redirected(url, answer.headers["Location"])
        raise BadAnswer(f"more than {MAX_REDIRECTS} redirects")


def _refusal(status: int, phrase: str, failure: Failure | None) -> ServiceRefused:
    kind = {401: KeyRefused, 403: KeyRefused, 404: NoSuchRequest}.get(status, ServiceRefused)
    return kind(status, phrase[:80], failure)


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises RedirectRefused, BadAnswer."""
    try:
        leads, came = urlsplit(urljoin(url, location)), urlsplit(url)
        same = (leads.scheme, leads.hostname, leads.port, leads.username) == (
            came.scheme,
            came.hostname,
            came.port,
            None,
        )
    except ValueError as exc:
        raise BadAnswer("a redirect to what is no URL") from exc
    if not same:
        raise RedirectRefused(f"{leads.scheme}://{leads.netloc.rpartition('@')[2]}"[:200])
    return leads._replace(fragment="").geturl()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names; not by aiohttp, which would take other credentials from ~/.netrc."""
    from urllib.request import getproxies, proxy_bypass  # 30 ms that the start of a daemon does not need

    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadAnswer("it is compressed, and was asked not to be")
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER:
            raise BadAnswer(f"more than {MAX_ANSWER} bytes")
    return bytes(body)


def reason_of(exc: Exception) -> str:
    """Why no answer came, in a few words."""
    if isinstance(exc, asyncio.TimeoutError):
        return "no answer in time"
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, socket.gaierror):
        cause = cause.__cause__
    return f"no such host ({exc})" if cause is not None else str(exc) or type(exc).__name__
