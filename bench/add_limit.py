"""The least that adding a file durably can cost: read, sha2-256 in two threads, append overlapped, one fdatasync.

    python bench/add_limit.py [MIB=1024] [RUNS=7]

Knows nothing of Cidery. ``bench/add.py`` runs it beside the real add.
"""

import hashlib
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

MIB = 1 << 20
BATCH = 4
"""Chunks of 1 MiB that a thread reads, hashes and appends at a time."""


def make_source(path: Path, size: int) -> None:
    """A file of ``size`` bytes, no two chunks alike, in the page cache."""
    chunk = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big"))
            file.write(memoryview(chunk)[8:])
        os.fdatasync(file.fileno())


def run_limit(source: Path, directory: Path) -> float:
    """Seconds for one run."""
    read_fd = os.open(source, os.O_RDONLY)
    size = os.fstat(read_fd).st_size
    target = directory / "limit"
    out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    starts = iter(range(0, size, BATCH * MIB))
    taking, appending = threading.Lock(), threading.Lock()
    digests: list[bytes] = []

    def work() -> None:
        while True:
            with taking:
                start = next(starts, None)
            if start is None:
                return
            chunks = [os.pread(read_fd, MIB, start + at * MIB) for at in range(BATCH)]
            digests.extend(hashlib.sha256(chunk).digest() for chunk in chunks)
            with appending:
                os.writev(out, chunks)

    begun = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.fdatasync(out)
    seconds = time.perf_counter() - begun
    os.close(out)
    os.close(read_fd)
    target.unlink()
    return seconds


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as name:
        source = Path(name, "source")
        make_source(source, mib * MIB)
        rates = [mib / run_limit(source, Path(name)) for _ in range(runs)]
    print(f"limit: {statistics.median(rates):.0f} MiB/s ({min(rates):.0f}-{max(rates):.0f}), {runs} runs of {mib} MiB")


if __name__ == "__main__":
    main()
