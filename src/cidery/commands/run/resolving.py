"""resolve and dag resolve."""

from cidery.commands.cid_text import cid_text, cid_text_as_in
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.dag import (
    DagResolved,
    Resolved,
)
from cidery.core.reading.content_path import name_path
from cidery.core.reading.resolve import resolve_inside


async def resolve_block(context: Context, call: Call) -> DagResolved:
    path = await context.node.locate(call.one("ref"))
    async with context.node.lazy_session() as session:
        found = await resolve_inside(path, session)
    return DagResolved(Cid={"/": cid_text_as_in(call.one("ref"), found.cid, call)}, RemPath="/".join(found.remainder))


async def resolve_path(context: Context, call: Call) -> Resolved:
    name = name_path(call.one("name"))
    if name is not None and not call.flag("recursive"):
        return Resolved(Path=(await context.node.naming.resolver.resolve(name, recursive=False)).path)
    path = await context.node.locate(call.one("name"))
    async with context.node.lazy_session() as session:
        found = await resolve_inside(path, session)
    shown = cid_text(found.cid, call) if name else cid_text_as_in(call.one("name"), found.cid, call)
    return Resolved(Path="/".join(("", path.namespace, shown, *found.remainder)))
