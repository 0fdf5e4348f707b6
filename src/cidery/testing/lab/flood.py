"""A flood: strangers that connect by the hundred and ask for far more than the line carries."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cidery.bitswap.message import PROTOCOL_1_2, Entry, Message
from cidery.budgets import CONNECTIONS
from cidery.errors import CideryError
from cidery.libp2p.io.stream import Stream
from cidery.tasks import end
from cidery.testing.host_line import HostLine
from cidery.testing.lab.content import MIB, File, fetch, make_file
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, running
from cidery.testing.virtual_clock import run_virtual

OWN_EVERY = 2.0
"""Seconds between two requests of the node's own."""
OWN_SIZE = MIB // 4
"""Bytes of each."""
PATIENCE = 10.0
"""Seconds in which one must be served to count."""
ASK_EVERY = 1.0
"""Seconds between two wantlists of one stranger."""
LATENCY = 0.025


@dataclass(frozen=True)
class Flooded:
    """What a node did under a flood. Times in seconds."""

    own_served: float
    """Share of its own requests that were served in time."""
    own_slowest: float
    """Of those in time."""
    own_quiet: float
    """The slowest before the flood."""
    asked: float
    """What the strangers asked for, as a multiple of what the uplink carries."""
    connections: int
    """Most that the node had."""
    held: int
    """Most bytes that came and were not read."""
    memory: float
    """MiB by which the process grew in the flood: both ends of each connection, so more than the node's part."""


def flood(
    strangers: int = 1000,
    times: float = 10.0,
    *,
    rate: float = 2.5e6,
    seconds: float = 30.0,
    connections: int = CONNECTIONS.amount,
    seed: int = 0,
) -> Flooded:
    """``strangers`` ask together for ``times`` what ``rate`` bytes per second, the node's line, carry up.

    ``connections``: how many the node takes.
    """
    return run_virtual(_run(strangers, times, rate, seconds, connections, seed))


async def _run(strangers: int, times: float, rate: float, seconds: float, connections: int, seed: int) -> Flooded:
    network = MemoryNetwork(seed, Link(LATENCY))
    nodes = [MemoryNode(network, 1, streams=True, connections=connections)]
    nodes += [MemoryNode(network, number, streams=True) for number in range(2, strangers + 3)]
    async with running(nodes):
        victim, owner, *others = nodes
        network.set_line(victim.address, HostLine(rate, rate))
        wanted = make_file(8 * MIB, seed)
        await victim.put(wanted.blocks)
        await victim.connect(owner)
        own = [make_file(OWN_SIZE, seed + at + 1) for at in range(2 * int(seconds / OWN_EVERY))]
        for file in own:
            await owner.put(file.blocks)
        quiet, loud = own[: len(own) // 2], own[len(own) // 2 :]
        before, resident = await _own(victim, quiet), _resident()
        async with _raging(victim, others, wanted, times * rate / max(1, strangers)) as seen:
            await asyncio.sleep(2 * ASK_EVERY)
            during = await _own(victim, loud)
        in_time = [time for time in during if time <= PATIENCE]
        return Flooded(
            own_served=len(in_time) / len(during),
            own_slowest=max(in_time, default=float("inf")),
            own_quiet=max(before),
            asked=seen.asked / (rate * seen.seconds),
            connections=seen.connections,
            held=seen.held,
            memory=seen.resident - resident,
        )


def _resident() -> float:
    """MiB of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


async def _own(victim: MemoryNode, files: list[File]) -> list[float]:
    """Seconds of each of the node's own requests, begun OWN_EVERY after each other."""

    async def one(file: File) -> float:
        try:
            async with asyncio.timeout(2 * PATIENCE):
                return (await fetch(victim, file)).seconds
        except TimeoutError:
            return float("inf")

    tasks: list[asyncio.Task[float]] = []
    for file in files:
        tasks.append(asyncio.get_running_loop().create_task(one(file)))
        await asyncio.sleep(OWN_EVERY)
    return await asyncio.gather(*tasks)


@dataclass
class _Seen:
    asked: float = 0.0
    seconds: float = 0.0
    connections: int = 0
    held: int = 0
    resident: float = 0.0


@asynccontextmanager
async def _raging(victim: MemoryNode, others: list[MemoryNode], file: File, rate: float) -> AsyncIterator[_Seen]:
    """All connect and ask, ``rate`` bytes per second each, until the context ends."""
    loop, seen = asyncio.get_running_loop(), _Seen()
    began = loop.time()

    async def rage(node: MemoryNode) -> None:
        async def drop(stream: Stream) -> None:
            async for _ in stream.messages(8 * MIB):
                pass

        node.network.swarm.handlers[PROTOCOL_1_2] = drop
        at = 0
        while True:
            try:
                connection = node.network.swarm.best(victim.peer)
                if connection is None:
                    await node.connect(victim)
                    continue
                stream = await connection.open_stream([PROTOCOL_1_2], optimistic=True)
                while True:
                    size = 0
                    entries: list[Entry] = []
                    while size < rate * ASK_EVERY:
                        block = file.blocks[at % len(file.blocks)]
                        entries += [Entry(block.cid, cancel=True), Entry(block.cid)]
                        size, at = size + len(block.data), at + 1
                    await stream.write_message(*Message(entries=entries).buffers(PROTOCOL_1_2))
                    seen.asked += size
                    await asyncio.sleep(size / rate)
            except (CideryError, TimeoutError):
                await asyncio.sleep(ASK_EVERY)

    async def watch() -> None:
        while True:
            seen.connections = max(seen.connections, len(victim.connections))
            seen.held = max(seen.held, sum(connection.held() for connection in victim.connections))
            seen.resident = max(seen.resident, _resident())
            await asyncio.sleep(0.1)

    tasks = [loop.create_task(rage(node)) for node in others] + [loop.create_task(watch())]
    try:
        yield seen
    finally:
        seen.seconds = loop.time() - began
        await end(tasks)
