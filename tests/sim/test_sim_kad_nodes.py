"""Whole nodes with the DHT over a network in memory, in virtual time: found, announced, fetched, lied to, cut off."""

import asyncio
import random
from contextlib import aclosing

import pytest

from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipld.block import Block
from cidery.kad.message import LAN_PROTOCOL, WAN_PROTOCOL, DhtMessage, MessageType, PeerInfo
from cidery.kad.records import RecordInvalid
from cidery.kad.service import KadOptions
from cidery.libp2p.io.stream import Stream
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import PORT, MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

LINK = Link(0.05)
"""100 ms of round trip."""


def now() -> float:
    return asyncio.get_running_loop().time()


def blocks(count: int, seed: int) -> list[Block]:
    source = random.Random(seed)
    return [Block(CID.of(data), data) for data in (source.randbytes(1000) for _ in range(count))]


async def joined(nodes: list[MemoryNode]) -> None:
    """All enter by the first and know each other."""
    for node in nodes[1:]:
        await node.connect(nodes[0])
    await asyncio.sleep(30)


async def fetch(node: MemoryNode, block: Block) -> None:
    async with node.session() as session:
        assert bytes(await session.get(block.cid)) == block.data


async def providers(node: MemoryNode, cid: CID, count: int = 0) -> list[PeerId]:
    async with aclosing(node.network.router().find_providers(cid, count)) as found:
        return [one.peer async for one in found]


@pytest.mark.parametrize("public", [False, True])
def test_a_reader_finds_fetches_and_ends_with_what_a_stranger_announced(public):
    options = KadOptions(wan_server=True)

    async def main():
        network = MemoryNetwork(1, LINK)
        async with memory_nodes(network, 30, kad=options, public=public) as nodes:
            await joined(nodes)
            owner, reader = nodes[7], nodes[21]
            (block,) = blocks(1, 1)
            await owner.put([block])
            began = now()
            assert await owner.kad.provide(block.cid) >= 15
            reader.network.swarm.disconnect(owner.peer)
            await fetch(reader, block)
            took = now() - began
            assert await providers(reader, block.cid) == [owner.peer]
            return took

    assert run_virtual(main()) <= 2.0


def test_a_fetch_says_that_it_is_finding_dialling_and_receiving():
    async def main():
        network = MemoryNetwork(11, LINK)
        async with memory_nodes(network, 12, kad=KadOptions()) as nodes:
            await joined(nodes)
            owner, reader = nodes[7], nodes[9]
            (block,) = blocks(1, 7)
            await owner.put([block])
            await owner.kad.provide(block.cid)
            owner.network.swarm.disconnect(reader.peer)
            await asyncio.sleep(1)
            stages = []
            async with reader.session() as session:
                fetching = asyncio.create_task(session.get(block.cid))
                while not fetching.done():
                    stages.append(session.stats().stage)
                    await asyncio.sleep(0.02)
                assert bytes(await fetching) == block.data
            return list(dict.fromkeys(stages))

    stages = run_virtual(main())
    assert "finding" in stages and "dialling" in stages


def test_only_the_dht_of_the_own_kind_of_network_is_used():
    async def main():
        for public in (False, True):
            network = MemoryNetwork(2, LINK)
            async with memory_nodes(network, 4, kad=KadOptions(wan_server=True), public=public) as nodes:
                await joined(nodes)
                sizes = [(len(node.kad.wan.table), len(node.kad.lan.table)) for node in nodes]
                assert sizes == [(3, 0) if public else (0, 3)] * 4

    run_virtual(main())


def test_a_node_serves_the_internet_only_when_it_is_known_to_be_reachable():
    async def main():
        network = MemoryNetwork(3, LINK)
        async with memory_nodes(network, 2, kad=KadOptions(), public=True) as (one, other):
            await other.connect(one)
            assert WAN_PROTOCOL not in one.network.identity().protocols
            assert LAN_PROTOCOL in one.network.identity().protocols
            assert one.peer not in other.kad.wan.table
            await one.kad.set_reachable(True)
            await asyncio.sleep(1)
            assert one.peer in other.kad.wan.table
            await one.kad.set_reachable(False)
            await asyncio.sleep(1)
            assert one.peer not in other.kad.wan.table

    run_virtual(main())


def test_a_client_uses_the_dht_and_stays_out_of_it():
    async def main():
        network = MemoryNetwork(4, LINK)
        async with memory_nodes(network, 3, kad=KadOptions()) as servers:
            client = MemoryNode(network, 50, kad=KadOptions(client_only=True))
            await client.network.start((Multiaddr.tcp(client.address, PORT),))
            await joined([*servers, client])
            (block,) = blocks(1, 2)
            await client.put([block])
            assert await client.kad.provide(block.cid) == 3
            assert all(client.peer not in server.kad.lan.table for server in servers)
            assert await providers(servers[1], block.cid) == [client.peer]
            found = await servers[2].kad.find_peer(client.peer)
            assert found is not None and found.addrs
            await client.network.close()

    run_virtual(main())


def test_values_reach_others_and_lies_are_refused_everywhere():
    key = PrivateKey.generate_ed25519(random.Random(5).randbytes)
    name, value = b"/pk/" + key.peer_id.multihash, key.public.encode()

    async def main():
        network = MemoryNetwork(5, LINK)
        async with memory_nodes(network, 6, kad=KadOptions()) as nodes:
            await joined(nodes)
            assert await nodes[1].kad.put_value(name, value) == 5
            async with aclosing(nodes[4].kad.search_value(name, 16)) as values:
                assert [one async for one in values] == [value]
            with pytest.raises(RecordInvalid):
                await nodes[1].kad.put_value(name, b"lie")
            async with aclosing(nodes[4].kad.search_value(b"/pk/" + nodes[0].peer.multihash, 16)) as values:
                assert [one async for one in values] == []

    run_virtual(main())


def test_a_search_goes_on_past_peers_that_lie_stall_or_send_garbage():
    async def garbage(stream: Stream) -> None:
        await stream.read_message(1 << 16)
        await stream.write_message(b"\xff" * 100)

    async def silence(stream: Stream) -> None:
        await asyncio.sleep(1e6)

    async def endless(stream: Stream) -> None:
        while True:
            await stream.write(bytes(65536))

    async def inventor(stream: Stream) -> None:
        source = random.Random(9)
        while (data := await stream.read_message(1 << 16)) is not None:
            request = DhtMessage.decode(data)
            made = [
                PeerInfo(
                    PeerId(b"\x00\x24\x08\x01\x12\x20" + source.randbytes(32)),
                    (Multiaddr.tcp(f"10.9.9.{source.randrange(200)}", 1).encode(),),
                )
                for _ in range(20)
            ]
            await stream.write_message(DhtMessage(request.type, request.key, closer=made, providers=made[:3]).encode())

    async def main():
        network = MemoryNetwork(6, LINK)
        async with memory_nodes(network, 24, kad=KadOptions()) as nodes:
            await joined(nodes)
            owner, reader = nodes[20], nodes[22]
            (block,) = blocks(1, 3)
            await owner.put([block])
            for at, lie in enumerate((garbage, silence, endless, inventor) * 3):
                nodes[at].network.swarm.handlers[LAN_PROTOCOL] = lie
            await owner.kad.provide(block.cid)
            reader.network.swarm.disconnect(owner.peer)
            began = now()
            await fetch(reader, block)
            assert now() - began < 30
            began = now()
            assert owner.peer in await providers(reader, block.cid)
            assert now() - began < 70

    run_virtual(main())


def test_a_server_ends_streams_of_peers_that_ask_nonsense_and_serves_the_others():
    async def main():
        network = MemoryNetwork(7, LINK)
        async with memory_nodes(network, 3, kad=KadOptions()) as (server, liar, other):
            await liar.connect(server)
            await other.connect(server)
            for request in (
                b"\xff\xff\xff",
                DhtMessage(MessageType.ADD_PROVIDER, b"k", providers=[PeerInfo(other.peer)]).encode(),
                DhtMessage(MessageType.GET_PROVIDERS, bytes(81)).encode(),
                DhtMessage(MessageType.PUT_VALUE, b"/x/y").encode(),
            ):
                connection = liar.network.swarm.best(server.peer)
                assert connection is not None
                stream = await connection.open_stream([LAN_PROTOCOL])
                await stream.write_message(request)
                with pytest.raises(Exception, match="reset"):
                    await stream.read_message(1 << 16)
            assert server.kad.providers.get(b"k", 0.0) == []
            answer = await other.kad.lan.rpc.request(
                server.peer, DhtMessage(MessageType.FIND_NODE, liar.peer.multihash)
            )
            assert [info.peer for info in answer.closer] == [liar.peer, other.peer]

    run_virtual(main())


def test_providers_that_have_nothing_do_not_keep_the_one_that_has():
    async def main():
        network = MemoryNetwork(8, LINK)
        async with memory_nodes(network, 20, kad=KadOptions()) as nodes:
            await joined(nodes)
            (block,) = blocks(1, 4)
            owner, reader = nodes[15], nodes[18]
            for empty in nodes[2:10]:
                await empty.kad.provide(block.cid)
            await owner.put([block])
            await owner.kad.provide(block.cid)
            began = now()
            await fetch(reader, block)
            assert now() - began < 5

    run_virtual(main())


def test_nodes_find_each_other_again_when_a_cut_network_heals():
    async def main():
        network = MemoryNetwork(9, LINK)
        async with memory_nodes(network, 8, kad=KadOptions()) as nodes:
            await joined(nodes)
            left, right = nodes[:4], nodes[4:]
            for one in left:
                for other in right:
                    network.freeze(one.address, other.address)
            (block,) = blocks(1, 5)
            await left[1].put([block])
            await left[1].kad.provide(block.cid)
            await fetch(left[3], block)  # this side goes on working
            for one in left:
                for other in right:
                    network.thaw(one.address, other.address)
            await asyncio.sleep(1500)
            await left[1].kad.provide(block.cid)
            await fetch(right[2], block)

    run_virtual(main())


def test_the_same_seed_gives_the_same_run():
    async def main():
        network = MemoryNetwork(10, Link(0.02, jitter=0.01))
        async with memory_nodes(network, 8, kad=KadOptions()) as nodes:
            await joined(nodes)
            (block,) = blocks(1, 6)
            await nodes[3].put([block])
            await nodes[3].kad.provide(block.cid)
            await fetch(nodes[6], block)
            return network.trace

    assert run_virtual(main()) == run_virtual(main())
