"""Announcing over days, in virtual time: rounds, new keys, restarts, blocks that go, nobody to tell."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cidery.kad.io.announce import AnnounceOptions, Announcing
from cidery.kad.io.provide_set import BATCH, ProvideSet
from cidery.kad.service import KadOptions
from cidery.kad.sweep import Region
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.cache import Cache
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

HOUR = 3600.0
EPOCH = 1e9
"""Wall clock at the start of the simulation: a time of 0 would mean never."""


def keys(count: int, seed: int) -> list[bytes]:
    source = random.Random(seed)
    return [b"\x12\x20" + source.randbytes(32) for _ in range(count)]


class Blocks:
    """What a node has: the keys to announce."""

    def __init__(self, stored: list[bytes]) -> None:
        self.stored = stored

    async def gather(self) -> AsyncGenerator[Sequence[bytes], None]:
        yield list(self.stored)

    async def still_here(self, wanted: Sequence[bytes]) -> list[bool]:
        return [key in self.stored for key in wanted]


@asynccontextmanager
async def announcing(node: MemoryNode, cache: Cache, blocks: Blocks, interval: float = 22 * HOUR):
    made = Announcing(
        node.kad.both,
        cache,
        AnnounceOptions(interval),
        gather=blocks.gather,
        still_here=blocks.still_here,
        entropy=random.Random(4).randbytes,
        wall_clock=lambda: EPOCH + asyncio.get_running_loop().time(),
    )
    task = asyncio.get_running_loop().create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def found(node: MemoryNode, key: bytes) -> bool:
    return [one async for one in node.kad.find_providers(CID(1, RAW, key))] != []


async def joined(nodes: list[MemoryNode]) -> None:
    for node in nodes[1:]:
        await node.connect(nodes[0])
    await asyncio.sleep(10)


def test_everything_stays_announced_for_days_and_what_goes_is_forgotten(tmp_path: Path):
    async def main():
        network = MemoryNetwork(1, Link(0.02))
        cache = Cache.open(tmp_path / "cache")
        blocks = Blocks(keys(300, 1))
        async with memory_nodes(network, 2, kad=KadOptions()) as nodes:
            await joined(nodes)
            async with announcing(nodes[1], cache, blocks) as made:
                await asyncio.sleep(60)
                stat = await made.stat()
                assert (stat.keys, stat.done, stat.fresh, stat.late) == (300, 300, 0, 0)
                assert stat.outside.keys == 300 and stat.outside.lookups <= 2
                made.add(keys(5, 2))
                blocks.stored += keys(5, 2)
                await asyncio.sleep(60)
                assert (await made.stat()).done == 305
                gone = blocks.stored.pop(0)
                await asyncio.sleep(49 * HOUR)  # longer than a record counts
                stat = await made.stat()
                assert (stat.keys, stat.late, stat.cycle.failed) == (304, 0, 0) and stat.last is not None
                assert all([await found(nodes[0], key) for key in blocks.stored[:20]])
                assert not await found(nodes[0], gone)
        cache.close()

    run_virtual(main())


def test_what_is_refused_is_announced_in_no_way(tmp_path: Path):
    async def main():
        network = MemoryNetwork(6, Link(0.02))
        cache = Cache.open(tmp_path / "cache")
        wanted, refused = keys(4, 7), keys(4, 8)
        async with memory_nodes(network, 2, kad=KadOptions()) as nodes:
            await joined(nodes)
            async with announcing(nodes[1], cache, Blocks(wanted[:2])) as made:
                made.refuses = lambda key: key in refused
                await asyncio.sleep(1)
                made.announce(refused[0])
                made.announce(wanted[0])
                made.add([refused[1], wanted[1]])
                await asyncio.sleep(HOUR)
                assert all([await found(nodes[0], key) for key in wanted[:2]])
                assert not any([await found(nodes[0], key) for key in refused])
        cache.close()

    run_virtual(main())


def test_a_node_that_was_off_for_a_day_is_honest_about_it_and_catches_up(tmp_path: Path):
    async def main():
        network = MemoryNetwork(2, Link(0.02))
        cache = Cache.open(tmp_path / "cache")
        blocks = Blocks(keys(50, 3))
        async with memory_nodes(network, 2, kad=KadOptions()) as nodes:
            await joined(nodes)
            async with announcing(nodes[1], cache, blocks):
                await asyncio.sleep(60)
            await asyncio.sleep(25 * HOUR)
            async with announcing(nodes[1], cache, blocks) as made:
                assert (await made.stat()).late == 50
                await asyncio.sleep(120)
                assert (await made.stat()).late == 0
        cache.close()

    run_virtual(main())


def test_keys_wait_while_nobody_is_there_to_take_them(tmp_path: Path):
    async def main():
        network = MemoryNetwork(3, Link(0.02))
        cache = Cache.open(tmp_path / "cache")
        async with memory_nodes(network, 2, kad=KadOptions()) as (one, other):
            async with announcing(one, cache, Blocks(keys(10, 4))) as made:
                made.announce(keys(10, 4)[0])
                await asyncio.sleep(100)
                stat = await made.stat()
                assert (stat.fresh, stat.done, stat.urgent) == (10, 0, 1)
                await one.connect(other)
                await asyncio.sleep(30)
                stat = await made.stat()
                assert (stat.fresh, stat.done, stat.urgent, stat.roots) == (0, 10, 0, 1)
                assert await made.clear() == 10
                assert (await made.stat()).keys == 0
        cache.close()

    run_virtual(main())


def test_without_rounds_only_what_is_new_is_announced(tmp_path: Path):
    async def main():
        network = MemoryNetwork(4, Link(0.02))
        cache = Cache.open(tmp_path / "cache")
        async with memory_nodes(network, 2, kad=KadOptions()) as nodes:
            await joined(nodes)
            async with announcing(nodes[0], cache, Blocks(keys(10, 5)), interval=0.0) as made:
                await asyncio.sleep(3 * HOUR)
                stat = await made.stat()
                assert (stat.done, stat.outside.keys, stat.cycle.keys, stat.next_at) == (10, 10, 0, None)
        cache.close()

    run_virtual(main())


def test_the_set_gives_the_keys_of_a_region_in_order_and_drops_other_gatherings(tmp_path: Path):
    cache = Cache.open(tmp_path / "cache")
    here = ProvideSet(cache.environment, cache.table("provide"), cache.table("provide-fresh"))
    many = keys(2 * BATCH, 6)
    assert here.mark(many[:BATCH], 1) == BATCH and here.mark(many[:BATCH], 1) == 0
    assert here.mark(many[BATCH:], 2) == BATCH
    assert here.counts() == (2 * BATCH, 2 * BATCH)
    regions = [here.inside(Region(prefix, 3)) for prefix in range(8)]
    assert sorted(key for region in regions for key in region) == sorted(many)
    here.announced(dict.fromkeys(regions[0], 1), 100.0)
    assert here.inside(Region(0, 3), fresh=True) == [] and here.inside(Region(0, 3), announced_before=100.0) == []
    assert here.count_late(101.0) == len(regions[0]) and here.count_late(100.0) == 0
    after = here.drop_others(2, b"")
    while after:
        after = here.drop_others(2, after)
    assert here.counts()[0] == BATCH
    here.mark(many[BATCH:][:10], 255)  # fetched ones stay, whoever gathers
    here.remove(many[BATCH:][:1])
    assert here.counts()[0] == BATCH - 1
    assert here.clear() == BATCH - 1 and here.first_fresh() is None
    cache.close()
