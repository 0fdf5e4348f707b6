"""What others say cannot make a node hammer somebody."""

import asyncio

from cidery.budgets import HOST_DIALS
from cidery.errors import CideryError
from cidery.identity.keys import PrivateKey
from cidery.multiformats.multiaddr import Multiaddr
from cidery.testing.memory_network import Link, MemoryNetwork, seeded_entropy
from cidery.testing.memory_node import PORT, memory_nodes
from cidery.testing.virtual_clock import run_virtual

LIES, SECONDS = 200, 10.0


def test_a_thousand_lies_about_one_host_are_a_few_connections_a_second() -> None:
    async def main() -> None:
        network = MemoryNetwork(1, Link(0.02))
        async with memory_nodes(network, 3, public=True) as (node, victim, friend):
            addrs = [Multiaddr.tcp(victim.address, PORT)]

            async def believe(number: int) -> None:
                peer = PrivateKey.generate_ed25519(seeded_entropy(1000 + number)).peer_id
                try:
                    await node.network.swarm.dial(peer, addrs)
                except CideryError:
                    pass  # it is somebody else who answers there

            lies = [asyncio.create_task(believe(number)) for number in range(LIES)]
            await asyncio.sleep(SECONDS)
            towards = [one for one in network.transports if one.there == (victim.address, PORT)]
            assert len(towards) <= HOST_DIALS.burst + SECONDS * HOST_DIALS.amount
            async with asyncio.timeout(1):
                await node.connect(friend)  # others are dialled as if nothing were
            for task in lies:
                task.cancel()

    run_virtual(main())
