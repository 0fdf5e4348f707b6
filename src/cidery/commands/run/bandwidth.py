"""stats bw and stats day."""

import asyncio
from collections.abc import AsyncIterator

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.bandwidth import BandwidthDay, BandwidthSpell, BandwidthStat
from cidery.libp2p.protocols.bandwidth_day import EVERY

LEAST_INTERVAL = 0.01
"""Seconds between two lines of stats bw --poll."""


async def stats_bw(context: Context, call: Call) -> AsyncIterator[BandwidthStat]:
    peer, protocol = call.text("peer"), call.text("proto")
    if peer and protocol:
        raise BadCall("options 'peer' and 'proto' exclude each other")
    interval = call.seconds("interval") or 0.0
    if interval < LEAST_INTERVAL:
        raise BadCall(f"option 'interval' takes {LEAST_INTERVAL:g} seconds and more")
    while True:
        found = context.node.online.bandwidth(peer, protocol)
        yield BandwidthStat(
            TotalIn=found.total_in, TotalOut=found.total_out, RateIn=found.rate_in, RateOut=found.rate_out
        )
        if not call.flag("poll"):
            return
        await asyncio.sleep(interval)


async def stats_day(context: Context, call: Call) -> BandwidthDay:
    context.node.online  # noqa: B018 - offline, nothing goes over connections: raises NoNetwork
    return BandwidthDay(
        Every=EVERY,
        Spells=[
            BandwidthSpell(Began=one.number * EVERY, In=one.received, Out=one.sent)
            for look in context.node.bandwidth_days
            for one in look()
        ],
    )
