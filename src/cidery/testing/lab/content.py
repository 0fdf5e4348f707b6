"""A file to move, and one fetch of it as its reader sees it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cidery.core.reading.cat import cat
from cidery.errors import CideryError
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.testing.memory_node import MemoryNode
from cidery.unixfs.importer import FileBuilder
from cidery.unixfs.profile import UNIXFS_V1_2025, Profile

MBIT = 125_000.0
"""Bytes per second of one Mbit/s."""
MIB = 1024 * 1024
WATCH_EVERY = 0.05
"""Seconds between two looks at what a reader has received."""


class File(NamedTuple):
    """Random bytes as a DAG."""

    root: CID
    size: int
    blocks: list[Block]


def make_file(size: int, seed: int, profile: Profile = UNIXFS_V1_2025) -> File:
    """``size`` bytes that follow from the seed."""
    source, builder, blocks = random.Random(seed), FileBuilder(profile), []
    for at in range(0, size, profile.chunk_size):
        blocks += builder.add_chunk(source.randbytes(min(profile.chunk_size, size - at)))
    root, last = builder.finish()
    return File(root.cid, size, blocks + last)


@dataclass
class Fetch:
    """One reader's fetch of one file. Times in seconds on the loop's clock."""

    began: float
    ended: float | None = None
    """None: it has not come to its end, or failed."""
    failure: str = ""
    longest_silence: float = 0.0
    """Longest time in which no new block came, from the beginning to the end."""
    by_source: dict[str, int] = field(default_factory=dict)
    """Peer -> bytes of blocks that were taken from it."""
    duplicates: int = 0
    """Blocks that came again."""

    @property
    def seconds(self) -> float:
        """From its beginning to its end; infinite when it failed."""
        return float("inf") if self.ended is None else self.ended - self.began


async def fetch(node: MemoryNode, file: File, on_end: Callable[[], None] = lambda: None) -> Fetch:
    """Read the whole file in order as ``cat`` does. A failure is noted, not raised. Cancel-safe."""
    loop = asyncio.get_running_loop()
    result = Fetch(loop.time())
    async with node.session() as session:
        seen, seen_at = 0, loop.time()

        def look() -> None:
            nonlocal seen, seen_at
            got = sum(size for _, size in session.stats().by_source.values())
            result.longest_silence = max(result.longest_silence, loop.time() - seen_at)
            if got > seen:
                seen, seen_at = got, loop.time()

        async def watch() -> None:
            while True:
                await asyncio.sleep(WATCH_EVERY)
                look()

        watching, size = loop.create_task(watch()), 0
        try:
            async for piece in cat(file.root, session):
                size += len(piece)
            assert size == file.size
            result.ended = loop.time()
        except CideryError as exc:
            result.failure = str(exc)
        finally:
            watching.cancel()
            look()
        stats = session.stats()
        result.by_source = {name: size for name, (_, size) in stats.by_source.items()}
        result.duplicates = stats.duplicate_blocks
    on_end()
    return result


class Received(NamedTuple):
    """What some nodes received, in bytes of blocks."""

    blocks: int
    duplicates: int

    @property
    def duplicate_share(self) -> float:
        return self.duplicates / self.blocks if self.blocks else 0.0


def received(nodes: list[MemoryNode]) -> Received:
    """By every protocol; a block counts as a duplicate when no session of the node wanted it any more."""
    parts = [(node.network.bitswap, node.network.gateways) for node in nodes]
    return Received(
        sum(bitswap.data_received + streams.data_received for bitswap, streams in parts),
        sum(bitswap.duplicate_data for bitswap, _ in parts),
    )
