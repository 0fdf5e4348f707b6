"""What a connection holds while nothing goes over it."""

import asyncio
import gc
import tracemalloc

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
