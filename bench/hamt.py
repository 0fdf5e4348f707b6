"""A sharded directory: built, listed, looked up in and edited, in a store on disk.

python bench/hamt.py [ENTRIES=1000000]
"""

import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cidery.blockstore.drive import run
from cidery.blockstore.segments import SegmentStore
from cidery.core.adding.ingest import Batch
from cidery.core.reading.ls import ls
from cidery.core.session import StoreSession
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.unixfs.directory import DirectoryEntry, directory
from cidery.unixfs.directory_editor import insert, remove
from cidery.unixfs.importer import leaf
from cidery.unixfs.profile import UNIXFS_V1_2025
from cidery.unixfs.reader import resolve_path

LOOKUPS = 500
"""Names looked up, and names put in and taken out."""


class Counting(StoreSession):
    """A session that counts the blocks it gives."""

    count = 0

    def get_if_ready(self, cid: CID) -> bytes | None:
        self.count += 1
        return super().get_if_ready(cid)


def build(store: SegmentStore, entries: list[DirectoryEntry]) -> tuple[CID, int]:
    """(root, number of blocks)."""
    batch, count = Batch(store), 0

    def put(block: Block) -> None:
        nonlocal count
        count += 1
        batch.put(block)

    root = directory(UNIXFS_V1_2025, entries, put).cid
    batch.flush()
    return root, count


async def edits(store: SegmentStore, root: CID, names: list[str], child: DirectoryEntry) -> list[float]:
    took: list[float] = []
    floor = 0
    for name in names:
        for act in (
            lambda root, floor, name=name: remove(UNIXFS_V1_2025, root, name, floor),
            lambda root, floor, name=name: insert(UNIXFS_V1_2025, root, child._replace(name=name), floor),
        ):
            start = time.perf_counter()
            edited = await run(act(root, floor), StoreSession(store))
            await asyncio.to_thread(store.put_many_blocking, edited.blocks, kept=True)
            took.append((time.perf_counter() - start) * 1e3)
            root, floor = edited.root.cid, edited.floor
    return took


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    child, block = leaf(UNIXFS_V1_2025, b"x")
    one = DirectoryEntry("", child.cid, child.tsize)
    entries = [one._replace(name=f"file-{number:08}.txt") for number in range(count)]
    place = Path(tempfile.mkdtemp(prefix="bench-hamt-"))
    store = SegmentStore.open(place)
    try:
        store.put_many_blocking([block], kept=True)
        start, cpu = time.perf_counter(), time.thread_time()
        root, blocks = build(store, entries)
        took, cpu = time.perf_counter() - start, time.thread_time() - cpu
        await store.sync()
        print(f"build: {count / took:,.0f} entries/s ({count / cpu:,.0f} by CPU time), {blocks:,} shards, {root}")
        for look in (False, True):
            start, rows, first = time.perf_counter(), 0, 0.0
            async for _ in ls(root, StoreSession(store), resolve_type=look, size=look):
                rows += 1
                first = first or time.perf_counter() - start
            took = time.perf_counter() - start
            print(
                f"ls {'with' if look else 'without'} types: first row {first * 1e3:.1f} ms, {rows / took:,.0f} rows/s"
            )
        names = [entry.name for entry in random.Random(1).sample(entries, min(LOOKUPS, count))]
        session, times = Counting(store), []
        for name in names:
            start = time.perf_counter()
            await run(resolve_path(root, [name]), session)
            times.append((time.perf_counter() - start) * 1e3)
        print(f"lookup: {session.count / len(names):.2f} blocks, p50 {statistics.median(times):.2f} ms")
        times = await edits(store, root, names, one)
        mean = statistics.fmean(times)
        print(f"edit: p50 {statistics.median(times):.2f} ms, the first {times[0]:.0f} ms, mean {mean:.2f}")
    finally:
        await store.close()
        shutil.rmtree(place)


if __name__ == "__main__":
    asyncio.run(main())
