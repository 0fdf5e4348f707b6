"""A flash crowd: one origin with a slow uplink, and many readers that all begin within seconds.

Some of them may give nothing, and liars may be among them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cidery.blockstore.interface import BlockStore
from cidery.kad.service import KadOptions
from cidery.tasks import end
from cidery.testing.host_line import HostLine
from cidery.testing.lab.content import Fetch, fetch, make_file, received
from cidery.testing.lab.hostile import LIES, EmptyStore, Lie, LyingStore
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, running
from cidery.testing.virtual_clock import run_virtual

Mesh = Literal["all", "dht", "origin"]
"""Whom a reader knows when it begins: everybody who came before; the origin, which is in the same LAN DHT as all
(readers meet there); or the origin alone."""
LONGEST = 4.0
"""Times of one copy to each reader in turn, after which the run is ended and the rest counts as failed."""


@dataclass(frozen=True)
class Crowd:
    """What came of it. Times in seconds since the first reader began to dial; multiples are of the file's size."""

    origin_sent: float
    """What left the origin, with all headers."""
    readers_sent: float
    """What left all readers together."""
    least_readers_sent: float
    """What had to: one copy for each reader, less what the origin sent."""
    duplicates: float
    """Share of the received blocks' bytes that no session wanted any more."""
    overhead: float
    """Share of all received bytes that were not the first copy of the file: duplicates, headers, talk."""
    last: float
    """When the last reader had it all; infinite: some never had."""
    one_copy: float
    """The time that the origin needs for one copy: nobody can be faster."""
    client_server: float
    """The time that it needs for one copy each."""
    times: list[float]
    """Of each reader that gives, from its own beginning, in the order in which they came."""
    freeloaders: list[float]
    """The same of readers that give nothing."""
    liars_sent: float
    """What left all liars."""
    last_giver: float
    """When the last reader that gives had it all; infinite: some never had."""
    first_freeloader: float
    """When the first reader that gives nothing had it all; infinite: none had."""


def flash_crowd(
    readers: int,
    size: int,
    origin_rate: float,
    reader_rate: float,
    round_trip: float,
    *,
    stagger: float = 10.0,
    mesh: Mesh = "all",
    freeloaders: int = 0,
    liars: int = 0,
    lies: Sequence[Lie] = LIES,
    seed: int = 0,
) -> Crowd:
    """``size`` in bytes, rates in bytes per second in each direction, ``round_trip`` and ``stagger`` in seconds.

    ``freeloaders``: how many of the readers give nothing. ``liars``: nodes besides them that are there from the
    beginning, know everybody and lie in each of the ways of ``lies`` in turn.
    """
    scene = _Scene(readers, freeloaders, liars, lies, size, origin_rate, reader_rate, round_trip, stagger, mesh, seed)
    return run_virtual(scene.run())


@dataclass
class _Scene:
    readers: int
    freeloaders: int
    liars: int
    lies: Sequence[Lie]
    size: int
    origin_rate: float
    reader_rate: float
    round_trip: float
    stagger: float
    mesh: Mesh
    seed: int

    def __post_init__(self) -> None:
        self.file = make_file(self.size, self.seed)
        self.random = random.Random(self.seed)

    def _nodes(self, network: MemoryNetwork) -> list[MemoryNode]:
        """The origin, the readers in the order in which they come, and the liars."""
        kad = KadOptions() if self.mesh == "dht" else None
        selfish = set(self.random.sample(range(1, self.readers + 1), self.freeloaders))
        stores: list[BlockStore | None] = [EmptyStore() if at in selfish else None for at in range(self.readers + 1)]
        stores += [LyingStore(self.lies[at % len(self.lies)], self.file.blocks) for at in range(self.liars)]
        return [
            MemoryNode(network, number, kad=kad, streams=True, serving=store) for number, store in enumerate(stores, 1)
        ]

    async def run(self) -> Crowd:
        loop, network = asyncio.get_running_loop(), MemoryNetwork(self.seed, Link(self.round_trip / 2))
        arrivals = sorted(self.random.uniform(0.0, self.stagger) for _ in range(self.readers))
        nodes = self._nodes(network)
        origin, readers, liars = nodes[0], nodes[1 : 1 + self.readers], nodes[1 + self.readers :]
        for node in nodes:
            rate = self.origin_rate if node is origin else self.reader_rate
            network.set_line(node.address, HostLine(rate, rate))
        await origin.put(self.file.blocks)
        async with running(nodes):
            for liar in liars:
                await liar.connect(origin)
            began = loop.time() + arrivals[0]

            async def read(at: int) -> Fetch:
                await asyncio.sleep(arrivals[at])
                others = [*liars, *readers[:at]] if self.mesh == "all" else liars
                await asyncio.gather(*(readers[at].connect(node) for node in [origin, *others]))
                return await fetch(readers[at], self.file)

            tasks = [loop.create_task(read(at)) for at in range(self.readers)]
            longest = self.stagger + LONGEST * self.readers * self.size / self.origin_rate
            await asyncio.wait(tasks, timeout=longest)
            fetches = [task.result() if task.done() else Fetch(began) for task in tasks]
            await end(tasks)
            sent = [[network.carried(node.address)[0] / self.size for node in part] for part in (readers, liars)]
            down = sum(network.carried(node.address)[1] for node in readers)
            origin_sent = network.carried(origin.address)[0] / self.size
            givers = [not isinstance(node.serving, EmptyStore) for node in readers]
            ends = [float("inf") if one.ended is None else one.ended - began for one in fetches]
            return Crowd(
                origin_sent=origin_sent,
                readers_sent=sum(sent[0]),
                least_readers_sent=self.readers - min(origin_sent, self.readers),
                duplicates=received(readers).duplicate_share,
                overhead=1.0 - self.readers * self.size / down,
                last=max(ends),
                one_copy=self.size / self.origin_rate,
                client_server=self.readers * self.size / self.origin_rate,
                times=[one.seconds for one, gives in zip(fetches, givers, strict=True) if gives],
                freeloaders=[one.seconds for one, gives in zip(fetches, givers, strict=True) if not gives],
                liars_sent=sum(sent[1]),
                last_giver=max((end for end, gives in zip(ends, givers, strict=True) if gives), default=0.0),
                first_freeloader=min(
                    (end for end, gives in zip(ends, givers, strict=True) if not gives), default=float("inf")
                ),
            )
