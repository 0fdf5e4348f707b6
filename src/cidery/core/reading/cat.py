"""The bytes of a file."""

from collections.abc import AsyncIterator

from cidery.blockstore.drive import drive, run
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.node import Kind
from cidery.unixfs.reader import NotAFile, read_file, read_node


async def cat(
    path: str | CID | ContentPath, session: BlockSession, offset: int = 0, length: int | None = None
) -> AsyncIterator[Buffer]:
    """Bytes ``[offset, offset+length)`` of a file in order, in stored chunks; reads only the blocks that it needs.

    Raises: PathError, NotAFile, NotFound, UnixFSError and InvalidInput (negative numbers). Cancellation: safe.
    """
    root = await resolve(path, session)
    if not offset and length is None:
        session.expect(root)
    async for data in drive(read_file(root, offset, length), session):
        yield data.chunk


async def file_size(path: str | CID | ContentPath, session: BlockSession) -> int:
    """Length of a file in bytes; reads its root block. Raises NotAFile and as cat()."""
    node = await run(read_node(await resolve(path, session)), session)
    if node.kind is not Kind.FILE:
        raise NotAFile(node.cid, node.kind)
    return node.size
