"""Files of 1 KiB written into one directory of the mutable files: files/s around entry 1,000 and entry 100,000.

    python bench/mfs.py [FILES]

First in one batch (durable in groups), then one by one, each durable before the next, in the full directory and in one
of 1,000 entries. Linear means that the last rate is not far below the first.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import cidery
from cidery.core.api import Api
from cidery.mfs.path import parse_file_path
from cidery.mfs.writing import Writing, write
from cidery.multiformats.varint import Buffer
from lag import LagMeter, runner

FILES = 100_000
WINDOW = 1_000
"""Files per rate that is printed."""
SINGLE = 100
"""Files written one by one."""
CREATE = Writing(create=True, parents=True)


async def once(data: bytes) -> AsyncIterator[Buffer]:
    yield data


async def fill(api: Api, folder: str, count: int) -> list[float]:
    """Write ``count`` files in one batch; seconds per window."""
    seconds: list[float] = []
    async with api.session() as session, api.files.batch():
        began = time.perf_counter()
        for number in range(count):
            path = parse_file_path(f"/{folder}/{number:06}.bin")
            await write(api.files, session, path, once(os.urandom(1024)), CREATE, flush=False)
            if number % WINDOW == WINDOW - 1:
                seconds.append(time.perf_counter() - began)
                began = time.perf_counter()
    return seconds


async def singly(api: Api, folder: str) -> float:
    """Median seconds of a write that is durable on return."""
    seconds: list[float] = []
    async with api.session() as session:
        for number in range(SINGLE):
            path = parse_file_path(f"/{folder}/single-{number}.bin")
            began = time.perf_counter()
            await write(api.files, session, path, once(os.urandom(1024)), CREATE)
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def rate(seconds: list[float]) -> float:
    return WINDOW * len(seconds) / sum(seconds)


async def main(files: int) -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        async with cidery.Node(Path(scratch) / "repo", profile="test", offline=True) as node:
            async with LagMeter() as lag:
                began = time.perf_counter()
                seconds = await fill(node.api, "large", files)
                total = time.perf_counter() - began
            print(f"batch of {files} files of 1 KiB into one directory: {files / total:.0f} files/s")
            ends = f"first {rate(seconds[:5]):.0f} files/s, last {rate(seconds[-10:]):.0f} files/s"
            print(f"  {ends}; largest loop lag {lag.worst * 1000:.0f} ms")
            await fill(node.api, "small", WINDOW)
            small, large = await singly(node.api, "small"), await singly(node.api, "large")
            print(
                f"one by one, durable: entry 1,000: {1 / small:.0f} files/s, entry {files:,}: {1 / large:.0f} files/s"
            )
            print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB RSS")


if __name__ == "__main__":
    with runner() as loop:
        loop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else FILES))
