"""why."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.why import Finding
from cidery.core.resolve import resolve
from cidery.core.why import SECONDS
from cidery.core.why import why as findings
from cidery.core.why_text import details_of, kind_of, line_of
from cidery.errors import NotFound
from cidery.multiformats.cid import CID

SHARE = 0.9
"""Of the time given with --timeout: the rest is for the verdict."""


async def why(context: Context, call: Call) -> AsyncIterator[Finding]:
    api = context.node
    path = await api.locate(call.one("path"))
    cid = path.root
    if path.segments:
        try:
            async with api.offline().session() as session:
                cid = await resolve(path, session)
        except NotFound:
            cid = path.root  # a block on the way is missing: that is what there is to say
    given = call.seconds("timeout")

    def show(one: CID) -> str:
        return cid_text(one, call)

    async with aclosing(findings(api, cid, seconds=SHARE * given if given else SECONDS)) as facts:
        async for fact in facts:
            yield Finding(Type=kind_of(fact), Text=line_of(fact, api.clock(), show), Details=details_of(fact, show))
