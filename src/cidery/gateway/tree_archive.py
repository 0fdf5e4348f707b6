"""Files and directories as TAR archives.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#format-request-query-parameter
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from cidery.blockstore.drive import run
from cidery.core.getting.tar import tar_pieces
from cidery.core.session import BlockSession
from cidery.gateway.conditional import matches_tag
from cidery.gateway.disposition import attachment
from cidery.http.message import Request, Response
from cidery.ipld.walk import Data
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.reader import read_node


async def archive(request: Request, cid: CID, blocks: BlockSession, headers: dict[str, str]) -> Response:
    """The tree at ``cid``; names that lead out of it cut the answer. Raises as get(), and UnixFSError."""
    headers |= {
        "Etag": f'W/"{cid}.x-tar"',
        "Content-Type": "application/x-tar",
        "Content-Disposition": attachment(request, f"{cid}.tar"),
        "Accept-Ranges": "none",
    }
    if matches_tag(request.header("if-none-match"), (headers["Etag"],)):
        return Response(304, headers)
    await run(read_node(cid), blocks)  # before the first byte, so that its errors have their own status
    return Response(200, headers, _pieces(cid, blocks))


async def _pieces(cid: CID, blocks: BlockSession) -> AsyncGenerator[Buffer, None]:
    async with aclosing(tar_pieces(cid, blocks, str(cid), inside=True)) as pieces:
        async for piece in pieces:
            yield piece.chunk if isinstance(piece, Data) else piece
