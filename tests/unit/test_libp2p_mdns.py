"""Discovery: the records, and nodes that find each other by multicast on this machine's loopback."""

import asyncio
import os
import random

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.mdns import LocalDiscovery
from cidery.libp2p.protocols import mdns
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.local import LocalOptions
from cidery.node.network import NodeNetwork

LOOPBACK = ("127.0.0.1",)
SECONDS = 30


def some_peer() -> PeerId:
    return PrivateKey.generate_ed25519(os.urandom).peer_id


def test_a_record_says_addresses_and_who_is_there() -> None:
    peer = some_peer()
    addrs = [Multiaddr.parse(text) for text in ("/ip4/192.168.1.2/tcp/4001", "/ip6/fe80::1/tcp/4001")]
    data = mdns.encode_txt([addr.with_peer(peer.multihash) for addr in addrs])
    assert mdns.decode_txt(data) == {peer: addrs}


def test_a_record_is_bounded_both_ways() -> None:
    peer = some_peer()
    many = [Multiaddr.tcp("10.0.0.1", port).with_peer(peer.multihash) for port in range(1, 100)]
    assert len(mdns.decode_txt(mdns.encode_txt(many))[peer]) == mdns.MAX_ADDRS
    text = b"dnsaddr=" + str(many[0]).encode()
    assert len(mdns.decode_txt((bytes([len(text)]) + text) * 1000)[peer]) == mdns.MAX_ADDRS


def test_what_makes_no_sense_is_passed_over() -> None:
    peer = some_peer()
    good = Multiaddr.tcp("10.0.0.1", 1).with_peer(peer.multihash)
    lines = [b"dnsaddr=/ip4/10.0.0.1/tcp/1", b"dnsaddr=junk", b"other=x", b"\xff\xfe", b"dnsaddr=" + str(good).encode()]
    data = b"".join(bytes([len(line)]) + line for line in lines)
    assert list(mdns.decode_txt(data)) == [peer]
    assert mdns.decode_txt(b"\xff" + data) == {}
    chance = random.Random(1)
    for _ in range(2000):
        mdns.decode_txt(chance.randbytes(chance.randrange(60)) + data[: chance.randrange(len(data))])


def test_names_are_long_and_new_at_each_start() -> None:
    assert len(mdns.random_name(os.urandom)) >= 32
    assert mdns.random_name(os.urandom) != mdns.random_name(os.urandom)
    assert mdns.service_of() == "_p2p._udp.local."
    assert mdns.service_of("ab") == "_p2p-ab._udp.local."


class Seeker:
    """A discovery that notes whom it finds."""

    def __init__(self, service: str) -> None:
        self.peer = some_peer()
        self.port = random.randrange(1024, 65536)
        self.found: dict[PeerId, list[Multiaddr]] = {}
        self.changed = asyncio.Event()
        self.discovery = LocalDiscovery(
            lambda: [Multiaddr.tcp("127.0.0.1", self.port).with_peer(self.peer.multihash)],
            self.note,
            os.urandom,
            interfaces=LOOPBACK,
            fingerprint=service,
        )

    def note(self, peer: PeerId, addrs: list[Multiaddr]) -> None:
        self.found[peer] = addrs
        self.changed.set()

    async def finds(self, other: "Seeker") -> None:
        async with asyncio.timeout(SECONDS):
            while other.peer not in self.found:
                self.changed.clear()
                await self.changed.wait()


async def test_nodes_of_one_service_find_each_other_and_those_of_another_do_not() -> None:
    here = os.urandom(4).hex()  # other tests run at the same time
    one, two, stranger = Seeker(here), Seeker(here), Seeker(here + "x")
    try:
        for seeker in (one, stranger, two):
            await seeker.discovery.start()
        await one.finds(two)
        await two.finds(one)
        assert one.found[two.peer] == [Multiaddr.tcp("127.0.0.1", two.port)]
        assert stranger.found == {} and stranger.peer not in one.found
    finally:
        for seeker in (one, two, stranger):
            await seeker.discovery.close()


async def test_whole_nodes_on_one_network_connect_by_themselves() -> None:
    here = os.urandom(4).hex()
    nodes = [
        NodeNetwork(
            PrivateKey.generate_ed25519(os.urandom), MemoryStore(), local=LocalOptions(LOOPBACK, fingerprint=here)
        )
        for _ in range(2)
    ]
    met = asyncio.Event()

    async def note(connection: object) -> None:
        met.set()

    nodes[0].swarm.on_connected.append(note)
    try:
        for node in nodes:
            await node.start((Multiaddr.tcp("127.0.0.1", 0),))
        async with asyncio.timeout(SECONDS):
            await met.wait()
        assert nodes[0].swarm.peers() == [nodes[1].swarm.local_peer]
    finally:
        for node in nodes:
            await node.close()


@pytest.mark.parametrize("closes", [1, 2])
async def test_closing_is_fine_before_the_start_and_twice(closes: int) -> None:
    seeker = Seeker("never")
    for _ in range(closes):
        await seeker.discovery.close()
