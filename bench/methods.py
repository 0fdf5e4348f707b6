"""What a Python method costs: the same work by core alone, embedded, blocking and through a daemon, alternating.

    python bench/methods.py [--rounds 7]

Medians in one run; each round measures every row once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import cidery
from cidery.core.reading.blocks import block_get
from cidery.rpc.listen import listen

CALLS = 500
"""Calls of a small method in a round."""
SIZE = 128 << 20
"""Bytes of the large file."""

Rows = dict[str, list[float]]


async def timed(rows: Rows, name: str, calls: int, work: Callable[[], Awaitable[object]]) -> None:
    began = time.perf_counter()
    for _ in range(calls):
        await work()
    rows.setdefault(name, []).append((time.perf_counter() - began) / calls)


async def embedded(rows: Rows, node: cidery.Node, client: cidery.Client, big: Path) -> None:
    cid = (await node.block.put(b"x" * 1024)).cid
    large = await node.add(big)

    async def core() -> bytes:
        path = await node.api.locate(str(cid))
        async with node.api.session() as session:
            return bytes(await block_get(path, session))

    async def cat() -> int:
        return sum([len(chunk) async for chunk in node.cat(large)])

    await timed(rows, "block of 1 KiB: core", CALLS, core)
    await timed(rows, "block of 1 KiB: node.block.get", CALLS, lambda: node.block.get(cid))
    await timed(rows, "block of 1 KiB: client.block.get", CALLS // 5, lambda: client.block.get(cid))
    await timed(rows, "node.block.stat, by its command", CALLS, lambda: node.block.stat(cid))
    await timed(rows, "128 MiB: node.cat", 1, cat)
    await timed(rows, "128 MiB: node.add, only_hash", 1, lambda: node.add(big, only_hash=True))


def blocking(rows: Rows, node: cidery.node.open.SyncNode, big: Path) -> None:
    cid, large = node.block.put(b"x" * 1024).cid, node.add(big)
    for name, calls, work in (
        ("block of 1 KiB: blocking", CALLS, lambda: node.block.get(cid)),
        ("128 MiB: blocking cat", 1, lambda: sum(len(chunk) for chunk in node.cat(large))),
        ("128 MiB: cid_of", 1, lambda: cidery.cid_of(big)),
    ):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        rows.setdefault(name, []).append((time.perf_counter() - began) / calls)


async def measure(rounds: int, scratch: Path) -> Rows:
    rows: Rows = {}
    big = scratch / "big"
    big.write_bytes(os.urandom(SIZE))
    other = await asyncio.to_thread(cidery.open, scratch / "other", profile="test", offline=True)
    async with cidery.Node(scratch / "repo", profile="test", offline=True) as node:
        async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
            for _ in range(rounds):
                await embedded(rows, node, cidery.Client(str(addrs[0])), big)
                await asyncio.to_thread(blocking, rows, other, big)
    await asyncio.to_thread(other.close)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        rows = asyncio.run(measure(rounds, Path(scratch)))
    for name, took in sorted(rows.items()):
        print(f"{name:<34} {statistics.median(took) * 1e6:>10.0f} us  ({min(took) * 1e6:.0f} to {max(took) * 1e6:.0f})")


if __name__ == "__main__":
    main()
