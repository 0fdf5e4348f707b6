"""Node to node by Bitswap over loopback, to memory: over a WebSocket beside plain TCP on the same port, in turns.

python bench/websocket.py [--mib 512] [--runs 7]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
from pathlib import Path

from machine import warm_memory
from transfer import MARGIN, fetch_once, make_file, serve_process


def reader_seconds() -> float:
    """CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {"tcp": [], "ws": []}
    cpu: dict[str, list[float]] = {"tcp": [], "ws": []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as folder:
        make_file(Path(folder) / "file", options.mib)
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        args = (Path(folder) / "server", Path(folder) / "file", theirs, "/ws")
        server = context.Process(target=serve_process, args=args)
        server.start()
        theirs.close()
        addr, cid = pipe.recv()
        for _ in range(options.runs):
            for form, dialled in (("tcp", addr.replace("/ws/", "/")), ("ws", addr)):
                warm_memory(MARGIN)
                before = reader_seconds()
                rates[form].append(fetch_once(dialled, cid, None)[0])
                cpu[form].append(reader_seconds() - before)
        pipe.send("stop")
        pipe.recv()
        server.join()
    tcp, ws = (statistics.median(rates[form]) for form in ("tcp", "ws"))
    for form, several in rates.items():
        spread, seconds = f"({min(several):.0f}-{max(several):.0f})", statistics.median(cpu[form])
        print(
            f"{form:3} {statistics.median(several):6.0f} MiB/s  {spread}, reader {seconds:.2f} s of CPU with its start"
        )
    print(f"a WebSocket carries {ws / tcp:.0%} of plain TCP")


if __name__ == "__main__":
    main()
