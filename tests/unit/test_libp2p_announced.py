"""Which addresses others are told of: Addresses.Announce, AppendAnnounce, NoAnnounce."""

import os

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.libp2p.protocols.announced import Announced
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.node.network import NodeNetwork

OWN = ["/ip4/10.0.0.5/tcp/4001", "/ip4/198.51.100.7/tcp/4001", "/ip6/fc00::5/tcp/4001"]


def addrs(texts: list[str]) -> list[Multiaddr]:
    return [Multiaddr.parse(text) for text in texts]


def told(only: list[str] = [], also: list[str] = [], never: list[str] = []) -> list[str]:  # noqa: B006
    return [str(addr) for addr in Announced(addrs(only), addrs(also), never).of(addrs(OWN))]


def test_without_rules_the_node_s_own_addresses_are_told() -> None:
    assert told() == OWN


def test_announced_addresses_stand_for_all_others() -> None:
    assert told(only=["/dns4/node.example/tcp/443"]) == ["/dns4/node.example/tcp/443"]


def test_appended_addresses_come_on_top_each_once() -> None:
    assert told(also=["/ip4/203.0.113.1/tcp/4001", OWN[0]]) == [*OWN, "/ip4/203.0.113.1/tcp/4001"]


def test_nets_and_addresses_that_are_not_to_be_told_are_left_out_wherever_they_come_from() -> None:
    assert told(never=["/ip4/10.0.0.0/ipcidr/8", OWN[2]]) == [OWN[1]]
    quic = "/ip4/10.0.0.9/udp/4001/quic-v1"
    assert told(only=[quic, OWN[1]], also=[OWN[0]], never=["/ip4/10.0.0.0/ipcidr/8"]) == [OWN[1]]


def test_what_is_neither_a_net_nor_an_address_is_refused() -> None:
    with pytest.raises(MultiaddrError):
        Announced(never=["10.0.0.0/8"])


async def test_peers_learn_what_is_announced_and_nothing_else() -> None:
    only_a_name = Announced(also=addrs(["/dns4/node.example/tcp/4001"]), never=["/ip4/127.0.0.0/ipcidr/8"])
    nodes = [
        NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), announced=said)
        for said in (only_a_name, None)
    ]
    announced, other = nodes
    try:
        for node in nodes:
            await node.start((Multiaddr.tcp("127.0.0.1", 0),))
        addr = announced.swarm.listen_addrs()[0].with_peer(announced.swarm.local_peer.multihash)
        await other.connect(addr)
        said = other.identification.known[announced.swarm.local_peer]
        assert [str(Multiaddr.decode(raw)) for raw in said.listen_addrs] == ["/dns4/node.example/tcp/4001"]
        assert [text.split("/p2p/")[0] for text in announced.identity().addresses] == ["/dns4/node.example/tcp/4001"]
    finally:
        for node in nodes:
            await node.close()


async def test_a_listener_on_all_addresses_is_listed_at_this_machine_s_own_and_not_at_announced_ones() -> None:
    elsewhere = addrs(["/ip4/198.51.100.7/tcp/4001"])
    node = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), announced=Announced(elsewhere))
    try:
        await node.start((Multiaddr.tcp("0.0.0.0", 0),))
        endpoint = node.swarm.listen_addrs()[0].tcp_endpoint()
        assert endpoint is not None
        listed = node.listen_addrs()
        assert f"/ip4/127.0.0.1/tcp/{endpoint[1]}" in listed
        assert not any("0.0.0.0" in addr or "198.51.100.7" in addr for addr in listed)
    finally:
        await node.close()
