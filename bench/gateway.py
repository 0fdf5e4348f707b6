"""The gateway of a daemon beside a bare handler on the same HTTP server, and nginx where it is installed.

    python bench/gateway.py [--seconds 5] [--mib 1024] [--entries 1000000]

* requests a second on 32 keep-alive connections (by wrk; without it nothing of this is measured), and the CPU time of
  the server for one: a block and a file of 1 KiB, the same unchanged (304), a listing of 20 entries;
* a large file to curl, MiB/s, CPU seconds a GiB, and the time to its first byte;
* a listing of 10,000 entries whole, of ``--entries`` its first row, ms;
* memory of 500 idle connections, MB;
* the longest time that the daemon's loop was held beside all of it, ms.

Exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from daemons import Machine
from lag import worst_of
from machine import warm_memory

CONNECTIONS = 32
IDLE_CONNECTIONS = 500
RUNS = 5
TARGETS = {"raw": 12_000, "file": 12_000, "304": 14_000, "listing": 3_000}
"""Requests a second."""
LARGE, OF_NGINX = 1536, 0.7
"""MiB/s of a large file, and the share of nginx' figure."""
FIRST_BYTE, LIST_10K, FIRST_ROW = 15, 300, 50
"""ms."""
IDLE_MEMORY = 40
"""MB."""
LAG = 50
"""ms."""
BARE = """
import asyncio, sys, time
from cidery.http.message import Response
from cidery.http.server import HttpServer
HEADERS = {"Content-Type": "application/octet-stream", "Etag": '"x"', "Cache-Control": "public, max-age=29030400",
           "X-Ipfs-Path": "/ipfs/x", "X-Ipfs-Roots": "x", "X-Content-Type-Options": "nosniff"}
BODY = bytes(1024)
async def handler(request): return Response(200, dict(HEADERS), BODY)
async def main():
    server = HttpServer(handler, most=1000, name="bare", clock=time.time,
                        at_hand=lambda request: Response(200, dict(HEADERS), BODY))
    print(await server.listen("127.0.0.1", 0), flush=True)
    await asyncio.sleep(3600)
try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""
NGINX = """daemon off; worker_processes 1; pid {place}/pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};
uwsgi_temp_path {place}; scgi_temp_path {place}; keepalive_requests 10000000;
server {{ listen 127.0.0.1:{port}; root {place}/files; }} }}
"""


class Load(NamedTuple):
    """What a load of small requests found."""

    per_second: float
    cpu: float
    """Microseconds of the server for one request."""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """MB of a process, resident."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def load(url: str, pid: int, seconds: int, *headers: str) -> Load:
    more = [word for header in headers for word in ("-H", header)]
    before = cpu_seconds(pid)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", *more, url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, rate = re.search(r"(\d+) requests in", out), re.search(r"Requests/sec:\s+([\d.]+)", out)
    if count is None or rate is None or "Non-2xx" in out and not headers:
        raise SystemExit(f"wrk {url}: {out}")
    return Load(float(rate[1]), (cpu_seconds(pid) - before) / int(count[1]) * 1e6)


def fetch(url: str) -> tuple[float, float]:
    """(MiB/s, ms to the first byte) of curl, which drops the bytes."""
    form = "%{speed_download} %{time_starttransfer} %{http_code}"
    done = subprocess.run(["curl", "-s", "-o", os.devnull, "-w", form, url], capture_output=True, text=True, check=True)
    speed, first, status = done.stdout.split()
    if status != "200":
        raise SystemExit(f"{url}: {status}")
    return float(speed) / 2**20, float(first) * 1000


@contextmanager
def process(command: list[str], line: bool = True) -> Iterator[tuple[int, str]]:
    """(pid, first line of output)."""
    running = subprocess.Popen(command, stdout=subprocess.PIPE if line else None, text=True)
    try:
        yield running.pid, running.stdout.readline().strip() if running.stdout is not None else ""
    finally:
        running.terminate()  # nginx ends its workers
        running.wait()


@contextmanager
def nginx(place: Path) -> Iterator[tuple[int, str]]:
    """(pid of its worker, URL); serves ``place``/files."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = place / "nginx.conf"
    config.write_text(NGINX.format(place=place, port=port))
    with process(["nginx", "-c", str(config), "-p", str(place)], line=False) as (pid, _):
        deadline = time.monotonic() + 10
        workers: list[str] = []
        while not workers and time.monotonic() < deadline:
            time.sleep(0.05)
            workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        yield int(workers[0]), f"http://127.0.0.1:{port}"


class Report:
    """Prints figures, and remembers what missed its target."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def line(self, name: str, value: float, unit: str, target: float | None = None, *, least: bool = True) -> None:
        met = target is None or (value >= target if least else value <= target)
        if not met:
            self.missed.append(name)
        aim = "" if target is None else f"   target {'>=' if least else '<='} {target:g}{'' if met else ' MISSED'}"
        print(f"  {name:34} {value:10,.1f} {unit}{aim}", flush=True)


def small(report: Report, url: str, pid: int, cids: dict[str, str], seconds: int) -> None:
    if shutil.which("wrk") is None:
        print("wrk is not installed: no figures of small requests")
        return
    with process([sys.executable, "-c", BARE]) as (bare, port):
        found = load(f"http://127.0.0.1:{port}/", bare, seconds)
    report.line("bare handler", found.per_second, f"/s   CPU {found.cpu:.0f} us")
    if shutil.which("nginx") is not None:
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder, "files")
            files.mkdir()
            (files / "small").write_bytes(bytes(1024))
            os.chmod(folder, 0o755)
            with nginx(Path(folder)) as (worker, address):
                found = load(f"{address}/small", worker, seconds)
        report.line("nginx, one worker", found.per_second, f"/s   CPU {found.cpu:.0f} us")
    file = cids["file"]
    for name, path, headers in (
        ("raw", f"{file}?format=raw", ()),
        ("file", file, ()),
        ("304", file, (f'If-None-Match: "{file}"',)),
        ("listing", f"{cids['listing']}/", ()),
        ("file in a folder", f"{cids['listing']}/3", ()),
    ):
        found = load(f"{url}/ipfs/{path}", pid, seconds, *headers)
        report.line(name, found.per_second, f"/s   CPU {found.cpu:.0f} us", TARGETS.get(name))


def large(report: Report, url: str, pid: int, cid: str, mib: int, file: Path) -> None:
    speeds, firsts, cpus = [], [], []
    for _ in range(RUNS):
        before = cpu_seconds(pid)
        speed, first = fetch(f"{url}/ipfs/{cid}")
        cpus.append((cpu_seconds(pid) - before) * 1024 / mib)
        speeds.append(speed)
        firsts.append(first)
    speed = statistics.median(speeds)
    report.line(f"{mib} MiB to curl", speed, f"MiB/s   CPU {statistics.median(cpus):.2f} s/GiB", LARGE)
    report.line("its first byte", statistics.median(firsts), "ms", FIRST_BYTE, least=False)
    if shutil.which("nginx") is not None:
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder, "files")
            files.mkdir()
            os.chmod(folder, 0o755)
            shutil.copy(file, files / "large")
            with nginx(Path(folder)) as (_, address):
                beside = statistics.median(fetch(f"{address}/large")[0] for _ in range(RUNS))
        report.line("nginx", beside, "MiB/s")
        report.line("of nginx", speed / beside, "times", OF_NGINX)


def listings(
    report: Report,
    url: str,
    machine: Machine,
    folder: Path,
    entries: int,
    forget: Callable[[], object],
    lag: Callable[[str], None],
) -> None:
    """``lag``: report how long the loop was held; ``forget``: that of what is no matter of the gateway."""
    for count in (10_000, entries):
        tree = folder / f"tree{count}"
        tree.mkdir()
        for at in range(count):
            (tree / f"{at:07}.txt").touch()
        cid = machine.command("add", "-Qr", "--pin=false", str(tree))
        shutil.rmtree(tree)
        forget()
        times, firsts = [], []
        for _ in range(RUNS if count == 10_000 else 1):
            began = time.perf_counter()
            _, first = fetch(f"{url}/ipfs/{cid}/")
            times.append((time.perf_counter() - began) * 1000)
            firsts.append(first)
        if count == 10_000:
            report.line("listing of 10,000", statistics.median(times), "ms", LIST_10K, least=False)
        else:
            report.line(f"first row of {count:,}", firsts[0], "ms", FIRST_ROW, least=False)
        lag(f"listing of {count:,}")


def idle(report: Report, url: str, pid: int, cid: str) -> None:
    before = memory(pid)
    host, port = url.removeprefix("http://").split(":")
    connections = [socket.create_connection((host, int(port))) for _ in range(IDLE_CONNECTIONS)]
    for connection in connections:
        connection.sendall(f"GET /ipfs/{cid} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for connection in connections:
        while not connection.recv(65536).endswith(bytes(8)):
            pass
    report.line(f"{IDLE_CONNECTIONS} idle connections", memory(pid) - before, "MB", IDLE_MEMORY, least=False)
    for connection in connections:
        connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--entries", type=int, default=1_000_000)
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as place:
        folder = Path(place)
        machine = Machine(folder / "repo")
        told = folder / "lag"
        meter = [sys.executable, str(Path(__file__).with_name("lag.py")), str(told)]
        with machine.daemon(by=meter) as daemon:
            url = (machine.place / "gateway").read_text()
            (folder / "small").write_bytes(os.urandom(1016) + bytes(8))
            (folder / "twenty").mkdir()
            for at in range(20):
                (folder / "twenty" / str(at)).write_bytes(os.urandom(1000))
            with (folder / "large").open("wb") as file:
                for _ in range(options.mib):
                    file.write(os.urandom(1 << 20))
            cids = {
                "file": machine.command("add", "-Q", str(folder / "small")),
                "listing": machine.command("add", "-Qr", str(folder / "twenty")),
                "large": machine.command("add", "-Q", str(folder / "large")),
            }

            def lag(during: str) -> None:
                late, busy = worst_of(daemon.pid, told)
                report.line(f"longest hold, {during}", late, f"ms   CPU {busy:.0f} ms", LAG, least=False)

            worst_of(daemon.pid, told)  # of its start, and of what was added
            small(report, url, daemon.pid, cids, options.seconds)
            lag("small requests")
            warm_memory(256)
            large(report, url, daemon.pid, cids["large"], options.mib, folder / "large")
            lag("large file")
            idle(report, url, daemon.pid, cids["file"])
            lag(f"{IDLE_CONNECTIONS} connections")
            forget = partial(worst_of, daemon.pid, told)
            listings(report, url, machine, folder, options.entries, forget, lag)
    print(f"missed: {', '.join(report.missed)}" if report.missed else "all targets met")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
