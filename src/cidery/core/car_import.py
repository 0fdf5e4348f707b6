"""Blocks of a CAR into the store: parsed as it arrives, every block hashed, in constant memory."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field

from cidery.blockstore.interface import BlockStore
from cidery.ipld.car_reader import BadCar, CarReader, Placed
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import MultihashError, matches
from cidery.multiformats.varint import Buffer

BATCH = 4 << 20
"""Bytes hashed and stored by one job of a thread: large writes, small memory."""
BATCH_BLOCKS = 2048
"""Blocks of one job, for small ones."""
JOBS = 3
"""Jobs at once: two hash on two cores while a third waits for the disk."""
PIECE = 4 << 20
"""Bytes of a file read at once."""


@dataclass(slots=True)
class CarStats:
    """What was imported so far."""

    blocks: int = 0
    """Sections: a block that comes twice counts twice."""
    bytes: int = 0
    """Of the blocks, without their heads."""
    roots: list[CID] = field(default_factory=list)
    """Of all archives, in order, each once."""


async def import_car(stream: AsyncIterable[Buffer], store: BlockStore, stats: CarStats) -> None:
    """Store every block of one archive, as kept, and count into ``stats``; call store.sync() when all are done.

    Blocks are VISIBLE on return. What came before a fault stays stored: it was verified, and nothing pins it.
    Raises BadCar with the offset, also for a block that does not match its CID or has an unknown hash function; and
    what the store and the stream raise. Cancellation: safe. Memory: JOBS batches and a piece of the stream.
    """
    reader = CarReader()
    running: set[asyncio.Task[None]] = set()
    batch: list[Placed] = []
    held = 0
    try:
        async for piece in stream:
            for placed in reader.receive_data(piece):
                batch.append(placed)
                held += len(placed.block.data)
                stats.blocks += 1
                stats.bytes += len(placed.block.data)
                if held >= BATCH or len(batch) >= BATCH_BLOCKS:
                    await _start(running, batch, store)
                    batch, held = [], 0
            if held and held + len(piece) > BATCH:  # views keep whole pieces alive
                await _start(running, batch, store)
                batch, held = [], 0
        reader.receive_eof()
        await _start(running, batch, store)
        while running:
            await _finish(running)
    finally:
        # a job cannot be stopped half-way, and its blocks are views into memory that must stay
        if running:
            await asyncio.wait(running)
            for task in running:
                task.exception()
    known = set(stats.roots)
    stats.roots += [root for root in dict.fromkeys(reader.roots) if root not in known]


async def _start(running: set[asyncio.Task[None]], batch: list[Placed], store: BlockStore) -> None:
    while len(running) >= JOBS:
        await _finish(running)
    if batch:
        running.add(asyncio.create_task(asyncio.to_thread(_check_and_store, batch, store)))


async def _finish(running: set[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    running -= done
    for task in done:
        task.result()


def _check_and_store(batch: list[Placed], store: BlockStore) -> None:
    for block, at in batch:
        try:
            intact = matches(block.cid.multihash, block.data)
        except MultihashError as exc:
            raise BadCar(f"{block.cid}: {exc.reason}", at) from exc
        if not intact:
            raise BadCar(f"the bytes of {block.cid} do not match its hash", at)
    store.put_many_blocking([placed.block for placed in batch], kept=True)


async def read_pieces(path: str) -> AsyncIterator[bytes]:
    """A file in pieces of PIECE bytes, read by threads, one piece ahead. Raises OSError."""
    with await asyncio.to_thread(open, path, "rb", buffering=0) as file:
        coming = asyncio.ensure_future(asyncio.to_thread(file.read, PIECE))
        try:
            while data := await coming:
                coming = asyncio.ensure_future(asyncio.to_thread(file.read, PIECE))
                yield data
        finally:
            await asyncio.wait([coming])  # the file may not be closed under a thread that reads
