"""Files of UnixFS as answers: their type, their parts, their bytes as they arrive.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing
from typing import NamedTuple

from cidery.blockstore.drive import drive, run
from cidery.core.lazy_session import AtHand, NotAtHand
from cidery.core.session import BlockSession
from cidery.disk.file_part import FilePart
from cidery.errors import InvalidInput, NotFound
from cidery.gateway.conditional import matches_tag, not_modified_since
from cidery.gateway.disposition import filename_of, named_by_query
from cidery.gateway.media_type import BINARY, HEAD_BYTES, by_content, by_name
from cidery.gateway.ranged import Read, in_parts, outside, ranges_of
from cidery.http.dates import imf_fixdate
from cidery.http.message import Piece, Request, Response
from cidery.http.ranges import Range, Unsatisfiable
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.walk import Data
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.unixfs.node import Kind, UnixFSNode
from cidery.unixfs.reader import Offer, read_file, read_missing, read_node
from cidery.waiting import loop_clock

SYMLINK_TYPE = "inode/symlink"
"""Of a symlink, whose body is its target."""


LEAST_LENT = 64 * 1024
"""Bytes of the smallest leaf that is worth a look at where it is stored."""
SLOW_PART = 2.0
"""Seconds for a leaf after which its reader is lent no more: nothing is removed from a segment that is lent from."""
Lent = Callable[[CID, int], AbstractContextManager[FilePart | None]]
"""A block of so many bytes as a part of a file in the context; None: it has to be read."""


class TooLargeForRanges(InvalidInput):
    """A part of a file above Gateway.MaxRangeRequestFileSize."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(size, most)
        self.size = size
        self.most = most

    def __str__(self) -> str:
        return (
            f"parts of files of more than {self.most} bytes are not served here, and this one has {self.size}: "
            "ask for the whole file, or for its blocks (?format=raw)"
        )


class Serving(NamedTuple):
    """How files are served to a request."""

    name: str
    """The last name of the path: its ending suggests a type."""
    isolated: bool
    """Whether the request's origin is that of the content alone."""
    tag: str
    """Etag: the CID of the file, or of the directory whose page it is."""
    max_range_file_size: int = 0
    lent: Lent | None = None
    """Gives blocks as parts of files to requests that take them."""

    def is_known(self, request: Request) -> bool:
        """Whether the client has it already, by its tag."""
        known = request.headers.get("if-none-match")
        return known is not None and matches_tag(known, (self.tag,))


async def leaf(cid: CID, blocks: BlockSession) -> UnixFSNode:
    """A block of bytes as the file that it is. Raises as get(), and WalkLimit."""
    block = blocks.get_if_ready(cid)
    if block is None or len(block) > MAX_BLOCK:
        return await run(read_node(cid), blocks)
    return UnixFSNode(cid, Kind.FILE, len(block), block)


async def file(
    request: Request, node: UnixFSNode, blocks: BlockSession, headers: dict[str, str], serving: Serving
) -> Response:
    """A file, or a symlink's target. Raises as get() if its type is told by bytes that are not to be had, and
    TooLargeForRanges."""
    headers["Etag"] = tag = serving.tag
    if node.mtime is not None and (date := imf_fixdate(node.mtime.seconds)) is not None:
        headers["Last-Modified"] = date
    if "if-none-match" in request.headers:
        if serving.is_known(request):
            return Response(304, headers)
    elif node.mtime is not None and (since := request.headers.get("if-modified-since")) is not None:
        if not_modified_since(since, node.mtime.seconds):
            return Response(304, headers)
    if (shown := named_by_query(request)) is not None:
        headers["Content-Disposition"] = shown
    if node.kind is Kind.SYMLINK:
        headers["Content-Type"] = SYMLINK_TYPE
        return Response(200, headers, bytes(node.inline))
    headers["Accept-Ranges"] = "bytes"
    size = node.size
    try:
        ranges = ranges_of(request, tag, size)
    except Unsatisfiable as exc:
        return outside(headers, exc)
    if ranges and 0 < serving.max_range_file_size < size:
        raise TooLargeForRanges(size, serving.max_range_file_size)
    whole = node.inline if not node.links else None
    if whole is None and isinstance(blocks, AtHand):
        raise NotAtHand(node.cid)  # its bytes come in pieces
    kind = by_name(filename_of(request) or serving.name)
    if kind is None and whole is not None:
        kind = by_content(whole, whole=True, isolated=serving.isolated)
    headers["Content-Type"] = kind or await _type_by_content(node, blocks, ranges, serving)
    lent = serving.lent if request.takes_files else None
    return in_parts(ranges, size, headers, whole, _reading(node, blocks, lent))


def _reading(node: UnixFSNode, blocks: BlockSession, lent: Lent | None) -> Read:
    async def read(offset: int, length: int) -> AsyncGenerator[Piece, None]:
        if offset == 0:
            blocks.expect(node.cid)
        steps: AsyncGenerator[Data | Offer, None] = (
            drive(read_file(node.cid, offset, length, node), blocks)
            if lent is None
            else drive(read_missing(node.cid, offset, length, node), blocks)
        )
        clock, slow = loop_clock(), False
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Data):
                    yield step.chunk
                elif lent is not None and not slow and step.size is not None and _may_be_lent(step.cid, step.size):
                    with lent(step.cid, step.size) as part:
                        if part is not None:
                            step.taken, began = True, clock()
                            yield part[max(0, offset - step.start) : offset + length - step.start]
                            slow = clock() - began > SLOW_PART

    return read


def _may_be_lent(cid: CID, size: int) -> bool:
    """Whether a block is nothing but bytes of a file, and many."""
    return cid.codec == RAW and size >= LEAST_LENT


async def _type_by_content(node: UnixFSNode, blocks: BlockSession, ranges: list[Range], serving: Serving) -> str:
    begins = not ranges or ranges[0].first == 0
    # A part in the middle touches no block but its own: the beginning is looked at if it is here already.
    try:
        head = await first_bytes(node, HEAD_BYTES, blocks if begins else AtHand(blocks))
    except NotFound:
        if begins:
            raise
        return BINARY
    return by_content(head, whole=len(head) == node.size, isolated=serving.isolated)


async def first_bytes(node: UnixFSNode, count: int, blocks: BlockSession) -> bytes:
    """The beginning of a file, at most ``count`` bytes. Raises as get()."""
    found: list[Data] = []
    await run(read_file(node.cid, 0, count, node), blocks, found)
    return b"".join(data.chunk for data in found)
