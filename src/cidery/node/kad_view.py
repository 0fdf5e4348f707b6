"""The data behind ``stats dht`` and ``provide stat``."""

from cidery.core.network import BucketStat, DhtStat, ProvideCount, ProvideStat, TablePeer
from cidery.kad.io.announce import AnnounceStat
from cidery.kad.io.dht import Dht
from cidery.kad.routing_table import Contact
from cidery.kad.sweep import CycleCount
from cidery.libp2p.io.swarm import Swarm


def dht_stat(dht: Dht, swarm: Swarm) -> DhtStat:
    """The current routing table, with its empty buckets."""
    now = swarm.clock()
    buckets = {shared: (entries, refreshed) for shared, entries, refreshed in dht.table.sizes()}
    shown = [buckets.get(shared, ([], float("-inf"))) for shared in range(max(buckets, default=-1) + 1)]
    return DhtStat(
        name=dht.config.name,
        server=dht.is_server,
        network_size=dht.size.estimate(),
        buckets=tuple(
            BucketStat(tuple(_peer(entry, swarm, now) for entry in entries), now - refreshed)
            for entries, refreshed in shown
        ),
    )


def _peer(entry: Contact, swarm: Swarm, now: float) -> TablePeer:
    known = swarm.peer_store.get(entry.peer)
    return TablePeer(
        id=str(entry.peer),
        connected=swarm.best(entry.peer) is not None,
        agent=known.agent if known is not None else "",
        answered=now - entry.answered_at,
    )


def provide_stat(stat: AnnounceStat) -> ProvideStat:
    return ProvideStat(
        keys=stat.keys,
        done=stat.done,
        fresh=stat.fresh,
        late=stat.late,
        waiting_roots=stat.urgent,
        roots=stat.roots,
        roots_failed=stat.roots_failed,
        interval=stat.interval,
        regions=stat.regions,
        next_at=stat.next_at,
        cycle=_count(stat.cycle),
        last=_count(stat.last) if stat.last is not None else None,
        outside=_count(stat.outside),
        peers=stat.peers,
    )


def _count(count: CycleCount) -> ProvideCount:
    return ProvideCount(
        count.began_at, count.regions, count.lookups, count.keys, count.failed, count.records, count.seconds
    )
