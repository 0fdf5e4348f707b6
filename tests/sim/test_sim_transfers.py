"""Whole nodes over a network in memory, in virtual time: distance, odd segments, several sources, faults."""

import asyncio
import random

import pytest

from cidery.bitswap.message import PROTOCOL_1_2
from cidery.blockstore.interface import BlockTooLarge
from cidery.core.reading.cat import cat
from cidery.exchange.failures import NobodyToAsk, NoSourceHasIt
from cidery.exchange.lonely import NOBODY_SECONDS
from cidery.exchange.probe import HaveProbe
from cidery.exchange.service import NetworkSession
from cidery.exchange.source import FIRST_ANSWER
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.kad.service import KadOptions
from cidery.libp2p.io.stream import Stream
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB, JSON
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import Deadlock, run_virtual
from cidery.unixfs.importer import FileBuilder
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025

MARS = 44 * 60.0
"""Seconds of round trip at the farthest."""
MIB = 1024 * 1024


def blocks(count: int, size: int = 256 * 1024, seed: int = 1) -> list[Block]:
    source = random.Random(seed)
    return [Block(CID.of(data), data) for data in (source.randbytes(size) for _ in range(count))]


def file_blocks(size: int, profile=UNIXFS_V1_2025) -> tuple[CID, bytes, list[Block]]:
    data = random.Random(5).randbytes(size)
    builder, out = FileBuilder(profile), []
    for at in range(0, size, profile.chunk_size):
        out += builder.add_chunk(data[at : at + profile.chunk_size])
    root, last = builder.finish()
    return root.cid, data, out + last


def now() -> float:
    return asyncio.get_running_loop().time()


async def fetch(node: MemoryNode, wanted: list[Block]) -> NetworkSession:
    async with node.session() as session:
        session.prefetch([block.cid for block in wanted])
        for block in wanted:
            assert bytes(await session.get(block.cid)) == block.data
    return session


def blocks_from(session: NetworkSession, node: MemoryNode) -> int:
    return session.stats().by_source.get(node.name, (0, 0))[0]


def twice(main) -> tuple:
    """Run a simulation two times; the traces must be equal. ``main()`` returns (trace, anything...)."""
    first, second = run_virtual(main()), run_virtual(main())
    assert first == second
    return first


# --- distance


@pytest.mark.parametrize("link", [Link(MARS / 2), Link(MARS / 2, jitter=20.0, least_segment=1, largest_segment=9000)])
def test_a_file_travels_to_mars_on_a_standing_connection_in_few_round_trips(link):
    async def main():
        network = MemoryNetwork(7, link)
        root, data, stored = file_blocks(16 * MIB)
        async with memory_nodes(network, 2) as (earth, mars):
            await earth.put(stored)
            await mars.connect(earth)
            began, connection = now(), mars.connections[0]
            got = bytearray()
            async with mars.session() as session:
                async for piece in cat(root, session):
                    got += piece
            assert got == data and session.stats().duplicate_blocks == 0
            took = (now() - began) / MARS
            await asyncio.sleep(24 * 3600.0)  # a quiet day: only keepalives
            assert mars.connections == [connection] and connection.usable
            assert abs(connection.round_trip.smoothed - MARS) < 0.1 * MARS
            return network.trace, took

    _, took = twice(main)
    # the root, then windows that double: 256 KiB, 512 KiB, ... reach 16 MiB after seven round trips
    assert took < 13


def test_a_second_file_starts_with_what_the_first_one_taught():
    async def main():
        network = MemoryNetwork(7, Link(MARS / 2))
        first, second = blocks(64), blocks(64, seed=2)
        async with memory_nodes(network, 2) as (earth, mars):
            await earth.put(first + second)
            await mars.connect(earth)
            times = []
            for wanted in (first, second):
                began = now()
                await fetch(mars, wanted)
                times.append((now() - began) / MARS)
            return network.trace, times

    _, times = twice(main)
    assert times[1] <= times[0] and times[1] < 6


@pytest.mark.parametrize("seed", range(3))
def test_every_segment_split_at_random_from_one_byte_up_gives_the_same_file(seed):
    async def main():
        network = MemoryNetwork(seed, Link(0.01, least_segment=1, largest_segment=3000, jitter=0.005, loss=0.002))
        root, data, stored = file_blocks(3 * MIB, UNIXFS_V0_2015)
        async with memory_nodes(network, 2) as (near, far):
            await near.put(stored)
            await far.connect(near)
            got = bytearray()
            async with far.session() as session:
                async for piece in cat(root, session):
                    got += piece
            assert got == data and session.stats().duplicate_blocks == 0
            return network.trace, network.segments

    assert twice(main)[1] > 1500


def test_one_byte_at_a_time_is_enough():
    async def main():
        network = MemoryNetwork(1, Link(0.001, least_segment=1, largest_segment=1))
        wanted = blocks(3, 5000)
        async with memory_nodes(network, 2) as (near, far):
            await near.put(wanted)
            await far.connect(near)
            await fetch(far, wanted)
            return network.trace, network.segments == network.bytes + 0

    run_virtual(main())


# --- several sources


def test_of_three_sources_the_near_one_carries_most():
    async def main():
        network = MemoryNetwork(3)
        wanted = blocks(240)
        async with memory_nodes(network, 4) as (reader, near, middle, far):
            for node, link in (
                (near, Link(0.005, bandwidth=50e6)),
                (middle, Link(0.04, bandwidth=20e6)),
                (far, Link(0.15, bandwidth=20e6)),
            ):
                network.set_link(reader.address, node.address, link)
                await node.put(wanted)
                await reader.connect(node)
            session = await fetch(reader, wanted)
            shares = [blocks_from(session, node) for node in (near, middle, far)]
            return network.trace, shares, session.stats().duplicate_blocks

    _, shares, duplicates = twice(main)
    assert sum(shares) == 240 and duplicates <= 0.05 * 240
    assert shares[0] > 120 and shares[0] > max(shares[1:])


def test_two_sources_share_the_work_with_hardly_a_duplicate():
    async def main():
        network = MemoryNetwork(4, Link(0.02, bandwidth=10e6, jitter=0.005))
        wanted = blocks(200)
        async with memory_nodes(network, 3) as (reader, one, two):
            for node in (one, two):
                await node.put(wanted)
                await reader.connect(node)
            began = now()
            session = await fetch(reader, wanted)
            shares = [blocks_from(session, node) for node in (one, two)]
            return network.trace, shares, session.stats().duplicate_blocks, now() - began

    _, shares, duplicates, took = twice(main)
    assert sum(shares) == 200 and duplicates <= 10
    assert min(shares) > 50 and took < 0.75 * 200 * 256 * 1024 / 10e6  # faster than one of them could be


def test_a_peer_that_waits_is_served_at_once_what_is_stored_later_by_any_thread_under_any_codec():
    async def main():
        network = MemoryNetwork(5, Link(0.02, bandwidth=10e6))
        data = b"content that is added while somebody waits for it"
        wanted = [CID.of(data), CID.of(data, DAG_PB, version=0), CID.of(data, DAG_CBOR)]
        async with memory_nodes(network, 2) as (reader, owner):
            await reader.connect(owner)
            waiting = [asyncio.ensure_future(fetch(reader, [Block(cid, data)])) for cid in wanted]
            await asyncio.sleep(3.0)
            began = now()
            added = Block(CID.of(data, JSON), data)
            await asyncio.to_thread(owner.store.put_many_blocking, [added], kept=True)
            await asyncio.gather(*waiting)
            return network.trace, now() - began

    _, took = twice(main)
    assert took < 0.1


def test_a_source_that_dies_half_way_is_replaced():
    async def main():
        network = MemoryNetwork(5, Link(0.02, bandwidth=10e6))
        wanted = blocks(200)
        async with memory_nodes(network, 3) as (reader, mortal, other):
            for node in (mortal, other):
                await node.put(wanted)
                await reader.connect(node)
            asyncio.get_running_loop().call_later(1.0, network.cut, reader.address, mortal.address)
            session = await fetch(reader, wanted)
            assert [c.peer for c in reader.connections] == [other.peer]
            return network.trace, blocks_from(session, mortal), session.stats().duplicate_blocks

    _, before, duplicates = twice(main)
    assert 10 < before < 100 and duplicates <= 10


def test_a_source_that_stalls_loses_its_wants_to_another():
    async def main():
        network = MemoryNetwork(6, Link(0.02, bandwidth=10e6))
        wanted = blocks(200)
        async with memory_nodes(network, 3) as (reader, silent, other):
            for node in (silent, other):
                await node.put(wanted)
                await reader.connect(node)
            asyncio.get_running_loop().call_later(1.0, network.freeze, reader.address, silent.address)
            began = now()
            session = await fetch(reader, wanted)
            return network.trace, now() - began, session.stats().duplicate_blocks

    _, took, duplicates = twice(main)
    assert duplicates <= 10 and took < 10


def test_a_frozen_peer_is_noticed_by_its_silence_and_its_streams_end():
    async def main():
        network = MemoryNetwork(6, Link(0.02))
        async with memory_nodes(network, 2) as (one, two):
            await one.connect(two)
            network.freeze(one.address, two.address)
            await asyncio.sleep(120.0)
            return network.trace, len(one.connections), len(two.connections)

    assert twice(main)[1:] == (0, 0)


def test_a_block_that_nobody_has_ends_the_request_and_says_so():
    async def main():
        network = MemoryNetwork(8, Link(0.02))
        missing = blocks(1)[0].cid
        async with memory_nodes(network, 2) as (reader, other):
            await reader.connect(other)
            async with reader.session() as session:
                with pytest.raises(NoSourceHasIt, match="none of 1 connected peers"):
                    await session.get(missing)
                began = now()
                with pytest.raises(NoSourceHasIt):  # not for ever, the second time either
                    await session.get(missing)
                return network.trace, began, now() - began

    _, first, second = twice(main)
    assert 55 < first < 70 and 55 < second < 70


def test_a_block_that_is_put_later_reaches_who_waits_for_it():
    async def main():
        network = MemoryNetwork(8, Link(0.02))
        (block,) = blocks(1)
        async with memory_nodes(network, 2) as (reader, other):
            await reader.connect(other)
            async with reader.session() as session:
                waiting = asyncio.ensure_future(session.get(block.cid))
                await asyncio.sleep(5.0)
                await other.put([block])
                began = now()
                assert bytes(await waiting) == block.data
                return network.trace, now() - began

    assert twice(main)[1] < 0.5


def test_what_was_fetched_is_served_on():
    async def main():
        network = MemoryNetwork(9, Link(0.02))
        wanted = blocks(20)
        async with memory_nodes(network, 3) as (first, second, third):
            await first.put(wanted)
            await second.connect(first)
            await fetch(second, wanted)
            await first.network.close()
            await third.connect(second)
            session = await fetch(third, wanted)
            return network.trace, blocks_from(session, second)

    assert twice(main)[1] == 20


def test_the_largest_blocks_of_today_travel_and_larger_ones_are_no_blocks():
    async def main():
        network = MemoryNetwork(9, Link(0.02))
        largest = blocks(5, MAX_BLOCK)
        async with memory_nodes(network, 2) as (one, two):
            await one.put(largest)
            await two.connect(one)
            await fetch(two, largest)
            with pytest.raises(BlockTooLarge):
                await one.put(blocks(1, MAX_BLOCK + 1))
            return (network.trace,)

    twice(main)


def test_the_first_window_of_blocks_after_a_small_root_is_no_flood():
    async def main():
        network = MemoryNetwork(9, Link(0.02))
        root, _, stored = file_blocks(64 * MIB)
        async with memory_nodes(network, 2) as (one, two):
            await one.put(stored)
            await two.connect(one)
            async with two.session() as session:
                async for _ in cat(root, session):
                    break
                machine = session._machine
                asked = sum(len(source.outstanding) for source in machine.sources.values())
            return network.trace, asked

    assert twice(main)[1] <= 16  # of 1 MiB each; counted by the size of the root it would be all 64


# --- connections


def test_simultaneous_dials_end_as_one_connection_and_no_stream_is_lost():
    async def main():
        network = MemoryNetwork(10, Link(0.05))
        mine, theirs = blocks(40), blocks(40, seed=2)
        async with memory_nodes(network, 2) as (one, two):
            await one.put(mine)
            await two.put(theirs)
            await asyncio.gather(one.connect(two), two.connect(one))
            assert len(one.connections) == 2
            sessions = await asyncio.gather(fetch(one, theirs), fetch(two, mine))
            await asyncio.sleep(60.0)
            await asyncio.gather(fetch(one, blocks_put(two)), fetch(two, blocks_put(one)))
            duplicates = sum(session.stats().duplicate_blocks for session in sessions)
            return network.trace, len(one.connections), len(two.connections), duplicates

    def blocks_put(node):
        fresh = blocks(5, seed=int(node.address[-1]) + 50)
        node.store.put_many_blocking(fresh, kept=True)
        return fresh

    _, one, two, duplicates = twice(main)
    assert one == two and one in (1, 2) and duplicates == 0


def test_idle_duplicates_are_closed_by_one_side():
    async def main():
        network = MemoryNetwork(10, Link(0.05))
        async with memory_nodes(network, 2) as (one, two):
            await asyncio.gather(one.connect(two), two.connect(one))
            assert len(one.connections) == len(two.connections) == 2
            await asyncio.sleep(10.0)
            assert one.connections[0].usable and two.connections[0].usable
            return network.trace, len(one.connections), len(two.connections)

    assert twice(main)[1:] == (1, 1)


@pytest.mark.parametrize("seed", range(4))
def test_a_transfer_survives_churn(seed):
    async def main():
        network = MemoryNetwork(seed, Link(0.03, bandwidth=5e6, jitter=0.01, loss=0.001, largest_segment=9000))
        wanted, chaos = blocks(150), random.Random(seed)
        async with memory_nodes(network, 5) as (reader, *others):
            for node in others:
                await node.put(wanted)
            await reader.connect(others[0])

            async def churn() -> None:
                while True:
                    node = chaos.choice(others)
                    if chaos.random() < 0.4:
                        network.cut(reader.address, node.address)
                    else:
                        await reader.connect(node)
                    await asyncio.sleep(chaos.random())

            trouble = asyncio.ensure_future(churn())
            session = await fetch(reader, wanted)
            trouble.cancel()
            return network.trace, now(), session.stats().duplicate_blocks

    _, took, duplicates = twice(main)
    assert duplicates <= 8 and took < 60


def test_other_seeds_give_other_traces():
    async def main(seed: int) -> str:
        network = MemoryNetwork(seed, Link(0.01, jitter=0.01))
        async with memory_nodes(network, 2) as (one, two):
            await one.connect(two)
            return network.trace

    assert run_virtual(main(1)) != run_virtual(main(2))


def test_a_wait_that_nothing_can_end_is_an_error_and_no_hang():
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run_virtual(main())


def test_a_peer_that_comes_again_and_answers_what_it_was_asked_before_is_not_taken_for_a_liar():
    async def main():
        network = MemoryNetwork(3, Link(0.05, bandwidth=2e6))
        wanted = blocks(12, MIB)
        async with memory_nodes(network, 2) as (reader, owner):
            await owner.put(wanted)
            await reader.connect(owner)
            reading = asyncio.ensure_future(fetch(reader, wanted))
            for _ in range(4):
                await asyncio.sleep(0.8)
                network.cut(reader.address, owner.address)
                await asyncio.sleep(0.2)
                await reader.connect(owner)
            session = await reading
            return network.trace, blocks_from(session, owner)

    assert twice(main)[1] == 12


def test_with_nobody_to_ask_and_nothing_that_could_find_anybody_a_read_fails_at_once_and_says_so():
    async def main():
        wanted = blocks(2)
        async with memory_nodes(MemoryNetwork(1), 1) as (node,), node.session() as session:
            for one in wanted:  # each time
                began = now()
                with pytest.raises(NobodyToAsk, match="there is nobody to ask: no peer is connected, and no routing"):
                    await session.get(one.cid)
                assert now() - began <= NOBODY_SECONDS + 0.1

    run_virtual(main())


def test_a_read_waits_for_somebody_who_may_still_come():
    async def main():
        wanted, network = blocks(2), MemoryNetwork(1, Link(0.3))
        async with memory_nodes(network, 2) as (node, owner):
            await owner.put(wanted)
            reading = asyncio.ensure_future(fetch(node, wanted))
            await asyncio.sleep(0.9 * NOBODY_SECONDS)
            await node.connect(owner)  # is being dialled at the first look, and connected at the second
            await reading
        async with memory_nodes(network, 1, kad=KadOptions()) as (node,), node.session() as session:
            with pytest.raises(TimeoutError):  # a DHT may come to know somebody
                async with asyncio.timeout(30):
                    await session.get(wanted[0].cid)

    run_virtual(main())


class Asker(HaveProbe):
    """Notes who denied."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid, ask=lambda *_: None, on_answer=lambda *_: None)
        self.denied: list[str] = []

    def on_dont_have(self, name: str, cid: CID) -> None:
        self.denied.append(name)


def test_who_asked_a_peer_hears_that_it_lacks_a_block_though_another_sent_it_before():
    async def scenario() -> None:
        network = MemoryNetwork(1, Link(0.01))
        async with memory_nodes(network, 3) as (reader, holder, other):
            network.set_link(reader.address, other.address, Link(0.5))
            (block,) = blocks(1, 100)
            await holder.put([block])
            bitswap, asker = reader.network.bitswap, Asker(block.cid)
            bitswap.attach(asker)
            for peer in (holder, other):
                await reader.connect(peer)
            for peer in (holder, other):
                bitswap.ask(asker, peer.name, [block.cid], [])
            await asyncio.sleep(0.2)
            assert asker.answers[holder.name] == "block" and not asker.denied
            await asyncio.sleep(2.0)
            assert asker.denied == [other.name]
            bitswap.detach(asker)

    run_virtual(scenario())


def test_who_gave_something_is_asked_before_a_nearer_peer_that_says_nothing():
    async def scenario() -> None:
        network = MemoryNetwork(1, Link(0.03))
        async with memory_nodes(network, 3) as (reader, holder, silent):
            network.set_link(reader.address, silent.address, Link(0.02))

            async def drop(stream: Stream) -> None:
                async for _ in stream.messages(MIB):
                    pass

            silent.network.swarm.handlers[PROTOCOL_1_2] = drop
            for peer in (holder, silent):
                await reader.connect(peer)
            took = []
            for seed in (1, 2):
                some = blocks(1, 4096, seed)
                await holder.put(some)
                began = now()
                await fetch(reader, some)
                took.append(now() - began)
            assert took[0] > FIRST_ANSWER, "the nearest one had its time"
            assert took[1] == pytest.approx(0.06, abs=0.01)

    run_virtual(scenario())
