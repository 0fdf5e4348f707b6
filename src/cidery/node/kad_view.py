"""What ``stats dht`` shows of a DHT."""

from cidery.core.sources import BucketStat, DhtStat, TablePeer
from cidery.kad.io.dht import Dht
from cidery.kad.routing_table import Entry
from cidery.libp2p.io.swarm import Swarm


def dht_stat(dht: Dht, swarm: Swarm) -> DhtStat:
    """The routing table as it is now, with its empty buckets."""
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


def _peer(entry: Entry, swarm: Swarm, now: float) -> TablePeer:
    known = swarm.peer_store.get(entry.peer)
    return TablePeer(
        id=str(entry.peer),
        connected=swarm.best(entry.peer) is not None,
        agent=known.agent if known is not None else "",
        answered=now - entry.answered_at,
    )
