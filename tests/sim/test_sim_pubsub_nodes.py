"""Pubsub between whole nodes in virtual time: streams, subscriptions, records of names, and peers that misbehave."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest

from cidery.identity.envelope import PeerRecord, seal_peer_record
from cidery.ipns.moment import NANOSECONDS
from cidery.ipns.name import routing_key
from cidery.ipns.record import IpnsRecord, sign
from cidery.kad.service import KadOptions
from cidery.libp2p.io.connection import Limited
from cidery.libp2p.io.fetch import fetch
from cidery.libp2p.protocols.relay_server import RelayLimits
from cidery.libp2p.protocols.relayed import through
from cidery.multiformats.varint import encode_uvarint
from cidery.namesys.over_pubsub import PubsubNames, topic_of
from cidery.node.relays import RelayOptions
from cidery.node.upkeep import ConnectionLimits
from cidery.pubsub.io.subscription import MAX_WAITING
from cidery.pubsub.message import FLOODSUB, PROTOCOLS, Offered, Prune, Rpc
from cidery.pubsub.service import MAX_DATA, PubsubService, TooLong
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes, running
from cidery.testing.virtual_clock import run_virtual
from peers.waiting import until_async

TOPIC = "weather"
NOW = 10**18


def started(node: MemoryNode, number: int, protocols: tuple[str, ...] = PROTOCOLS) -> PubsubService:
    swarm, identification = node.network.swarm, node.network.identification
    service = PubsubService(swarm, chance=Random(number), seqno=1, protocols=protocols)
    identification.on_learned.append(lambda peer: service.learned(peer, identification.known[peer].protocols))
    service.start()
    return service


def in_network(
    count: int, body: Callable[[list[MemoryNode], list[PubsubService]], Coroutine[Any, Any, None]], *floods: int
) -> None:
    """Run ``body`` with nodes in a ring; those in ``floods`` speak floodsub only."""

    async def main() -> None:
        async with memory_nodes(MemoryNetwork(1, Link(0.02)), count) as nodes:
            services = [started(node, n, (FLOODSUB,) if n in floods else PROTOCOLS) for n, node in enumerate(nodes)]
            for one, other in zip(nodes, nodes[1:], strict=False):
                await one.connect(other)
            try:
                await body(nodes, services)
            finally:
                for service in services:
                    await service.close()

    run_virtual(main())


@pytest.mark.parametrize("floods", [(), (1,), (0, 2)])
def test_a_message_goes_along_a_chain_of_nodes_to_each_reader_once(floods: tuple[int, ...]) -> None:
    async def body(nodes: list[MemoryNode], services: list[PubsubService]) -> None:
        with ExitStack() as stack:
            readers = [stack.enter_context(one.subscription(TOPIC)) for one in services]
            await until_async(lambda: all(one.peers(TOPIC) for one in services) and len(services[1].peers(TOPIC)) == 2)
            await asyncio.sleep(2)
            for n in range(3):
                services[0].publish(TOPIC, b"%d" % n)
                await asyncio.sleep(1)
            for reader in readers:
                got = [await anext(reader) for _ in range(3)]
                assert [one.data for one in got] == [b"0", b"1", b"2"]
                assert {one.author for one in got} == {nodes[0].peer.multihash}
            assert not any(reader._waiting for reader in readers)
        assert [one.topics() for one in services] == [[]] * len(services)
        await until_async(lambda: not services[0].peers(TOPIC))

    in_network(4, body, *floods)


def test_a_peer_that_leaves_is_forgotten_and_comes_again() -> None:
    async def body(nodes: list[MemoryNode], services: list[PubsubService]) -> None:
        with services[0].subscription(TOPIC) as reader, services[1].subscription(TOPIC):
            await until_async(lambda: services[0].peers(TOPIC))
            await nodes[0].network.disconnect(nodes[1].addr)
            await until_async(lambda: not services[0].peers() and not services[1].peers())
            await nodes[1].connect(nodes[0])
            await until_async(lambda: services[1].peers(TOPIC))
            services[1].publish(TOPIC, b"again")
            assert (await anext(reader)).data == b"again"

    in_network(2, body)


def test_a_stream_of_garbage_ends_and_the_others_go_on() -> None:
    async def body(nodes: list[MemoryNode], services: list[PubsubService]) -> None:
        with services[1].subscription(TOPIC) as reader, services[0].subscription(TOPIC):
            for junk in (b"\xff" * 50, encode_uvarint(9) + b"\x0b" * 9, encode_uvarint(1 << 30)):
                stream = await nodes[2].open(nodes[1], PROTOCOLS[0])
                await stream.write(junk)
                with pytest.raises(Exception):  # noqa: B017 - it is reset, or ends
                    await stream.read_exactly(1)
            await until_async(lambda: services[0].peers(TOPIC))
            services[0].publish(TOPIC, b"fine")
            assert (await anext(reader)).data == b"fine"

    in_network(3, body)


def test_a_peer_that_floods_with_topics_ihave_and_iwant_is_bounded_and_others_go_on() -> None:
    async def body(nodes: list[MemoryNode], services: list[PubsubService]) -> None:
        with services[1].subscription(TOPIC) as reader, services[0].subscription(TOPIC):
            await asyncio.sleep(2)  # the service of this node has its stream by then; the last one counts
            stream = await nodes[2].open(nodes[1], PROTOCOLS[0])
            for n in range(10):
                topics = [(True, f"{n} {k}") for k in range(1000)]
                ids = [b"%d-%d" % (n, k) for k in range(5000)]
                await stream.write_message(Rpc(topics, ihave=[(TOPIC, ids)], iwant=ids).encode())
            await until_async(lambda: services[0].peers(TOPIC))
            await asyncio.sleep(10)
            gossip = services[1]._gossip
            assert len(gossip.roster.followers) <= 1001
            assert len(gossip._promises) <= 5000
            assert gossip.scores.score(nodes[2].peer.multihash, 0.0) < 0
            services[0].publish(TOPIC, b"fine")
            assert (await anext(reader)).data == b"fine"

    in_network(3, body)


def test_a_slow_reader_misses_messages_that_are_counted_and_one_message_has_a_bound() -> None:
    async def body(nodes: list[MemoryNode], services: list[PubsubService]) -> None:
        with services[0].subscription(TOPIC) as reader:
            for _ in range(MAX_WAITING + 5):
                services[0].publish(TOPIC, b"x")
            assert reader.missed == 5
        with pytest.raises(TooLong):
            services[0].publish(TOPIC, bytes(MAX_DATA))

    in_network(1, body)


def record(node: MemoryNode, sequence: int, *, lives: float = 3600.0) -> IpnsRecord:
    value = b"/ipfs/bafkqaaa/%d" % sequence
    return sign(node.key, value, sequence=sequence, validity=NOW + int(lives * NANOSECONDS), ttl=NANOSECONDS)


def test_a_published_name_is_seen_by_followers_within_a_second_and_by_later_ones_by_fetch() -> None:
    async def body(nodes: list[MemoryNode], services: list[PubsubService]) -> None:
        names = [PubsubNames(one, node.network.swarm, lambda: NOW) for one, node in zip(services, nodes, strict=True)]
        owner = nodes[0].peer
        key, seen = routing_key(owner), dict[int, list[int]]()
        for n, one in enumerate(names):
            one.on_record = lambda name, record, n=n: seen.setdefault(n, []).append(record.sequence)  # type: ignore[misc]
        for n in (1, 2):
            assert [value async for value in names[n].search_value(key, 16)] == []
        await names[0].put_value(key, record(nodes[0], 1).raw)
        await until_async(lambda: len(services[1].peers(topic_of(owner))) == 2)
        await until_async(lambda: 2 in seen)
        await names[0].put_value(key, record(nodes[0], 2).raw)
        await until_async(lambda: seen[1][-1] == seen[2][-1] == 2, seconds=1.0)
        # an older record, and one that is over, change nothing; the last node of the chain begins to follow now
        services[0].publish(topic_of(owner), record(nodes[0], 1).raw)
        services[0].publish(topic_of(owner), record(nodes[0], 9, lives=-1).raw)
        assert [IpnsRecord.decode(v).sequence async for v in names[3].search_value(key, 16)] == [2]
        assert seen[1] == [1, 2] and seen[3] == [2]
        # a record under a name of another is invalid: three of them, and its sender is not heard any more
        for n in range(4):
            services[2].publish(topic_of(owner), record(nodes[2], 50 + n).raw)
        await asyncio.sleep(1)
        assert services[1]._gossip.scores.score(nodes[2].peer.multihash, 0.0) < -80
        assert seen[1] == [1, 2]
        assert await fetch(nodes[1].network.swarm, owner, key) == record(nodes[0], 2).raw
        assert await fetch(nodes[1].network.swarm, owner, routing_key(nodes[1].peer)) is None
        assert await fetch(nodes[1].network.swarm, owner, b"nonsense") is None
        assert names[1].cancel(owner) and not names[1].cancel(owner)
        for one in names:
            await one.close()

    in_network(4, body)


def test_followers_find_each_other_by_the_dht() -> None:
    async def main() -> None:
        async with memory_nodes(MemoryNetwork(1, Link(0.02)), 3, kad=KadOptions(wan_server=True), public=True) as nodes:
            server, *others = nodes
            services = []
            for n, node in enumerate(others):
                await node.connect(server)
                swarm, known = node.network.swarm, node.network.identification.known
                service = PubsubService(
                    swarm, chance=Random(n), seqno=1, router=node.network.routing, dial=node.network.reach
                )
                learn = lambda peer, service=service, known=known: service.learned(peer, known[peer].protocols)  # noqa: E731
                node.network.identification.on_learned.append(learn)
                service.start()
                services.append(service)
            await asyncio.sleep(5)
            with services[0].subscription(TOPIC) as reader:
                await asyncio.sleep(30)
                others[0].network.swarm.disconnect(others[1].peer)  # which the look-ups had connected
                await asyncio.sleep(5)
                assert others[1].network.swarm.best(others[0].peer) is None
                with services[1].subscription(TOPIC):
                    await until_async(lambda: services[1].peers(TOPIC), 120)
                    services[1].publish(TOPIC, b"found")
                    assert (await anext(reader)).data == b"found"
            for service in services:
                await service.close()

    run_virtual(main())


def test_a_peer_that_a_prune_names_by_its_own_record_is_dialled() -> None:
    async def main() -> None:
        async with memory_nodes(MemoryNetwork(1, Link(0.02)), 3, public=True) as nodes:
            one, liar, named = nodes
            service = started(one, 1)
            await liar.connect(one)
            with service.subscription(TOPIC):
                stream = await liar.open(one, PROTOCOLS[0])
                addr = named.addr.without_peer().encode()
                record = seal_peer_record(named.key, PeerRecord(named.peer, 1, (addr,)))
                unsigned = PeerRecord(named.peer, 1, (addr,)).encode()
                await stream.write_message(Rpc([(True, TOPIC)], graft=[TOPIC]).encode())
                await asyncio.sleep(1)
                offered = Offered(b"x", b"junk"), Offered(b"y", unsigned), Offered(named.peer.multihash, record)
                await stream.write_message(Rpc(prune=[Prune(TOPIC, offered)]).encode())
                await until_async(lambda: one.network.swarm.best(named.peer))
            await service.close()

    run_virtual(main())


def test_peers_of_a_mesh_stay_when_there_are_too_many_connections() -> None:
    async def main() -> None:
        network = MemoryNetwork(7, Link(0.02))
        async with memory_nodes(network, 14) as (hub, linked, follower, *others):
            hub.network.upkeep._limits = ConnectionLimits(low_water=4, high_water=8, grace=20.0)
            services = [started(node, n) for n, node in enumerate((hub, linked, follower))]
            hub.network.upkeep.values.append(services[0].value_of)
            with ExitStack() as stack:
                for service in services[:2]:
                    stack.enter_context(service.subscription(TOPIC))
                for node in (linked, follower, *others):
                    await node.connect(hub)
                stack.enter_context(services[2].subscription(TOPIC))
                await until_async(lambda: len(services[0].peers(TOPIC)) == 2)
                await asyncio.sleep(3)
                values = [services[0].value_of(node.peer) for node in (linked, follower, others[0])]
                assert values == [2, 2, 0], "both are in so small a mesh"
                services[0]._gossip._mesh.unfollowed(follower.peer.multihash, TOPIC)
                assert services[0].value_of(follower.peer) == 1
                await asyncio.sleep(60)
                left = {one.peer for one in hub.connections}
                assert len(left) == 4 and {linked.peer, follower.peer} <= left
            assert services[0].value_of(linked.peer) == 0, "nothing is followed any more"
            for service in services:
                await service.close()

    run_virtual(main())


def test_nothing_of_pubsub_goes_over_a_limited_connection_until_there_is_a_direct_one() -> None:
    async def main() -> None:
        network = MemoryNetwork(8, Link(0.02))
        relay = MemoryNode(network, 1, public=True, relays=RelayOptions(client=False, service=RelayLimits()))
        at = relay.addr.without_peer()
        asking = RelayOptions(static={relay.peer: [at]}, punch=False)
        hidden = MemoryNode(network, 2, public=True, router="82.1.1.1", relays=asking)
        user = MemoryNode(network, 3, public=True, relays=RelayOptions(client=False, punch=False))
        async with running([relay, hidden, user]):
            for server in (b"1", b"2", b"3"):
                relay.network.autonat.reachability.answered(at.encode(), server, True)
            services = [started(node, n) for n, node in enumerate((hidden, user))]
            with ExitStack() as stack:
                readers = [stack.enter_context(service.subscription(TOPIC)) for service in services]
                await until_async(lambda: any("circuit" in addr for addr in hidden.network.identity().addresses), 300.0)
                await user.network.connect(through(relay.peer, at).with_peer(hidden.peer.multihash))
                (limited,) = [one for one in user.connections if one.relayed]
                await asyncio.sleep(10)
                assert hidden.peer in user.network.identification.known, "each knows what the other speaks"
                assert services[0].peers() == services[1].peers() == []
                assert services[0].publish(TOPIC, b"unheard") == 0
                with pytest.raises(Limited):
                    await limited.open_stream(PROTOCOLS)
                await hidden.network.swarm.punch(user.peer, user.addr.without_peer(), 10.0, client=None)
                await until_async(lambda: services[0].peers(TOPIC) == [user.peer] and services[1].peers(TOPIC))
                assert services[0].publish(TOPIC, b"heard") == 1
                assert (await anext(readers[1])).data == b"heard"
                for one in [one for one in user.connections if one.peer == hidden.peer and not one.relayed]:
                    one.close("test")
                await until_async(lambda: services[0].peers() == services[1].peers() == [])
                assert not limited.closed.done()
            for service in services:
                await service.close()

    run_virtual(main())
