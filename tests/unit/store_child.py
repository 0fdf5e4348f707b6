"""Processes that the crash tests start: a writer to be killed and a reader that never stops checking. Light imports."""

import asyncio
import os
import random
import sys
from pathlib import Path

from cidery.blockstore.interface import Durability
from cidery.blockstore.segments import SegmentStore
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID

SEGMENT = 40_000
MAP = 96 * 1024


def made(number: int) -> Block:
    """Block ``number`` of the tests; its data can be made again from the number alone."""
    data = random.Random(number).randbytes(number * 37 % 3000)
    data += number.to_bytes(4, "big")
    return Block(CID.of(data), data)


def say(*numbers: int) -> None:
    os.write(1, (" ".join(map(str, numbers)) + "\n").encode())


async def write(root: Path, start: int) -> None:
    """Put blocks from ``start`` on, several tasks and both classes at once; print the numbers of durable ones."""
    store = SegmentStore.open(root, segment_bytes=SEGMENT, map_size=MAP)
    say(-1)
    numbers = iter(range(start, start + 1_000_000))

    async def put(kept: bool) -> None:
        while True:
            mine = [next(numbers) for _ in range(5)]
            blocks = [made(number) for number in mine]
            await store.put_many(blocks[:2], kept=kept, durability=Durability.VISIBLE)
            await store.put_many(blocks, kept=kept, durability=Durability.DURABLE)
            say(*mine)

    await asyncio.gather(put(True), put(False), put(True))


async def write_some(root: Path, count: int) -> None:
    """Put ``count`` blocks, delete some, move some; print each batch once other processes must see it."""
    store = SegmentStore.open(root, segment_bytes=SEGMENT, map_size=MAP)
    say(-1)
    for start in range(0, count, 10):
        mine = list(range(start, start + 10))
        await store.put_many([made(n) for n in mine], kept=start % 20 == 0, durability=Durability.VISIBLE)
        await store.put_many([made(mine[3])], kept=True, durability=Durability.VISIBLE)
        say(*mine[:-1])
        await store.delete_many([made(mine[-1]).cid])
    await store.close()


async def read(root: Path) -> None:
    """Follow the numbers on stdin: each must be there at once, with its bytes, whatever the writer does meanwhile."""
    store = SegmentStore.open(root, read_only=True, map_size=MAP)
    rng, known, checked = random.Random(1), [], 0
    for line in sys.stdin:
        known += [int(word) for word in line.split()]
        for number in [*map(int, line.split()), *rng.sample(known, min(20, len(known)))]:
            block = made(number)
            found = store.get_if_ready(block.cid) or (await store.get_many([block.cid]))[0]
            assert found == block.data, f"block {number}: {found!r}"
            checked += 1
    assert store._index.map_size() > MAP, "the reader never had to follow a grown map"
    say(checked)
    await store.close()


if __name__ == "__main__":
    task, path = sys.argv[1], Path(sys.argv[2])
    if task == "read":
        asyncio.run(read(path))
    elif task == "write":
        asyncio.run(write(path, int(sys.argv[3])))
    else:
        asyncio.run(write_some(path, int(sys.argv[3])))
