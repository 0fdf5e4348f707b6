"""The trustless gateway: blocks, CARs and records of names, in answers that the client verifies.

::

    /ipfs/CID[/path]?format=raw     the block at the end of the path
    /ipfs/CID[/path]?format=car     the blocks that prove the path, and those of the scope at its end
    /ipns/NAME?format=ipns-record   the signed record

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

from cidery.blockstore.drive import run
from cidery.core.api import Api
from cidery.core.car.exporting import as_archive
from cidery.core.car.trustless import PathEnd, each_once, in_sequence, prove_path, prove_scope
from cidery.core.reading.content_path import ContentPath, parse_path
from cidery.core.reading.resolve import InsideBlock
from cidery.core.session import BlockSession
from cidery.errors import CideryError
from cidery.gateway.disposition import attachment, location
from cidery.gateway.errors import failed
from cidery.gateway.negotiate import (
    RAW_TYPE,
    RECORD_TYPE,
    CarParameters,
    Form,
    car_parameters,
    content_path,
    form_of,
    matches_tag,
)
from cidery.http.message import BadRequest, Request, Response, one_range, text
from cidery.identity.peer_id import PeerIdError
from cidery.ipld.block import Block
from cidery.ipld.walk import Walk
from cidery.ipns.moment import NANOSECONDS
from cidery.ipns.name import format_name, parse_name
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer

IMMUTABLE = "public, max-age=29030400, immutable"
"""Cache-Control of immutable content (48 weeks)."""
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Range, User-Agent, X-Requested-With",
    "Access-Control-Expose-Headers": (
        "Content-Length, Content-Range, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output"
    ),
}
"""On every answer: content is public, and no request changes anything."""

AT_ONCE = 64 * 1024
"""Blocks up to this many bytes are sent immediately; larger ones wait for a place, and are then read again."""


class TrustlessGateway:
    """Answers from one node. ``fetches``: whether content that is not stored is fetched."""

    def __init__(self, api: Api, *, fetches: bool) -> None:
        self._api = api if fetches else api.offline()

    async def handle(self, request: Request) -> Response:
        """Never raises because of a client's request. Cancel-safe. The body may raise, which cuts the answer off."""
        if request.method == "OPTIONS":
            return Response(204, dict(CORS))
        if request.method not in ("GET", "HEAD"):
            return text(405, "only GET, HEAD and OPTIONS are answered", {"Allow": "GET, HEAD, OPTIONS"})
        try:
            response = await self._answer(request)
        except CideryError as exc:
            response = failed(exc)
        response.headers.update(CORS)
        return response

    async def _answer(self, request: Request) -> Response:
        namespace, rest = content_path(request)
        form, of_type = form_of(request)
        if form is Form.RECORD:
            return await self._record(namespace, rest, request, of_type)
        path, lasts = await self._located(namespace, rest)
        offline = "only-if-cached" in request.header("cache-control")
        api = self._api.offline() if offline else self._api
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(api.session())
            if offline and (await api.store.size_many([path.root]))[0] is None:
                return text(412, f"{path.root} is not stored here")
            on_path: list[Block] = []
            end = await run(prove_path(path), session, on_path)
            headers = {
                "X-Ipfs-Path": request.path,
                "X-Ipfs-Roots": ",".join(map(str, end.roots)),
                "Cache-Control": IMMUTABLE if lasts is None else f"public, max-age={int(lasts)}",
                "X-Content-Type-Options": "nosniff",
                **location(request, form, of_type),
            }
            if form is Form.RAW:
                if end.remainder:
                    raise InsideBlock(path, end.cid)
                response = await _raw(request, end.cid, session, headers)
                if not isinstance(response.body, bytes):
                    response.body = _closing(stack.pop_all(), response.body)
                return response
            wanted = car_parameters(request, of_type)
            response = await _car(request, path, end, on_path, session, wanted, headers)
            if not isinstance(response.body, bytes):
                response.body = _closing(stack.pop_all(), response.body)
            return response

    async def _located(self, namespace: str, rest: str) -> tuple[ContentPath, float | None]:
        """The content path and, for names, the seconds that it may be cached."""
        if namespace == "ipfs":
            return self._api.admitted(parse_path(f"/ipfs/{rest}")), None
        name, slash, below = rest.partition("/")
        target = await self._api.naming.resolver.resolve(f"/ipns/{name}{slash}{below}")
        return await self._api.locate(target.path), target.ttl

    async def _record(self, namespace: str, rest: str, request: Request, of_type: dict[str, str]) -> Response:
        name, _, below = rest.partition("/")
        if namespace != "ipns" or below:
            raise BadRequest("an ipns-record is that of a name: /ipns/NAME, without a path below")
        try:
            peer = parse_name(name)
        except PeerIdError as exc:
            raise BadRequest(f"{name[:80]!r} is not an IPNS name") from exc
        resolver = self._api.naming.resolver
        record = await resolver.record(peer)
        lasts = max(0, min(record.ttl, record.validity - resolver.now())) // NANOSECONDS
        tag = f'"{hashlib.sha256(record.raw).hexdigest()[:32]}"'
        headers = {
            "Content-Type": RECORD_TYPE,
            "Content-Disposition": attachment(request, f"{format_name(peer)}.ipns-record"),
            **location(request, Form.RECORD, of_type),
            "Cache-Control": f"public, max-age={lasts}",
            "Etag": tag,
            "X-Content-Type-Options": "nosniff",
        }
        if matches_tag(request.header("if-none-match"), (tag,)):
            return Response(304, headers)
        return Response(200, headers, record.raw)


async def _raw(request: Request, cid: CID, session: BlockSession, headers: dict[str, str]) -> Response:
    tags = (f'"{cid}.raw"', f'"{cid}"')
    headers |= {"Etag": tags[0]}
    if matches_tag(request.header("if-none-match"), tags):
        return Response(304, headers)
    data = cid.identity_data if cid.is_identity else bytes(await session.get(cid))
    headers |= {
        "Content-Type": RAW_TYPE,
        "Content-Disposition": attachment(request, f"{cid}.bin"),
        "Accept-Ranges": "bytes",
    }
    try:
        part = one_range(request.header("range"), len(data))
    except BadRequest:
        return Response(416, headers | {"Content-Range": f"bytes */{len(data)}"})
    first, last = part or (0, len(data) - 1)
    status = 200 if part is None else 206
    if part is not None:
        headers |= {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
    if last - first < AT_ONCE:
        return Response(status, headers, data[first : last + 1])
    return Response(status, headers, _read_again(cid, session, first, last + 1), last + 1 - first)


async def _read_again(cid: CID, session: BlockSession, start: int, stop: int) -> AsyncGenerator[Buffer, None]:
    """Bytes of a block that was just available: a waiting answer does not hold it in memory."""
    yield memoryview(await session.get(cid))[start:stop]


async def _car(
    request: Request,
    path: ContentPath,
    end: PathEnd,
    on_path: list[Block],
    session: BlockSession,
    wanted: CarParameters,
    headers: dict[str, str],
) -> Response:
    what = f"{path}|{wanted.scope.value}|{wanted.byte_range}|{wanted.duplicates}|{wanted.order}"
    tag = f'W/"{end.cid}.car.{hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:16]}"'
    headers |= {
        "Etag": tag,
        "Content-Type": wanted.media_type,
        "Content-Disposition": attachment(request, f"{end.cid}.car"),
        "Accept-Ranges": "none",
    }
    if matches_tag(request.header("if-none-match"), (tag,)):
        return Response(304, headers)
    if not end.cid.is_identity:
        await session.get(end.cid)  # before the first byte, so that a missing block has its own status
    walk: Walk[Block, Any] = prove_scope(end.cid, wanted.scope, wanted.byte_range, duplicates=wanted.duplicates)
    walk = in_sequence(on_path, walk)
    if not wanted.duplicates:
        walk = each_once(walk, set())
    return Response(200, headers, _archive(end.cid, walk, session))


async def _archive(root: CID, walk: Walk[Block, Any], session: BlockSession) -> AsyncGenerator[Buffer, None]:
    async for piece in as_archive([root], walk, session):
        yield piece


async def _closing(stack: AsyncExitStack, body: AsyncGenerator[Buffer, None]) -> AsyncGenerator[Buffer, None]:
    """The body; its session ends with it."""
    async with stack:
        try:
            async for piece in body:
                yield piece
        finally:
            await body.aclose()
