"""Speed of the segment store beside the bare loop that does only the unavoidable.

    python bench/store_bench.py [MIB=1024] [RUNS=7]

Write: two threads read 1 MiB blocks, hash them with sha2-256 and put them; the final sync is included. Bare: the same
with appends to a plain file and one fdatasync. Runs alternate; medians and spread are printed.
"""

import asyncio
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cidery.blockstore.interface import Durability
from cidery.blockstore.segments import SegmentStore
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID

MIB = 1 << 20
PUT_BLOCKS = 4


def make_source(path: Path, size: int) -> None:
    chunk = os.urandom(4 * MIB)
    with path.open("wb") as file:
        for i in range(size // len(chunk)):
            file.write(i.to_bytes(8, "big") + chunk[8:])


def in_two_threads(size: int, work: Callable[[list[int]], None]) -> None:
    step = PUT_BLOCKS * MIB
    starts = iter(range(0, size, step))
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            work([start + i * MIB for i in range(PUT_BLOCKS)])

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def bare(source: int, root: Path, size: int) -> float:
    out = os.open(root / "bare", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    lock = threading.Lock()

    def work(offsets: list[int]) -> None:
        parts = [os.pread(source, MIB, at) for at in offsets]
        for part in parts:
            hashlib.sha256(part).digest()
        with lock:
            os.writev(out, parts)

    begin = time.perf_counter()
    in_two_threads(size, work)
    os.fdatasync(out)
    taken = time.perf_counter() - begin
    os.close(out)
    os.unlink(root / "bare")
    return size / MIB / taken


def through_store(source: int, root: Path, size: int) -> float:
    store = SegmentStore.open(root / "store")

    def work(offsets: list[int]) -> None:
        parts = [os.pread(source, MIB, at) for at in offsets]
        store.put_many_blocking([Block(CID.of(part), part) for part in parts], kept=True)

    begin = time.perf_counter()
    in_two_threads(size, work)
    asyncio.run(store.sync())
    taken = time.perf_counter() - begin
    store.close_blocking()
    shutil.rmtree(root / "store")
    return size / MIB / taken


def small_blocks(root: Path, count: int) -> tuple[float, float]:
    """(blocks/s put in batches of 1,000 and synced, blocks/s read one by one when ready)."""
    blocks = [Block(CID.of(data), data) for data in (i.to_bytes(8, "big") * 128 for i in range(count))]

    async def run() -> tuple[float, float]:
        store = SegmentStore.open(root / "small")
        begin = time.perf_counter()
        for start in range(0, count, 1000):
            store.put_many_blocking(blocks[start : start + 1000], kept=True)
        await store.sync()
        put = count / (time.perf_counter() - begin)
        begin = time.perf_counter()
        ready = sum(store.get_if_ready(block.cid) is not None for block in blocks)
        got = ready / (time.perf_counter() - begin)
        await store.close()
        return put, got

    result = asyncio.run(run())
    shutil.rmtree(root / "small")
    return result


async def lag_of(work: "asyncio.Future[object]") -> float:
    """Largest gap of the loop while ``work`` runs, in seconds."""
    worst, last = 0.0, time.perf_counter()
    while not work.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        worst, last = max(worst, now - last - 0.001), now
    return worst


async def reading(root: Path, size: int) -> tuple[float, float, float]:
    """(MiB/s one by one when ready, MiB/s in batches of 16, largest loop lag in s) of warm 1 MiB blocks."""
    store = SegmentStore.open(root / "read")
    cids = []
    for i in range(size // MIB):
        data = i.to_bytes(8, "big") * (MIB // 8)
        cids.append(CID.of(data))
        await store.put_many([Block(cids[-1], data)], kept=True, durability=Durability.VISIBLE)
    await store.sync()
    await store.get_many(cids[:1])
    begin = time.perf_counter()
    for cid in cids:
        assert store.get_if_ready(cid) is not None or await store.get_many([cid])
    single = size / MIB / (time.perf_counter() - begin)

    async def batches() -> None:
        for start in range(0, len(cids), 16):
            await store.get_many(cids[start : start + 16])

    begin = time.perf_counter()
    task = asyncio.ensure_future(batches())
    lag = await lag_of(task)
    many = size / MIB / (time.perf_counter() - begin)
    await store.close()
    shutil.rmtree(root / "read")
    return single, many, lag


def show(name: str, values: list[float], unit: str) -> float:
    median = statistics.median(values)
    print(f"{name:<46} {median:10,.0f} {unit:<9} ({min(values):,.0f} .. {max(values):,.0f})")
    return median


def main() -> None:
    size = (int(sys.argv[1]) if len(sys.argv) > 1 else 1024) * MIB
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with tempfile.TemporaryDirectory(prefix="store-bench-") as name:
        root = Path(name)
        make_source(root / "source", size)
        source = os.open(root / "source", os.O_RDONLY)
        ours, limit = [], []
        for _ in range(runs):
            limit.append(bare(source, root, size))
            ours.append(through_store(source, root, size))
        bare_rate = show("bare read + sha2-256 + append + fdatasync", limit, "MiB/s")
        rate = show("the same through put_many_blocking + sync", ours, "MiB/s")
        print(f"{'ratio':<46} {rate / bare_rate:10.2f}           (target 0.75)")
        puts, gets = zip(*(small_blocks(root, 100_000) for _ in range(min(runs, 3))), strict=True)
        show("put 1 KiB blocks, batches of 1,000, synced", list(puts), "blocks/s")
        show("get_if_ready 1 KiB blocks", list(gets), "blocks/s")
        singles, manys, lags = zip(*(asyncio.run(reading(root, size // 2)) for _ in range(min(runs, 3))), strict=True)
        show("get_if_ready 1 MiB blocks, warm", list(singles), "MiB/s")
        show("get_many 1 MiB blocks by 16, warm", list(manys), "MiB/s")
        show("largest loop lag while reading", [lag * 1000 for lag in lags], "ms")
        os.close(source)


if __name__ == "__main__":
    main()
