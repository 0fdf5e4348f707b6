"""Another planet: one line with a round trip of minutes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cidery.errors import CideryError
from cidery.testing.host_line import HostLine
from cidery.testing.lab.content import File, fetch, make_file
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

LONGEST_ROUND_TRIPS = 60
"""After which a fetch is ended and counts as failed."""


@dataclass(frozen=True)
class FromEarth:
    """What came of it. Times in seconds; infinite: it failed."""

    dial: float
    """Until the connection stood; 0.0: it stood before."""
    seconds: float
    """From the dial, or over a standing connection from the request, to the last byte."""
    limit: float
    """One round trip, and what the line needs for the bytes."""
    second_file: float
    """Seconds of another file of the same size after it."""
    second_reader: float
    """Seconds in which a neighbour of the reader then got the file."""
    second_reader_over_the_link: float
    """What came from Earth meanwhile, as a share of the file."""
    failure: str


def mars(round_trip: float, size: int, rate: float, *, cold: bool = False, seed: int = 0) -> FromEarth:
    """A reader on Mars fetches from Earth over ``rate`` bytes per second; ``size`` in bytes, ``round_trip`` in seconds.

    ``cold``: it dials first, knowing nothing of the distance, and the time includes that.
    """
    return run_virtual(_run(round_trip, size, rate, cold, seed))


async def _run(round_trip: float, size: int, rate: float, cold: bool, seed: int) -> FromEarth:
    loop, network, file = asyncio.get_running_loop(), MemoryNetwork(seed), make_file(size, seed)
    limit = round_trip + size / rate
    async with memory_nodes(network, 3, streams=True) as (earth, reader, neighbour):
        for node in (reader, neighbour):
            network.set_link(earth.address, node.address, Link(round_trip / 2))
        network.set_line(earth.address, HostLine(rate, rate))
        other = make_file(size, seed + 1)
        await earth.put(file.blocks + other.blocks)
        began = loop.time()
        try:
            await reader.connect(earth)
        except (CideryError, TimeoutError) as exc:
            never = float("inf")
            return FromEarth(never, never, limit, never, never, 0.0, f"{exc} after {loop.time() - began:.1f} s")
        dial = loop.time() - began
        if not cold:
            await asyncio.sleep(2 * round_trip)  # identify is through
            began, dial = loop.time(), 0.0
        longest = LONGEST_ROUND_TRIPS * round_trip + 10 * size / rate
        seconds = await _seconds(reader, file, longest)
        total, second = (
            loop.time() - began if seconds < float("inf") else seconds,
            await _seconds(reader, other, longest),
        )
        await neighbour.connect(reader)
        await asyncio.sleep(1.0)
        before = network.carried(earth.address)[0]
        third = await _seconds(neighbour, file, longest)
        over = (network.carried(earth.address)[0] - before) / size
        return FromEarth(dial, total, limit, second, third, over, "")


async def _seconds(node: MemoryNode, file: File, longest: float) -> float:
    try:
        async with asyncio.timeout(longest):
            return (await fetch(node, file)).seconds
    except TimeoutError:
        return float("inf")
