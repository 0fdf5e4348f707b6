"""What a connection holds while nothing goes over it."""

import asyncio
import gc
import tracemalloc

from cidery.bitswap.message import PROTOCOLS, Message
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.spare_buffers import KEPT
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import memory_nodes
from cidery.testing.virtual_clock import run_virtual

KIB = 1024
MIB = 1024 * KIB
PEERS = 12


def test_a_quiet_connection_holds_little_also_after_a_bulk_in_each_direction():
    async def run() -> tuple[float, float]:
        network = MemoryNetwork(1, Link(0.005, bandwidth=50 * MIB))
        async with memory_nodes(network, PEERS + 1) as (one, *others):

            async def echo(stream):
                while piece := await stream.read(MIB):
                    await stream.write(piece)

            for node in others:
                node.network.swarm.handlers["/echo"] = echo
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for node in others:
                await one.connect(node)
            await asyncio.sleep(300)
            gc.collect()
            idle = tracemalloc.get_traced_memory()[0] - before
            for node in others:
                connection = one.network.swarm.best(node.peer)
                stream = await connection.open_stream(["/echo"])
                writing = asyncio.ensure_future(stream.write(bytes(4 * MIB)))
                await stream.read_exactly(4 * MIB)
                await writing
                stream.close_write()
            await asyncio.sleep(300)
            gc.collect()
            after = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            return idle / PEERS, after / PEERS

    idle, after = run_virtual(run())
    assert idle < 96 * KIB and after < 128 * KIB, f"both ends of a connection: {idle:.0f} and {after:.0f} bytes"


def test_nothing_of_the_last_message_is_held_until_the_next_one_comes():
    async def run() -> float:
        network = MemoryNetwork(1, Link(0.005, bandwidth=50 * MIB))
        async with memory_nodes(network, 4 * KEPT + 1) as (one, *others):
            for node in others:
                await node.connect(one)
            await asyncio.sleep(300)
            data = bytes(MIB)
            streams = [await node.open(one, PROTOCOLS[0]) for node in others]
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for stream in streams:
                await stream.write_message(*Message(blocks=[Block(CID.of(data), data)]).encode())
            await asyncio.sleep(10)
            gc.collect()
            after = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert not any(stream.inner.finished for stream in streams)
            return after / (4 * KEPT)

    after = run_virtual(run())
    assert after < MIB / 2, f"{after:.0f} bytes a peer"
