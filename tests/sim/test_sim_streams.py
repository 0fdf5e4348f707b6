"""Whole DAGs as CAR streams between nodes in virtual time: one round trip where it works, Bitswap where it does not."""

import asyncio
import random

import pytest

from cidery.budgets import STREAM_ANSWERS
from cidery.core.car.exporting import export_car
from cidery.core.reading.cat import cat
from cidery.core.session import StoreSession
from cidery.http.message import Request, Response, text
from cidery.ipld.block import Block
from cidery.ipld.car import encode_header, encode_section_head
from cidery.multiformats.cid import CID
from cidery.retrieval.service import STREAM_DELAY
from cidery.retrieval.stream_http import PROTOCOL, StreamServer, fetch
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual
from cidery.unixfs.importer import FileBuilder
from cidery.unixfs.profile import UNIXFS_V1_2025

MIB = 1024 * 1024
LONG = Link(0.1, bandwidth=12_500_000)
"""200 ms round trip, 100 Mbit/s."""


def file_blocks(size: int) -> tuple[CID, bytes, list[Block]]:
    data = random.Random(5).randbytes(size)
    builder, out = FileBuilder(UNIXFS_V1_2025), []
    for at in range(0, size, UNIXFS_V1_2025.chunk_size):
        out += builder.add_chunk(data[at : at + UNIXFS_V1_2025.chunk_size])
    root, last = builder.finish()
    return root.cid, data, out + last


def whole(node: MemoryNode):
    """The handler of a good owner."""

    async def handle(request: Request) -> Response:
        root = CID.parse(request.path.removeprefix("/ipfs/"))
        if (await node.store.get_many([root]))[0] is None:
            return text(404, "not here")

        async def body():
            async for piece in export_car([root], StoreSession(node.store)):
                yield piece

        return Response(200, {"Content-Type": "application/vnd.ipld.car"}, body())

    return handle


async def read(node: MemoryNode, root: CID):
    """(bytes, seconds, session statistics, streams begun) of a cat."""
    clock = asyncio.get_running_loop().time
    began = clock()
    async with node.session() as session:
        got = b"".join([bytes(chunk) async for chunk in cat(root, session)])
    return got, clock() - began, session.stats(), node.network.gateways.streams_begun


def run(handler, *, link: Link = LONG, size: int = 16 * MIB, owners: int = 1, stored: bool = True):
    async def main():
        root, data, blocks = file_blocks(size)
        async with memory_nodes(MemoryNetwork(3, link), owners + 1) as (reader, *others):
            for number, owner in enumerate(others):
                if stored or number:
                    await owner.put(blocks)
                if handler is not None:
                    await owner.network.serve(PROTOCOL, StreamServer(handler(owner)))
                await reader.connect(owner)
            got, took, stats, begun = await read(reader, root)
            assert got == data
            kept = await reader.store.size_many([block.cid for block in blocks])
            assert None not in kept
            return took, stats, begun

    return run_virtual(main())


def test_a_dag_comes_as_one_stream_in_little_more_than_the_line_needs():
    took, stats, begun = run(whole)
    assert begun == 1 and stats.duplicate_blocks == 0
    assert took < 1.2 * (0.2 + 16 * MIB / 12_500_000)


def test_over_a_short_line_bitswap_does_it():
    _, _, begun = run(whole, link=Link(STREAM_DELAY / 8))
    assert begun == 0


def test_an_owner_that_gives_no_streams_is_asked_by_bitswap_which_fills_the_line_too():
    took, stats, begun = run(None)
    assert begun == 0 and stats.duplicate_blocks == 0
    assert took < 1.4 * (0.2 + 16 * MIB / 12_500_000)  # the root costs a round trip of its own


def test_a_peer_that_has_it_not_is_followed_by_one_that_has():
    _, stats, begun = run(whole, owners=2, stored=False, size=4 * MIB)
    assert begun == 1 and len(stats.by_source) == 1


def refusing(node: MemoryNode):
    async def handle(request: Request) -> Response:
        return text(503, "not today")

    return handle


def cut(node: MemoryNode):
    """Half of the archive, then an error."""

    async def handle(request: Request) -> Response:
        response = await whole(node)(request)
        inner, sent = response.body, 0

        async def body():
            nonlocal sent
            async for piece in inner:
                sent += len(piece)
                if sent > 4 * MIB:
                    from cidery.errors import Unavailable

                    raise Unavailable("the disk is gone")
                yield piece

        return Response(200, {}, body())

    return handle


def silent(node: MemoryNode):
    """The head and nothing more."""

    async def handle(request: Request) -> Response:
        async def body():
            await asyncio.sleep(3600)
            yield b""

        return Response(200, {}, body())

    return handle


def dripping(node: MemoryNode):
    """The head, and a byte of it all half a second."""

    async def handle(request: Request) -> Response:
        root = CID.parse(request.path.removeprefix("/ipfs/"))
        archive = encode_header([root]) + encode_section_head(root, MIB)

        async def body():
            for byte in archive + bytes(MIB):
                await asyncio.sleep(0.5)
                yield bytes([byte])

        return Response(200, {}, body())

    return handle


@pytest.mark.parametrize("handler, seconds", [(refusing, 1.0), (cut, 1.5), (silent, 2.5), (dripping, 15.0)])
def test_a_stream_that_fails_is_followed_by_bitswap(handler, seconds):
    took, _, begun = run(handler, size=8 * MIB)
    assert begun == 1
    assert took < seconds + 1.5 * 8 * MIB / 12_500_000


def test_a_peer_that_falls_silent_holds_a_read_for_a_moment_until_another_is_there():
    async def main():
        root, data, blocks = file_blocks(256 * 1024)
        async with memory_nodes(MemoryNetwork(3, LONG), 3) as (reader, mute, owner):
            await owner.put(blocks)
            await mute.network.serve(PROTOCOL, StreamServer(silent(mute)))
            await reader.connect(mute)
            reading = asyncio.ensure_future(read(reader, root))
            await asyncio.sleep(0.3)
            await reader.connect(owner)
            got, took, stats, begun = await reading
            assert got == data and begun == 1 and set(stats.by_source) == {owner.name}
            return took

    assert run_virtual(main()) < 3


def test_a_peer_whose_stream_stalled_is_asked_for_no_other():
    async def main():
        root, data, blocks = file_blocks(256 * 1024)
        async with memory_nodes(MemoryNetwork(3, LONG), 2) as (reader, owner):
            await owner.put(blocks)
            await owner.network.serve(PROTOCOL, StreamServer(silent(owner)))
            await reader.connect(owner)
            assert (await read(reader, root))[3] == 1
            async with reader.session() as session:
                session.expect(CID.of(b"something else"))
            return reader.network.gateways.streams_begun

    assert run_virtual(main()) == 1


def test_a_large_block_of_nested_lists_does_not_hold_the_loop():
    from cidery.ipld import dag_cbor, dag_cbor_scan
    from cidery.ipld.block import Block
    from cidery.multiformats.multicodec import DAG_CBOR
    from cidery.retrieval.dag_stream import DagStream

    data = dag_cbor.encode([[[at % 24] for at in range(1000)] for _ in range(300)])
    block = Block(CID.of(data, DAG_CBOR), data)
    assert sum(1 for _ in DagStream(block.cid).accept(block)) >= 300 * 2000 // dag_cbor_scan.STEP


def lying(node: MemoryNode):
    """A block that does not hash to its name, or one that nothing leads to."""

    async def handle(request: Request) -> Response:
        root = CID.parse(request.path.removeprefix("/ipfs/"))
        other = CID.of(b"a stranger")
        sections = [encode_header([root]), encode_section_head(other, 10), b"a stranger"]
        return Response(200, {}, b"".join(sections))

    return handle


def test_a_peer_that_lies_loses_its_connection_and_another_finishes():
    async def main():
        root, data, blocks = file_blocks(4 * MIB)
        async with memory_nodes(MemoryNetwork(3, LONG), 3) as (reader, liar, owner):
            await owner.put(blocks)
            await liar.network.serve(PROTOCOL, StreamServer(lying(liar)))
            await reader.connect(liar)
            reading = asyncio.ensure_future(read(reader, root))
            await asyncio.sleep(2.0)
            await reader.connect(owner)
            got, _, stats, begun = await reading
            assert got == data and begun == 1
            assert set(stats.by_source) == {owner.name}
            return reader.network.swarm.peers() == [owner.peer]

    assert run_virtual(main())


def test_a_reader_that_takes_its_time_holds_the_stream_and_not_the_memory():
    async def main():
        root, data, blocks = file_blocks(96 * MIB)
        async with memory_nodes(MemoryNetwork(3, Link(0.1)), 2) as (reader, owner):
            await owner.put(blocks)
            await owner.network.serve(PROTOCOL, StreamServer(whole(owner)))
            await reader.connect(owner)
            most = 0
            async with reader.session() as session:
                async for _ in cat(root, session):
                    most = max(most, session._ready_bytes + session._unstored_bytes)
                    await asyncio.sleep(0.05)
            return most

    assert run_virtual(main()) < 64 * MIB


def test_a_peer_has_so_many_answers_at_once_and_is_told_to_come_back():
    async def main():
        release = asyncio.Event()

        async def handle(request: Request) -> Response:
            await release.wait()
            return Response(200, {}, b"done")

        async with memory_nodes(MemoryNetwork(3, LONG), 2) as (reader, owner):
            await owner.network.serve(PROTOCOL, StreamServer(handle))
            await reader.connect(owner)
            connection = reader.connections[0]

            async def ask() -> int:
                stream = await connection.open_stream([PROTOCOL])
                return (await fetch(stream, "owner", "/", "*/*"))[0]

            asked = [asyncio.create_task(ask()) for _ in range(STREAM_ANSWERS.amount + 3)]
            await asyncio.sleep(5)
            assert sorted(task.result() for task in asked if task.done()) == [429] * 3
            release.set()
            assert sorted(await asyncio.gather(*asked)) == [200] * STREAM_ANSWERS.amount + [429] * 3
            assert await ask() == 200

    run_virtual(main())


def crowd(readers: int, size: int, *, connect_all: bool):
    """An owner that serves streams and readers that begin one after another: (streams begun, duplicates, seconds)."""

    async def main():
        root, data, blocks = file_blocks(size)
        async with memory_nodes(MemoryNetwork(3, LONG), readers + 1) as (owner, *others):
            await owner.put(blocks)
            server = StreamServer(whole(owner), owner.network.bitswap.crowds.asks)
            owner.network.bitswap.crowds.on_crowd.append(server.on_crowd)
            await owner.network.serve(PROTOCOL, server)
            for at, node in enumerate(others):
                await node.connect(owner)
                for other in others[:at] if connect_all else []:
                    await node.connect(other)
            await asyncio.sleep(1.0)
            reading = []
            for node in others:
                reading.append(asyncio.ensure_future(read(node, root)))
                await asyncio.sleep(0.5)
            results = await asyncio.gather(*reading)
            assert all(got == data for got, _, _, _ in results)
            return [begun for *_, begun in results], max(took for _, took, _, _ in results)

    return run_virtual(main())


@pytest.mark.parametrize("connect_all", [True, False])
def test_a_stream_ends_when_another_peer_asks_for_the_same_and_both_go_on_by_bitswap(connect_all):
    begun, took = crowd(2, 16 * MIB, connect_all=connect_all)
    assert begun[0] <= 1 and took < 5


def test_while_one_source_streams_another_that_has_it_too_ends_the_stream_and_both_send():
    async def main():
        root, data, blocks = file_blocks(32 * MIB)
        async with memory_nodes(MemoryNetwork(3, Link(0.1, bandwidth=2_500_000)), 3) as (reader, one, two):
            for node in (one, two):
                await node.put(blocks)
            await one.network.serve(PROTOCOL, StreamServer(whole(one)))
            await reader.connect(one)
            reading = asyncio.ensure_future(read(reader, root))
            await asyncio.sleep(2.0)
            await reader.connect(two)
            got, took, stats, begun = await reading
            assert got == data and begun == 1
            return took, [stats.by_source[node.name][1] / len(data) for node in (one, two)]

    took, shares = run_virtual(main())
    assert took < 10 and min(shares) > 0.3  # one alone would take 13.4 seconds


def test_what_is_streamed_counts_as_sent_and_as_given():
    async def main():
        root, _, blocks = file_blocks(4 * MIB)
        async with memory_nodes(MemoryNetwork(3, LONG), 2, streams=True) as (reader, owner):
            await owner.put(blocks)
            await reader.connect(owner)
            _, _, stats, begun = await read(reader, root)
            assert begun == 1 and stats.duplicate_blocks == 0
            sent = owner.network.bitswap.engine.ledgers[reader.name]
            got = reader.network.bitswap.engine.ledgers[owner.name]
            size = sum(len(block.data) for block in blocks)
            assert got.blocks_received == sent.blocks_sent == len(blocks)
            assert got.bytes_received == size <= sent.bytes_sent < 1.01 * size
            assert {owner.network.bitswap.engine.turns.sent_to(block.cid.multihash) for block in blocks} == {1}

    run_virtual(main())
