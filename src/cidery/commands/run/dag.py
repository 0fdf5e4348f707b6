"""dag put, get, resolve, import, export, stat and diff; resolve."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from functools import partial

from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Body, Context
from cidery.commands.definition import Call
from cidery.commands.definitions.dag import (
    CidLink,
    DagChange,
    DagImported,
    DagPut,
    DagResolved,
    DagSizeLine,
    DagStat,
    ImportedRoot,
    ImportStats,
    Resolved,
)
from cidery.commands.run.block import read_upload
from cidery.core.add_items import AddItem
from cidery.core.car_export import export_car as export_car_v1
from cidery.core.car_export import export_car_v2
from cidery.core.car_import import CarStats, import_car, read_pieces
from cidery.core.dag import DagSizes, dag_diff, dag_get, dag_put, dag_stat
from cidery.core.pin import pin_add
from cidery.core.resolve import parse_path, resolve, resolve_inside
from cidery.errors import CideryError, Unavailable
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer


class RootsNotPinned(Unavailable):
    """The blocks are stored, some roots could not be pinned."""

    def __init__(self, failed: int, roots: int) -> None:
        super().__init__(failed, roots)
        self.failed = failed
        self.roots = roots

    def __str__(self) -> str:
        return (
            f"unable to pin all roots: {self.failed} out of {self.roots} failed; for a partial archive use"
            " --pin-roots=false"
        )


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
    path = parse_path(call.one("ref"))
    async with context.node.session() as session:
        data = await dag_get(path, session, output_codec=call.text("output-codec"))

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        yield data

    return Body(chunks(), len(data))


async def resolve_block(context: Context, call: Call) -> DagResolved:
    path = parse_path(call.one("ref"))
    async with context.node.session() as session:
        found = await resolve_inside(path, session)
    return DagResolved(Cid=link(found.cid, call), RemPath="/".join(found.remainder))


async def resolve_path(context: Context, call: Call) -> Resolved:
    path = parse_path(call.one("name"))
    async with context.node.session() as session:
        found = await resolve_inside(path, session)
    return Resolved(Path="/".join(("/ipfs", cid_text(found.cid, call), *found.remainder)))


async def import_cars(context: Context, call: Call) -> AsyncIterator[DagImported]:
    """Blocks of all archives first, then the roots, offline: what an archive lacks is not fetched."""
    assert context.uploads is not None  # the definition's file argument
    if call.flag("local-only") and call.flag("pin-roots") and "pin-roots" in call.given:
        raise BadCall("options 'local-only' and 'pin-roots' exclude each other: a partial DAG cannot be pinned")
    api = context.node
    stats = CarStats()
    async with api.operation("import") as operation:
        async for item in context.uploads:
            await import_car(_pieces(item), api.store, stats)
        await api.store.sync()
        failed = 0
        if call.flag("pin-roots") and not call.flag("local-only"):
            await operation.protect(*stats.roots)
            async with api.offline().session() as session:
                keep = partial(api.keep, session=session)
                for root in stats.roots:
                    reason = ""
                    try:
                        async for _ in pin_add(root, session, api.pins, now=api.clock(), keep=keep):
                            continue
                    except CideryError as exc:
                        reason = str(exc)
                        failed += 1
                    yield DagImported(Root=ImportedRoot(Cid=link(root, call), PinErrorMsg=reason))
    if call.flag("stats"):
        yield DagImported(Stats=ImportStats(BlockCount=stats.blocks, BlockBytesCount=stats.bytes))
    if failed:
        raise RootsNotPinned(failed, len(stats.roots))


def _pieces(item: AddItem) -> AsyncIterable[Buffer]:
    if item.path is not None:
        return read_pieces(item.path)
    if item.stream is not None:
        return item.stream

    async def once() -> AsyncIterator[bytes]:
        yield item.data or b""

    return once()


async def export_car(context: Context, call: Call) -> Body:
    paths = [parse_path(text) for text in call.many("root")]
    local_only = call.flag("local-only")
    api = context.node.offline() if local_only else context.node
    async with api.session() as session:
        roots = [await resolve(path, session) for path in paths]
        for root in roots:
            if not root.is_identity and session.get_if_ready(root) is None:
                await session.get(root)  # nothing is sent for a root that cannot be had

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        async with api.session() as session:
            export = export_car_v2 if call.text("car-version") == "2" else export_car_v1
            async for chunk in export(roots, session, local_only=local_only):
                yield chunk

    return Body(chunks())


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
    paths = [parse_path(text) for text in call.many("root")]
    async with context.node.session() as session:
        async for sizes in dag_stat(paths, session):
            if sizes.done or call.flag("progress"):
                yield _stat_value(sizes, call)


async def diff(context: Context, call: Call) -> AsyncIterator[DagChange]:
    before, after = parse_path(call.one("a")), parse_path(call.one("b"))
    async with context.node.session() as session:
        async for change in dag_diff(before, after, session):
            yield DagChange(
                Type=int(change.type),
                Path=change.path,
                Before=link(change.before, call) if change.before is not None else None,
                After=link(change.after, call) if change.after is not None else None,
            )
