"""Requests a second of `cidery gateway serve` with one and with two workers, by wrk: a file of 1 KiB, keep-alive.

    python bench/workers.py [--seconds 5] [--runs 5]

The runs alternate. wrk needs processor time too, so on two cores the CPU time of a request says more than the rate: it
must not grow with the workers.

Exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from commands import CIDERY
from daemons import Machine
from gateway import CONNECTIONS, cpu_seconds

GAIN = 1.7
"""Times the rate of one worker."""


@contextmanager
def workers(repo: Path, count: int) -> Iterator[tuple[str, list[int]]]:
    """(URL, pids)."""
    words = [*CIDERY, "--repo-dir", str(repo), "gateway", "serve", f"--workers={count}", "--listen=127.0.0.1:0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = re.search(r"/tcp/(\d+)", process.stdout.readline())
        assert port is not None
        process.stdout.readline()  # they are ready
        pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield f"http://127.0.0.1:{port[1]}", [int(pid) for pid in pids]
    finally:
        process.terminate()
        process.wait()


def load(url: str, pids: list[int], seconds: int) -> tuple[float, float]:
    """(requests a second, microseconds of CPU for one)."""
    before = sum(map(cpu_seconds, pids))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, rate = re.search(r"(\d+) requests in", out), re.search(r"Requests/sec:\s+([\d.]+)", out)
    if count is None or rate is None or "Non-2xx" in out:
        raise SystemExit(f"wrk {url}: {out}")
    return float(rate[1]), (sum(map(cpu_seconds, pids)) - before) / int(count[1]) * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as place, ExitStack() as stack:
        machine = Machine(Path(place, "repo"))
        stack.enter_context(machine.daemon())
        (Path(place, "file")).write_bytes(os.urandom(1024))
        cid = machine.command("add", "-Q", str(Path(place, "file")))
        served = {count: stack.enter_context(workers(machine.place, count)) for count in found}
        for _ in range(options.runs):
            for count, (url, pids) in served.items():
                found[count].append(load(f"{url}/ipfs/{cid}", pids, options.seconds))
    rates = {count: statistics.median(rate for rate, _ in runs) for count, runs in found.items()}
    costs = {count: statistics.median(cost for _, cost in runs) for count, runs in found.items()}
    for count in found:
        print(f"  {count} workers: {rates[count]:10,.0f} /s   CPU {costs[count]:.0f} us")
    gain, by_cost = rates[2] / rates[1], 2 * costs[1] / costs[2]
    print(f"  two of one: {gain:.2f} times, by CPU {by_cost:.2f}   target >= {GAIN}")
    return 0 if max(gain, by_cost) >= GAIN else 1


if __name__ == "__main__":
    sys.exit(main())
