"""A connection over which nothing comes any more, while new ones to the same peer work."""

import asyncio

from cidery.testing.lab.content import make_file
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import memory_nodes
from cidery.testing.memory_transport import MemoryTransport
from cidery.testing.virtual_clock import run_virtual

FOUND = 5.0
"""Seconds in which content must come after a line was mended."""


class ForgetfulNetwork(MemoryNetwork):
    """Drops for ever what goes over some connections, as after a cut whose end TCP has not noticed."""

    def __init__(self) -> None:
        super().__init__(1, Link(0.075))
        self.forgotten: set[object] = set()

    def is_frozen(self, transport: MemoryTransport) -> bool:
        return transport in self.forgotten or transport.other in self.forgotten or super().is_frozen(transport)


def fetched_over(*, forgets: bool) -> tuple[float, int]:
    """Seconds of a fetch, and how many connections the reader has then."""

    async def main() -> tuple[float, int]:
        network, file, now = ForgetfulNetwork(), make_file(1 << 20, 0), asyncio.get_running_loop().time
        async with memory_nodes(network, 2) as (reader, holder):
            await holder.put(file.blocks)
            await reader.connect(holder)
            await asyncio.sleep(5.0)
            if forgets:
                network.forgotten = set(network.transports)
            began = now()
            await reader.read(file.root)
            return now() - began, len(reader.connections)

    return run_virtual(main())


def test_a_peer_whose_connection_is_silent_is_dialled_once_more_and_the_fetch_goes_on():
    took, connections = fetched_over(forgets=True)
    assert took < FOUND and connections == 1


def test_a_connection_that_answers_is_not_renewed():
    took, connections = fetched_over(forgets=False)
    assert took < 1.0 and connections == 1
