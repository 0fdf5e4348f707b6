"""A source that leaves in the middle of a block: what it sent of that is not sent again by another."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from test_sim_transfers import MIB, blocks, blocks_from, fetch, now

from cidery.bitswap.message import Entry, Message
from cidery.ipld.block import Block
from cidery.libp2p.protocols.muxed_stream import MuxedStream
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import encode_uvarint
from cidery.spare_buffers import SpareBuffers
from cidery.testing.host_line import HostLine
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

RATE = 1e6
"""Bytes per second that a source sends."""
WANTED = blocks(6, MIB, seed=3)
CUT = 1.0
"""Seconds after which a source leaves: most of its first large block is here."""


def spoil(node: MemoryNode, only: CID | None = None) -> None:
    """From now on it sends other bytes than it is asked for, or of one block."""
    read = node.store.get_many

    async def spoilt(cids: Sequence[CID]) -> list[bytes | memoryview | None]:
        every = zip(cids, await read(cids), strict=True)
        return [changed(data) if data and only in (None, cid) else data for cid, data in every]

    def changed(data: bytes | memoryview) -> bytes:
        return bytes([data[0] ^ 1]) + bytes(data[1:-1]) + bytes([data[-1] ^ 1])

    node.store.get_many = spoilt  # type: ignore[method-assign]


def know_no_offsets(node: MemoryNode) -> None:
    """It reads wants as other implementations and earlier versions do."""
    bitswap = node.network.bitswap
    assert bitswap is not None
    take = bitswap.engine.on_wantlist

    def whole(peer: str, entries: Sequence[Entry], full: bool) -> list[CID]:
        return take(peer, [replace(one, start=0) for one in entries], full)

    bitswap.engine.on_wantlist = whole  # type: ignore[method-assign]


def read_while_one_leaves(how: str, *, spoils: str = "", deaf: str = "") -> tuple[float, float, dict[str, int], bool]:
    """Seconds that six blocks take from two sources, one of which leaves; what came of the network for each of their
    bytes; the blocks by source; whether the one that stayed is still connected.

    ``spoils``: who sends wrong bytes. ``deaf``: who knows nothing of offsets.
    """

    async def main() -> tuple[float, float, dict[str, int], bool]:
        network = MemoryNetwork(5, Link(0.02))
        async with memory_nodes(network, 3) as (reader, mortal, other):
            names = {"mortal": mortal, "other": other}
            for node in names.values():
                network.set_line(node.address, HostLine(RATE, RATE))
                await node.put(WANTED)
                await reader.connect(node)
            if spoils:
                spoil(names[spoils])
            if deaf:
                know_no_offsets(names[deaf])
            end = network.kill if how == "killed" else network.unplug
            asyncio.get_running_loop().call_later(CUT, end, mortal.address)
            began, before = now(), network.carried(reader.address)[1]
            session = await asyncio.wait_for(fetch(reader, WANTED), 600)
            came = network.carried(reader.address)[1] - before
            by = {name: blocks_from(session, node) for name, node in names.items()}
            return now() - began, came / (len(WANTED) * MIB), by, other.peer in [c.peer for c in reader.connections]

    return run_virtual(main())


@pytest.mark.parametrize("how", ["killed", "unplugged"])
def test_another_source_sends_the_rest_of_a_block(how):
    took, came, by, _ = read_while_one_leaves(how)
    assert by["other"] == len(WANTED), by
    assert came < 1.03, "all of it came once"
    assert took < (len(WANTED) * MIB - CUT * RATE) / RATE + (0.5 if how == "killed" else 2.0)


def test_one_that_knows_no_offsets_sends_the_whole_block():
    _, came, by, _ = read_while_one_leaves("killed", deaf="other")
    assert by["other"] == len(WANTED) and 1.1 < came < 1.2


@pytest.mark.parametrize("how", ["killed", "unplugged"])
def test_a_wrong_beginning_costs_its_rest_and_not_the_good_name_of_who_completes_it(how):
    _, came, by, connected = read_while_one_leaves(how, spoils="mortal")
    assert by == {"mortal": 0, "other": len(WANTED)} and came < 1.25 and connected


@asynccontextmanager
async def reading_from_one(*, spoils=False):
    """A session that has asked the only source for all, the reader's Bitswap, and the name of that source."""
    network = MemoryNetwork(5, Link(0.02))
    async with memory_nodes(network, 2) as (reader, source):
        network.set_line(source.address, HostLine(RATE, RATE))
        await source.put(WANTED)
        if spoils:
            spoil(source)
        await reader.connect(source)
        bitswap = reader.network.bitswap
        assert bitswap is not None
        async with reader.session() as session:
            session.prefetch([one.cid for one in WANTED])
            yield session, bitswap, source.name


def test_what_a_liar_had_begun_is_not_completed_by_others():
    async def main() -> None:
        async with reading_from_one(spoils=True) as (_, bitswap, liar):
            while not bitswap._peers[liar].wrong:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.5)  # its next block was withdrawn, and cut
            assert len(bitswap._parts) == 0

    run_virtual(main())


@pytest.mark.parametrize("foretells", [True, False])
def test_a_slow_source_does_not_hold_up_the_end_and_sends_little_of_what_another_has_sent(foretells):
    async def main() -> tuple[float, float, float]:
        network, wanted = MemoryNetwork(5, Link(0.02)), blocks(12, MIB, seed=4)
        async with memory_nodes(network, 3) as (reader, slow, fast):
            for node, rate in ((slow, RATE / 10), (fast, 2 * RATE)):
                network.set_line(node.address, HostLine(rate, rate))
                await node.put(wanted)
                await reader.connect(node)
                if not foretells:
                    node.network.bitswap._is_ours = lambda name: False
            began, before = now(), network.carried(reader.address)[1]
            session = await fetch(reader, wanted)
            took = now() - began
            await asyncio.sleep(60)
            assert session.stats().duplicate_blocks <= 1
            return took, network.carried(reader.address)[1] - before, len(wanted) * MIB

    took, came, size = run_virtual(main())
    assert took < size / (2 * RATE) + 2.0, "a block of the slow one alone takes ten seconds"
    assert came < size + (0.4 if foretells else 1.1) * MIB


def test_a_rest_without_a_beginning_in_a_message_that_was_cut_has_the_block_asked_for_at_once():
    async def main() -> None:
        async with memory_nodes(MemoryNetwork(5, Link(0.02)), 2) as (reader, source):
            await reader.connect(source)
            (cid, data), bitswap = WANTED[0], reader.network.bitswap
            assert bitswap is not None
            async with reader.session() as session:
                session.prefetch([cid])
                await asyncio.sleep(0.5)
                peer = bitswap._peers[source.name]
                peer.wantlist.ask(session, [cid], [])
                peer.wantlist.next_entries()  # as if it had been told
                sent = b"".join(map(bytes, Message(blocks=[Block(cid, data)], starts={cid: MIB // 2}).encode()))
                inner = MuxedStream(1, False, 0.0, SpareBuffers())
                inner.frame(len(sent) + 1)
                inner.accept(memoryview(encode_uvarint(len(sent) + 1) + sent))
                bitswap._cut(peer, SimpleNamespace(inner=inner))  # type: ignore[arg-type]
                assert peer.wantlist.has_pending
                await asyncio.sleep(0.1)
                assert not peer.wantlist.has_pending

    run_virtual(main())


@pytest.mark.parametrize("how", ["answers", "wants", "reset here", "reset there"])
def test_what_one_of_two_connections_carried_is_asked_for_again_when_it_ends(how):
    async def main() -> None:
        network = MemoryNetwork(5, Link(0.02))
        async with memory_nodes(network, 2) as (reader, source):
            network.set_line(source.address, HostLine(RATE, RATE))
            await source.put(WANTED)
            await asyncio.gather(reader.connect(source), source.connect(reader))
            assert len(reader.connections) == 2
            assert reader.network.bitswap is not None and source.network.bitswap is not None
            at_reader = reader.network.bitswap._peers[source.name]
            at_source = source.network.bitswap._peers[reader.name]

            def end() -> None:
                match how:
                    case "reset here":
                        for stream in list(at_reader.inbound):
                            stream.reset("as a test wants")
                    case "reset there":
                        at_source.streams["answers"].reset("as a test wants")
                    case "answers":
                        at_source.streams["answers"].connection._transport.abort()  # type: ignore[attr-defined]
                    case "wants":
                        at_reader.streams["wants"].connection._transport.abort()  # type: ignore[attr-defined]

            asyncio.get_running_loop().call_later(CUT, end)
            began = now()
            await fetch(reader, WANTED)
            assert now() - began < len(WANTED) * MIB / RATE + 2.0

    run_virtual(main())


def test_of_a_block_that_goes_on_coming_nothing_is_copied_when_another_want_is_cancelled():
    async def main() -> None:
        async with reading_from_one() as (session, bitswap, source):
            await asyncio.sleep(CUT)
            begun = bitswap._peers[source].begun()
            assert begun is not None and begun.rest_of is not None
            others = [one.cid for one in WANTED if one.cid != begun.rest_of]
            bitswap.cancel(session, source, others)
            assert len(bitswap._parts) == 0
            bitswap.cancel(session, source, [begun.rest_of])
            assert len(bitswap._parts) == len(begun.data)

    run_virtual(main())
