"""cat."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from cidery.blockstore.drive import run
from cidery.commands.bind import BadCall
from cidery.commands.context import Body, Context, begun, body_of
from cidery.commands.definition import Call
from cidery.core.lazy_session import AtHand, NotAtHand
from cidery.core.reading.cat import cat as cat_file
from cidery.core.reading.cat import file_size
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.ipld.walk import Data
from cidery.multiformats.varint import Buffer
from cidery.unixfs.reader import read_file

SMALL = 256 * 1024
"""Most bytes that are read before any is given: what takes no longer than to begin an answer in pieces."""


async def cat(context: Context, call: Call) -> Body:
    """Several files one after the other; offset and length count over all of them, as in Kubo."""
    offset, length = call.number("offset"), call.number_or_none("length")
    if offset < 0 or (length is not None and length < 0):
        raise BadCall("options 'offset' and 'length' take numbers from 0 up")
    paths = [await context.node.locate(text) for text in call.many("path")]
    api, name = context.node, call.text("session")

    async def chunks(known: list[bytes | int]) -> AsyncGenerator[bytes | memoryview, None]:
        """Known are all bytes, if they are at hand, or else their number."""
        async with api.session(name=name) if name else api.lazy_session() as session:
            if len(paths) == 1 and not offset and length is None:
                session.expect(await resolve(paths[0], session))  # before its first block: a stream brings that, too
            sizes = [await file_size(path, session) for path in paths]
            total = max(0, sum(sizes) - offset)
            wanted = total if length is None else min(length, total)
            files = list(zip(paths, sizes, strict=True))
            if wanted <= SMALL and (data := await _at_hand(files, offset, wanted, session)) is not None:
                known.append(data)
                return
            known.append(wanted)
            yield b""
            async for chunk in _joined(files, offset, wanted, session):
                yield chunk

    known, body = await begun(chunks)
    return Body(body, known) if isinstance(known, int) else body_of(known)


async def _at_hand(
    files: Sequence[tuple[ContentPath, int]], skip: int, left: int, session: BlockSession
) -> bytes | None:
    """The bytes, if no block has to be waited for. Without a generator, which could not be closed in the middle."""
    blocks = AtHand(session)
    found: list[Data] = []
    try:
        for path, begin, size, _ in _parts(files, skip, left):
            await run(read_file(await resolve(path, blocks), begin, size), blocks, found)
    except NotAtHand:
        return None
    return b"".join([one.chunk for one in found])


async def _joined(
    files: Sequence[tuple[ContentPath, int]], skip: int, left: int, session: BlockSession
) -> AsyncGenerator[bytes | memoryview, None]:
    """``left`` bytes of files with these sizes, from ``skip`` on."""
    for path, begin, size, whole in _parts(files, skip, left):
        if whole:
            session.expect(await resolve(path, session))
        async for chunk in frozen(cat_file(path, session, begin, size)):
            yield chunk


def _parts(
    files: Sequence[tuple[ContentPath, int]], skip: int, left: int
) -> Iterator[tuple[ContentPath, int, int, bool]]:
    """Of each file with some of these bytes: where they begin in it, how many they are, and whether they are all."""
    for path, size in files:
        if here := min(left, max(0, size - skip)):
            yield path, skip, here, here == size
        skip, left = max(0, skip - size), left - here


async def frozen(chunks: AsyncIterator[Buffer]) -> AsyncIterator[bytes | memoryview]:
    """The chunks, which nothing writes to any more."""
    async for chunk in chunks:
        yield bytes(chunk) if isinstance(chunk, bytearray) else chunk
