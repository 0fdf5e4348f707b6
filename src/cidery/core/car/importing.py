"""Imports the blocks of a CAR into the store: parsed as it arrives, every block hashed, in constant memory."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cidery.blockstore.interface import BlockStore
from cidery.ipld.car_reader import BadCar, CarReader, Placed
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import MultihashError, matches
from cidery.multiformats.varint import Buffer

BATCH = 2 << 20
"""Bytes hashed and stored by one job of a thread: large writes, little to repeat after a crash."""
BATCH_BLOCKS = 2048
"""Blocks of one job, for small ones."""
JOBS = 3
"""Concurrent jobs: two hash on two cores while a third waits for the disk."""
PIECE = 2 << 20
"""Bytes of a file read at a time."""


@dataclass(slots=True)
class CarStats:
    """Counters so far."""

    blocks: int = 0
    """Sections: a block that occurs twice counts twice."""
    bytes: int = 0
    """Of the blocks, without their heads."""
    roots: list[CID] = field(default_factory=list)
    """Of all archives, in order, each once."""


class Reached(NamedTuple):
    """A position in an archive: everything before it is stored."""

    offset: int
    """Of a section, in bytes from the start."""
    blocks: int
    """Sections before it."""
    bytes: int
    """Of the blocks in them."""


async def import_car(
    stream: AsyncIterable[Buffer],
    store: BlockStore,
    stats: CarStats,
    *,
    reader: CarReader | None = None,
    reached: Callable[[Reached], None] | None = None,
) -> None:
    """Store every block of one archive, as kept, and count into ``stats``; call store.sync() when all are done.

    Blocks are VISIBLE on return. Blocks before a fault stay stored: they were verified, and nothing pins them.

    Args:
        reader: one that has read the header and skipped to where the stream begins.
        reached: called now and then with the position up to which everything is VISIBLE.
    Raises BadCar with the offset, also for a block that does not match its CID or has an unknown hash function; and
    as the store and the stream. Cancellation: safe. Memory: JOBS batches and a piece of the stream.
    """
    reader = reader or CarReader()
    before = stats.blocks, stats.bytes
    jobs = _Jobs(store)
    batch: list[Placed] = []
    held = 0
    begun = Reached(0, 0, 0)
    try:
        async for piece in stream:
            for placed in reader.receive_data(piece):
                if not batch:
                    begun = Reached(placed.at, stats.blocks - before[0], stats.bytes - before[1])
                batch.append(placed)
                held += len(placed.block.data)
                stats.blocks += 1
                stats.bytes += len(placed.block.data)
                if held >= BATCH or len(batch) >= BATCH_BLOCKS:
                    await jobs.start(batch, begun)
                    batch, held = [], 0
            if held and held + len(piece) > BATCH:  # views keep whole pieces alive
                await jobs.start(batch, begun)
                batch, held = [], 0
            if reached is not None:
                at = Reached(reader.position, stats.blocks - before[0], stats.bytes - before[1])
                reached(min([*jobs.under_way, begun if batch else at]))
        reader.receive_eof()
        await jobs.start(batch, begun)
        await jobs.finish()
        if reached is not None:
            reached(Reached(reader.position, stats.blocks - before[0], stats.bytes - before[1]))
    finally:
        await jobs.close()
    known = set(stats.roots)
    stats.roots += [root for root in dict.fromkeys(reader.roots) if root not in known]


class _Jobs:
    """Batches that threads work on."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._running: dict[asyncio.Task[None], Reached] = {}

    @property
    def under_way(self) -> list[Reached]:
        """Start offsets of the batches that are not stored yet."""
        return list(self._running.values())

    async def start(self, batch: list[Placed], begun: Reached) -> None:
        while len(self._running) >= JOBS:
            await self._wait()
        if batch:
            task = asyncio.create_task(asyncio.to_thread(_check_and_store, batch, self._store))
            self._running[task] = begun

    async def finish(self) -> None:
        while self._running:
            await self._wait()

    async def _wait(self) -> None:
        done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._running[task]
        for task in done:
            task.result()

    async def close(self) -> None:
        """Jobs cannot be interrupted, and their blocks are views into memory that must stay valid: wait for all."""
        if self._running:
            await asyncio.wait(self._running)
            for task in self._running:
                task.exception()


def _check_and_store(batch: list[Placed], store: BlockStore) -> None:
    for block, at in batch:
        try:
            intact = matches(block.cid.multihash, block.data)
        except MultihashError as exc:
            raise BadCar(f"{block.cid}: {exc.reason}", at) from exc
        if not intact:
            raise BadCar(f"the bytes of {block.cid} do not match its hash", at)
    store.put_many_blocking([placed.block for placed in batch], kept=True)


async def read_pieces(path: str, start: int = 0) -> AsyncIterator[bytes]:
    """A file from ``start`` on in pieces of PIECE bytes, read by threads, one piece ahead. Raises OSError."""
    with await asyncio.to_thread(open, path, "rb", buffering=0) as file:
        file.seek(start)
        coming = asyncio.ensure_future(asyncio.to_thread(file.read, PIECE))
        try:
            while data := await coming:
                coming = asyncio.ensure_future(asyncio.to_thread(file.read, PIECE))
                yield data
        finally:
            await asyncio.wait([coming])  # the file must not be closed while a thread reads it
