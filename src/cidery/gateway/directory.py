"""Directories as answers: their index.html, or a listing.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#directory-index
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from cidery.blockstore.drive import drive, run
from cidery.core.lazy_session import NotAtHand
from cidery.core.session import BlockSession
from cidery.errors import CideryError
from cidery.gateway import listing
from cidery.gateway.caching import cache_control
from cidery.gateway.conditional import matches_tag
from cidery.gateway.origin import Origin, escaped_path, unescaped, with_slash
from cidery.gateway.page import CSP, HTML_TYPE
from cidery.gateway.unixfs_file import Serving, file
from cidery.http.message import Request, Response
from cidery.ipld.dag_pb import Link
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.directory_reader import find_link, first_links, walk_entries
from cidery.unixfs.node import Kind, UnixFSNode, decode_node
from cidery.unixfs.reader import read_node

INDEX = "index.html"
MAX_AT_ONCE = 64
"""Entries of a listing that is sent in one piece."""
PAGE = 256
"""Entries sent at a time of longer ones."""
MAX_LOOKED_AT = 1024
"""Entries whose own blocks are looked at, if they are here, for their kinds and dates: 20 us each."""
MAX_FETCHED = 100
"""Entries of a directory whose blocks are fetched for that."""
FETCH_SECONDS = 1.0
"""Longest wait for these: the page is shown without what has not come."""
MAX_SMALL = 64 * 1024
"""Largest block that is looked at for that, in bytes."""


async def answer(
    request: Request,
    origin: Origin,
    node: UnixFSNode,
    blocks: BlockSession,
    headers: dict[str, str],
    lasts: float | None,
    serving: Serving,
) -> Response:
    """index.html if there is one, else the listing; with a redirect to the path with a slash before either.

    Raises as the reader.
    """
    if not request.path.endswith("/"):
        redirect = with_slash(request)
        return Response(redirect.status, {**headers, "Location": redirect.location})
    known = request.headers.get("if-none-match", "")
    index = await run(find_link(node, INDEX), blocks)
    if index is not None:
        page = await run(read_node(index.cid), blocks)
        if page.kind is not Kind.DIRECTORY:
            return await file(request, page, blocks, headers, serving._replace(name=INDEX))
    cid = serving.tag.strip('"')
    generated = listing.tag_of(cid)
    headers |= {
        "Etag": generated,
        "Content-Type": HTML_TYPE,
        "Content-Security-Policy": CSP,
        **cache_control(lasts, generated=True),
    }
    if known and matches_tag(known, (generated, serving.tag)):
        return Response(304, headers)
    crumbs, path = origin.crumbs(), escaped_path(unescaped(request.path))
    size = None if node.fanout else sum(link.tsize or 0 for link in node.links)
    begun = listing.beginning(crumbs, cid, path, size)
    if not node.fanout and len(node.links) <= MAX_FETCHED and request.method == "GET":
        await _fetched([link.cid for link in node.links if link.cid.codec == DAG_PB], blocks)
    if not node.fanout and len(node.links) <= MAX_AT_ONCE:
        rows = listing.rows(crumbs, path, [_row(link, blocks, look=True) for link in first_links(node.links)])
        return Response(200, headers, f"{begun}{rows}{listing.ENDING}".encode())
    return Response(200, headers, _pages(begun, crumbs, path, node, blocks))


async def _fetched(cids: Sequence[CID], blocks: BlockSession) -> None:
    """The blocks of entries, as far as they come in time. Raises NotAtHand."""
    absent = [cid for cid in cids if blocks.get_if_ready(cid) is None]
    if not absent:
        return
    blocks.prefetch(absent)
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            for cid in absent:
                await blocks.get(cid)
    except NotAtHand:
        raise
    except (TimeoutError, CideryError):
        return  # their rows say less


async def _pages(
    begun: str, crumbs: listing.Crumbs, path: str, node: UnixFSNode, blocks: BlockSession
) -> AsyncGenerator[Buffer, None]:
    page: list[listing.Row] = []
    looked = 0
    yield begun.encode()
    try:
        async with aclosing(drive(walk_entries(node), blocks)) as entries:
            async for link in entries:
                page.append(_row(link, blocks, look=looked < MAX_LOOKED_AT))
                looked += 1
                if len(page) >= (PAGE if looked > PAGE else MAX_AT_ONCE):
                    yield listing.rows(crumbs, path, page).encode()
                    page.clear()
    except CideryError:
        yield f"{listing.rows(crumbs, path, page)}{listing.CUT}".encode()
        raise  # the page says so to people, and the broken connection to programs
    yield f"{listing.rows(crumbs, path, page)}{listing.ENDING}".encode()


def _row(link: Link, blocks: BlockSession, *, look: bool) -> listing.Row:
    name, size = link.name or "", link.tsize
    codec = link.cid.codec
    if codec == RAW:
        return listing.Row(name, link.cid, size, Kind.FILE)
    if look and codec == DAG_PB:
        block = blocks.get_if_ready(link.cid)
        if block is not None and len(block) <= MAX_SMALL:
            try:
                node = decode_node(link.cid, block)
            except CideryError:
                return listing.Row(name, link.cid, size)
            shown = node.size if node.kind is Kind.FILE else size
            return listing.Row(name, link.cid, shown, node.kind, node.mtime)
    return listing.Row(name, link.cid, size)
