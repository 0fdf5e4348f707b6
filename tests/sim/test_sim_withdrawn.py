"""What a peer withdraws while it is sent to it: what else it was sent, and whose turn comes then."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from test_sim_transfers import MIB, blocks
from test_sim_turns import serving

from cidery.bitswap.message import Entry
from cidery.bitswap.peer import ConnectedPeer
from cidery.bitswap.service import BitswapService
from cidery.testing.host_line import HostLine
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import memory_nodes
from cidery.testing.virtual_clock import run_virtual

FEW = 1e5
"""Bytes per second."""


def withdraw(bitswap: BitswapService, peer: ConnectedPeer, wanted) -> None:
    bitswap.engine.on_wantlist(peer.name, [Entry(one.cid, cancel=True) for one in wanted], False)
    bitswap._serving.stop_withdrawn(peer)


@asynccontextmanager
async def slowly_served(count: int):
    """A reader, the Bitswap of a slow source, the reader as that sees it, and what the source has: blocks of a MiB."""
    network, wanted = MemoryNetwork(5, Link(0.02)), blocks(count, MIB)
    async with memory_nodes(network, 2) as (reader, source):
        await source.put(wanted)
        await reader.connect(source)
        network.set_line(source.address, HostLine(FEW, FEW))
        yield (reader, *await serving(source, reader), wanted)


def test_a_message_is_not_ended_while_an_earlier_one_is_in_its_stream():
    async def main() -> None:
        async with slowly_served(2) as (reader, bitswap, peer, wanted):
            bitswap.engine.turns.limit = lambda name: MIB  # type: ignore[method-assign]
            async with reader.session() as session:
                session.prefetch([one.cid for one in wanted])
                while bitswap.blocks_sent < 1 or not peer.written:
                    await asyncio.sleep(0.01)
                stream = peer.streams["answers"]
                while stream.inner.out_bytes > peer.written:
                    withdraw(bitswap, peer, wanted)
                    assert peer.streams["answers"] is stream, "half of the first block would be lost"
                    await asyncio.sleep(0.1)
                withdraw(bitswap, peer, wanted)
                await asyncio.sleep(0.1)
                assert "answers" not in peer.streams and "answers" not in peer.sending

    run_virtual(main())


def test_what_has_left_of_a_message_that_is_withdrawn_counts_as_taken():
    async def main() -> None:
        async with slowly_served(1) as (reader, bitswap, peer, wanted):
            async with reader.session() as session:
                session.prefetch([wanted[0].cid])
                await asyncio.sleep(5.0)
                before = bitswap.engine.turns._takers[peer.name].due
                left = peer.streams["answers"].inner.out_bytes
                withdraw(bitswap, peer, wanted)
                assert bitswap.engine.turns._takers[peer.name].due - before == pytest.approx(MIB - left, rel=0.01)

    run_virtual(main())


def test_a_message_of_which_the_end_is_spared_stops_there():
    async def main() -> None:
        async with slowly_served(1) as (reader, bitswap, peer, wanted):
            async with reader.session() as session:
                session.prefetch([wanted[0].cid])
                await asyncio.sleep(2.0)
                (inner, spared) = peer.streams["answers"].inner, MIB // 2
                for _ in range(3):
                    entry = Entry(wanted[0].cid, cancel=True, spared=spared)
                    bitswap.engine.on_wantlist(peer.name, [entry], False)
                    bitswap._serving.stop_withdrawn(peer)
                assert inner.out_bytes > spared and peer.streams["answers"].inner is inner, "the beginning is wanted"
                assert len(bitswap._serving._watched) == 1
                while peer.streams.get("answers") is not None:
                    left = inner.out_bytes
                    await asyncio.sleep(0.01)
                assert spared - 0.05 * FEW < left <= spared + 0.05 * FEW
                await asyncio.sleep(1.0)
                assert "answers" not in peer.sending and not bitswap._serving._watched, "nothing is sent again"

    run_virtual(main())
