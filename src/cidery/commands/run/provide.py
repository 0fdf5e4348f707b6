"""provide once, stat and clear."""

import datetime
from collections.abc import AsyncIterator

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.provide import (
    Cleared,
    Operations,
    PastOperations,
    ProvideStat,
    Queued,
    Queues,
    Schedule,
)
from cidery.core.network import ProvideCount
from cidery.core.reading.refs import refs
from cidery.core.session import NotStored
from cidery.errors import Unavailable

BATCH = 1024
"""Keys handed to the sweep at a time."""


class NobodyTookIt(Unavailable):
    """No peer of the DHT could be reached."""

    def __str__(self) -> str:
        return "no peer took the record: connect to a peer that serves the DHT, see cidery stats dht"


async def once(context: Context, call: Call) -> AsyncIterator[Queued]:
    api, network = context.node, context.node.online
    router = network.router()
    cids = [(await context.node.locate(text)).root for text in call.many("key")]
    for cid, size in zip(cids, await api.blocks.size_many(cids), strict=True):
        if size is None and not cid.is_identity:
            raise NotStored(cid)
    for cid in cids:
        with api.doing("announcing it to peers of the DHT"):
            taken = await router.provide(cid)
        if not taken:
            raise NobodyTookIt
        yield Queued(Queued=cid_text(cid, call), Peers=taken)
        if not call.flag("recursive"):
            continue
        batch: list[bytes] = []
        async with api.offline().session() as session:
            async for edge in refs(cid, session, recursive=True, unique=True):
                batch.append(edge.target.multihash)
                if len(batch) == BATCH:
                    network.provide_later(batch)
                    batch = []
                yield Queued(Queued=cid_text(edge.target, call), Peers=-1)
        network.provide_later(batch)


class SweepRuns(Unavailable):
    """There is no round to start by hand."""

    def __str__(self) -> str:
        return "the sweep announces everything within Provide.DHT.Interval; single CIDs at once: cidery provide once"


async def reprovide(context: Context, call: Call) -> None:
    raise SweepRuns


def _past(count: ProvideCount) -> PastOperations:
    return PastOperations(
        KeysProvided=count.keys,
        KeysFailed=count.failed,
        RecordsProvided=count.records,
        Lookups=count.lookups,
        Seconds=round(count.seconds, 3),
    )


def _time(seconds: float | None) -> str:
    return "" if not seconds else datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


async def stat(context: Context, call: Call) -> ProvideStat:
    found = await context.node.online.provide_stat()
    worked = found.cycle.seconds + found.outside.seconds
    keys = found.cycle.keys + found.outside.keys
    return ProvideStat(
        Due=found.fresh + found.late + found.waiting_roots,
        Done=found.done,
        Late=found.late,
        Rate=round(60 * keys / worked, 1) if worked else 0.0,
        RootsProvided=found.roots,
        RootsFailed=found.roots_failed,
        Queues=Queues(PendingRoots=found.waiting_roots, PendingKeyProvides=found.fresh),
        Schedule=Schedule(
            Keys=found.keys,
            Regions=found.regions,
            RegionsDone=found.cycle.regions,
            Interval=f"{found.interval / 3600:g}h",
            CycleBegan=_time(found.cycle.began_at),
            NextReprovideAt=_time(found.next_at),
        ),
        Operations=Operations(
            Cycle=_past(found.cycle),
            LastCycle=_past(found.last) if found.last is not None else None,
            New=_past(found.outside),
        ),
        Network=found.peers,
    )


async def clear(context: Context, call: Call) -> Cleared:
    return Cleared(Cleared=await context.node.online.provide_clear())
