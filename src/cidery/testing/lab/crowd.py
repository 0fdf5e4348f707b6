"""A flash crowd: one origin with a slow uplink, and many readers that all begin within seconds."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Literal

from cidery.kad.service import KadOptions
from cidery.testing.host_line import HostLine
from cidery.testing.lab.content import Fetch, fetch, make_file, received
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

Mesh = Literal["all", "dht", "origin"]
"""Whom a reader knows when it begins: everybody who came before; the origin, which is in the same LAN DHT as all
(readers meet there); or the origin alone."""
LONGEST = 4.0
"""Times of one copy to each reader in turn, after which the run is ended and the rest counts as failed."""


@dataclass(frozen=True)
class Crowd:
    """What came of it. Times in seconds since the first reader could begin; multiples are of the file's size."""

    origin_sent: float
    """What left the origin, with all headers."""
    readers_sent: float
    """What left all readers."""
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
    """Of each reader, from its own beginning, in the order in which they came."""


def flash_crowd(
    readers: int,
    size: int,
    origin_rate: float,
    reader_rate: float,
    round_trip: float,
    *,
    stagger: float = 10.0,
    mesh: Mesh = "all",
    seed: int = 0,
) -> Crowd:
    """``size`` in bytes, rates in bytes per second in each direction, ``round_trip`` and ``stagger`` in seconds."""
    return run_virtual(_run(readers, size, origin_rate, reader_rate, round_trip, stagger, mesh, seed))


async def _run(
    readers: int,
    size: int,
    origin_rate: float,
    reader_rate: float,
    round_trip: float,
    stagger: float,
    mesh: Mesh,
    seed: int,
) -> Crowd:
    loop, network, file = asyncio.get_running_loop(), MemoryNetwork(seed, Link(round_trip / 2)), make_file(size, seed)
    chance = random.Random(seed)
    arrivals = sorted(chance.uniform(0.0, stagger) for _ in range(readers))
    kad = KadOptions() if mesh == "dht" else None
    async with memory_nodes(network, readers + 1, kad=kad, streams=True) as (origin, *others):
        network.set_line(origin.address, HostLine(origin_rate, origin_rate))
        for node in others:
            network.set_line(node.address, HostLine(reader_rate, reader_rate))
        await origin.put(file.blocks)
        began, last_one = loop.time(), loop.time()

        def ended() -> None:
            nonlocal last_one
            last_one = loop.time()

        async def read(at: int) -> Fetch:
            await asyncio.sleep(arrivals[at])
            await _meet(others[at], [origin, *(others[:at] if mesh == "all" else ())])
            return await fetch(others[at], file, ended)

        client_server = readers * size / origin_rate
        tasks = [loop.create_task(read(at)) for at in range(readers)]
        await asyncio.wait(tasks, timeout=stagger + LONGEST * client_server)
        fetches = [task.result() if task.done() else Fetch(began) for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        sent = [network.carried(node.address) for node in (origin, *others)]
        down = sum(got for _, got in sent[1:])
        origin_sent = sent[0][0] / size
        return Crowd(
            origin_sent=origin_sent,
            readers_sent=sum(up for up, _ in sent[1:]) / size,
            least_readers_sent=readers - min(origin_sent, readers),
            duplicates=received(others).duplicate_share,
            overhead=1.0 - readers * size / down,
            last=last_one - began if all(one.ended is not None for one in fetches) else float("inf"),
            one_copy=size / origin_rate,
            client_server=client_server,
            times=[one.seconds for one in fetches],
        )


async def _meet(reader: MemoryNode, known: list[MemoryNode]) -> None:
    await asyncio.gather(*(reader.connect(node) for node in known))
