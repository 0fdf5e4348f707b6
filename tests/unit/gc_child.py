"""A process for the stress test of collections: adds, pins and collects at once until it is killed. Light imports."""

import asyncio
import os
import random
import sys
from pathlib import Path

from cidery.repo.pins import Pin
from gc_repo import Repo, leaf, node

FILES = 400
PARTS = 6


def tree(number: int) -> list:
    """A root and its leaves; neighbours share leaves."""
    leaves = [leaf(number * 3 + part, 200) for part in range(PARTS)]
    return [node(*leaves), *leaves]


async def work(root: Path, seed: int) -> None:
    """Print "+n" when tree n is pinned and durable, "-n" before its pin is removed."""
    repo = Repo(root, segment_bytes=60_000)
    rng = random.Random(seed)

    async def add() -> None:
        while True:
            number = rng.randrange(FILES)
            blocks = tree(number)
            async with repo.operation("add"):
                rng.shuffle(blocks)
                await repo.put(*blocks[:4])
                await repo.put(*blocks)
                if rng.random() < 0.5:
                    await repo.store.sync()
                    await repo.pins.add(Pin(tree(number)[0].cid, True))
                    os.write(1, b"+%d\n" % number)
            if rng.random() < 0.5:
                gone = rng.randrange(FILES)
                os.write(1, b"-%d\n" % gone)
                await repo.pins.remove([tree(gone)[0].cid])
                os.write(1, b"?%d\n" % gone)

    async def collect() -> None:
        while True:
            await repo.collect()
            os.write(1, b"collected\n")

    await asyncio.gather(add(), collect())


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
