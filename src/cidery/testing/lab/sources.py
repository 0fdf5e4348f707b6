"""One reader and several sources: holders that die one after another; a near source and far ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from cidery.tasks import end
from cidery.testing.host_line import HostLine
from cidery.testing.lab.content import File, fetch, make_file, received
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

Death = Literal["cable", "reset"]
"""How a holder dies: its cable is pulled and nobody is told, or its process ends and its connections are reset."""
LONGEST = 600.0
"""Seconds after which a fetch is ended and counts as failed."""


@dataclass(frozen=True)
class FromSources:
    """What came of a fetch. Times in seconds."""

    seconds: float
    """Infinite: it failed."""
    ideal: float
    """What it would take if all sources that live sent at their full rate all the time."""
    longest_silence: float
    """In which the reader got no new block."""
    duplicates: float
    """Share of the received blocks' bytes that the reader did not want any more."""
    shares: list[float]
    """Of the file, by source, in the order of the scenario."""
    failure: str


def least_seconds(size: float, rates: Sequence[float], deaths: Sequence[float], reader_rate: float = 0.0) -> float:
    """When ``size`` bytes can be there at the earliest, if source i sends at ``rates[i]`` until ``deaths[i]``."""
    now = 0.0
    for until in sorted({*deaths, float("inf")}):
        rate = sum(rate for rate, death in zip(rates, deaths, strict=True) if death > now)
        rate = min(rate, reader_rate) if reader_rate else rate
        if rate and now + size / rate <= until:
            return now + size / rate
        size -= rate * (until - now) if until < float("inf") else 0.0
        now = until
    return float("inf")


@asynccontextmanager
async def _sources(
    network: MemoryNetwork, file: File, rates: Sequence[float], reader_rate: float, links: Sequence[Link]
) -> AsyncIterator[tuple[MemoryNode, list[MemoryNode]]]:
    """A reader that is connected to one source for each rate; all have the file."""
    async with memory_nodes(network, len(rates) + 1, streams=True) as (reader, *sources):
        network.set_line(reader.address, HostLine(reader_rate, reader_rate))
        for source, rate, link in zip(sources, rates, links, strict=True):
            network.set_link(reader.address, source.address, link)
            network.set_line(source.address, HostLine(rate, rate))
            await source.put(file.blocks)
            await reader.connect(source)
        await asyncio.sleep(1.0)  # identify is through, and a round trip is measured
        yield reader, sources


async def _read(
    network: MemoryNetwork,
    reader: MemoryNode,
    sources: list[MemoryNode],
    file: File,
    deaths: Sequence[tuple[float, MemoryNode]],
    how: Death,
    ideal: float,
) -> FromSources:
    loop, fail = asyncio.get_running_loop(), network.kill if how == "reset" else network.unplug
    timers = [loop.call_later(after, fail, node.address) for after, node in deaths]
    task = loop.create_task(fetch(reader, file))
    await asyncio.wait([task], timeout=LONGEST)
    for timer in timers:
        timer.cancel()
    if not task.done():
        await end([task])
        return FromSources(float("inf"), ideal, LONGEST, received([reader]).duplicate_share, [], "not in time")
    got = task.result()
    return FromSources(
        seconds=got.seconds,
        ideal=ideal,
        longest_silence=got.longest_silence,
        duplicates=received([reader]).duplicate_share,
        shares=[got.by_source.get(node.name, 0) / file.size for node in sources],
        failure=got.failure,
    )


def holders_die(
    size: int,
    rate: float,
    round_trip: float,
    *,
    holders: int = 5,
    every: float = 5.0,
    how: Death = "reset",
    reader_rate: float = 0.0,
    seed: int = 0,
) -> FromSources:
    """All holders send ``rate`` bytes per second; each ``every`` seconds one dies, and the last one lives.

    ``size`` in bytes, ``round_trip`` in seconds, ``reader_rate`` in bytes per second (0: no limit).
    """

    async def run() -> FromSources:
        network, file = MemoryNetwork(seed, Link(round_trip / 2)), make_file(size, seed)
        rates, links = [rate] * holders, [Link(round_trip / 2)] * holders
        deaths = [every * (at + 1) for at in range(holders - 1)] + [float("inf")]
        ideal = round_trip + least_seconds(size, rates, deaths, reader_rate)
        async with _sources(network, file, rates, reader_rate, links) as (reader, sources):
            return await _read(
                network, reader, sources, file, list(zip(deaths[:-1], sources, strict=False)), how, ideal
            )

    return run_virtual(run())


def near_and_far(
    size: int,
    near_rate: float,
    far_rate: float,
    far_round_trip: float,
    *,
    far: int = 4,
    near_round_trip: float = 0.002,
    reader_rate: float = 0.0,
    near_dies: float | None = None,
    how: Death = "reset",
    seed: int = 0,
) -> FromSources:
    """One near source and ``far`` far ones; the first of ``shares`` is that of the near one.

    ``size`` in bytes, rates in bytes per second, round trips in seconds; ``near_dies``: after so many seconds.
    """

    async def run() -> FromSources:
        network, file = MemoryNetwork(seed), make_file(size, seed)
        rates = [near_rate] + [far_rate] * far
        links = [Link(near_round_trip / 2)] + [Link(far_round_trip / 2)] * far
        deaths = [float("inf") if near_dies is None else near_dies] + [float("inf")] * far
        ideal = near_round_trip + least_seconds(size, rates, deaths, reader_rate)
        async with _sources(network, file, rates, reader_rate, links) as (reader, sources):
            dying = [] if near_dies is None else [(near_dies, sources[0])]
            return await _read(network, reader, sources, file, dying, how, ideal)

    return run_virtual(run())
