"""get."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from cidery.blockstore.drive import run
from cidery.commands.bind import BadCall
from cidery.commands.context import Body, Context, begun
from cidery.commands.definition import Call
from cidery.commands.run.reading import frozen
from cidery.core.getting.extent_stream import extent_stream
from cidery.core.getting.extents import MEDIA_TYPE
from cidery.core.getting.tar import gzip_stream, tar_pieces, tar_stream
from cidery.core.reading.cat import cat as cat_file
from cidery.core.reading.resolve import resolve
from cidery.unixfs.node import Kind, UnixFSNode
from cidery.unixfs.reader import read_node

JOIN_BYTES = 128 * 1024
"""Bytes sent at a time, except for the last: each send costs some system calls on both sides."""
DEFAULT_GZIP = 6
"""Compression level when none is given: zlib's own choice."""


def gzip_level(call: Call) -> int:
    """--compression-level, which applies with --compress only: clients send -1 without it. Raises BadCall."""
    level = call.number_or_none("compression-level")
    if level is None or not call.flag("compress"):
        return DEFAULT_GZIP
    if not 1 <= level <= 9:
        raise BadCall(f"option 'compression-level' takes 1 to 9, not {level}")
    return level


async def get(context: Context, call: Call) -> Body:
    """TAR, gzipped with --compress; a client unpacks it. Its length is an estimate from the tree, for progress only.

    A caller on this machine that can say what it has taken gets it as extents, unless it is compressed.
    """
    path = await context.node.locate(call.one("path"))
    api = context.node
    compress, archive = call.flag("compress"), call.flag("archive")
    level = gzip_level(call)
    skip = call.number("skip-files"), call.number("skip-bytes")
    if min(skip) < 0:
        raise BadCall("options 'skip-files' and 'skip-bytes' take numbers from 0 up")
    extents = context.taken is not None and not compress

    async def chunks(known: list[UnixFSNode]) -> AsyncGenerator[bytes | memoryview, None]:
        async with api.session(name=call.text("session")) as session:
            root = await resolve(path, session)
            session.expect(root)  # before its first block: a stream of the whole brings that, too
            node = await run(read_node(root), session)
            known.append(node)
            yield b""
            if compress and not archive and node.kind is Kind.FILE:
                stream = frozen(cat_file(root, session))
            elif extents and context.taken is not None:
                pieces = tar_pieces(root, session, path.name, skip_files=skip[0], skip_bytes=skip[1])
                async with aclosing(pieces), aclosing(extent_stream(pieces, api.store, context.taken)) as frames:
                    async for frame in frames:
                        yield frame
                return
            else:
                stream = tar_stream(root, session, path.name, skip_files=skip[0], skip_bytes=skip[1])
            async for chunk in gzip_stream(stream, level) if compress else _joined(stream):
                yield chunk

    node, body = await begun(chunks)
    total = node.size if node.kind is Kind.FILE else sum(link.tsize or 0 for link in node.links)
    kind = "application/gzip" if compress else MEDIA_TYPE if extents else ""
    return Body(body, None if compress else total, kind)


async def _joined(chunks: AsyncIterator[bytes | memoryview]) -> AsyncIterator[bytes | memoryview]:
    """The same bytes with small pieces joined: a folder of small files is one third headers and padding."""
    held: list[bytes | memoryview] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= JOIN_BYTES:
            yield held[0] if len(held) == 1 else b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
