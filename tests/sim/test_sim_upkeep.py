"""Connections that are kept, sought and let go, in virtual time; and /dnsaddr."""

import asyncio
from dataclasses import dataclass

import pytest

from cidery.errors import NotFound
from cidery.identity.peer_id import PeerId
from cidery.kad.service import KadOptions
from cidery.libp2p.io.dnsaddr import MAX_ADDRS, MAX_LOOKUPS, addresses_in, resolve_dnsaddr
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network_errors import NoDns
from cidery.node.upkeep import BACKOFF_BASE, MAX_PEERED, ConnectionLimits, TooManyPeered
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import PORT, MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

LINK = Link(0.02)


def connected(one: MemoryNode, other: MemoryNode) -> bool:
    return one.network.swarm.best(other.peer) is not None


def test_a_peer_is_kept_connected_and_dialled_again_when_it_is_lost():
    async def main():
        network = MemoryNetwork(1, LINK)
        async with memory_nodes(network, 2) as (one, other):
            one.network.peering_add([other.addr])
            await asyncio.sleep(1)
            assert connected(one, other)
            network.cut(one.address, other.address)
            await asyncio.sleep(1)
            assert connected(one, other)

    run_virtual(main())


def test_a_peer_that_is_away_is_tried_ever_more_rarely_and_found_when_it_is_back():
    async def main():
        network = MemoryNetwork(2, LINK)
        async with memory_nodes(network, 1) as (one,):
            other = MemoryNode(network, 9)
            one.network.peering_add([other.addr])
            await asyncio.sleep(3 * BACKOFF_BASE)
            assert not connected(one, other)
            await other.network.start((Multiaddr.tcp(other.address, PORT),))
            await asyncio.sleep(60)
            assert connected(one, other)
            await other.network.close()

    run_virtual(main())


def test_who_asks_for_a_connection_to_a_silent_peer_gets_a_new_one():
    """A peer that was killed is back elsewhere: its old connection would pass for one for half a minute."""

    async def main():
        network = MemoryNetwork(4, LINK)
        async with memory_nodes(network, 2) as (one, other):
            await one.network.connect(other.addr)
            old = one.network.swarm.best(other.peer)
            await one.network.connect(other.addr)
            assert one.network.swarm.best(other.peer) is old
            network.freeze(one.address, other.address)
            asked = asyncio.create_task(one.network.connect(other.addr))
            await old.closed
            network.thaw(one.address, other.address)
            await asked
            assert one.network.swarm.best(other.peer) not in (old, None)

    run_virtual(main())


def test_peers_are_listed_and_removed():
    async def main():
        network = MemoryNetwork(3, LINK)
        async with memory_nodes(network, 2) as (one, other):
            assert one.network.peering_add([other.addr]) == [other.name]
            assert one.network.peering() == {other.name: [str(other.addr.without_peer())]}
            assert one.network.peering_remove(other.name)
            assert not one.network.peering_remove(other.name)
            await asyncio.sleep(5)
            assert not connected(one, other)
            with pytest.raises(TooManyPeered):
                for at in range(MAX_PEERED + 1):
                    one.network.upkeep.add(PeerId(b"\x00\x24\x08\x01\x12\x20" + at.to_bytes(32, "big")), [])

    run_virtual(main())


def test_bootstrap_peers_are_asked_until_somebody_is_known_and_again_when_nobody_is():
    async def main():
        network = MemoryNetwork(4, LINK)
        async with memory_nodes(network, 1, kad=KadOptions()) as (server,):
            one = MemoryNode(network, 5, kad=KadOptions())
            network.freeze(one.address, server.address)
            await one.network.start((Multiaddr.tcp(one.address, PORT),), (server.addr,))
            await asyncio.sleep(20)
            assert not connected(one, server)
            network.thaw(one.address, server.address)
            await asyncio.sleep(60)
            assert connected(one, server) and server.peer in one.kad.lan.table
            one.kad.lan.table.remove(server.peer)
            one.network.swarm.disconnect(server.peer)
            await asyncio.sleep(30)
            assert server.peer in one.kad.lan.table
            await one.network.close()

    run_virtual(main())


def test_too_many_connections_go_down_to_the_low_mark_the_least_useful_first():
    async def main():
        network = MemoryNetwork(5, LINK)
        async with memory_nodes(network, 12) as nodes:
            hub, peered, *others = nodes
            hub.network.upkeep._limits = ConnectionLimits(low_water=4, high_water=8, grace=20.0)
            hub.network.peering_add([peered.addr])
            useful = others[0]
            for node in others:
                await node.connect(hub)
            hub.network.bitswap.engine.received(useful.name, [CID.of(b"useful")], 100)
            await asyncio.sleep(5)
            assert hub.network.upkeep.superfluous() == []  # all are young
            await asyncio.sleep(40)
            assert hub.network.swarm.connection_count() == 4
            assert connected(hub, peered) and connected(hub, useful)

    run_virtual(main())


# --- /dnsaddr


@dataclass
class Answer:
    texts: tuple[str, ...]


class Zone:
    """Names and their TXT records."""

    def __init__(self, records: dict[str, list[str]]) -> None:
        self.records = records
        self.asked: list[str] = []

    async def txt(self, name: str) -> Answer:
        self.asked.append(name)
        if name not in self.records:
            raise NotFound(name)
        return Answer(tuple(self.records[name]))


PEER = "12D3KooWGRMVjhzu6GMtfW1RXCuW4jGSmNhEKGorfMiWE2uSHjHY"
OTHER = "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN"


def resolve(zone: Zone, text: str) -> list[str]:
    return [str(addr) for addr in asyncio.run(resolve_dnsaddr(Multiaddr.parse(text), zone))]


def test_a_dnsaddr_gives_the_addresses_of_its_peer_through_further_names():
    zone = Zone(
        {
            "_dnsaddr.example.org": [
                f"dnsaddr=/dnsaddr/eu.example.org/p2p/{PEER}",
                f"dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/{OTHER}",
                "v=spf1",
                "dnsaddr=nonsense",
            ],
            "_dnsaddr.eu.example.org": [f"dnsaddr=/ip4/192.0.2.2/tcp/4001/p2p/{PEER}"],
        }
    )
    assert resolve(zone, f"/dnsaddr/example.org/p2p/{PEER}") == [f"/ip4/192.0.2.2/tcp/4001/p2p/{PEER}"]
    assert len(resolve(zone, "/dnsaddr/example.org")) == 2
    assert resolve(zone, "/ip4/1.2.3.4/tcp/1") == ["/ip4/1.2.3.4/tcp/1"]


def test_names_that_lead_in_circles_or_to_ever_more_names_end():
    circle = Zone({"_dnsaddr.a": ["dnsaddr=/dnsaddr/b"], "_dnsaddr.b": ["dnsaddr=/dnsaddr/a"]})
    assert resolve(circle, "/dnsaddr/a") == [] and len(circle.asked) == 2
    wide = Zone({f"_dnsaddr.{n}": [f"dnsaddr=/dnsaddr/{n * 10 + m}" for m in range(10)] for n in range(1, 20_000)})
    assert resolve(wide, "/dnsaddr/1") == [] and len(wide.asked) <= MAX_LOOKUPS
    flood = [f"dnsaddr=/ip4/192.0.2.{n % 250}/tcp/{n + 1}" for n in range(1000)]
    assert len(resolve(Zone({"_dnsaddr.a": flood}), "/dnsaddr/a")) == MAX_ADDRS
    assert addresses_in(flood, None)[0] == Multiaddr.parse("/ip4/192.0.2.0/tcp/1")


def test_a_name_that_does_not_exist_says_so_and_one_of_several_does_not_matter():
    with pytest.raises(NotFound):
        resolve(Zone({}), "/dnsaddr/example.org")
    zone = Zone({"_dnsaddr.a": ["dnsaddr=/dnsaddr/gone", f"dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/{PEER}"]})
    assert resolve(zone, "/dnsaddr/a") == [f"/ip4/192.0.2.1/tcp/1/p2p/{PEER}"]


def test_a_node_without_dns_says_what_to_do():
    async def main():
        network = MemoryNetwork(6, LINK)
        async with memory_nodes(network, 1) as (one,):
            with pytest.raises(NoDns, match="use an address with /ip4"):
                await one.network.connect(Multiaddr.parse(f"/dnsaddr/example.org/p2p/{PEER}"))

    run_virtual(main())
