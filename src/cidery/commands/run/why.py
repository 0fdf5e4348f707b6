"""why."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.why import Finding
from cidery.core.why import SECONDS, findings

SHARE = 0.9
"""Fraction of the --timeout for gathering facts: the rest is for the verdict."""


async def why(context: Context, call: Call) -> AsyncIterator[Finding]:
    api, given = context.node, call.seconds("timeout")
    path = await api.locate(call.one("path"))
    seconds = SHARE * given if given else SECONDS
    # the findings update what is shown as they arrive
    with api.doing("asking peers and routers"):
        async with aclosing(findings(api, path, seconds=seconds, show=lambda cid: cid_text(cid, call))) as found:
            async for one in found:
                yield Finding(Type=one.kind, Text=one.text, Details=one.details)
