"""Countries: nodes in regions with a DHT across all, whose lines to each other are cut and mended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from cidery.kad.service import KadOptions
from cidery.testing.lab.content import File, fetch, make_file
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

NEAR = Link(0.01, bandwidth=12.5e6)
"""Inside a region: 20 ms of round trip, 100 Mbit/s."""
ACROSS = Link(0.075, bandwidth=2.5e6)
"""Between regions: 150 ms, 20 Mbit/s."""
BOOTSTRAPS = 3
"""Nodes that each one knows when it joins, drawn from all that came before."""
SETTLED = 120.0
"""Seconds from the last node's arrival until the lines are cut."""
LONGEST = 90.0
"""Seconds after which a fetch counts as failed."""


class Fetched(NamedTuple):
    """What came of some fetches."""

    share: float
    """That came to their end."""
    slowest: float
    """Seconds of the slowest; infinite if one failed."""


@dataclass(frozen=True)
class Cut:
    """What nodes got while all regions were cut off from each other, and after that."""

    own_at_once: Fetched
    """Content of the own region, requested in the moment of the cut."""
    own_later: Fetched
    """The same with other files, half-way through the cut."""
    waiting: Fetched
    """Content of other regions, requested 10 s before the lines were mended; seconds count from the mending."""
    after: Fetched
    """Content of other regions, first requested when the lines had been mended."""
    connections: float
    """Of a node, on average, before the cut."""


class _World:
    def __init__(self, nodes: Sequence[MemoryNode], regions: int, size: int, seed: int) -> None:
        self.regions = [list(nodes[at::regions]) for at in range(regions)]
        self.random = random.Random(seed)
        self._size, self._seed = size, seed * 1_000_003
        self._taken: set[str] = set()

    def someone(self, region: int) -> MemoryNode:
        """A node that has no part yet."""
        free = [node for node in self.regions[region] if node.name not in self._taken]
        chosen = self.random.choice(free)
        self._taken.add(chosen.name)
        return chosen

    async def publish(self, shift: int, files: int) -> list[tuple[MemoryNode, File]]:
        """New files, announced in each region, and who shall read them: a node of the region ``shift`` further."""
        plan = []
        for region in range(len(self.regions)):
            for _ in range(files):
                self._seed += 1
                owner, file = self.someone(region), make_file(self._size, self._seed)
                await owner.put(file.blocks)
                plan.append((owner, file, self.someone((region + shift) % len(self.regions))))
        await asyncio.gather(*(owner.kad.provide(file.root) for owner, file, _ in plan))
        for owner, _, reader in plan:  # found by the DHT, not by chance
            reader.network.swarm.disconnect(owner.peer)
        return [(reader, file) for _, file, reader in plan]


async def _fetch_all(plan: Sequence[tuple[MemoryNode, File]], since: float | None = None) -> Fetched:
    async def one(reader: MemoryNode, file: File) -> float:
        try:
            async with asyncio.timeout(LONGEST):
                got = await fetch(reader, file)
        except TimeoutError:
            return float("inf")
        if got.ended is None:
            return float("inf")
        return got.ended - (got.began if since is None else since)

    times = await asyncio.gather(*(one(reader, file) for reader, file in plan))
    return Fetched(sum(time < float("inf") for time in times) / len(times), max(times))


def region_cut(
    nodes: int = 200, regions: int = 4, *, seconds: float = 40.0, size: int = 1 << 20, files: int = 4, seed: int = 0
) -> Cut:
    """``nodes`` in ``regions``, all cut off from each other for ``seconds``; ``files`` of ``size`` bytes for each
    region and question, which takes 8 x ``files`` nodes of a region."""
    return run_virtual(_run(nodes, regions, seconds, size, files, seed))


async def _run(count: int, regions: int, seconds: float, size: int, files: int, seed: int) -> Cut:
    loop, network = asyncio.get_running_loop(), MemoryNetwork(seed, ACROSS)
    async with memory_nodes(network, count, kad=KadOptions(), streams=True) as nodes:
        world = _World(nodes, regions, size, seed)
        for region in world.regions:
            for one, other in combinations(region, 2):
                network.set_link(one.address, other.address, NEAR)
        for at, node in enumerate(nodes[1:], 1):
            known = world.random.sample(nodes[:at], min(at, BOOTSTRAPS))
            await asyncio.gather(*(node.connect(other) for other in known))
        await asyncio.sleep(SETTLED)
        at_once, later, waiting, after = [await world.publish(shift, files) for shift in (0, 0, 1, 1)]
        connections = sum(len(node.connections) for node in nodes) / count
        addresses = [[node.address for node in region] for region in world.regions]
        for one_side, other_side in combinations(addresses, 2):
            network.partition(one_side, other_side)
        cut_at = loop.time()
        own_at_once = loop.create_task(_fetch_all(at_once))
        await asyncio.sleep(seconds / 2)
        own_later = loop.create_task(_fetch_all(later))
        await asyncio.sleep(seconds / 2 - 10.0)
        still_waiting = loop.create_task(_fetch_all(waiting, cut_at + seconds))
        await asyncio.sleep(10.0)
        for one_side, other_side in combinations(addresses, 2):
            network.heal(one_side, other_side)
        return Cut(
            after=await _fetch_all(after),
            own_at_once=await own_at_once,
            own_later=await own_later,
            waiting=await still_waiting,
            connections=connections,
        )
