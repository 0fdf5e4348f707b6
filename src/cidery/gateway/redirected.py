"""Paths that a site does not have, as its own ``_redirects`` says.

Spec: https://specs.ipfs.tech/http-gateways/web-redirects-file/
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from cidery.blockstore.drive import run
from cidery.core.car.trustless import prove_path
from cidery.core.reading.content_path import ContentPath, parse_path
from cidery.core.session import BlockSession
from cidery.errors import CideryError
from cidery.gateway.caching import content_headers
from cidery.gateway.directory import INDEX
from cidery.gateway.origin import Origin, unescaped
from cidery.gateway.page import HTML_TYPE
from cidery.gateway.redirects_file import MAX_BYTES, NAME, BadRedirects, find_redirect, parse_redirects, with_query
from cidery.gateway.unixfs_file import Serving, file, first_bytes
from cidery.http.message import Request, Response
from cidery.multiformats.cid import CID
from cidery.unixfs.directory_reader import find_link
from cidery.unixfs.node import Kind
from cidery.unixfs.reader import read_node

ERRORS = (404, 410, 451)


async def redirected_by_site(
    request: Request,
    origin: Origin,
    base: ContentPath,
    lasts: float | None,
    blocks: BlockSession,
    admitted: Callable[[ContentPath], ContentPath],
) -> Response | None:
    """The answer of the first rule that matches; None: the site has none.

    ``admitted``: the path of a rule's page, if it is not denied. Raises BadRedirects, Denied, and as get() if that page
    is not to be had.
    """
    root = (await run(prove_path(base), blocks)).cid
    rules_cid = await _entry(root, blocks)
    if rules_cid is None:
        return None
    rules = parse_redirects(await _text(rules_cid, blocks))
    found = find_redirect(rules, unescaped(request.path))
    if found is None:
        return None
    query = request.target.partition("?")[2]
    if found.status not in (200, *ERRORS):
        return Response(
            found.status, {"Location": with_query(found.target, query), "X-Content-Type-Options": "nosniff"}
        )
    target = unquote(found.target.partition("?")[0], errors="surrogateescape").lstrip("/")
    below = admitted(parse_path(f"{root}/{target}"))
    end = await run(prove_path(below), blocks)
    node = await run(read_node(end.cid), blocks)
    if node.kind is Kind.DIRECTORY:
        link = await run(find_link(node, INDEX), blocks)
        if link is None:
            return None
        node = await run(read_node(link.cid), blocks)
    headers = content_headers(origin.shown_path(request), ",".join(map(str, end.roots)), lasts)
    serving = Serving(below.name, isolated=True, tag=f'"{node.cid}"')
    if found.status == 200:
        return await file(request, node, blocks, headers, serving)
    response = await file(Request(request.method, request.path, {}), node, blocks, headers, serving)
    response.status = found.status
    response.headers["Content-Type"] = HTML_TYPE
    response.headers.pop("Accept-Ranges", None)
    return response


async def _entry(root: CID, blocks: BlockSession) -> CID | None:
    try:
        node = await run(read_node(root), blocks)
        if node.kind is not Kind.DIRECTORY:
            return None
        link = await run(find_link(node, NAME), blocks)
    except CideryError:
        return None  # the error of the path itself is what the client hears
    return None if link is None else link.cid


async def _text(cid: CID, blocks: BlockSession) -> bytes:
    node = await run(read_node(cid), blocks)
    if node.kind is not Kind.FILE:
        raise BadRedirects("it is not a file")
    if node.size > MAX_BYTES:
        raise BadRedirects(f"redirects file size cannot exceed {MAX_BYTES} bytes")
    return await first_bytes(node, MAX_BYTES, blocks)
