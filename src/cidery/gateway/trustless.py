"""Answers that the client verifies: blocks, CARs and records of names.

::

    /ipfs/CID[/path]?format=raw     the block at the end of the path
    /ipfs/CID[/path]?format=car     the blocks that prove the path, and those of the scope at its end
    /ipns/NAME?format=ipns-record   the signed record

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from cidery.core.car.exporting import as_archive
from cidery.core.car.trustless import PathEnd, each_once, in_sequence, prove_scope
from cidery.core.naming import Naming
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import InsideBlock
from cidery.core.session import BlockSession
from cidery.gateway.caching import cache_control
from cidery.gateway.conditional import matches_tag
from cidery.gateway.disposition import attachment, location
from cidery.gateway.negotiate import RAW_TYPE, RECORD_TYPE, CarParameters, Form
from cidery.gateway.ranged import in_parts, outside, ranges_of
from cidery.http.message import BadRequest, Request, Response
from cidery.http.ranges import Unsatisfiable
from cidery.identity.peer_id import PeerIdError
from cidery.ipld.block import Block
from cidery.ipld.walk import Walk
from cidery.ipns.moment import NANOSECONDS
from cidery.ipns.name import format_name, parse_name
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.namesys.resolver import Limits

AT_ONCE = 64 * 1024
"""Blocks up to this many bytes are sent immediately; larger ones wait for a place, and are then read again."""


async def raw_block(
    request: Request, path: ContentPath, end: PathEnd, blocks: BlockSession, headers: dict[str, str]
) -> Response:
    """The block at the end of a path. Raises InsideBlock, and as get()."""
    if end.remainder:
        raise InsideBlock(path, end.cid)
    cid = end.cid
    text = headers["X-Ipfs-Roots"].rpartition(",")[2]
    tags = (f'"{text}.raw"', f'"{text}"')
    headers["Etag"] = tags[0]
    if (known := request.headers.get("if-none-match")) is not None and matches_tag(known, tags):
        return Response(304, headers)
    data = cid.identity_data if cid.is_identity else blocks.get_if_ready(cid) or await blocks.get(cid)
    headers["Content-Type"] = RAW_TYPE
    headers["Content-Disposition"] = attachment(request, f"{text}.bin")
    headers["Accept-Ranges"] = "bytes"
    size = len(data)
    try:
        ranges = ranges_of(request, tags[0], size)
    except Unsatisfiable as exc:
        return outside(headers, exc)
    at_hand = data if size <= AT_ONCE else None
    del data  # a waiting answer does not hold a large block in memory
    return in_parts(ranges, size, headers, at_hand, _reading(cid, blocks))


def _reading(cid: CID, blocks: BlockSession) -> Any:
    async def read(offset: int, length: int) -> AsyncGenerator[Buffer, None]:
        yield memoryview(await blocks.get(cid))[offset : offset + length]

    return read


async def car(
    request: Request,
    path: ContentPath,
    end: PathEnd,
    on_path: list[Block],
    blocks: BlockSession,
    wanted: CarParameters,
    headers: dict[str, str],
) -> Response:
    """The blocks that prove a path and what is at its end. Raises as get(), for the block at the end."""
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
        await blocks.get(end.cid)  # before the first byte, so that a missing block has its own status
    walk: Walk[Block, Any] = prove_scope(end.cid, wanted.scope, wanted.byte_range, duplicates=wanted.duplicates)
    walk = in_sequence(on_path, walk)
    if not wanted.duplicates:
        walk = each_once(walk, set())
    return Response(200, headers, _archive(end.cid, walk, blocks))


async def _archive(root: CID, walk: Walk[Block, Any], blocks: BlockSession) -> AsyncGenerator[Buffer, None]:
    async for piece in as_archive([root], walk, blocks):
        yield piece


async def record(
    naming: Naming, namespace: str, rest: str, request: Request, of_type: Mapping[str, str], limits: Limits
) -> Response:
    """The signed record of a name. ``rest``: the path below the namespace. Raises BadRequest, and as the resolver."""
    name, _, below = rest.partition("/")
    if namespace != "ipns" or below:
        raise BadRequest("an ipns-record is that of a name: /ipns/NAME, without a path below")
    try:
        peer = parse_name(name)
    except PeerIdError as exc:
        raise BadRequest(f"{name[:80]!r} is not an IPNS name") from exc
    found = await naming.resolver.record(peer, limits=limits)
    lasts = max(0, min(found.ttl, found.validity - naming.resolver.now())) // NANOSECONDS
    tag = f'"{hashlib.sha256(found.raw).hexdigest()[:32]}"'
    headers = {
        "Content-Type": RECORD_TYPE,
        "Content-Disposition": attachment(request, f"{format_name(peer)}.ipns-record"),
        **location(request, Form.RECORD, of_type),
        **cache_control(lasts),
        "Etag": tag,
        "X-Content-Type-Options": "nosniff",
    }
    if matches_tag(request.header("if-none-match"), (tag,)):
        return Response(304, headers)
    return Response(200, headers, found.raw)
