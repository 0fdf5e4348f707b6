"""The chunkers alone, over random bytes in memory, beside SHA-256 of the same bytes.

    python bench/chunkers.py [MIB=64] [RUNS=5]

CPU time of the one thread that cuts, so that other work on the machine counts as little as it can.
"""

import hashlib
import os
import statistics
import sys
import time
from collections.abc import Callable

from cidery.unixfs.chunker import Chunker, parse_chunker

SPECS = ("size-1048576", "buzhash", "fastcdc", "rabin", "rabin-min:16384-avg:65536-max:262144")


def cut_all(chunker: Chunker, data: bytes) -> int:
    """Number of chunks."""
    at = count = 0
    while at < len(data):
        at = chunker.next_cut(data, at)
        count += 1
    return count


def seconds(work: Callable[[], object], runs: int) -> list[float]:
    work()
    out: list[float] = []
    for _ in range(runs):
        start = time.thread_time()
        work()
        out.append(time.thread_time() - start)
    return out


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    data = os.urandom(mib << 20)
    took = seconds(lambda: hashlib.sha256(data).digest(), runs)
    print(f"{'sha256':40} {len(data) / statistics.median(took) / 1e6:7.0f} MB/s")
    for spec in SPECS:
        chunker = parse_chunker(spec)
        took = seconds(lambda chunker=chunker: cut_all(chunker, data), runs)
        rate, best = len(data) / statistics.median(took) / 1e6, len(data) / min(took) / 1e6
        mean = len(data) / cut_all(chunker, data)
        print(f"{spec:40} {rate:7.0f} MB/s (best {best:.0f}), {mean:,.0f} bytes a chunk")


if __name__ == "__main__":
    main()
