"""A peer-to-peer network in one process and in virtual time: what a test of a program over IPFS or libp2p needs.

    from cidery.testing import Link, Simulation, simulate

    async def main(network: Simulation) -> None:
        owner, reader = await network.start(2)
        network.set_link(owner, reader, Link(latency=0.1, bandwidth=1e6))
        cid = await owner.add(b"hello " * 100_000)
        await reader.connect(owner)
        assert await reader.read(cid) == b"hello " * 100_000
        assert 0.8 < network.now < 2.0       # virtual seconds; the test takes milliseconds

    simulate(main, seed=1)

The nodes are real: the swarm, Noise, Yamux, identify, Bitswap, archives over streams and, if asked for, the DHT. What
is not real is below them (the network, in memory) and beside them (the clock, which jumps to the next timer, and the
randomness, which follows from the seed). So the same seed gives the same run, to the byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import combinations
from typing import TypeVar

from cidery.errors import InvalidInput
from cidery.kad.service import KadOptions
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.testing.host_line import HostLine
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode
from cidery.testing.virtual_clock import run_virtual

T = TypeVar("T")


class Simulation:
    """Nodes and what is between them. Made by ``simulate()`` or by the fixture ``cidery_network``.

    Nodes may be named by themselves or, as hosts without a node, by their address.
    """

    def __init__(self, seed: int = 0, link: Link | None = None) -> None:
        """``link``: between hosts that have none of their own; None: no delay, no limit."""
        self.network = MemoryNetwork(seed, link)
        """What carries the bytes: ``network.host("10.9.9.9")`` gives listen() and connect() for protocols of your own;
        ``network.trace`` is a digest of everything that was delivered."""
        self.random = self.network.random
        """Randomness that follows from the seed."""
        self.nodes: list[MemoryNode] = []
        """All that were started, in order."""

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return asyncio.get_running_loop().time()

    async def start(
        self,
        count: int = 1,
        *,
        line: HostLine | None = None,
        dht: bool = False,
        public: bool = False,
        router: str = "",
        timeouts: Timeouts | None = None,
    ) -> list[MemoryNode]:
        """Start ``count`` nodes that know nobody yet. Some 0.2 ms of real time each.

        Args:
            line: what each sends and receives at most, over all of its connections; None: no limit.
            dht: whether they take part in the DHT of their network, of which they learn by the first connection.
            public: at addresses of the Internet, each in a /16 of its own; else at private ones of one network.
            router: the public address of a NAT that all of them are behind.
            timeouts: None: those of a real node.
        Raises:
            InvalidInput: ``count`` is below 1.
        """
        if count < 1:
            raise InvalidInput(f"start 1 node or more, not {count}")
        started = []
        for _ in range(count):
            node = MemoryNode(
                self.network,
                len(self.nodes) + 1,
                timeouts,
                kad=KadOptions() if dht else None,
                public=public,
                streams=True,
                router=router,
            )
            if line is not None:
                self.set_line(node, line)
            self.nodes.append(node)
            await node.start()
            started.append(node)
        return started

    async def connect_all(self, nodes: Sequence[MemoryNode]) -> None:
        """Connect each to each. Raises DialFailed."""
        await asyncio.gather(*(one.connect(other) for one, other in combinations(nodes, 2)))

    # --- lines

    def set_link(self, one: MemoryNode | str, other: MemoryNode | str, link: Link) -> None:
        """Change what is between two hosts: latency, jitter, bandwidth, loss. At any time."""
        self.network.set_link(_address(one), _address(other), link)

    def set_line(self, node: MemoryNode | str, line: HostLine) -> None:
        """Change what a host sends and receives at most. At any time."""
        self.network.set_line(_address(node), line)

    def carried(self, node: MemoryNode | str) -> tuple[int, int]:
        """Bytes that went up and down a host's line, with headers. It, or the other end, must have a limit."""
        return self.network.carried(_address(node))

    # --- faults

    def partition(self, *groups: Iterable[MemoryNode | str]) -> None:
        """Deliver nothing between hosts of different groups, silently; inside a group everything goes on."""
        sides = [[_address(node) for node in group] for group in groups]
        for one, other in combinations(sides, 2):
            self.network.partition(one, other)

    def heal(self, *groups: Iterable[MemoryNode | str]) -> None:
        """End a partition; data that was held back arrives now, dials succeed when they try again."""
        sides = [[_address(node) for node in group] for group in groups]
        for one, other in combinations(sides, 2):
            self.network.heal(one, other)

    def unplug(self, node: MemoryNode | str) -> None:
        """Pull a host's cable; nobody is told."""
        self.network.unplug(_address(node))

    def plug(self, node: MemoryNode | str) -> None:
        """Put it back."""
        self.network.plug(_address(node))

    def kill(self, node: MemoryNode | str) -> None:
        """End all processes of a host: its connections are reset, and it is never heard of again."""
        self.network.kill(_address(node))

    async def close(self) -> None:
        """Close every node. ``simulate()`` does."""
        for node in self.nodes:
            await node.network.close()


def _address(node: MemoryNode | str) -> str:
    return node if isinstance(node, str) else node.address


def simulate(main: Callable[[Simulation], Awaitable[T]], *, seed: int = 0, link: Link | None = None) -> T:
    """Run ``main`` with a new network on a new virtual clock to its end, and return what it returns.

    Raises what ``main`` raises, and Deadlock when everything waits and no timer is set. Not inside a running loop.
    """

    async def run() -> T:
        network = Simulation(seed, link)
        try:
            return await main(network)
        finally:
            await network.close()

    return run_virtual(run())
