"""object patch."""

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.objects import Patched
from cidery.core.link_patch import LinkPatch
from cidery.core.reading.resolve import resolve


async def add_link(context: Context, call: Call) -> Patched:
    api = context.node
    async with api.operation("object patch"), api.session(kept=True) as session:
        patch = LinkPatch(session, api.store, any_node=call.flag("allow-non-unixfs"), create=call.flag("create"))
        root = await resolve(await api.locate(call.one("root")), session)
        target = await resolve(await api.locate(call.one("ref")), session)
        return Patched(Hash=cid_text(await patch.add(root, call.one("name"), target), call))


async def rm_link(context: Context, call: Call) -> Patched:
    api = context.node
    async with api.operation("object patch"), api.session(kept=True) as session:
        root = await resolve(await api.locate(call.one("root")), session)
        patch = LinkPatch(session, api.store, any_node=call.flag("allow-non-unixfs"))
        return Patched(Hash=cid_text(await patch.remove(root, call.one("name")), call))
