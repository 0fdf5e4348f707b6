"""block get, put, rm and stat."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Body, Context, body_of
from cidery.commands.definition import Call
from cidery.commands.definitions.block import BlockRemoved, BlockStat
from cidery.core.reading.blocks import BlockTooBig, block_get, block_put, block_stat
from cidery.core.reading.resolve import resolve
from cidery.ipld.block import MAX_BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.core.adding.items import Item

MAX_UPLOAD = 64 << 20
"""Largest block accepted with --allow-big-block, in bytes: it is held in memory as a whole."""


async def get(context: Context, call: Call) -> Body:
    path = await context.node.locate(call.one("cid"))
    async with context.node.lazy_session() as session:
        data = await block_get(path, session)

    return body_of(data)


async def stat(context: Context, call: Call) -> BlockStat:
    path = await context.node.locate(call.one("cid"))
    async with context.node.lazy_session() as session:
        found = await block_stat(path, session)
    return BlockStat(Key=cid_text(found.cid, call), Size=found.size)


async def rm(context: Context, call: Call) -> AsyncIterator[BlockRemoved]:
    from cidery.core.keeping.block_removal import SomeNotRemoved, block_rm

    api = context.node.offline().undenied()
    failed = 0
    async with api.session() as session:
        cids = [await resolve(await api.locate(text), session) for text in call.many("cid")]
        async for one in block_rm(cids, api.blocks, session, api.pins, await api.files.root(), now=api.clock()):
            if one.absent and call.flag("force"):
                continue
            line = BlockRemoved(Hash=cid_text(one.cid, call))
            if one.reason:
                failed += 1
                line["Error"] = one.reason
            yield line
    if failed:
        raise SomeNotRemoved(failed)


async def read_upload(item: Item, limit: int = MAX_UPLOAD) -> bytes:
    """All bytes of one file. Raises BlockTooBig as soon as more than ``limit`` have come."""
    from cidery.core.adding.batches import each
    from cidery.core.adding.items import sent_bytes

    return await sent_bytes(each((item,)), limit, BlockTooBig)


async def put(context: Context, call: Call) -> AsyncIterator[BlockStat]:
    assert context.uploads is not None  # the definition's file argument; the CLI opens local paths
    api = context.node
    async with api.operation("block put"):
        async for item in context.uploads:
            stored = await block_put(
                await read_upload(item, MAX_UPLOAD if call.flag("allow-big-block") else MAX_BLOCK),
                api.store,
                cid_codec=call.text("cid-codec") or None,
                mhtype=call.text("mhtype"),
                mhlen=call.number("mhlen"),
                format=call.text("format") or None,
                allow_big_block=call.flag("allow-big-block"),
            )
            if call.flag("pin"):
                await api.pin_stored(stored.cid)
            yield BlockStat(Key=cid_text(stored.cid, call), Size=stored.size)
