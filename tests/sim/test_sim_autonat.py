"""Reachability: what others say of this node's addresses, and what it takes to be believed. In virtual time."""

import asyncio
import errno

import pytest

from cidery.kad.message import WAN_PROTOCOL
from cidery.kad.service import KadOptions
from cidery.libp2p.io.autonat import MAX_A_MINUTE_PER_PEER
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.stream_transport import StreamListening
from cidery.libp2p.protocols import autonat
from cidery.libp2p.protocols.autonat import Data, DataRequest, DialRequest, DialResponse
from cidery.libp2p.protocols.muxed_stream import StreamReset
from cidery.libp2p.protocols.reachability import RECHECK_KNOWN
from cidery.multiformats.multiaddr import Multiaddr
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import PORT, MemoryNode, memory_nodes, running
from cidery.testing.virtual_clock import run_virtual

LINK = Link(0.02)


def hide(network: MemoryNetwork, node: MemoryNode) -> None:
    """As behind a NAT: nobody can dial it any more."""
    del network.listeners[node.address, PORT]


@pytest.mark.parametrize("modern", [True, False])
def test_a_node_that_others_can_dial_becomes_a_server_and_one_behind_a_nat_does_not(modern):
    async def main():
        network = MemoryNetwork(1, LINK)
        async with memory_nodes(network, 6, kad=KadOptions(), public=True) as (open_one, hidden, *servers):
            if not modern:
                for node in (open_one, hidden, *servers):
                    del node.network.swarm.handlers[autonat.DIAL_REQUEST]
            for node in servers:
                if node is servers[0]:
                    assert open_one.network.reachability() == {str(open_one.addr.without_peer()): "unknown"}
                    hide(network, hidden)
                await open_one.connect(node)
                await hidden.connect(node)
            await asyncio.sleep(20)
            assert list(open_one.network.reachability().values()) == ["reachable"]
            assert list(hidden.network.reachability().values()) == ["unreachable"]
            assert WAN_PROTOCOL in open_one.network.identity().protocols
            assert WAN_PROTOCOL not in hidden.network.identity().protocols
            hide(network, open_one)
            await asyncio.sleep(RECHECK_KNOWN + 100)
            assert WAN_PROTOCOL not in open_one.network.identity().protocols

    run_virtual(main())


VERDICT_SECONDS = 20.0
"""From the start to the verdict on every address, where peers allow it."""


@pytest.mark.parametrize("modern", [True, False], ids=["version 2", "version 1"])
def test_a_verdict_comes_within_twenty_seconds_of_the_start(modern: bool) -> None:
    """Also where nobody answers: those who are asked wait ten seconds for each address, at the same time."""

    async def main() -> None:
        network, loop = MemoryNetwork(11, LINK), asyncio.get_running_loop()
        async with memory_nodes(network, 6, kad=KadOptions(), public=True) as servers:
            if not modern:
                for node in servers:
                    del node.network.swarm.handlers[autonat.DIAL_REQUEST]
            for hidden, wanted in ((False, "reachable"), (True, "unreachable")):
                node = MemoryNode(network, 10 + hidden, kad=KadOptions(), public=True)
                if hidden:
                    network.set_nat(node.address, node.address)  # a wall
                async with running([node]):
                    began = loop.time()
                    for server in servers[:4]:
                        await node.connect(server)
                    while list(node.network.reachability().values()) != [wanted]:
                        await asyncio.sleep(0.1)
                        assert loop.time() - began < VERDICT_SECONDS
                    if not hidden:
                        assert loop.time() - began < 2.0, "no pause between the questions"

    run_virtual(main())


def test_a_js_libp2p_is_not_asked_by_version_1_which_would_cost_its_connection():
    assert autonat.answers_v1("kubo/0.22.0/3f884d3/docker") and autonat.answers_v1("github.com/libp2p/go-libp2p@v0.51")
    assert autonat.answers_v1("rust-libp2p/0.44.2") and autonat.answers_v1("")
    assert not autonat.answers_v1("helia/7.1.15 libp2p/3.3.11 node/22.1.0")
    assert not autonat.answers_v1("libp2p/3.3.11 node/22.1.0") and not autonat.answers_v1("js-libp2p/1.9.4 UserAgent=")

    async def main():
        network = MemoryNetwork(12, LINK)
        async with memory_nodes(network, 5, public=True) as (one, *servers):
            for server in servers:
                server.network.identification._agent = "helia/7.1.15 libp2p/3.3.11 node/22.1.0"
                del server.network.swarm.handlers[autonat.DIAL_REQUEST]
                await one.connect(server)
            await asyncio.sleep(60)
            assert list(one.network.reachability().values()) == ["unknown"]
            servers[0].network.identification._agent = "helia of the future"
            await servers[0].network.identification.push()
            await asyncio.sleep(10)
            assert one.network.autonat.reachability.states() != {}

    run_virtual(main())


def test_a_server_that_only_claims_to_have_dialled_is_not_believed():
    async def claim(stream: Stream) -> None:
        await stream.read_message(autonat.MAX_MESSAGE)
        await stream.write_message(DialResponse(autonat.OK, 0, autonat.OK).encode())

    async def main():
        network = MemoryNetwork(2, LINK)
        async with memory_nodes(network, 6, kad=KadOptions(), public=True) as (one, *liars):
            for liar in liars:
                liar.network.swarm.handlers[autonat.DIAL_REQUEST] = claim
                await one.connect(liar)
            await asyncio.sleep(300)
            assert list(one.network.reachability().values()) == ["unknown"]

    run_virtual(main())


async def request(node: MemoryNode, server: MemoryNode, *addrs: str) -> Stream:
    connection = node.network.swarm.best(server.peer)
    assert connection is not None
    stream = await connection.open_stream([autonat.DIAL_REQUEST])
    encoded = tuple(Multiaddr.parse(addr).encode() for addr in addrs)
    await stream.write_message(DialRequest(encoded, 7).encode())
    return stream


async def answer(stream: Stream):
    return autonat.decode(await stream.read_message(autonat.MAX_MESSAGE) or b"")


def test_a_server_dials_no_private_address_and_another_host_only_for_data():
    async def main():
        network = MemoryNetwork(3, LINK)
        async with memory_nodes(network, 3, public=True) as (asker, server, victim):
            await asker.connect(server)
            dials = len(network.transports)
            stream = await request(asker, server, "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/dns4/x.org/tcp/1")
            assert await answer(stream) == DialResponse(autonat.REFUSED)
            stream = await request(asker, server, str(victim.addr.without_peer()))
            wanted = await answer(stream)
            assert isinstance(wanted, DataRequest) and autonat.LEAST_DATA <= wanted.size <= autonat.MOST_DATA
            assert len(network.transports) == dials  # nobody was dialled yet
            for _ in range(-(-wanted.size // 4096)):
                await stream.write_message(Data(4096).encode())
            # the victim is not the asker: the handshake fails there
            assert await answer(stream) == DialResponse(autonat.OK, 0, autonat.DIAL_ERROR)

    run_virtual(main())


def test_who_sends_something_else_than_the_data_is_cut_off():
    async def main():
        network = MemoryNetwork(4, LINK)
        async with memory_nodes(network, 3, public=True) as (asker, server, victim):
            await asker.connect(server)
            stream = await request(asker, server, str(victim.addr.without_peer()))
            assert isinstance(await answer(stream), DataRequest)
            await stream.write_message(Data(0).encode())
            with pytest.raises(StreamReset):
                await answer(stream)

    run_virtual(main())


def test_one_peer_gets_a_few_dials_a_minute():
    async def main():
        network = MemoryNetwork(5, LINK)
        async with memory_nodes(network, 2, public=True) as (asker, server):
            await asker.network.autonat.close()  # which asks, too
            await asker.connect(server)
            addr = str(asker.addr.without_peer())
            statuses = []
            for _ in range(MAX_A_MINUTE_PER_PEER + 2):
                got = await answer(await request(asker, server, addr))
                assert isinstance(got, DialResponse)
                statuses.append(got.status)
            assert statuses == [autonat.OK] * MAX_A_MINUTE_PER_PEER + [autonat.REJECTED] * 2
            await asyncio.sleep(61)
            again = await answer(await request(asker, server, addr))
            assert isinstance(again, DialResponse) and again.status == autonat.OK

    run_virtual(main())


def test_a_dial_back_over_the_connection_that_the_question_came_by_proves_nothing():
    async def shortcut(stream: Stream) -> None:
        asked = autonat.decode(await stream.read_message(autonat.MAX_MESSAGE) or b"")
        assert isinstance(asked, DialRequest) and isinstance(stream.connection, Connection)
        back = await stream.connection.open_stream([autonat.DIAL_BACK])
        await back.write_message(autonat.encode_nonce(asked.nonce))
        await back.wait_readable()
        await stream.write_message(DialResponse(autonat.OK, 0, autonat.OK).encode())

    async def main():
        network = MemoryNetwork(8, LINK)
        async with memory_nodes(network, 6, kad=KadOptions(), public=True) as (one, *liars):
            for liar in liars:
                liar.network.swarm.handlers[autonat.DIAL_REQUEST] = shortcut
                await one.connect(liar)
            await asyncio.sleep(300)
            assert list(one.network.reachability().values()) == ["unknown"]

    run_virtual(main())


def test_a_dial_back_does_not_cost_the_connection_that_it_was_made_for():
    async def main():
        network = MemoryNetwork(7, LINK)
        async with memory_nodes(network, 2, public=True) as nodes:
            asker, server = sorted(nodes, key=lambda node: node.peer)  # the smaller id closes duplicates
            await asker.connect(server)
            (first,) = asker.connections
            first.round_trip.smoothed = 1.0  # so the new connection looks better
            # Helia and earlier nodes of ours dial back as themselves
            swarm, own = server.network.swarm, asker.addr.without_peer()
            swarm._prober = None
            probe = await swarm.probe(asker.peer, own, 10.0)
            await asyncio.sleep(0.1)
            assert len(asker.connections) == 2
            probe.close("dial-back is over")
            await asyncio.sleep(30)
            assert asker.connections == [first]

    run_virtual(main())


def test_a_dial_back_comes_from_an_identity_of_its_own():
    async def main():
        network = MemoryNetwork(9, LINK)
        async with memory_nodes(network, 2, public=True) as (asker, server):
            await asker.connect(server)
            probe = await server.network.swarm.probe(asker.peer, asker.addr.without_peer(), 10.0)
            await asyncio.sleep(1)
            assert len(asker.network.peers()) == 2
            assert [one.peer for one in asker.network.peers()].count(server.name) == 1
            stranger = next(one for one in asker.connections if one.peer != server.peer)
            assert stranger.peer not in asker.network.identification.known  # it says nothing of itself
            probe.close("dial-back is over")

    run_virtual(main())


def test_a_server_without_a_route_to_an_address_gives_no_verdict(monkeypatch):
    async def nowhere(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    async def main():
        network = MemoryNetwork(10, LINK)
        async with memory_nodes(network, 2, public=True) as (asker, server):
            await asker.connect(server)
            monkeypatch.setattr(server.network.swarm._transports[0], "dial", nowhere)
            assert await answer(await request(asker, server, str(asker.addr.without_peer()))) == DialResponse(
                autonat.REFUSED
            )
            assert await asker.network.autonat._ask_v1(server.peer, asker.addr.without_peer().encode()) is None

    run_virtual(main())


def test_a_peer_of_the_internet_cannot_point_into_our_network():
    async def main():
        network = MemoryNetwork(6, LINK)
        async with memory_nodes(network, 2, public=True) as (one, liar):
            inside = [Multiaddr.parse(text) for text in ("/ip4/192.168.1.1/tcp/80", "/ip4/127.0.0.1/tcp/5001")]
            bound = liar.network.swarm._listening[0]
            assert isinstance(bound, StreamListening)
            bound.addrs += inside
            await one.connect(liar)
            assert one.network.known_addrs()[liar.name] == [str(liar.addr.without_peer())]

    run_virtual(main())
