"""Turns of peers to be sent blocks: none is occupied by a peer that nothing is being sent to."""

import asyncio

from test_sim_transfers import MIB, blocks

from cidery.bitswap.peer import ConnectedPeer
from cidery.bitswap.service import BitswapService
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual


async def serving(source: MemoryNode, reader: MemoryNode) -> tuple[BitswapService, ConnectedPeer]:
    bitswap = source.network.bitswap
    assert bitswap is not None
    await asyncio.sleep(1.0)  # identify is through
    return bitswap, bitswap._peers[reader.name]


def test_a_peer_whose_turn_begins_as_its_last_one_ends_is_answered():
    async def main() -> None:
        network, wanted = MemoryNetwork(5, Link(0.02)), blocks(2, MIB)
        async with memory_nodes(network, 2) as (reader, source):
            await source.put(wanted)
            await reader.connect(source)
            bitswap, peer = await serving(source, reader)
            begin, refuse = bitswap.engine.begin_turn, [True]
            # the line becomes free while it is told, without blocks, what else it asked
            bitswap.engine.begin_turn = lambda now: None if refuse else begin(now)  # type: ignore[method-assign]
            async with reader.session() as session:
                session.prefetch([one.cid for one in wanted])
                loop, tell = asyncio.get_running_loop(), bitswap.engine.next_envelope

                def told(name: str):
                    envelope = tell(name)
                    if name == peer.name and bitswap.engine.waiting and envelope.empty:
                        refuse.clear()
                    return envelope

                bitswap.engine.next_envelope = told  # type: ignore[method-assign]
                began = loop.time()
                await session.get(wanted[0].cid)
                assert loop.time() - began < 1.0

    run_virtual(main())


def test_who_cannot_be_sent_anything_has_no_turn_until_it_is_tried_again():
    async def main() -> None:
        async with memory_nodes(MemoryNetwork(5, Link(0.02)), 2) as (reader, source):
            await reader.connect(source)
            bitswap, peer = await serving(source, reader)
            bitswap._sending_failed(peer, "answers", TimeoutError())
            now = asyncio.get_running_loop().time()
            assert bitswap.engine.turns.rests(peer.name, now + 0.9)
            assert not bitswap.engine.turns.rests(peer.name, now + 2.0)

    run_virtual(main())
