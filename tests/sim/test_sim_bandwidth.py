"""Limits of speed over whole nodes, in virtual time: exact within 5 %, fair, and no obstacle to short messages."""

import asyncio
import time

import pytest
from test_sim_transfers import blocks, fetch, now

from cidery.libp2p.protocols import noise
from cidery.libp2p.protocols.bandwidth import BandwidthLimits, Period, Schedule
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.testing.memory_network import Link, MemoryNetwork, seeded_entropy
from cidery.testing.memory_node import PORT, MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

MIB = 1 << 20


async def limited(network: MemoryNetwork, number: int, schedule: Schedule) -> MemoryNode:
    node = MemoryNode(network, number)
    node.network = NodeNetwork(
        node.key,
        node.store,
        security=(noise.PROTOCOL,),
        bandwidth=schedule,
        clock=asyncio.get_running_loop().time,
        entropy=seeded_entropy(number),
        network=network.host(node.address),
        first_sequence=number,
    )
    await node.network.start((Multiaddr.tcp(node.address, PORT),))
    return node


@pytest.mark.parametrize("rate", [50_000, 1_000_000])
@pytest.mark.parametrize("limits", ["up", "down", "peer_up", "peer_down"])
def test_a_limit_holds_within_five_percent(limits: str, rate: int) -> None:
    async def main() -> None:
        network = MemoryNetwork(1, Link(0.02, bandwidth=50e6))
        slow = await limited(network, 9, Schedule(BandwidthLimits(**{limits: float(rate)})))
        async with memory_nodes(network, 1) as (other,):
            wanted = blocks(64 if rate > 100_000 else 8)
            owner, reader = (slow, other) if "up" in limits else (other, slow)
            await owner.put(wanted)
            await reader.connect(owner)
            began, traffic = now(), slow.network.swarm.traffic
            before = traffic.sent.total if "up" in limits else traffic.received.total
            await fetch(reader, wanted)
            went = (traffic.sent.total if "up" in limits else traffic.received.total) - before
            assert 0.95 * rate < went / (now() - began) < 1.05 * rate
        await slow.network.close()

    run_virtual(main())


def test_two_readers_share_the_limit_of_the_node_and_none_has_more_than_its_own() -> None:
    async def main() -> None:
        network = MemoryNetwork(2, Link(0.02, bandwidth=50e6))
        slow = await limited(network, 9, Schedule(BandwidthLimits(up=1e6, peer_up=0.8e6)))
        async with memory_nodes(network, 2) as readers:
            wanted = blocks(40)
            await slow.put(wanted)
            times = []

            async def read(node: MemoryNode) -> None:
                await node.connect(slow)
                began = now()
                await fetch(node, wanted)
                times.append(now() - began)

            began = now()
            await asyncio.gather(*map(read, readers))
            both = 2 * 40 * 256 * 1024
            assert both / (now() - began) < 1.05e6
            assert max(times) < 1.15 * min(times)  # neither waits for the other
            first, _ = readers
            more = blocks(20, seed=3)
            await slow.put(more)
            began = now()
            await fetch(first, more)
            assert 0.7e6 < 20 * 256 * 1024 / (now() - began) < 0.84e6
        await slow.network.close()

    run_virtual(main())


def test_short_messages_pass_what_is_being_served() -> None:
    async def main() -> None:
        network = MemoryNetwork(3, Link(0.02, bandwidth=50e6))
        slow = await limited(network, 9, Schedule(BandwidthLimits(up=100_000.0)))
        async with memory_nodes(network, 2) as (greedy, friend):
            wanted, small = blocks(40), blocks(1, 1000, seed=7)
            await slow.put(wanted)
            await friend.put(small)
            await greedy.connect(slow)
            await slow.connect(friend)
            busy = asyncio.ensure_future(fetch(greedy, wanted))
            await asyncio.sleep(10)
            for number in range(5):
                began = now()
                async for taken in slow.network.ping(friend.name, 1):
                    assert taken < 0.5
                fresh = blocks(1, 1000, seed=100 + number)
                await friend.put(fresh)
                await fetch(slow, fresh)  # its own want leaves at once
                assert now() - began < 1.5
            assert not busy.done()
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
        await slow.network.close()

    run_virtual(main())


def test_what_went_is_counted_by_peer_and_protocol() -> None:
    async def main() -> None:
        network = MemoryNetwork(4, Link(0.02, bandwidth=50e6))
        async with memory_nodes(network, 3) as (one, two, three):
            wanted = blocks(16)
            await one.put(wanted)
            for node in (two, three):
                await node.connect(one)
            await fetch(two, wanted)
            size = 16 * 256 * 1024
            everything = one.network.bandwidth("", "")
            assert size < everything.total_out < 1.05 * size and everything.rate_out > 0
            assert (
                one.network.bandwidth(two.name, "").total_out > size > one.network.bandwidth(three.name, "").total_out
            )
            bitswap = one.network.bandwidth("", "/ipfs/bitswap/1.2.0")
            assert size < bitswap.total_out < 1.01 * size and bitswap.total_in < 10_000
            came = two.network.bandwidth("", "/ipfs/bitswap/1.2.0").total_in
            assert came == pytest.approx(bitswap.total_out, abs=100)
            assert one.network.bandwidth("", "/no/such").total_in == 0
            await asyncio.sleep(100)
            assert one.network.bandwidth("", "").rate_out < 0.01 * everything.rate_out

    run_virtual(main())


def test_the_schedule_is_obeyed_while_the_node_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    async def main() -> None:
        network = MemoryNetwork(5, Link(0.02, bandwidth=50e6))
        work = Period(8 * 60, 18 * 60, frozenset(range(7)), BandwidthLimits(up=200_000.0))
        slow = await limited(network, 9, Schedule(periods=[work]))
        traffic = slow.network.swarm.traffic
        clock = asyncio.get_running_loop().time
        traffic._wall_clock = lambda: 8 * 3600 - 60 + clock()  # a minute before eight
        async with memory_nodes(network, 1) as (reader,):
            wanted, later = blocks(20), blocks(20, seed=2)
            await slow.put(wanted + later)
            await reader.connect(slow)
            began = now()
            await fetch(reader, wanted)
            assert now() - began < 2
            await asyncio.sleep(90)
            began = now()
            await fetch(reader, later)
            assert 20 * 256 * 1024 / (now() - began) < 1.05 * 200_000
        await slow.network.close()

    run_virtual(main())
    monkeypatch.undo()
    time.tzset()
