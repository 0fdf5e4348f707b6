"""dag put, get, stat and diff."""

from collections.abc import AsyncIterator
from functools import partial

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Body, Context, body_of
from cidery.commands.definition import Call
from cidery.commands.definitions.dag import (
    CidLink,
    DagChange,
    DagPut,
    DagSizeLine,
    DagStat,
)
from cidery.commands.run.block import read_upload
from cidery.core.keeping.pin import pin_add
from cidery.core.reading.dag import DagSizes, dag_diff, dag_get, dag_put, dag_stat
from cidery.multiformats.cid import CID


def link(cid: CID, call: Call) -> CidLink:
    return {"/": cid_text(cid, call)}


async def put(context: Context, call: Call) -> AsyncIterator[DagPut]:
    assert context.uploads is not None  # the definition's file argument
    api = context.node
    async with api.operation("dag put"):
        async for item in context.uploads:
            stored = await dag_put(
                await read_upload(item),
                api.store,
                store_codec=call.text("store-codec"),
                input_codec=call.text("input-codec"),
                hash_name=call.text("hash"),
                allow_big_block=call.flag("allow-big-block"),
            )
            if call.flag("pin"):
                async with api.session(kept=True) as session:
                    keep = partial(api.keep, session=session)
                    async for _ in pin_add(stored.cid, session, api.pins, now=api.clock(), keep=keep):
                        continue
            yield DagPut(Cid=link(stored.cid, call))


async def get(context: Context, call: Call) -> Body:
    path = await context.node.locate(call.one("ref"))
    async with context.node.lazy_session() as session:
        data = await dag_get(path, session, output_codec=call.text("output-codec"))

    return body_of(data)


def _stat_value(sizes: DagSizes, call: Call) -> DagStat:
    """Zero fields are omitted, as Kubo does."""
    lines: list[DagSizeLine] = []
    for dag in sizes.dags:
        line = DagSizeLine(Cid=cid_text(dag.cid, call))
        if dag.blocks:
            line["NumBlocks"] = dag.blocks
        if dag.size:
            line["Size"] = dag.size
        lines.append(line)
    value = DagStat(DagStats=lines)
    if sizes.unique_blocks and sizes.done:
        value["UniqueBlocks"] = sizes.unique_blocks
    if sizes.unique_size:
        value["TotalSize"] = sizes.unique_size
    if sizes.done:
        if sizes.shared_size:
            value["SharedSize"] = sizes.shared_size
        value["Ratio"] = sizes.ratio
    return value


async def stat(context: Context, call: Call) -> AsyncIterator[DagStat]:
    paths = [await context.node.locate(text) for text in call.many("root")]
    async with context.node.session() as session:
        async for sizes in dag_stat(paths, session):
            if sizes.done or call.flag("progress"):
                yield _stat_value(sizes, call)


async def diff(context: Context, call: Call) -> AsyncIterator[DagChange]:
    before, after = [await context.node.locate(call.one(name)) for name in ("a", "b")]
    async with context.node.session() as session:
        async for change in dag_diff(before, after, session):
            yield DagChange(
                Type=int(change.type),
                Path=change.path,
                Before=link(change.before, call) if change.before is not None else None,
                After=link(change.after, call) if change.after is not None else None,
            )
