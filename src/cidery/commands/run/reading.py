"""cat."""

from collections.abc import AsyncGenerator, AsyncIterator

from cidery.commands.bind import BadCall
from cidery.commands.context import Body, Context
from cidery.commands.definition import Call
from cidery.core.reading.cat import cat as cat_file
from cidery.core.reading.cat import file_size
from cidery.core.reading.resolve import resolve
from cidery.multiformats.varint import Buffer


async def cat(context: Context, call: Call) -> Body:
    """Several files one after the other; offset and length count over all of them, as in Kubo."""
    offset, length = call.number("offset"), call.number_or_none("length")
    if offset < 0 or (length is not None and length < 0):
        raise BadCall("options 'offset' and 'length' take numbers from 0 up")
    paths = [await context.node.locate(text) for text in call.many("path")]
    api = context.node
    async with api.session(name=call.text("session")) as session:
        sizes = [await file_size(path, session) for path in paths]
    total = max(0, sum(sizes) - offset)
    wanted = total if length is None else min(length, total)

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        skip, left = offset, wanted
        async with api.session(name=call.text("session")) as session:
            for path, size in zip(paths, sizes, strict=True):
                here = min(left, max(0, size - skip))
                if here:
                    if here == size:
                        session.expect(await resolve(path, session))
                    async for chunk in frozen(cat_file(path, session, skip, here)):
                        yield chunk
                skip, left = max(0, skip - size), left - here
                if not left:
                    return

    return Body(chunks(), wanted)


async def frozen(chunks: AsyncIterator[Buffer]) -> AsyncIterator[bytes | memoryview]:
    """The chunks, which nothing writes to any more."""
    async for chunk in chunks:
        yield bytes(chunk) if isinstance(chunk, bytearray) else chunk
