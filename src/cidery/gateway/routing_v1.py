"""The HTTP routing API: providers, peers and records that this node finds, for clients without a DHT.

::

    GET /routing/v1/providers/CID      GET /routing/v1/peers/PEER      GET, PUT /routing/v1/ipns/NAME
    GET /routing/v1/dht/closest/peers/KEY

Spec: https://specs.ipfs.tech/routing/http-routing-v1/
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from cidery.core.api import Api
from cidery.core.network import Network, RoutingOff
from cidery.errors import CideryError, InvalidInput
from cidery.gateway.errors import failed
from cidery.gateway.negotiate import RECORD_TYPE
from cidery.gateway.options import CORS
from cidery.http.message import BadRequest, Request, Response, text
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipns.name import parse_name
from cidery.ipns.record import MAX_RECORD, IpnsRecordError, check
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.varint import Buffer
from cidery.namesys.resolver import NameNotFound
from cidery.routing.http_records import BITSWAP, JSON_TYPE, LINES_TYPE, MAX_RECORDS, Filters, encode_peer
from cidery.routing.interface import FoundPeer

PREFIX = "/routing/v1/"
NAMES = f"{PREFIX}ipns/"
SEARCH_SECONDS = 30.0
"""Longest search for one request."""
_CACHE = "public, max-age={}, stale-while-revalidate=172800, stale-if-error=172800"
EMPTY_SECONDS, FOUND_SECONDS = 15, 300
"""How long an answer may be cached, as the specification suggests."""
METHODS = "GET, PUT, OPTIONS"


class RoutingServer:
    """Answers from the routing of one node."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def handle(self, request: Request) -> Response:
        """Never raises because of a client's request. Cancel-safe."""
        try:
            response = await self._answer(request)
        except RoutingOff as exc:
            response = text(501, str(exc))
        except (CIDError, PeerIdError) as exc:
            response = text(422, str(exc))
        except CideryError as exc:
            response = failed(exc, request)
        response.headers |= CORS | {"Access-Control-Allow-Methods": METHODS}
        return response

    async def _answer(self, request: Request) -> Response:
        kind, _, rest = request.path.removeprefix(PREFIX).partition("/")
        if request.method == "OPTIONS":
            return Response(204)
        if kind == "ipns" and request.method == "PUT":
            return await self._put_record(rest, request)
        if request.method not in ("GET", "HEAD"):
            return text(405, f"only {METHODS} are answered", {"Allow": METHODS})
        if kind == "ipns":
            return await self._get_record(rest, request)
        filters = Filters.parse(request.query())
        if kind == "providers":
            cid = CID.parse(rest)
            if (denylists := self._api.denylists) is not None:
                denylists.refuse_block(cid)
            found = self._network().router().find_providers(cid, MAX_RECORDS)
            return await _listed(request, "Providers", filters, found)
        if kind == "peers":
            return await _listed(request, "Peers", filters, self._one_peer(PeerId.parse(rest)))
        if kind == "dht" and rest.startswith("closest/peers/"):
            return await _listed(request, "Peers", filters, self._closest(rest.removeprefix("closest/peers/")))
        return text(404, "there is nothing here; see https://specs.ipfs.tech/routing/http-routing-v1/")

    def _network(self) -> Network:
        return self._api.online

    async def _one_peer(self, peer: PeerId) -> AsyncGenerator[FoundPeer, None]:
        found = await self._network().router().find_peer(peer)
        if found is not None:
            yield found

    async def _closest(self, text_: str) -> AsyncGenerator[FoundPeer, None]:
        try:
            key = CID.parse(text_).multihash
        except CIDError:
            key = PeerId.parse(text_).multihash
        for found in await self._network().closest_peers(key):
            yield found

    async def _get_record(self, name: str, request: Request) -> Response:
        accepted = request.header("accept")
        if accepted and RECORD_TYPE not in accepted and "*/*" not in accepted:
            return text(406, f"records of names are answered as {RECORD_TYPE}")
        resolver = self._api.naming.resolver
        try:
            record = await resolver.record(parse_name(name))
        except NameNotFound as exc:
            return text(404, str(exc), {"Cache-Control": _CACHE.format(EMPTY_SECONDS)})
        lasts = max(0, min(record.ttl, record.validity - resolver.now())) // 1_000_000_000
        return Response(200, {"Content-Type": RECORD_TYPE, "Cache-Control": _CACHE.format(lasts)}, record.raw)

    async def _put_record(self, name: str, request: Request) -> Response:
        if RECORD_TYPE not in request.header("content-type"):
            return text(406, f"records of names are taken as {RECORD_TYPE}")
        peer, naming = parse_name(name), self._api.naming
        raw = b""
        async for piece in request.body or _nothing():
            raw += piece
            if len(raw) > MAX_RECORD:
                raise BadRequest(f"a record of more than {MAX_RECORD} bytes")
        try:
            check(raw, peer, naming.resolver.now())
            online = self._api.network is not None
            published = await naming.publisher.put(peer, raw, online=online, keep=False)
        except (IpnsRecordError, InvalidInput) as exc:
            raise BadRequest(str(exc)) from exc
        return text(502, published.warnings[0]) if online and not published.peers else Response(200)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _listed(request: Request, name: str, filters: Filters, found: AsyncGenerator[FoundPeer, None]) -> Response:
    """Records as one object, or as lines when the client asks for those."""
    lines = _lines(filters, found)
    if LINES_TYPE in request.header("accept"):
        headers = {"Content-Type": LINES_TYPE, "Vary": "Accept", "Cache-Control": _CACHE.format(EMPTY_SECONDS)}
        return Response(200, headers, lines)
    async with aclosing(lines):
        records = [json.loads(bytes(line)) async for line in lines]
    lasts = FOUND_SECONDS if records else EMPTY_SECONDS
    headers = {"Content-Type": JSON_TYPE, "Vary": "Accept", "Cache-Control": _CACHE.format(lasts)}
    return Response(200, headers, json.dumps({name: records}).encode())


async def _lines(filters: Filters, found: AsyncGenerator[FoundPeer, None]) -> AsyncGenerator[Buffer, None]:
    """At most MAX_RECORDS lines, for at most SEARCH_SECONDS."""
    count = 0
    ends = asyncio.get_running_loop().time() + SEARCH_SECONDS
    async with aclosing(found):
        while count < MAX_RECORDS:
            try:
                async with asyncio.timeout_at(ends):
                    peer = await anext(found, None)
            except TimeoutError:
                return
            if peer is None:
                return
            kept = filters.apply(peer if peer.protocols else FoundPeer(peer.peer, peer.addrs, (BITSWAP,)))
            if kept is not None:
                count += 1
                yield json.dumps(encode_peer(kept)).encode() + b"\n"
