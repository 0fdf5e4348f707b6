"""Collecting garbage: marking speed, the stall of a concurrent cat, and pins at 1k, 100k and 1M.

    python bench/gc.py [BLOCKS] [PINS] [MOST PINS]

Stores BLOCKS small blocks (1M); PINS (100k) files of eight leaves and a root, or as many as fit, are pinned, a tenth of
the blocks is garbage. Then: the mark in blocks/s, the collection, the index in bytes per block; the longest gap between
chunks of a cat beside a plain writer and beside a collection; `pin add` (p50) and the first page of `pin ls` with 1k,
100k and MOST PINS (1M) pins.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cidery
from cidery.blockstore.interface import Durability
from cidery.core.api import Api
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.node.heap import short_passes
from cidery.repo.gc.collection import Compacted, Swept
from cidery.repo.gc.mark import Mark
from cidery.repo.pins import Pin
from lag import LagMeter, runner

PARTS = 8
BATCH = 20_000
BIG = 256 << 20
TARGET = 100_000
"""Blocks marked per second."""
STALL = 0.050
"""Seconds that the longest gap may grow."""


def leaf(number: int) -> Block:
    data = number.to_bytes(8, "big") * 8
    return Block(CID.of(data, RAW), data)


def tree(number: int) -> list[Block]:
    leaves = [leaf(number * PARTS + part) for part in range(PARTS)]
    data = dag_pb.encode([dag_pb.Link(one.cid, "", len(one.data)) for one in leaves], b"")
    return [Block(CID.of(data, DAG_PB), data), *leaves]


async def fill(api: Api, blocks: int, pins: int) -> None:
    trees = min(pins, blocks * 9 // 10 // (PARTS + 1))
    for start in range(0, trees, BATCH // 10):
        made = [tree(number) for number in range(start, min(trees, start + BATCH // 10))]
        await api.store.put_many([one for group in made for one in group], kept=True, durability=Durability.VISIBLE)
        await api.pins.add(*(Pin(group[0].cid, True) for group in made))
    first = 1 << 40
    for start in range(0, blocks - trees * (PARTS + 1), BATCH):
        count = min(BATCH, blocks - trees * (PARTS + 1) - start)
        await api.store.put_many(
            [leaf(first + start + n) for n in range(count)], kept=True, durability=Durability.VISIBLE
        )
    print(f"{blocks} blocks, {trees} pins, {(await api.store.stat()).disk_bytes >> 20} MiB", flush=True)


async def mark(api: Api) -> None:
    """The mark alone, in a thread as in a collection."""

    def work() -> tuple[int, float]:
        began = time.perf_counter()
        found = Mark(api.store.collector())
        for page in api.collector.roots.pin_pages():
            found.push((pin.cid for pin in page), strict=True)
            while found.step():
                continue
        return found.blocks, time.perf_counter() - began

    async with LagMeter() as lag:
        blocks, seconds = await asyncio.to_thread(work)
    rate = blocks / seconds
    print(
        f"mark: {rate:,.0f} blocks/s (target {TARGET:,}: {rate / TARGET:.2f}), lag {lag.worst * 1e3:.0f} ms", flush=True
    )


async def longest_gap(api: Api, root: CID, beside: asyncio.Task[None]) -> float:
    """Of cats of ``root``, one after the other, until ``beside`` ends."""
    worst = 0.0
    while not beside.done():
        last = time.perf_counter()
        async with api.session() as session:
            from cidery.core.reading.cat import cat

            async for _ in cat(root, session):
                now = time.perf_counter()
                worst = max(worst, now - last)
                last = now
    await beside
    return worst


async def collect(api: Api) -> None:
    began = time.perf_counter()
    gone = freed = 0
    async for step in api.collector.garbage():
        if isinstance(step, Swept):
            gone += len(step.blocks)
        elif isinstance(step, Compacted):
            freed += step.bytes
    print(
        f"collection: {gone} blocks removed, {freed >> 10} KiB freed, {time.perf_counter() - began:.1f} s", flush=True
    )


async def write(api: Api, seconds: float) -> None:
    until = time.perf_counter() + seconds
    number = 1 << 41
    while time.perf_counter() < until:
        await api.store.put_many([leaf(number + n) for n in range(512)], kept=True, durability=Durability.DURABLE)
        number += 512


async def pins(api: Api, counts: list[int]) -> None:
    have = api.pins.count()
    for count in counts:
        for start in range(have, count, BATCH):
            await api.pins.add(*(Pin(leaf((1 << 42) + n).cid, False) for n in range(start, min(count, start + BATCH))))
        have = max(have, count)
        costs = []
        for n in range(50):
            began = time.perf_counter()
            await api.pins.add(Pin(leaf((1 << 43) + n).cid, False))
            costs.append(time.perf_counter() - began)
        await api.pins.remove([leaf((1 << 43) + n).cid for n in range(50)])
        began = time.perf_counter()
        api.pins.page()
        first = time.perf_counter() - began
        print(
            f"{have:>9} pins: add p50 {statistics.median(costs) * 1e3:.2f} ms, first page {first * 1e3:.2f} ms",
            flush=True,
        )


async def main(blocks: int, pinned: int, most: int) -> None:
    with tempfile.TemporaryDirectory() as directory, short_passes():
        async with cidery.Node(Path(directory) / "repo", profile="test", offline=True) as node:
            api = node.api
            await pins(api, [1000])
            await api.pins.remove([pin.cid for pin in api.pins.every()])  # their blocks are not there
            await fill(api, blocks, pinned)
            await mark(api)
            size = await api.store.compact_index()
            print(f"index: {size / blocks:.0f} bytes a block (limit 120)", flush=True)
            root = await node.add(bytes(BIG))
            plain = await longest_gap(api, root, asyncio.create_task(write(api, 5.0)))
            beside = await longest_gap(api, root, asyncio.create_task(collect(api)))
            print(
                f"longest gap of cat: {plain * 1e3:.0f} ms beside a writer, {beside * 1e3:.0f} ms beside a collection "
                f"(at most {STALL * 1e3:.0f} ms more)",
                flush=True,
            )
            await pins(api, [100_000, most])


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    with runner() as loop:
        loop.run(main(*(numbers + [1_000_000, 100_000, 1_000_000][len(numbers) :])))
