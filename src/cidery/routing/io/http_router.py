"""A router over HTTP: somebody else's index of providers, asked in addition to the DHT. Satisfies routing.interface.

A failing router rests, longer with each failure, and the others continue. Its records are hearsay like all
others: addresses are dialled with authentication, values are checked by the caller.

Spec: https://specs.ipfs.tech/routing/http-routing-v1/
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cidery.errors import InvalidInput, Unavailable
from cidery.host_names import http_connector
from cidery.identity.peer_id import PeerId
from cidery.ipns.name import format_name, name_of_routing_key
from cidery.ipns.record import MAX_RECORD as MAX_VALUE
from cidery.multiformats.cid import CID
from cidery.routing.http_records import BITSWAP, GATEWAY, JSON_TYPE, LINES_TYPE, BadRecords, decode_line, decode_list
from cidery.routing.interface import FoundPeer

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("cidery.routing")

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 15.0
"""Longest wait for the next bytes of an answer."""
ANSWER_SECONDS = 60.0
"""Longest answer: a search that a router streams."""
MAX_ANSWER = 4 << 20
"""Bytes of one answer: several thousand records."""
MAX_REDIRECTS = 3
REST_BASE = 5.0
"""Seconds a router rests after its first failure; doubles with each further one."""
REST_CEILING = 600.0
RECORD_TYPE = "application/vnd.ipfs.ipns-record"


class BadRouter(InvalidInput):
    """A malformed address of a router."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"Routing.DelegatedRouters: {self.given[:80]!r} is not a URL such as https://cid.contact"


class RouterFailed(Unavailable):
    """A router that failed to answer properly."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"router {self.url}: {self.reason}"


def base_url(text: str) -> str:
    """The URL without its final slash and ``/routing/v1``. Raises BadRouter."""
    try:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise BadRouter(text)
    except ValueError as exc:
        raise BadRouter(text) from exc
    return text.rstrip("/").removesuffix("/routing/v1")


class HttpRouter:
    """One router. Create it while the event loop runs, and close() it at the end."""

    def __init__(self, url: str, agent: str, clock: Callable[[], float]) -> None:
        """Raises BadRouter."""
        self.url = base_url(url)
        self._agent = agent
        self._clock = clock
        self._failures = 0
        self._rests_until = float("-inf")
        self._session: aiohttp.ClientSession | None = None
        self.asked = 0
        """Number of requests made."""

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    # --- routing.interface

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        """See ProviderFinder. Raises RouterFailed, BadRecords, which the joined routing ignores."""
        query = {"filter-protocols": f"unknown,{BITSWAP},{GATEWAY}"}
        given = 0
        async with self._get(f"/providers/{cid.to_v1()}", f"{LINES_TYPE}, {JSON_TYPE};q=0.9", query) as answer:
            if answer is None:
                return
            async for peer in _records(answer, "Providers"):
                yield peer
                given += 1
                if given == count:
                    return

    async def find_peer(self, peer: PeerId) -> FoundPeer | None:
        """See PeerFinder. Raises RouterFailed, BadRecords."""
        async with self._get(f"/peers/{peer.to_cid()}", f"{LINES_TYPE}, {JSON_TYPE};q=0.9", {}) as answer:
            if answer is not None:
                async for found in _records(answer, "Peers"):
                    if found.peer == peer and found.addrs:
                        return found
        return None

    async def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """See ValueRouting: at most one value; routers keep records of names only. Raises RouterFailed, PeerIdError."""
        if not key.startswith(b"/ipns/"):
            return
        name = format_name(name_of_routing_key(key))
        async with self._get(f"/ipns/{name}", RECORD_TYPE, {}) as answer:
            if answer is not None:
                yield await _whole(answer, MAX_VALUE)

    async def put_value(self, key: bytes, value: bytes) -> int:
        """See ValueRouting. Raises RouterFailed, PeerIdError."""
        if not key.startswith(b"/ipns/"):
            return 0
        name = format_name(name_of_routing_key(key))
        async with self._request("PUT", f"/ipns/{name}", {"Content-Type": RECORD_TYPE}, {}, value) as answer:
            return int(answer.status == 200)

    # --- requests

    @asynccontextmanager
    async def _get(self, path: str, accept: str, query: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse | None]:
        """None: nothing is known there ("404 ... a client MUST treat it as an empty list", IPIP-513)."""
        async with self._request("GET", path, {"Accept": accept}, query, None) as answer:
            yield None if answer.status == 404 else answer

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, headers: dict[str, str], query: dict[str, str], body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        # imported here: 250 ms that nodes without routers do not need
        import aiohttp

        if self._clock() < self._rests_until:
            raise RouterFailed(self.url, "it rests after a failure")
        if self._session is None:
            limits = aiohttp.ClientTimeout(ANSWER_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=IDLE_SECONDS)
            self._session = aiohttp.ClientSession(
                timeout=limits,
                connector=http_connector(),
                trust_env=True,
                headers={"User-Agent": self._agent},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        self.asked += 1
        url = f"{self.url}/routing/v1{path}"
        try:
            async with self._session.request(
                method, url, params=query, headers=headers, data=body, max_redirects=MAX_REDIRECTS
            ) as answer:
                if answer.status not in (200, 404):
                    raise RouterFailed(self.url, f"HTTP status {answer.status}")
                yield answer
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            self._rest()
            reason = "no answer in time" if isinstance(exc, asyncio.TimeoutError) else str(exc) or type(exc).__name__
            raise RouterFailed(self.url, reason) from exc
        except (RouterFailed, BadRecords):
            self._rest()
            raise
        self._failures = 0

    def _rest(self) -> None:
        self._failures += 1
        rest = min(REST_CEILING, REST_BASE * 2 ** min(self._failures - 1, 10))
        self._rests_until = self._clock() + rest


async def _records(answer: Any, name: str) -> AsyncGenerator[FoundPeer, None]:
    """Peers of an answer in either form, as they arrive. Raises BadRecords."""
    if answer.content_type != LINES_TYPE:
        for found in decode_list(await _whole(answer, MAX_ANSWER), name):
            yield found
        return
    rest, total = b"", 0
    async for piece in answer.content.iter_any():
        total += len(piece)
        if total > MAX_ANSWER:
            raise BadRecords(f"more than {MAX_ANSWER} bytes")
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            peer = decode_line(line) if line.strip() else None
            if peer is not None:
                yield peer
    if rest.strip() and (peer := decode_line(rest)) is not None:
        yield peer


async def _whole(answer: Any, limit: int) -> bytes:
    body = b""
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > limit:
            raise BadRecords(f"more than {limit} bytes")
    return body
